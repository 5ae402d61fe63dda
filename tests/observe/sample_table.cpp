#include <tokenheap/observe/sample_table.hpp>

#include <support/catch.hpp>

#include <map>
#include <random>

using namespace tokenheap;

TEST_CASE("a sample is found by its address until it is taken", "[observe]") {
  sample_table table;
  REQUIRE(table.open(4));
  CHECK_FALSE(table.may_have(0x1000));
  REQUIRE(table.insert({.address = 0x1000, .granted = 64, .weight = 512, .stack = 3}));
  CHECK(table.may_have(0x1000));
  CHECK(table.take(0x2000).address == 0);
  const live_sample found = table.take(0x1000);
  CHECK(found.granted == 64);
  CHECK(found.weight == 512);
  CHECK(found.stack == 3);
  CHECK(table.take(0x1000).address == 0);
  CHECK_FALSE(table.may_have(0x1000));
  CHECK(table.size() == 0);
}

TEST_CASE("a full table takes no more, and has lost nothing", "[observe][bad]") {
  sample_table table;
  REQUIRE(table.open(3));
  for (std::size_t k = 1; k != 4; ++k) REQUIRE(table.insert({.address = k * 16}));
  CHECK_FALSE(table.insert({.address = 64}));
  CHECK(table.size() == 3);
  for (std::size_t k = 1; k != 4; ++k) CHECK(table.take(k * 16).address == k * 16);
  CHECK(table.insert({.address = 64}));
  table.clear();
  CHECK(table.size() == 0);
  CHECK_FALSE(table.may_have(64));
}

TEST_CASE("a table that was never opened holds nothing", "[observe][bad]") {
  sample_table table;
  CHECK_FALSE(table.may_have(0x1000));
  CHECK_FALSE(table.insert({.address = 16}));
  CHECK(table.take(0x1000).address == 0);
  table.clear();
  CHECK_FALSE(table.open(sample_table::most_samples + 1));
  CHECK_FALSE(table.open(~std::size_t{0}));
  CHECK_FALSE(table.may_have(0x1000));
}

TEST_CASE("random samples come and go as in a map", "[observe]") {
  const unsigned seed = 7;
  INFO("seed " << seed);
  std::mt19937 random(seed);
  sample_table table;
  REQUIRE(table.open(300));
  std::map<std::size_t, std::size_t> model;
  for (int k = 0; k != 60'000; ++k) {
    const std::size_t address = 16 * (1 + random() % 700);
    const auto known = model.find(address);
    if (known != model.end()) {
      if (!table.may_have(address) || table.take(address).weight != known->second) FAIL("lost " << address);
      model.erase(known);
    } else if (model.size() < 300) {
      if (!table.insert({.address = address, .weight = static_cast<std::size_t>(k)})) FAIL("refused " << address);
      model[address] = static_cast<std::size_t>(k);
    } else if (table.take(address).address != 0) {
      FAIL("found " << address);
    }
  }
  CHECK(table.size() == model.size());
  std::size_t seen = 0;
  table.for_each([&](const live_sample& s) { seen += model.count(s.address); });
  CHECK(seen == model.size());
}

TEST_CASE("counters that ran full let addresses through and lose none", "[observe]") {
  sample_table table;
  REQUIRE(table.open(400));
  // their distance is a multiple of what the filter tells apart: all of them share one counter
  const auto address = [](std::size_t k) { return 16 + (k << 42); };
  std::size_t live = 0;
  for (std::size_t k = 0; k != 400; ++k) live += table.insert({.address = address(k), .weight = k + 1});
  CHECK(live == 400);
  for (std::size_t k = 0; k != 400; ++k) {
    if (!table.may_have(address(k)) || table.take(address(k)).weight != k + 1) FAIL("lost " << k);
  }
  CHECK(table.size() == 0);
  CHECK(table.may_have(16));  // a full counter stays full
}
