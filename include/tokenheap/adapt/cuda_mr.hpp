// The caching allocator as a memory resource of CCCL: the stream-ordered door of RMM, cuDF, Thrust and cuda::buffer.
#pragma once

#if !__has_include(<cuda/memory_resource>)
#error "tokenheap/adapt/cuda_mr.hpp needs CCCL: add the toolkit's include/cccl to the include path"
#endif
// before CCCL 3.1 the concepts stand behind this word
#ifndef LIBCUDACXX_ENABLE_EXPERIMENTAL_MEMORY_RESOURCE
#define LIBCUDACXX_ENABLE_EXPERIMENTAL_MEMORY_RESOURCE
#endif
#include <cuda/memory_resource>
#include <cuda/stream_ref>

#include <cstddef>

#include <tokenheap/adapt/no_memory.hpp>
#include <tokenheap/alloc/caching.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// Hands a caching allocator to whatever takes a `cuda::mr` resource: a copyable handle of one pointer.
///
/// One type for both generations of the interface: stream last, as `allocate_async` (CCCL 3.0, CUDA 13.0), and stream
/// first (CCCL 3.1 and later, RMM from 26.02). Kept: order by streams, alignments up to the granularity and above,
/// equality by allocator. Lost: `record_stream` and owners, which the interface cannot say; call the allocator for them.
///
/// Requires  an allocator that outlives all handles and all that was made from them; streams known to it are retired
///           before they are destroyed
/// Returns   null for 0 bytes
/// Fails     std::bad_alloc (without exceptions the program ends); nothing is taken
/// Threads   safe
/// Streams   stream-ordered; the calls without a stream give memory that any stream may use at once, and wait for the
///           default stream to say so
template <class Allocator>
class cuda_mr {
 public:
  static constexpr std::size_t usual_alignment = 256;

  explicit cuda_mr(Allocator& gpu) noexcept : gpu_(&gpu) {}

  // CCCL 3.1 and later

  [[nodiscard]] void* allocate(::cuda::stream_ref on, std::size_t bytes, std::size_t alignment = usual_alignment) {
    if (bytes == 0) return nullptr;
    const allocation a = gpu_->allocate_on(on.get(), device_request{.bytes = bytes, .alignment = alignment});
    if (!a) no_memory();
    return a.data;
  }
  void deallocate(::cuda::stream_ref on, void* p, std::size_t bytes, std::size_t = usual_alignment) noexcept {
    gpu_->deallocate_on(on.get(), {p, bytes});
  }
  [[nodiscard]] void* allocate_sync(std::size_t bytes, std::size_t alignment = usual_alignment) {
    void* const p = allocate(::cuda::stream_ref(handle{}), bytes, alignment);
    // what used the piece before was enqueued on the default stream, and other streams need not wait for that one
    if (p != nullptr && !wait_for_default()) {
      deallocate_sync(p, bytes, alignment);
      no_memory();
    }
    return p;
  }
  void deallocate_sync(void* p, std::size_t bytes, std::size_t alignment = usual_alignment) noexcept {
    deallocate(::cuda::stream_ref(handle{}), p, bytes, alignment);
  }

  // CCCL 3.0

  [[nodiscard]] void* allocate(std::size_t bytes, std::size_t alignment = usual_alignment) {
    return allocate_sync(bytes, alignment);
  }
  void deallocate(void* p, std::size_t bytes, std::size_t alignment = usual_alignment) noexcept {
    deallocate_sync(p, bytes, alignment);
  }
  [[nodiscard]] void* allocate_async(std::size_t bytes, std::size_t alignment, ::cuda::stream_ref on) {
    return allocate(on, bytes, alignment);
  }
  [[nodiscard]] void* allocate_async(std::size_t bytes, ::cuda::stream_ref on) { return allocate(on, bytes); }
  void deallocate_async(void* p, std::size_t bytes, std::size_t alignment, ::cuda::stream_ref on) noexcept {
    deallocate(on, p, bytes, alignment);
  }
  void deallocate_async(void* p, std::size_t bytes, ::cuda::stream_ref on) noexcept { deallocate(on, p, bytes); }

  [[nodiscard]] Allocator& upstream() const noexcept { return *gpu_; }
  friend bool operator==(const cuda_mr& a, const cuda_mr& b) noexcept { return a.gpu_ == b.gpu_; }
  friend bool operator!=(const cuda_mr& a, const cuda_mr& b) noexcept { return a.gpu_ != b.gpu_; }
  friend constexpr void get_property(const cuda_mr&, ::cuda::mr::device_accessible) noexcept {}

 private:
  using handle = typename Allocator::handle;

  [[nodiscard]] bool wait_for_default() const noexcept {
    typename Allocator::device_type device = gpu_->device();
    typename Allocator::stream plain{};
    return device.identify(handle{}, plain) && device.synchronize(plain);
  }

  Allocator* gpu_;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
