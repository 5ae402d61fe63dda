#include <tokenheap/device/sim_clock.hpp>

#include <support/catch.hpp>

#include <utility>

using namespace tokenheap;

TEST_CASE("a clock is at 0 for what it never heard of", "[device]") {
  sim_clock c;
  REQUIRE(c[0] == 0);
  REQUIRE(c[1000] == 0);
  REQUIRE(c.size() == 0);
  REQUIRE(c.advance(3) == 1);
  REQUIRE(c.advance(3) == 2);
  REQUIRE(c[3] == 2);
  REQUIRE(c[2] == 0);
}

TEST_CASE("a join takes the later tick of each dimension", "[device]") {
  sim_clock a;
  sim_clock b;
  a.set(0, 5);
  a.set(1, 1);
  b.set(1, 7);
  b.set(2, 2);
  a.join(b);
  REQUIRE((a[0] == 5 && a[1] == 7 && a[2] == 2));
  REQUIRE((b[0] == 0 && b[1] == 7 && b[2] == 2));
}

TEST_CASE("a clock covers what happened before it, and names what did not", "[device]") {
  sim_clock a;
  sim_clock b;
  REQUIRE(a.covers(b));
  a.set(1, 3);
  REQUIRE(a.covers(b));
  REQUIRE_FALSE(b.covers(a));
  std::uint32_t ahead = 99;
  REQUIRE_FALSE(b.covers(a, &ahead));
  REQUIRE(ahead == 1);
  REQUIRE(a.covers(sim_epoch{1, 3, 0}));
  REQUIRE_FALSE(a.covers(sim_epoch{1, 4, 0}));
  REQUIRE_FALSE(a.covers(sim_epoch{40, 1, 0}));
  REQUIRE(a.covers(sim_epoch{}));
  REQUIRE_FALSE(sim_epoch{});
}

TEST_CASE("clocks of any size are copied, moved and cleared", "[device]") {
  for (const std::uint32_t size : {1u, 12u, 13u, 500u}) {
    CAPTURE(size);
    sim_clock a;
    for (std::uint32_t k = 0; k != size; ++k) a.set(k, k + 1);
    const sim_clock copy(a);
    sim_clock assigned;
    assigned.set(700, 1);
    assigned = a;
    REQUIRE(assigned[700] == 0);
    sim_clock moved(std::move(a));
    sim_clock taken;
    taken.set(40, 9);
    taken = std::move(moved);
    for (std::uint32_t k = 0; k != size; ++k) REQUIRE((copy[k] == k + 1 && assigned[k] == k + 1 && taken[k] == k + 1));
    REQUIRE(taken.size() == size);
    REQUIRE(moved.size() == 0);
    REQUIRE(a.size() == 0);
    moved.set(20, 2);  // what was moved from can be used again
    REQUIRE((moved[20] == 2 && moved[0] == 0));
    taken.clear();
    REQUIRE(taken[0] == 0);
    taken.set(2, 4);
    REQUIRE((taken[0] == 0 && taken[1] == 0 && taken[2] == 4));
  }
}
