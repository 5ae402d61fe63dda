// expect: no part of this column takes one of these options
// An option that nobody takes is a mistake of the caller, not something to forget in silence.
#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/policy/limit.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;

layered<host_source, arena<>> memory(hard_limit_options{.limit = 1});
