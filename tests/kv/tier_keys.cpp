#include <tokenheap/kv/tier_keys.hpp>

#include <support/catch.hpp>

#include <map>
#include <random>
#include <vector>

using namespace tokenheap::kv;

namespace {

tier_key name(std::uint64_t n) { return {n, n * 3, static_cast<std::uint32_t>(n % 2)}; }

}  // namespace

TEST_CASE("names are found and taken out again, against a map, in a table that is full") {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u);
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (const std::uint64_t slots : {1u, 3u, 64u}) {
    tier_keys keys;
    REQUIRE(keys.open(slots));
    std::map<std::uint64_t, tier_slot> model;
    std::vector<tier_slot> idle;
    for (tier_slot s = 0; s != slots; ++s) idle.push_back(s);
    for (int step = 0; step != 10000; ++step) {
      const std::uint64_t n = random() % (slots + slots / 2 + 1);
      const auto at = model.find(n);
      REQUIRE(keys.find(name(n)) == (at == model.end() ? no_slot : at->second));
      if (at != model.end()) {
        REQUIRE(keys.erase(at->second));
        REQUIRE(!keys.erase(at->second));
        idle.push_back(at->second);
        model.erase(at);
      } else if (!idle.empty()) {
        keys.insert(name(n), idle.back());
        REQUIRE(keys.key_of(idle.back()) == name(n));
        model[n] = idle.back();
        idle.pop_back();
      }
      if (step % 500 == 0) REQUIRE(keys.is_valid());
    }
    CHECK(keys.size() == model.size());
  }
}

TEST_CASE("a name is found by all of its 128 bits and its group, not by the bits that place it") {
  tier_keys keys;
  REQUIRE(keys.open(4));
  keys.insert({7, 1, 0}, 2);
  CHECK(keys.find({7, 1, 0}) == 2);
  CHECK(keys.find({7, 2, 0}) == no_slot);
  CHECK(keys.find({8, 1, 0}) == no_slot);
  CHECK(keys.find({7, 1, 1}) == no_slot);
  keys.insert({7, 2, 0}, 0);  // stands where the first one does
  keys.insert({7, 3, 0}, 1);
  CHECK(keys.erase(2));
  CHECK(keys.find({7, 1, 0}) == no_slot);
  CHECK(keys.find({7, 2, 0}) == 0);
  CHECK(keys.find({7, 3, 0}) == 1);
  CHECK(keys.is_valid());
}

TEST_CASE("a table that cannot be leaves the one before it; one that can starts empty") {
  tier_keys keys;
  CHECK(!keys.open(0));
  REQUIRE(keys.open(4));
  CHECK(keys.bytes() == 4 * sizeof(tier_key) + 8 * sizeof(tier_slot));
  keys.insert(name(5), 3);
  CHECK(!keys.open(0));
  CHECK(!keys.open((std::size_t{1} << 30) - 1));
  CHECK(!keys.open(~std::size_t{0}));
  CHECK(keys.find(name(5)) == 3);
  CHECK(keys.size() == 1);
  REQUIRE(keys.open(8));
  CHECK(keys.size() == 0);
  CHECK(keys.find(name(5)) == no_slot);
  CHECK(!keys.erase(3));
  CHECK(keys.is_valid());
}
