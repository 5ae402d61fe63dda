// TensorRT's own interfaces over our allocator, on a CUDA runtime of our own: its headers say what it asks, and no GPU is
// needed to ask it. Prints one line of JSON.

#include <NvInferRuntime.h>
#include <NvInferVersion.h>

#include <cstdio>
#include <type_traits>

#include <fake_cuda/runtime/runtime.hpp>

#include <tokenheap/adapt/tensorrt.hpp>
#include <tokenheap/device/cuda.hpp>
using namespace tokenheap;

using heap = caching_allocator<cuda_device>;
using door = adapt::tensorrt_allocator<nvinfer1::IGpuAsyncAllocator, heap>;
using output = adapt::tensorrt_output<nvinfer1::IOutputAllocator, nvinfer1::Dims, heap>;
static_assert(!std::is_abstract_v<door> && !std::is_abstract_v<output>);
static_assert(std::is_base_of_v<nvinfer1::IGpuAllocator, door> && std::is_base_of_v<nvinfer1::IGpuAsyncAllocator, door>);

#define EXPECT(condition)                                           \
  do {                                                              \
    if (!(condition)) {                                             \
      std::fprintf(stderr, "tensorrt: expected %s\n", #condition);  \
      return 1;                                                     \
    }                                                               \
  } while (false)

int main() {
  fake_cuda::runtime cuda({.capacity = 256 * MiB});
  cuda_device device;
  cuda_device::stream stream{};
  EXPECT(device.create_stream(stream));
  device_stats seen{};
  {
    heap cache(device);
    door mine(cache);
    // as TensorRT holds it, by the new interface and by the old one
    nvinfer1::IGpuAsyncAllocator& asked = mine;
    nvinfer1::IGpuAllocator& old = mine;
    void* const p = asked.allocateAsync(1 << 20, 256, 0, stream.handle);
    EXPECT(p != nullptr && reinterpret_cast<std::uintptr_t>(p) % 256 == 0);
    EXPECT(asked.allocateAsync(0, 256, 0, stream.handle) == nullptr);
    EXPECT(asked.allocateAsync(std::uint64_t{1} << 40, 256, 0, stream.handle) == nullptr);
    EXPECT(asked.deallocateAsync(nullptr, stream.handle));
    EXPECT(old.reallocate(p, 256, 2 << 20) == nullptr);
    EXPECT(asked.deallocateAsync(p, stream.handle));
    EXPECT(asked.allocateAsync(1 << 20, 256, 0, stream.handle) == p);
    EXPECT(asked.deallocateAsync(p, stream.handle));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    void* const q = old.allocate(4096, 0, 0);
    EXPECT(q != nullptr && old.deallocate(q));
#pragma GCC diagnostic pop
    output late(cache);
    nvinfer1::IOutputAllocator& logits = late;
    void* const first = logits.reallocateOutputAsync("logits", nullptr, 4096, 256, stream.handle);
    EXPECT(first != nullptr && logits.reallocateOutputAsync("logits", first, 64, 256, stream.handle) == first);
    logits.notifyShape("logits", nvinfer1::Dims{2, {8, 128}});
    EXPECT(late.shape().nbDims == 2 && late.shape().d[1] == 128);
    late.release();
    EXPECT(cache.is_valid());
    seen = cache.stats();
  }
  EXPECT(device.destroy_stream(stream));
  EXPECT(cuda.machine.violations() == 0 && seen.all.allocated_bytes.current == 0);
  std::printf("{\"version\": \"%d.%d.%d\", \"allocations\": %zu, \"peak\": %zu}\n", NV_TENSORRT_MAJOR, NV_TENSORRT_MINOR,
              NV_TENSORRT_PATCH, seen.all.allocation.allocated, seen.all.allocated_bytes.peak);
  return 0;
}
