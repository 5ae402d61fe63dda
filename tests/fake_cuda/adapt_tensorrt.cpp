#include <tokenheap/adapt/tensorrt.hpp>

#include <support/catch.hpp>

#include <fake_cuda/runtime/runtime.hpp>

#include <array>

#include <tokenheap/device/cuda.hpp>

using namespace tokenheap;
using fake_cuda::runtime;
using device_heap = caching_allocator<cuda_device>;

namespace {

// what TensorRT 10 asks of an allocator, in its order; without its headers
struct stand_in {
  virtual ~stand_in() = default;
  virtual void* allocateAsync(std::uint64_t const, std::uint64_t const, std::uint32_t const, cudaStream_t) noexcept = 0;
  virtual bool deallocateAsync(void* const, cudaStream_t) noexcept = 0;
  // the old pair goes to the new one on the default stream, as TensorRT's own does
  void* allocate(std::uint64_t size, std::uint64_t alignment, std::uint32_t flags) noexcept {
    return allocateAsync(size, alignment, flags, nullptr);
  }
  bool deallocate(void* memory) noexcept { return deallocateAsync(memory, nullptr); }
};
struct dims {
  std::int32_t count = 0;
  std::array<std::int64_t, 8> d{};
};
struct output_stand_in {
  virtual ~output_stand_in() = default;
  virtual void* reallocateOutputAsync(char const*, void*, std::uint64_t, std::uint64_t, cudaStream_t) noexcept = 0;
  virtual void notifyShape(char const*, dims const&) noexcept = 0;
};

cudaStream_t stream_of(cuda_device& d) {
  cuda_device::stream s{};
  REQUIRE(d.create_stream(s));
  return s.handle;
}

}  // namespace

TEST_CASE("TensorRT's rules: nothing for no bytes, any alignment, null may come back, strangers are refused") {
  runtime cuda({.capacity = 256 * MiB});
  cuda_device d;
  const cudaStream_t one = stream_of(d);
  device_heap cache(d);
  adapt::tensorrt_allocator<stand_in, device_heap> mine(cache);
  stand_in& asked = mine;
  CHECK(asked.allocateAsync(0, 256, 0, one) == nullptr);
  CHECK(asked.deallocateAsync(nullptr, one));
  for (const std::uint64_t alignment : {0u, 1u, 256u, 4096u, 65536u}) {
    void* const p = asked.allocateAsync(1000, alignment, 0, one);
    REQUIRE(p != nullptr);
    if (alignment != 0) CHECK(address_of(p) % alignment == 0);
    CHECK(asked.deallocateAsync(p, one));
    CHECK(!asked.deallocateAsync(p, one));  // it is out no more
  }
  CHECK(asked.allocateAsync(1000, 3, 0, one) == nullptr);
  CHECK(asked.allocateAsync(std::uint64_t{1} << 40, 0, 0, one) == nullptr);
  int stranger = 0;
  CHECK(!asked.deallocateAsync(&stranger, one));
  void* const plain = asked.allocate(4096, 0, 0);
  CHECK(plain != nullptr);
  CHECK(asked.deallocate(plain));
  CHECK(cache.stats().all.allocated_bytes.current == 0);
  CHECK(cache.is_valid());
}

TEST_CASE("an output keeps its largest memory, and loses nothing when there is no more") {
  runtime cuda({.capacity = 64 * MiB});
  cuda_device d;
  const cudaStream_t one = stream_of(d);
  device_heap cache(d);
  {
    adapt::tensorrt_output<output_stand_in, dims, device_heap> mine(cache);
    output_stand_in& asked = mine;
    void* const first = asked.reallocateOutputAsync("logits", nullptr, 1 << 20, 256, one);
    REQUIRE(first != nullptr);
    CHECK(asked.reallocateOutputAsync("logits", first, 1 << 10, 256, one) == first);
    CHECK(asked.reallocateOutputAsync("logits", first, std::uint64_t{1} << 40, 256, one) == nullptr);
    CHECK(mine.memory().data == first);
    void* const more = asked.reallocateOutputAsync("logits", first, 4 << 20, 256, one);
    CHECK(more != nullptr);
    CHECK(cache.stats().all.allocation.current == 1);
    asked.notifyShape("logits", dims{2, {8, 32000}});
    CHECK(mine.shape().d[1] == 32000);
    mine.release();
    CHECK(!mine.memory());
    CHECK(asked.reallocateOutputAsync("logits", nullptr, 0, 0, one) != nullptr);
  }
  CHECK(cache.stats().all.allocated_bytes.current == 0);
}
