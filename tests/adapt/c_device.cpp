#include <tokenheap/adapt/c_device.h>

#include <support/catch.hpp>

#include <cstddef>

TEST_CASE("the structs of C device memory have the places that were published") {
  STATIC_REQUIRE(th_memory_communication == 5);
  STATIC_REQUIRE(offsetof(th_gpu_options, name) == 16);
  STATIC_REQUIRE(offsetof(th_gpu_options, collect_above) == 64);
  STATIC_REQUIRE(sizeof(th_gpu_options) == 88);
  STATIC_REQUIRE(sizeof(th_gpu_request) == 32);
  STATIC_REQUIRE(offsetof(th_gpu_stats, failures) == 120);
  STATIC_REQUIRE(sizeof(th_gpu_stats) == 128);
}
