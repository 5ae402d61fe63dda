#include <tokenheap/plan/room.hpp>

#include <support/catch.hpp>

#include <random>

#include <tokenheap/kv/page_space.hpp>

namespace kv = tokenheap::kv;
namespace plan = tokenheap::plan;

TEST_CASE("one group has as many blocks as fit", "[plan]") {
  const plan::room r(1000, {300});
  CHECK(r.chunks() == 3);
  CHECK(r.slack() == 100);
  CHECK(r.fits({3}));
  CHECK_FALSE(r.fits({4}));
  CHECK(plan::room(299, {300}).chunks() == 0);
  CHECK(plan::room(~std::size_t{0} / 2, {1}).chunks() == kv::max_blocks);
  CHECK(plan::room(0, {}).fits({}));
}

TEST_CASE("several groups have what a page space over the same bytes has", "[plan]") {
  const unsigned seed = 2026;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (int round = 0; round < 100; ++round) {
    std::vector<std::size_t> pages;
    for (std::size_t g = 2 + below(3); g != 0; --g) pages.push_back(1 + below(2000));
    const std::size_t bytes = 1 + below(300'000);
    const plan::room r(bytes, pages);
    auto space = kv::page_space::open({.bytes = bytes, .page_bytes = pages.data(), .groups = pages.size()});
    CHECK(static_cast<bool>(space) == (r.chunks() != 0));
    if (!space) continue;
    CHECK(space->chunk_bytes() == r.chunk_bytes());
    CHECK(space->stats().remainder == r.slack());
    for (int ask = 0; ask < 20; ++ask) {
      std::vector<std::size_t> need;
      for (const std::size_t page : pages) need.push_back(below(2 * bytes / page / pages.size() + 2));
      CHECK(space->would_fit(need.data()) == r.fits(need));
    }
  }
}

TEST_CASE("bytes beyond what a page space can number stay unused", "[plan][bad]") {
  const plan::room r(std::size_t{1} << 50, {1, 2});
  CHECK(r.chunks() != 0);
  CHECK(r.slack() > std::size_t{1} << 49);
  CHECK_FALSE(plan::room(10, {5, 20}).fits({1, 0}));
  CHECK_FALSE(plan::room(10, {5, 20}).fits({0, 1}));
  CHECK(plan::room(10, {5, 20}).fits({0, 0}));
}

TEST_CASE("the largest number that is taken is found", "[plan]") {
  for (std::size_t most = 0; most < 20; ++most) {
    for (std::size_t edge = 0; edge < 25; ++edge) {
      CHECK(plan::largest(most, [&](std::size_t n) { return n <= edge; }) == (edge < most ? edge : most));
    }
  }
  CHECK(plan::largest(~std::size_t{0} / 2, [](std::size_t) { return true; }) == ~std::size_t{0} / 2);
}
