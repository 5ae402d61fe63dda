#include <tokenheap/adapt/c_status.h>

#include <support/catch.hpp>

#include <cstddef>

TEST_CASE("the numbers of the C interface's status and the places in its failure are those that were published") {
  STATIC_REQUIRE(th_ok == 0);
  STATIC_REQUIRE(th_out_of_memory == 1);
  STATIC_REQUIRE(th_limit_reached == 2);
  STATIC_REQUIRE(th_invalid_argument == 3);
  STATIC_REQUIRE(th_wrong_size == 9);
  STATIC_REQUIRE(th_stale_handle == 10);
  STATIC_REQUIRE(th_in_use == 12);
  STATIC_REQUIRE(th_no_device == 17);
  STATIC_REQUIRE(th_forked == 19);
  STATIC_REQUIRE(sizeof(th_status) == 4);
  STATIC_REQUIRE(sizeof(th_failure) == 80);
  STATIC_REQUIRE(offsetof(th_failure, status) == 8);
  STATIC_REQUIRE(offsetof(th_failure, need) == 16);
  STATIC_REQUIRE(offsetof(th_failure, fix) == 72);
}
