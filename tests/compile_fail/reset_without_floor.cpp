// expect: constraints not satisfied
// What no floor below can do is absent: a slab over the heap has no reset.
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;

void forget(layered<host_source, slab<>>& memory) { memory.reset(); }
