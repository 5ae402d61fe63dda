#include <tokenheap/policy/trace.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

namespace {
trace_event event(std::size_t number) { return {trace_kind::allocate, nullptr, number, number * 2}; }
}  // namespace

TEST_CASE("a ring keeps events in order while there is room", "[policy]") {
  ring_trace<trace_shape{.events = 4}> ring;
  REQUIRE(ring.size() == 0);
  REQUIRE_FALSE(ring.overflowed());
  for (std::size_t k = 0; k != 4; ++k) ring.record(event(k));
  REQUIRE(ring.size() == 4);
  REQUIRE(ring.first() == 0);
  REQUIRE(ring.recorded() == 4);
  REQUIRE_FALSE(ring.overflowed());
  for (std::size_t k = 0; k != 4; ++k) REQUIRE(ring[k].requested == k);
}

TEST_CASE("a full ring drops the oldest event, and says so", "[policy]") {
  ring_trace<trace_shape{.events = 4}> ring;
  for (std::size_t k = 0; k != 4 * 4 + 3; ++k) {
    ring.record(event(k));
    REQUIRE(ring.overflowed() == (k >= 4));
  }
  REQUIRE(ring.size() == 4);
  REQUIRE(ring.recorded() == 19);
  REQUIRE(ring.first() == 15);
  for (std::size_t k = 0; k != 4; ++k) {
    REQUIRE(ring[k].requested == 15 + k);
    REQUIRE(ring[k].granted == 2 * (15 + k));
  }
  ring.clear();
  REQUIRE(ring.size() == 0);
  REQUIRE_FALSE(ring.overflowed());
}

TEST_CASE("a ring of one event holds the last one", "[policy]") {
  ring_trace<trace_shape{.events = 1}> ring;
  ring.record(event(7));
  ring.record(event(8));
  REQUIRE(ring.size() == 1);
  REQUIRE(ring[0].requested == 8);
  REQUIRE(ring.overflowed());
}

TEST_CASE("an event is 32 bytes, and a ring no more than its events and a count", "[policy]") {
  STATIC_REQUIRE(sizeof(trace_event) == 32);
  STATIC_REQUIRE(sizeof(ring_trace<trace_shape{.events = 8}>) == 8 * 32 + 8);
}
