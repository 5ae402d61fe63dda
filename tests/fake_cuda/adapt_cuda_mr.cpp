#include <tokenheap/adapt/cuda_mr.hpp>

#include <support/catch.hpp>

#include <fake_cuda/runtime/runtime.hpp>

#include <tokenheap/device/cuda.hpp>

using namespace tokenheap;
using fake_cuda::runtime;
using device_heap = caching_allocator<cuda_device>;
using resource = adapt::cuda_mr<device_heap>;

#if CCCL_VERSION >= 3001000
static_assert(cuda::mr::synchronous_resource_with<resource, cuda::mr::device_accessible>);
static_assert(cuda::mr::resource_with<resource, cuda::mr::device_accessible>);
static_assert(!cuda::mr::resource_with<resource, cuda::mr::host_accessible>);
#else
static_assert(cuda::mr::resource_with<resource, cuda::mr::device_accessible>);
static_assert(cuda::mr::async_resource_with<resource, cuda::mr::device_accessible>);
static_assert(!cuda::mr::async_resource_with<resource, cuda::mr::host_accessible>);
#endif
static_assert(sizeof(resource) == sizeof(void*) && std::is_trivially_copyable_v<resource>);

namespace {

#if CCCL_VERSION >= 3002000
using erased = cuda::mr::resource_ref<cuda::mr::device_accessible>;
#elif CCCL_VERSION < 3001000
using erased = cuda::mr::async_resource_ref<cuda::mr::device_accessible>;
#else
using erased = resource&;
#endif

void* take(erased from, cudaStream_t on, std::size_t bytes) {
#if CCCL_VERSION >= 3001000
  return from.allocate(::cuda::stream_ref(on), bytes, 256);
#else
  return from.allocate_async(bytes, 256, ::cuda::stream_ref(on));
#endif
}

cudaStream_t stream_of(cuda_device& d) {
  cuda_device::stream s{};
  REQUIRE(d.create_stream(s));
  return s.handle;
}

}  // namespace

TEST_CASE("both generations of the interface take from the same cache") {
  runtime cuda({.capacity = 1 * GiB});
  cuda_device d;
  const cudaStream_t one = stream_of(d), two = stream_of(d);
  {
    device_heap cache(d);
    resource mr(cache);
    void* const p = mr.allocate(::cuda::stream_ref(one), 100'000, 256);
    REQUIRE(p != nullptr);
    CHECK(address_of(p) % 256 == 0);
    mr.deallocate(::cuda::stream_ref(one), p, 100'000, 256);
    CHECK(mr.allocate_async(100'000, 256, ::cuda::stream_ref(one)) == p);
    CHECK(mr.allocate_async(100'000, ::cuda::stream_ref(two)) != p);
    mr.deallocate_async(p, 100'000, ::cuda::stream_ref(one));
    CHECK(cache.stats().all.allocation.current == 1);
    CHECK(mr.allocate(::cuda::stream_ref(one), 0) == nullptr);
    mr.deallocate(::cuda::stream_ref(one), nullptr, 0);
    void* const wide = mr.allocate(::cuda::stream_ref(one), 64, 1 << 16);
    CHECK(address_of(wide) % (1 << 16) == 0);
    mr.deallocate_async(wide, 64, 1 << 16, ::cuda::stream_ref(one));
    void* const through = take(mr, one, 100'000);
    CHECK(through == p);
    mr.deallocate(::cuda::stream_ref(one), through, 100'000);
    CHECK(mr == resource(cache));
    device_heap other(d);
    CHECK(mr != resource(other));
  }
  CHECK(cuda.machine.violations() == 0);
}

TEST_CASE("memory without a stream is ready for all of them: the default stream is waited for") {
  runtime cuda({.capacity = 1 * GiB});
  cuda_device d;
  const cudaStream_t one = stream_of(d);
  cuda_device::stream plain{}, mine{};
  REQUIRE(d.identify(nullptr, plain));
  REQUIRE(d.identify(one, mine));
  {
    device_heap cache(d);
    resource mr(cache);
    // the default stream writes, gives back, and another stream gets the same bytes without an event between them
    const allocation before = cache.allocate(plain, 4096);
    REQUIRE(d.fill(before.data, 1, before.size, plain));
    cache.deallocate(plain, before);
    cuda.log.clear();
    void* const p = mr.allocate_sync(4096);
    CHECK(p == before.data);
    CHECK(cuda.logged("cudaStreamSynchronize"));
    REQUIRE(d.fill(p, 2, 4096, mine));
    REQUIRE(d.synchronize(mine));
    mr.deallocate_sync(p, 4096);
    void* const again = mr.allocate(4096, 256);
    CHECK(again == p);
    mr.deallocate(again, 4096, 256);
  }
  CHECK(cuda.machine.violations() == 0);
}

#if TOKENHEAP_HAS_EXCEPTIONS
TEST_CASE("no memory is std::bad_alloc, whoever asks") {
  {
    runtime cuda({.capacity = 64 * MiB});
    cuda_device d;
    device_heap cache(d);
    resource mr(cache);
    CHECK_THROWS_AS(mr.allocate(::cuda::stream_ref(cudaStream_t{}), 1 * GiB), std::bad_alloc);
    CHECK_THROWS_AS(mr.allocate_sync(1 * GiB), std::bad_alloc);
    CHECK_THROWS_AS(mr.allocate(::cuda::stream_ref(cudaStream_t{}), 512, 3), std::bad_alloc);
    cuda.fail("cudaStreamSynchronize", 700);
    CHECK_THROWS_AS(mr.allocate_sync(4096), std::bad_alloc);
    CHECK(cache.stats().all.allocated_bytes.current == 0);
  }
  cuda_device gone;
  device_heap cache(gone);
  resource mr(cache);
  CHECK_THROWS_AS(mr.allocate_sync(4096), std::bad_alloc);
}
#endif
