// expect: free_slots::in_place writes into slots: the CPU must be able to reach them
// A list through the slots cannot stand in memory that the CPU cannot write.
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/source/fixed.hpp>

using namespace tokenheap;

layered<basic_fixed_source<device_space>, slab<slab_shape{.keep = free_slots::in_place}>> memory;
