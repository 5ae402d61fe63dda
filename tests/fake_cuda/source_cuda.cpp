#include <tokenheap/source/cuda.hpp>

#include <support/catch.hpp>
#include <support/recorder.hpp>
#include <support/verdict.hpp>

#include <fake_cuda/runtime/runtime.hpp>

#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/pinned_pool.hpp>
#include <tokenheap/alloc/ranges.hpp>
#include <tokenheap/check/contract.hpp>
#include <tokenheap/source/vmm.hpp>

using namespace tokenheap;
using fake_cuda::runtime;

TEST_CASE("sources over CUDA keep the contract") {
  runtime cuda({.capacity = 64 * GiB});
  {
    cuda_source plain;
    REQUIRE_CONTRACT(check_source(plain, {.rounds = 300}));
    layered<cuda_source, ranges<>> cut;
    REQUIRE_CONTRACT(check_source(cut, {.rounds = 300}));
    vmm_source<cuda_device> mapped({.room = 16 * MiB});
    REQUIRE_CONTRACT(check_source(mapped, {.rounds = 200}));
    pinned_source<cuda_device> pinned;
    REQUIRE_CONTRACT(check_source(pinned, {.rounds = 200}));
    pinned_pool<cuda_device> pool;
    REQUIRE_CONTRACT(check_source(pool, {.rounds = 500}));
  }
  CHECK(cuda.machine.is_clean());
  CHECK(cuda.machine.violations() == 0);
}

TEST_CASE("without a driver a source refuses once and clearly") {
  cuda_source s;
  CHECK(s.allocate(4096) == allocation{});
  CHECK(s.last_failure().code == errc::unsupported);
  CHECK(std::string(s.last_failure().fix).find("driver") != std::string::npos);
  cuda_async_source async;
  CHECK(async.allocate({}, 4096) == allocation{});
  CHECK(async.last_failure().code == errc::unsupported);
  CHECK(async.trim() == 0);
  vmm_source<cuda_device> mapped;
  CHECK_FALSE(mapped.can_map());
  CHECK_FALSE(mapped.allocate(4096));
  pinned_pool<cuda_device> pool;
  CHECK_FALSE(pool.allocate(4096));
  CHECK(pool.last_failure().code == errc::unsupported);
}

TEST_CASE("misuse and refusals of device memory are named, and nothing is freed twice") {
  runtime cuda({.capacity = 16 * MiB});
  cuda_source s;
  const allocation a = s.allocate(4096);
  CHECK_FALSE(s.allocate(32 * MiB));
  CHECK(s.last_failure().code == errc::out_of_memory);
  CHECK(s.last_failure().need == 32 * MiB);
  support::recorder seen;
  s.deallocate({offset(a.data, 16), 4080});
  CHECK(seen.last().code == errc::interior_pointer);
  s.deallocate({a.data, 5});
  CHECK(seen.last().code == errc::wrong_size);
  cuda.fail("cudaFree", 900);
  s.deallocate(a);
  CHECK(s.owns(a.data));
  s.deallocate(a);
  CHECK_FALSE(s.owns(a.data));
  s.deallocate(a);
  CHECK(seen.last().code == errc::foreign_pointer);
  CHECK(cuda.machine.live_allocations() == 0);
}

TEST_CASE("a pool of the driver gives memory in the order of a stream") {
  runtime cuda;
  cuda_device d;
  cuda_device::stream s;
  REQUIRE(d.create_stream(s));
  {
    cuda_async_source pool;
    const allocation a = pool.allocate(s, 1 * MiB);
    REQUIRE(a.size == 1 * MiB);
    CHECK(pool.reserved() == 1 * MiB);
    CHECK(d.fill(a.data, 1, a.size, s));
    pool.deallocate(s, a);
    CHECK(cuda.count("cudaFreeAsync") == 1);
    CHECK(pool.reserved() == 1 * MiB);
    CHECK(pool.trim() == 1 * MiB);
    CHECK_FALSE(pool.allocate(s, 100, 512));
    CHECK_FALSE(pool.allocate(s, 0));
    CHECK(pool.last_failure().code == errc::invalid_argument);
  }
  CHECK(d.destroy_stream(s));
  CHECK(cuda.machine.is_clean());
}

TEST_CASE("a copy through the pinned pool of a CUDA device is never overtaken by the next owner") {
  runtime cuda;
  cuda_device d;
  cuda_device::stream s;
  void* memory = nullptr;
  REQUIRE(d.create_stream(s));
  REQUIRE(d.allocate(1 * MiB, memory));
  pinned_pool<cuda_device> pool({.limit = 2 * MiB});
  for (int k = 0; k != 20; ++k) {
    const allocation a = pool.allocate(700 * KiB);
    REQUIRE(a);
    cuda.machine.host_writes(a.data, a.size);
    REQUIRE(d.copy(memory, a.data, a.size, s));
    REQUIRE(pool.use(a, s) == errc::ok);
    pool.deallocate(a);
  }
  CHECK(cuda.machine.violations() == 0);
  CHECK(pool.stats().reserved <= 2 * MiB);
  CHECK(pool.stats().waited > 0);
}
