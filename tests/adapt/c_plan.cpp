#include <tokenheap/adapt/c_plan.h>

#include <support/catch.hpp>

#include <cstddef>

TEST_CASE("the structs of C plans have the places that were published") {
  STATIC_REQUIRE(offsetof(th_plan_options, utilization) == 40);
  STATIC_REQUIRE(offsetof(th_plan_options, block_tokens) == 96);
  STATIC_REQUIRE(sizeof(th_plan_options) == 176);
  STATIC_REQUIRE(offsetof(th_plan_numbers, blocks) == 120);
  STATIC_REQUIRE(sizeof(th_plan_numbers) == 152);
  STATIC_REQUIRE(sizeof(th_plan_device) == 80);
}
