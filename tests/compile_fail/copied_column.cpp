// expect: deleted
// What stands above holds addresses: a column is neither copied nor moved.
#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/source/host.hpp>

using memory = tokenheap::layered<tokenheap::host_source, tokenheap::arena<>>;

void store(memory& one) { memory other(static_cast<memory&&>(one)); }
