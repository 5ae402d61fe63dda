#include <tokenheap/device/sim_addresses.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <random>
#include <vector>

using namespace tokenheap;

TEST_CASE("the lowest gap that fits is taken", "[device]") {
  sim_addresses a(1000, 1000);
  REQUIRE(a.take(100, 1) == 1000);
  REQUIRE(a.take(100, 1) == 1100);
  REQUIRE(a.take(100, 1) == 1200);
  a.give_back(1000, 100);
  REQUIRE(a.take(101, 1) == 1300);
  REQUIRE(a.take(60, 1) == 1000);
  REQUIRE(a.take(40, 1) == 1060);
  REQUIRE(a.take(600, 1) == 0);
  REQUIRE(a.take(599, 1) == 1401);
  REQUIRE(a.take(1, 1) == 0);
}

TEST_CASE("what is skipped for an alignment stays free", "[device]") {
  sim_addresses a(1000, 1000);
  REQUIRE(a.take(10, 256) == 1024);
  REQUIRE(a.take(24, 1) == 1000);
  REQUIRE(a.take(10, 1) == 1034);
}

TEST_CASE("gaps merge, so that everything can be taken again", "[device]") {
  const unsigned seed = GENERATE(range(1u, 9u));
  CAPTURE(seed);
  std::mt19937 random(seed);
  sim_addresses a(4096, 4096);
  std::vector<std::pair<std::uintptr_t, std::size_t>> out;
  for (int step = 0; step != 300; ++step) {
    const std::size_t bytes = 1 + random() % 200;
    if (out.empty() || random() % 2 == 0) {
      if (const std::uintptr_t at = a.take(bytes, 1); at != 0) {
        for (const auto& [begin, size] : out) REQUIRE((at + bytes <= begin || begin + size <= at));
        out.emplace_back(at, bytes);
      }
    } else {
      std::swap(out[random() % out.size()], out.back());
      a.give_back(out.back().first, out.back().second);
      out.pop_back();
    }
  }
  for (const auto& [begin, size] : out) a.give_back(begin, size);
  REQUIRE(a.take(4096, 1) == 4096);
}

TEST_CASE("it knows what is inside and what was ever taken", "[device]") {
  sim_addresses a(1000, 1000);
  REQUIRE((a.contains(1000) && a.contains(1999) && !a.contains(999) && !a.contains(2000)));
  REQUIRE_FALSE(a.was_used(1000));
  (void)a.take(10, 1);
  a.give_back(1000, 10);
  REQUIRE((a.was_used(1009) && !a.was_used(1010) && !a.was_used(999)));
  REQUIRE(a.begin() == 1000);
  REQUIRE(sim_addresses().take(1, 1) == 0);
}
