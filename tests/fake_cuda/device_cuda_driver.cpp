#include <tokenheap/device/cuda_driver.hpp>

#include <support/catch.hpp>

#include <fake_cuda/runtime/runtime.hpp>

using namespace tokenheap;
using fake_cuda::runtime;

TEST_CASE("numbers of CUDA become kinds of errors") {
  const auto all = [](device_error kind, std::initializer_list<int> numbers) {
    for (const int n : numbers) {
      CAPTURE(n);
      CHECK(to_device_status(n) == device_status{kind, n});
    }
  };
  all(device_error::ok, {0});
  all(device_error::no_device, {34, 35, 100, 46, 803, 101, 804});
  all(device_error::gone, {4, 709, 3});
  all(device_error::out_of_memory, {2});
  all(device_error::not_ready, {600});
  all(device_error::capture_refused, {900, 902, 903, 904, 905, 906, 907, 908});
  all(device_error::capture_broken, {901});
  all(device_error::invalid_handle, {400});
  all(device_error::invalid_value, {1, 712, 713});
  all(device_error::unsupported, {801});
  all(device_error::failed, {700, 719, 999, -1, 12345});
}

TEST_CASE("the driver's calls are fetched by name once") {
  runtime cuda;
  CHECK(cuda_driver::addresses());
  const std::size_t asked = cuda.count("cudaGetDriverEntryPointByVersion");
  CHECK(asked == 9);
  CHECK(cuda_driver::addresses());
  CHECK(cuda_driver::page_bytes(0) == 2u << 20);
  CHECK(cuda.count("cudaGetDriverEntryPointByVersion") == asked);
  CHECK(cuda.count("cuMemGetAllocationGranularity") == 1);
  CHECK(cuda_driver::page_bytes(0) == 2u << 20);
  CHECK(cuda.count("cuMemGetAllocationGranularity") == 1);
}

TEST_CASE("a driver without them leaves a device that cannot map") {
  runtime cuda;
  cuda.has_addresses = false;
  CHECK_FALSE(cuda_driver::addresses());
  cuda_device d;
  CHECK(d.page_bytes() == 0);
  void* p = nullptr;
  CHECK(d.reserve(2 << 20, 0, p) == device_status{device_error::unsupported, 801});
  CHECK(p == nullptr);
}

TEST_CASE("addresses are reserved, mapped, used and given back through the driver") {
  runtime cuda;
  cuda_device d;
  const std::size_t page = d.page_bytes();
  void* p = nullptr;
  cuda_device::pages pages{};
  REQUIRE(d.reserve(4 * page, 0, p));
  REQUIRE(d.create_pages(2 * page, pages));
  REQUIRE(d.map(p, 2 * page, pages));
  REQUIRE(d.set_access(p, 2 * page));
  CHECK(cuda.machine.used() == 2 * page);
  cuda_device::stream s;
  REQUIRE(d.create_stream(s));
  CHECK(d.fill(p, 1, 2 * page, s));
  CHECK(d.synchronize(s));
  REQUIRE(d.unmap(p, 2 * page));
  REQUIRE(d.release_pages(pages));
  REQUIRE(d.unreserve(p, 4 * page));
  REQUIRE(d.destroy_stream(s));
  CHECK(cuda.machine.is_clean());
  CHECK(cuda.machine.violations() == 0);
}

TEST_CASE("a thread without a context gets one, and the driver is asked again") {
  runtime cuda;
  cuda_device d;
  void* p = nullptr;
  cuda.fail("cuMemAddressReserve", CUDA_ERROR_INVALID_CONTEXT);
  REQUIRE(d.reserve(d.page_bytes(), 0, p));
  CHECK(cuda.count("cuMemAddressReserve") == 2);
  CHECK(cuda.count("cudaSetDevice") == 1);
  CHECK(d.unreserve(p, d.page_bytes()));
  cuda.fail("cuMemCreate", 2);
  cuda_device::pages pages = 5;
  CHECK(d.create_pages(d.page_bytes(), pages).error == device_error::out_of_memory);
  CHECK(pages == 5);
}
