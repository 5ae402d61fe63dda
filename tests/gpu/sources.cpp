#include <support/catch.hpp>
#include <support/verdict.hpp>

#include <gpu/device.hpp>

#include <cstring>
#include <vector>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/pinned_pool.hpp>
#include <tokenheap/alloc/ranges.hpp>
#include <tokenheap/check/contract.hpp>
#include <tokenheap/source/cuda.hpp>
#include <tokenheap/source/vmm.hpp>

using namespace tokenheap;

TEST_CASE("sources over a real GPU keep the contract") {
  gpu::need_device();
  cuda_source plain;
  REQUIRE_CONTRACT(check_source(plain, {.rounds = 200}));
  layered<cuda_source, ranges<>> cut;
  REQUIRE_CONTRACT(check_source(cut, {.rounds = 500}));
  pinned_source<cuda_device> pinned;
  REQUIRE_CONTRACT(check_source(pinned, {.rounds = 100}));
  pinned_source<cuda_device> registered({.by = pinned_by::pages, .touch_threads = 4});
  REQUIRE_CONTRACT(check_source(registered, {.rounds = 100}));
  pinned_pool<cuda_device> pool;
  REQUIRE_CONTRACT(check_source(pool, {.rounds = 1000}));
  vmm_source<cuda_device> mapped({.room = 16 * MiB});
  if (mapped.can_map()) REQUIRE_CONTRACT(check_source(mapped, {.rounds = 50}));
}

TEST_CASE("bytes that go through pinned memory to a GPU and back are the same") {
  gpu::need_device();
  cuda_device d;
  cuda_device::stream s;
  REQUIRE(d.create_stream(s));
  {
    pinned_pool<cuda_device> pool({.limit = 8 * MiB});
    caching_allocator<cuda_device> cache(d);
    for (int round = 0; round != 200; ++round) {
      const allocation host = pool.allocate(1 * MiB);
      const allocation back = pool.allocate(1 * MiB);
      const allocation memory = cache.allocate(s, 1 * MiB);
      REQUIRE((host && back && memory));
      std::memset(host.data, round, host.size);
      REQUIRE(d.copy(memory.data, host.data, host.size, s));
      REQUIRE(d.copy(back.data, memory.data, host.size, s));
      REQUIRE(pool.use(host, s) == errc::ok);
      pool.deallocate(host);
      cache.deallocate(s, memory);
      REQUIRE(d.synchronize(s));
      CHECK(static_cast<unsigned char*>(back.data)[0] == static_cast<unsigned char>(round));
      CHECK(static_cast<unsigned char*>(back.data)[1 * MiB - 1] == static_cast<unsigned char>(round));
      pool.deallocate(back);
    }
    CHECK(pool.is_valid());
    CHECK(cache.is_valid());
  }
  CHECK(d.destroy_stream(s));
}

TEST_CASE("mapped memory grows where it lies on a real GPU, and its bytes stay") {
  gpu::need_device();
  cuda_device d;
  vmm_source<cuda_device> mapped({.room = 256 * MiB, .step = 16 * MiB});
  if (!mapped.can_map()) gpu::skip("this GPU maps no pages");
  cuda_device::stream s;
  REQUIRE(d.create_stream(s));
  allocation a = mapped.allocate(8 * MiB);
  REQUIRE(a);
  REQUIRE(d.fill(a.data, 0x5A, a.size, s));
  REQUIRE(mapped.try_grow(a, 100 * MiB));
  REQUIRE(d.fill(offset(a.data, 8 * MiB), 0xA5, a.size - 8 * MiB, s));
  std::vector<unsigned char> bytes(16 * MiB);
  REQUIRE(d.copy(bytes.data(), a.data, bytes.size(), s));
  REQUIRE(d.synchronize(s));
  CHECK(bytes[8 * MiB - 1] == 0x5A);
  CHECK(bytes[8 * MiB] == 0xA5);
  CHECK(mapped.trim(a, 20 * MiB) > 0);
  mapped.deallocate(a);
  CHECK(d.destroy_stream(s));
}

TEST_CASE("a destroyed stream's identity never comes back, whatever its handle does") {
  gpu::need_device();
  cuda_device d;
  std::vector<std::uint64_t> seen;
  for (int k = 0; k != 64; ++k) {
    cuda_device::stream s;
    REQUIRE(d.create_stream(s));
    for (const std::uint64_t id : seen) REQUIRE(id != s.id);
    seen.push_back(s.id);
    REQUIRE(d.destroy_stream(s));
  }
}
