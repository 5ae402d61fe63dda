// expect: trace_shape::events: a power of two
// The place of an event in the ring is found by a mask.
#include <tokenheap/policy/trace.hpp>

tokenheap::ring_trace<tokenheap::trace_shape{.events = 1000}> ring;
