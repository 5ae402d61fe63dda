#include <tokenheap/adapt/c_source.h>

#include <support/catch.hpp>

#include <cstddef>

TEST_CASE("the structs of C sources have the places that were published") {
  STATIC_REQUIRE(th_source_slab == 5);
  STATIC_REQUIRE(sizeof(th_allocation) == 16);
  STATIC_REQUIRE(offsetof(th_source_options, limit) == 24);
  STATIC_REQUIRE(offsetof(th_source_options, user) == 88);
  STATIC_REQUIRE(sizeof(th_source_options) == 120);
  STATIC_REQUIRE(offsetof(th_source_stats, limit) == 72);
  STATIC_REQUIRE(sizeof(th_source_stats) == 80);
}
