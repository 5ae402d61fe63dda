#include <tokenheap/check/device_contract.hpp>

#include <support/catch.hpp>
#include <support/verdict.hpp>

#include <fake_cuda/runtime/runtime.hpp>

using namespace tokenheap;

TEST_CASE("a CUDA device keeps the contract of devices, on the first device and on another") {
  for (const int ordinal : {0, 1}) {
    fake_cuda::runtime cuda({.capacity = 64 * MiB, .page_bytes = 64 * KiB, .devices = 2, .backed = true});
    cuda_device d(ordinal);
    REQUIRE_CONTRACT(check_device(d));
    CHECK(cuda.machine.is_clean());
    CHECK(cuda.machine.violations() == 0);
    CHECK(fake_cuda::current_device() == 0);
    CHECK(fake_cuda::pending_error() == 0);
  }
}
