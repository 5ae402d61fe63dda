// TensorRT's doors for device memory: IGpuAsyncAllocator and IOutputAllocator over the caching allocator.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/alloc/caching.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// Serves what TensorRT asks while it builds, loads and runs: `Interface` is nvinfer1::IGpuAsyncAllocator of the program.
///
/// For `IRuntime::setGpuAllocator`, `IBuilder::setGpuAllocator` and `IExecutionContext::setTemporaryStorageAllocator`. The
/// header includes no TensorRT. Kept: streams, alignment, null for 0 bytes and for no memory, null in deallocate. Lost:
/// memory without a stream (`allocate`) is taken on the default stream, and `reallocate` is refused, which TensorRT allows.
///
/// Requires  an allocator and an adapter that outlive the engine; streams that are retired before they are destroyed
/// Fails     null or false; nothing is taken
/// Threads   safe
/// Streams   stream-ordered
template <class Interface, class Allocator>
class tensorrt_allocator final : public Interface {
 public:
  explicit tensorrt_allocator(Allocator& gpu, memory_class of = memory_class::activations) noexcept : gpu_(&gpu), of_(of) {}

  void* allocateAsync(std::uint64_t const size, std::uint64_t const alignment, std::uint32_t const,
                      typename Allocator::handle on) noexcept override {
    if (size == 0) return nullptr;
    return gpu_->allocate_on(on, device_request{.bytes = size, .alignment = alignment == 0 ? 1 : alignment, .of = of_}).data;
  }
  bool deallocateAsync(void* const memory, typename Allocator::handle on) noexcept override {
    if (memory == nullptr) return true;
    const allocation a = gpu_->piece_at(memory);
    gpu_->deallocate_on(on, a);
    return static_cast<bool>(a);
  }

 private:
  Allocator* gpu_;
  memory_class of_;
};

/// Gives an output whose size is known late its memory, and remembers its shape: `Interface` is nvinfer1::IOutputAllocator.
///
/// Keeps the largest piece so far, so that an output that shrinks and grows asks for nothing new.
///
/// Requires  as `tensorrt_allocator`; one output for each adapter
/// Fails     null; the memory so far stays
/// Threads   as IOutputAllocator: one inference at a time
template <class Interface, class Dims, class Allocator>
class tensorrt_output final : public Interface {
 public:
  explicit tensorrt_output(Allocator& gpu) noexcept : gpu_(&gpu) {}
  ~tensorrt_output() override { release(); }
  tensorrt_output(const tensorrt_output&) = delete;
  tensorrt_output& operator=(const tensorrt_output&) = delete;

  void* reallocateOutputAsync(char const*, void*, std::uint64_t size, std::uint64_t alignment,
                              typename Allocator::handle on) noexcept override {
    // an empty output needs an address too
    const std::size_t bytes = size == 0 ? 1 : static_cast<std::size_t>(size);
    const std::size_t step = alignment == 0 ? 1 : static_cast<std::size_t>(alignment);
    if (held_.size >= bytes && address_of(held_.data) % step == 0) return held_.data;
    const allocation a = gpu_->allocate_on(on, {.bytes = bytes, .alignment = step, .of = memory_class::activations});
    if (!a) return nullptr;
    gpu_->deallocate_on(on, held_);
    held_ = a;
    return a.data;
  }
  void notifyShape(char const*, Dims const& dims) noexcept override { shape_ = dims; }

  [[nodiscard]] allocation memory() const noexcept { return held_; }
  [[nodiscard]] const Dims& shape() const noexcept { return shape_; }
  /// Gives the memory back on the stream that it was taken on.
  void release() noexcept {
    if (held_) gpu_->deallocate(held_);
    held_ = {};
  }

 private:
  Allocator* gpu_;
  allocation held_{};
  Dims shape_{};
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
