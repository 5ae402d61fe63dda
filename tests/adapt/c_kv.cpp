#include <tokenheap/adapt/c_kv.h>

#include <support/catch.hpp>

#include <cstddef>

TEST_CASE("the structs of C pools and sequences have the places that were published") {
  STATIC_REQUIRE(sizeof(th_block_name) == 24);
  STATIC_REQUIRE(offsetof(th_pool_options, name) == 32);
  STATIC_REQUIRE(offsetof(th_pool_options, watermark) == 80);
  STATIC_REQUIRE(sizeof(th_pool_options) == 112);
  STATIC_REQUIRE(sizeof(th_pool_stats) == 104);
  STATIC_REQUIRE(offsetof(th_sequence_options, share) == 36);
  STATIC_REQUIRE(sizeof(th_sequence_options) == 72);
  STATIC_REQUIRE(sizeof(th_sequence_stats) == 40);
  STATIC_REQUIRE(sizeof(th_admission) == 48);
}
