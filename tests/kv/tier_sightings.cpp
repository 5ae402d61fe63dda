#include <tokenheap/kv/tier_sightings.hpp>

#include <support/catch.hpp>

#include <map>
#include <random>

using namespace tokenheap::kv;

namespace {

tier_key name(std::uint64_t n) { return {n, n * 3, 0}; }

}  // namespace

TEST_CASE("sightings count up to 255, and the oldest names make way") {
  tier_sightings seen;
  REQUIRE(seen.open(8));  // one row
  for (std::size_t k = 1; k != 300; ++k) CHECK(seen.see(name(1)) == (k < 255 ? k : 255));
  for (std::uint64_t n = 2; n != 9; ++n) CHECK(seen.see(name(n)) == 1);
  CHECK(seen.see(name(1)) == 255);  // eight names, eight places: the oldest was the first one, and is the newest now
  CHECK(seen.see(name(9)) == 1);    // 2 makes way
  CHECK(seen.see(name(9)) == 2);
  CHECK(seen.see(name(3)) == 2);
  CHECK(seen.see(name(2)) == 1);
}

TEST_CASE("what differs in any part of its name is counted apart") {
  tier_sightings seen;
  REQUIRE(seen.open(64));
  CHECK(seen.see({1, 2, 0}) == 1);
  CHECK(seen.see({1, 2, 1}) == 1);
  CHECK(seen.see({1, 3, 0}) == 1);
  CHECK(seen.see({9, 2, 0}) == 1);
  CHECK(seen.see({1, 2, 0}) == 2);
  CHECK(seen.see({}) == 1);  // a name of zeros is not an empty place
  CHECK(seen.see({}) == 2);
}

TEST_CASE("no count is ever too high, and names that come often are not forgotten for those that come once") {
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  tier_sightings seen;
  REQUIRE(seen.open(4096));
  std::map<std::uint64_t, std::size_t> model;
  for (int step = 0; step != 20000; ++step) {
    const bool often = random() % 4 == 0;
    const std::uint64_t low = often ? random() % 16 : random();
    const tier_key key{low * 0x9E3779B97F4A7C15u, low ^ 0x5555, 0};
    const std::size_t true_count = ++model[low];
    const std::size_t got = seen.see(key);
    REQUIRE(got <= (true_count < 255 ? true_count : 255));
    if (often) REQUIRE(got == (true_count < 255 ? true_count : 255));
  }
}

TEST_CASE("a table that cannot be changes nothing") {
  tier_sightings seen;
  CHECK(!seen.open(0));
  REQUIRE(seen.open(1));
  CHECK(seen.see(name(1)) == 1);
  CHECK(!seen.open(0));
  CHECK(!seen.open(~std::size_t{0}));
  CHECK(seen.see(name(1)) == 2);
  REQUIRE(seen.open(1));
  CHECK(seen.see(name(1)) == 1);
}
