#include <tokenheap/check/device_contract.hpp>

#include <support/catch.hpp>
#include <support/verdict.hpp>

#include <gpu/device.hpp>

using namespace tokenheap;

TEST_CASE("a real GPU keeps the contract of devices") {
  gpu::need_device();
  cuda_device d;
  REQUIRE_CONTRACT(check_device(d));
}
