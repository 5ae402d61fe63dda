#include <tokenheap/policy/stats.hpp>

#include <support/catch.hpp>

#include <thread>
#include <vector>

using namespace tokenheap;

TEST_CASE("a gauge keeps current, peak, allocated and freed", "[policy]") {
  gauge g;
  g.add(10);
  g.add(5);
  g.subtract(10);
  g.add(3);
  REQUIRE(g == gauge{.current = 8, .peak = 15, .allocated = 18, .freed = 10});
}

TEST_CASE("counters: exact numbers of a short history", "[policy]") {
  counters c;
  c.on_allocate(100, 112);
  c.on_allocate(50, 64);
  c.on_deallocate(0, 112);
  c.on_failure(1000);
  c.on_failure(24);
  counter_values expected{.calls = {1, 2, 2, 1}, .granted = {64, 176, 176, 112}, .requested = {}};
  expected.requested.allocated = 150;
  expected.failures = 2;
  expected.failed_bytes = 1024;
  REQUIRE(c.values() == expected);
  c.reset_peaks();
  REQUIRE(c.values().granted.peak == 64);
  REQUIRE(c.values().calls.peak == 1);
  c.on_reset();
  REQUIRE(c.values().calls == gauge{0, 1, 2, 2});
  REQUIRE(c.values().granted == gauge{0, 64, 176, 176});
  REQUIRE(c.values().resets == 1);
}

TEST_CASE("exact counters: requested bytes come and go like granted ones", "[policy]") {
  exact_counters c;
  c.on_allocate(100, 112);
  c.on_allocate(50, 64);
  c.on_deallocate(100, 112);
  REQUIRE(c.values().requested == gauge{50, 150, 150, 100});
  REQUIRE(c.values().granted == gauge{64, 176, 176, 112});
  c.on_reset();
  REQUIRE(c.values().requested == gauge{0, 150, 150, 150});
}

TEST_CASE("shared counters count like counters on one thread", "[policy]") {
  shared_counters shared;
  counters plain;
  const auto both = [&](auto&& call) {
    call(shared);
    call(plain);
  };
  both([](auto& c) { c.on_allocate(100, 112); });
  both([](auto& c) { c.on_allocate(7, 16); });
  both([](auto& c) { c.on_deallocate(0, 112); });
  both([](auto& c) { c.on_failure(9); });
  REQUIRE(shared.values() == plain.values());
  both([](auto& c) { c.on_reset(); });
  REQUIRE(shared.values() == plain.values());
}

TEST_CASE("shared counters lose nothing between threads", "[policy][threads]") {
  shared_counters shared;
  const auto work = [&] {
    for (std::size_t k = 0; k != 10'000; ++k) {
      shared.on_allocate(10, 16);
      if (k % 2 == 0) shared.on_deallocate(0, 16);
      if (k % 100 == 0) shared.on_failure(5);
    }
  };
  std::thread first(work);
  std::thread second(work);
  first.join();
  second.join();
  const counter_values v = shared.values();
  REQUIRE(v.calls.current == 10'000);
  REQUIRE(v.calls.allocated == 20'000);
  REQUIRE(v.calls.freed == 10'000);
  REQUIRE(v.granted.current == 160'000);
  REQUIRE(v.granted.allocated == 320'000);
  REQUIRE(v.granted.peak >= 160'000);
  REQUIRE(v.granted.peak <= 320'000);
  REQUIRE(v.requested.allocated == 200'000);
  REQUIRE(v.failures == 200);
  REQUIRE(v.failed_bytes == 1000);
}

TEST_CASE("a histogram puts each size into its power of two", "[policy]") {
  STATIC_REQUIRE(histogram::bucket_of(0) == 0);
  STATIC_REQUIRE(histogram::bucket_of(1) == 0);
  STATIC_REQUIRE(histogram::bucket_of(2) == 1);
  STATIC_REQUIRE(histogram::bucket_of(3) == 2);
  STATIC_REQUIRE(histogram::bucket_of(4) == 2);
  STATIC_REQUIRE(histogram::bucket_of(5) == 3);
  STATIC_REQUIRE(histogram::bucket_of(~std::size_t{0}) == 64);
  histogram h;
  for (std::size_t k = 1; k != 64; ++k) {
    h.on_allocate(std::size_t{1} << k, 0);
    h.on_allocate((std::size_t{1} << k) + 1, 0);
  }
  h.on_failure(~std::size_t{0});
  REQUIRE(h.calls(1) == 1);
  for (std::size_t k = 2; k != 64; ++k) REQUIRE(h.calls(k) == 2);
  REQUIRE(h.calls(64) == 1);
  REQUIRE(h.failures(64) == 1);
}

TEST_CASE("a bucket that does not exist holds nothing", "[policy][bad]") {
  histogram h;
  h.on_allocate(1, 1);
  REQUIRE(h.calls(0) == 1);
  REQUIRE(h.calls(65) == 0);
  REQUIRE(h.failures(~std::size_t{0}) == 0);
}
