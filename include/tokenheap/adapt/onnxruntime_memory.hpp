// What stands behind an OrtAllocator: host memory that remembers its sizes, or memory of a device.
#pragma once

#include <cstddef>
#include <new>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/concepts/source.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// Host memory of one source for an `onnxruntime_allocator`, and of a second one for what lives as long as a session.
///
/// ONNX Runtime gives back by pointer alone, so what was granted stands in front of each piece: 64 bytes, which is also
/// the alignment that its kernels like.
///
/// Requires  sources that outlive it; threads as ONNX Runtime uses them: sources that are safe to share
/// Cost      64 bytes a piece
template <source Source>
  requires cpu_accessible<Source>
class onnxruntime_host_memory {
 public:
  using handle = void*;
  static constexpr std::size_t front = 64;

  // not explicit, nor that of devices: the allocator above is made from the source itself
  onnxruntime_host_memory(Source& from) noexcept : from_{&from, &from} {}
  /// What is reserved during the initialisation of a session (weights) comes from the second one.
  onnxruntime_host_memory(Source& from, Source& lasting) noexcept : from_{&from, &lasting} {}

  [[nodiscard]] allocation take(std::size_t bytes, bool lasting) noexcept {
    std::size_t total = 0;
    if (bytes == 0 || !checked_add(bytes, front, total)) return {};
    const allocation whole = from_[lasting]->allocate(total, front);
    if (!whole) return {};
    void* const user = offset(whole.data, front);
    ::new (whole.data) note{whole, from_[lasting]};
    return {user, whole.size - front};
  }
  /// Returns how many bytes the piece had.
  std::size_t give(void* user) noexcept {
    const note at = *std::launder(reinterpret_cast<note*>(static_cast<unsigned char*>(user) - front));
    at.from->deallocate(at.whole);
    return at.whole.size - front;
  }
  void trim() noexcept {
    if constexpr (trimmable<Source>) {
      static_cast<void>(from_[0]->trim(0));
      if (from_[1] != from_[0]) static_cast<void>(from_[1]->trim(0));
    }
  }
  [[nodiscard]] std::size_t held(std::size_t in_use, std::size_t pieces) noexcept { return in_use + pieces * front; }

 private:
  struct note {
    allocation whole;
    Source* from;
  };
  static_assert(sizeof(note) <= front);
  Source* from_[2];
};

/// Memory of a device for an `onnxruntime_allocator`: the classes `activations`, and `weights` for what is reserved.
///
/// Requires  an allocator that outlives it; what is taken without a stream is used on `on` or ordered behind it
/// Streams   a piece goes back to the stream that it was taken on
template <class Allocator>
class onnxruntime_device_memory {
 public:
  using handle = typename Allocator::handle;

  onnxruntime_device_memory(Allocator& gpu, handle on = {}) noexcept : gpu_(&gpu), on_(on) {}

  [[nodiscard]] allocation take(std::size_t bytes, bool lasting) noexcept { return take_on(on_, bytes, lasting); }
  [[nodiscard]] allocation take_on(handle on, std::size_t bytes, bool lasting = false) noexcept {
    if (bytes == 0) return {};
    return gpu_->allocate_on(on, {.bytes = bytes, .of = lasting ? memory_class::weights : memory_class::activations});
  }
  std::size_t give(void* p) noexcept {
    const allocation a = gpu_->piece_at(p);
    gpu_->deallocate(a ? a : allocation{p, 0});  // a stranger is reported by the allocator's guard
    return a.size;
  }
  void trim() noexcept { gpu_->trim(); }
  [[nodiscard]] std::size_t held(std::size_t, std::size_t) noexcept { return gpu_->stats().all.reserved_bytes.current; }
  [[nodiscard]] std::size_t extensions() noexcept { return gpu_->stats().num_device_alloc; }
  [[nodiscard]] std::size_t shrinkages() noexcept { return gpu_->stats().num_device_free; }

 private:
  Allocator* gpu_;
  handle on_;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
