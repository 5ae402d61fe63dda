#include <tokenheap/device/sim_states.hpp>

#include <support/catch.hpp>

using namespace tokenheap;
using mode = sim_capture_mode;

namespace {

sim_host host(std::uint32_t dimension, mode how = mode::global) {
  sim_host h;
  h.dimension = dimension;
  h.mode = how;
  return h;
}

}  // namespace

TEST_CASE("who is forbidden to disturb a capture, by mode of the capture and of the thread", "[device]") {
  struct row {
    mode capture;
    mode thread;
    bool own;    // forbidden to the thread that captures
    bool other;  // and to another one
  };
  const row rows[] = {
      {mode::global, mode::global, true, true},
      {mode::global, mode::thread_local_only, true, false},
      {mode::global, mode::relaxed, false, false},
      {mode::thread_local_only, mode::global, true, false},
      {mode::thread_local_only, mode::thread_local_only, true, false},
      {mode::thread_local_only, mode::relaxed, false, false},
      {mode::relaxed, mode::global, false, false},
      {mode::relaxed, mode::thread_local_only, false, false},
      {mode::relaxed, mode::relaxed, false, false},
  };
  for (const row& r : rows) {
    CAPTURE(static_cast<int>(r.capture), static_cast<int>(r.thread));
    for (const bool own : {true, false}) {
      sim_captures captures;
      REQUIRE(captures.none());
      const std::uint64_t id = captures.begin(3, host(1), r.capture).id;
      const bool forbidden = captures.forbid(host(own ? 1 : 2, r.thread));
      REQUIRE(forbidden == (own ? r.own : r.other));
      REQUIRE(captures.find(id)->broken == forbidden);
      captures.end(id);
      REQUIRE(captures.none());
    }
  }
}

TEST_CASE("a call breaks the captures that forbid it, and no other", "[device]") {
  sim_captures captures;
  const std::uint64_t a = captures.begin(1, host(1), mode::global).id;
  const std::uint64_t b = captures.begin(2, host(2), mode::thread_local_only).id;
  REQUIRE(a != b);
  REQUIRE(captures.forbid(host(3)));
  REQUIRE(captures.find(a)->broken);
  REQUIRE_FALSE(captures.find(b)->broken);
  captures.break_up(b);
  captures.break_up(99);
  REQUIRE(captures.find(b)->broken);
  captures.end(a);
  REQUIRE(captures.find(a) == nullptr);
  REQUIRE(captures.find(b)->origin == 2);
}

TEST_CASE("a stream with the handle 0 is the legacy default stream", "[device]") {
  sim_stream_state s;
  REQUIRE(s.is_legacy());
  s.handle = sim_first_handle;
  REQUIRE_FALSE(s.is_legacy());
}
