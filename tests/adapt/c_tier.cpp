#include <tokenheap/adapt/c_tier.h>

#include <support/catch.hpp>

#include <cstddef>

TEST_CASE("the structs of C tiers have the places that were published") {
  STATIC_REQUIRE(th_tier_retry == 3);
  STATIC_REQUIRE(sizeof(th_block_span) == 16);
  STATIC_REQUIRE(sizeof(th_host_tier_options) == 72);
  STATIC_REQUIRE(offsetof(th_file_tier_options, key) == 48);
  STATIC_REQUIRE(sizeof(th_file_tier_options) == 88);
  STATIC_REQUIRE(offsetof(th_redis_tier_options, ttl_ms) == 64);
  STATIC_REQUIRE(sizeof(th_redis_tier_options) == 120);
  STATIC_REQUIRE(sizeof(th_chain_options) == 48);
  STATIC_REQUIRE(offsetof(th_tier_stats, capacity) == 160);
  STATIC_REQUIRE(sizeof(th_tier_stats) == 168);
}
