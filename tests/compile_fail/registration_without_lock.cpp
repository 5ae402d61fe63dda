// expect: this pool is not thread-safe: give the lock that guards it, or a no_lock
// A snapshot of another thread would read while this one allocates.
#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/observe/reading_of_kv.hpp>

void watch(tokenheap::kv::block_pool<>& pool) { const tokenheap::registration seen(pool); }
