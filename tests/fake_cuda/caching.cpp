#include <tokenheap/alloc/caching.hpp>

#include <support/catch.hpp>

#include <fake_cuda/runtime/runtime.hpp>

#include <vector>

#include <tokenheap/check/verdict.hpp>
#include <tokenheap/device/cuda.hpp>

using namespace tokenheap;
using fake_cuda::runtime;

TEST_CASE("the caching allocator over CUDA: a hit makes no call at all, and nothing races or stays behind") {
  runtime cuda({.capacity = 2 * GiB});
  cuda_device d;
  cuda_device::stream streams[3];
  for (auto& s : streams) REQUIRE(d.create_stream(s));
  {
    caching_allocator<cuda_device> cache(d);
    const allocation first = cache.allocate(streams[0], 1 * MiB);
    REQUIRE(first);
    cache.deallocate(streams[0], first);
    cuda.log.clear();
    for (int k = 0; k != 100; ++k) {
      const allocation a = cache.allocate(streams[0], 1 * MiB);
      REQUIRE(a == first);
      cache.deallocate(streams[0], a);
    }
    CHECK(cuda.log.empty());

    contract_random random(7);
    struct piece {
      allocation a;
      std::size_t on;
    };
    std::vector<piece> out;
    for (int k = 0; k != 4000; ++k) {
      if (out.size() < 40 && random.below(5) < 3) {
        const std::size_t on = random.below(3);
        const allocation a = cache.allocate(streams[on], 1 + random.below(8 * MiB));
        REQUIRE(a);
        REQUIRE(d.fill(a.data, 1, a.size, streams[on]));
        out.push_back({a, on});
      } else if (!out.empty()) {
        const std::size_t at = random.below(out.size());
        cache.deallocate(streams[out[at].on], out[at].a);
        out[at] = out.back();
        out.pop_back();
      }
    }
    for (const piece& p : out) cache.deallocate(streams[p.on], p.a);
    CHECK(cache.is_valid());
  }
  for (auto& s : streams) CHECK(d.destroy_stream(s));
  CHECK(cuda.machine.violations() == 0);
  CHECK(cuda.machine.is_clean());
}

TEST_CASE("without a driver the caching allocator refuses once and clearly") {
  caching_allocator<cuda_device> cache(cuda_device{});
  CHECK(cache.allocate({}, 1 * MiB) == allocation{});
}
