#include <tokenheap/device/sim_blocks.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

TEST_CASE("a thing is found by any of its addresses", "[device]") {
  sim_ranges<sim_block> r;
  r.add({300, 10, 10, sim_memory_kind::device, 0});
  r.add({100, 50, 50, sim_memory_kind::pinned, 0});
  r.add({150, 50, 50, sim_memory_kind::device, 1});
  REQUIRE(r.over(99) == nullptr);
  REQUIRE(r.over(100)->kind == sim_memory_kind::pinned);
  REQUIRE(r.over(149)->begin == 100);
  REQUIRE(r.over(150)->device == 1);
  REQUIRE(r.over(199)->begin == 150);
  REQUIRE(r.over(200) == nullptr);
  REQUIRE(r.over(309)->begin == 300);
  REQUIRE(r.over(310) == nullptr);
  REQUIRE(r.at(150)->begin == 150);
  REQUIRE(r.at(151) == nullptr);
  r.remove(r.at(150));
  REQUIRE(r.over(150) == nullptr);
  REQUIRE(r.all().size() == 2);
}

TEST_CASE("a range is free if nothing has one of its bytes", "[device]") {
  sim_ranges<sim_reservation> r;
  REQUIRE(r.is_free(0, 1000));
  r.add({100, 50, 0});
  REQUIRE(r.is_free(0, 100));
  REQUIRE_FALSE(r.is_free(0, 101));
  REQUIRE_FALSE(r.is_free(120, 1));
  REQUIRE_FALSE(r.is_free(149, 100));
  REQUIRE(r.is_free(150, 100));
  REQUIRE_FALSE(r.is_free(90, 200));
}
