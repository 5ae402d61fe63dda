#include <tokenheap/observe/latency_histogram.hpp>

#include <support/catch.hpp>

#include <thread>
#include <vector>

using namespace tokenheap;

static_assert(latency_counts::bound_ns(0) == 100 && latency_counts::bound_ns(1) == 250);
static_assert(latency_counts::bound_ns(2) == 500 && latency_counts::bound_ns(3) == 1000);
static_assert(latency_counts::bound_ns(24) == 10'000'000'000U);

TEST_CASE("a latency falls into the bucket whose bound it does not pass", "[latency_histogram]") {
  for (std::size_t k = 0; k != latency_counts::bounds; ++k) {
    const std::uint64_t bound = latency_counts::bound_ns(k);
    if (k != 0) CHECK(latency_counts::bound_ns(k - 1) < bound);
    CHECK(latency_histogram::bucket_of(bound) == k);
    CHECK(latency_histogram::bucket_of(bound + 1) == k + 1);
  }
  CHECK(latency_histogram::bucket_of(0) == 0);
  CHECK(latency_histogram::bucket_of(~std::uint64_t{0}) == latency_counts::bounds);
}

TEST_CASE("a latency histogram counts and sums", "[latency_histogram]") {
  latency_histogram h;
  CHECK(h.read() == latency_counts{});
  for (const std::uint64_t ns : {99U, 100U, 101U, 5000U}) h.add(ns);
  h.add(20'000'000'000U);
  const latency_counts now = h.read();
  CHECK(now.count() == 5);
  CHECK(now.sum_ns == 20'000'005'300U);
  CHECK(now.in[0] == 2);
  CHECK(now.in[1] == 1);
  CHECK(now.in[5] == 1);
  CHECK(now.in[latency_counts::bounds] == 1);
}

TEST_CASE("threads lose no latency", "[latency_histogram][threads]") {
  latency_histogram h;
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t != 4; ++t)
    threads.emplace_back([&, t] {
      for (std::uint64_t k = 0; k != 2000; ++k) h.add(t * 1000 + 1);
    });
  for (std::thread& t : threads) t.join();
  CHECK(h.read().count() == 8000);
  CHECK(h.read().sum_ns == 2000 * (1 + 1001 + 2001 + 3001));
}

TEST_CASE("a timed scope is one latency", "[latency_histogram]") {
  latency_histogram h;
  const std::uint64_t before = timed::now_ns();
  { const timed scope(h); }
  CHECK(h.read().count() == 1);
  CHECK(h.read().sum_ns <= timed::now_ns() - before);
}
