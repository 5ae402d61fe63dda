// expect: arena_shape::granule: a power of two
// Every address of an arena is a multiple of its granule.
#include <tokenheap/alloc/arena.hpp>

tokenheap::arena<tokenheap::arena_shape{.granule = 24}> shape;
