// expect: canary and poison write to memory: the CPU must be able to reach it
// A canary cannot stand in memory that the CPU cannot write.
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/policy/guard.hpp>
#include <tokenheap/source/fixed.hpp>

using namespace tokenheap;

layered<basic_fixed_source<device_space>, with<guard<guard_shape{.canary = 16}>>> memory;
