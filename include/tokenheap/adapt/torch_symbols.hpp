// The C symbols that PyTorch looks up in a shared object; include it in one source file of that object and nowhere else.
#pragma once

#include <tokenheap/adapt/torch.hpp>
#include <tokenheap/adapt/torch_report.hpp>
#include <tokenheap/device/cuda.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// Keeps the last 16,384 events of each device for the snapshot: half a megabyte, and 2 ns an event.
struct torch_caching_policy : default_caching_policy {
  using trace = device_ring_trace<trace_shape{.events = 16384}>;
};

/// The door that the symbols lead to.
using cuda_torch_door = torch_door<cuda_device, torch_caching_policy>;

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap

#define TOKENHEAP_TORCH_SYMBOL extern "C" __attribute__((visibility("default"), used))

// the two that CUDAPluggableAllocator(path, "tokenheap_torch_malloc", "tokenheap_torch_free") names
TOKENHEAP_TORCH_SYMBOL inline void* tokenheap_torch_malloc(ssize_t bytes, int device, cudaStream_t stream) {
  return tokenheap::adapt::cuda_torch_door::here().allocate(bytes, device, stream);
}
TOKENHEAP_TORCH_SYMBOL inline void tokenheap_torch_free(void* p, ssize_t bytes, int device, cudaStream_t stream) {
  tokenheap::adapt::cuda_torch_door::here().deallocate(p, bytes, device, stream);
}

// the optional ones: their addresses go to the setters of the allocator object
TOKENHEAP_TORCH_SYMBOL inline void tokenheap_torch_init(int) {
  static_cast<void>(tokenheap::adapt::cuda_torch_door::here());
}
TOKENHEAP_TORCH_SYMBOL inline void tokenheap_torch_reset() { tokenheap::adapt::cuda_torch_door::here().reset(); }
TOKENHEAP_TORCH_SYMBOL inline void tokenheap_torch_memory_fraction(double fraction, int device) {
  tokenheap::adapt::cuda_torch_door::here().set_fraction(fraction, device);
}
TOKENHEAP_TORCH_SYMBOL inline void* tokenheap_torch_base(void* p, std::size_t* bytes) {
  return tokenheap::adapt::cuda_torch_door::here().base(p, bytes);
}
TOKENHEAP_TORCH_SYMBOL inline void tokenheap_torch_record_stream(void* p, cudaStream_t stream) {
  tokenheap::adapt::cuda_torch_door::here().record_stream(p, stream);
}
// PyTorch calls these three by its own C++ types
TOKENHEAP_TORCH_SYMBOL inline void tokenheap_torch_begin_pool(int device, tokenheap::adapt::torch_pool_id id,
                                                              std::function<bool(cudaStream_t)> takes) {
  tokenheap::adapt::cuda_torch_door::here().begin_pool(device, id, static_cast<std::function<bool(cudaStream_t)>&&>(takes));
}
TOKENHEAP_TORCH_SYMBOL inline void tokenheap_torch_end_pool(int device, tokenheap::adapt::torch_pool_id id) {
  tokenheap::adapt::cuda_torch_door::here().end_pool(device, id);
}
TOKENHEAP_TORCH_SYMBOL inline void tokenheap_torch_release_pool(int device, tokenheap::adapt::torch_pool_id id) {
  tokenheap::adapt::cuda_torch_door::here().release_pool(device, id);
}

// our own, in place of what PyTorch cannot ask a pluggable allocator

/// One line about a device's memory into `out`, terminated; returns its length.
TOKENHEAP_TORCH_SYMBOL inline std::size_t tokenheap_torch_describe(int device, char* out, std::size_t capacity) {
  auto* const heap = tokenheap::adapt::cuda_torch_door::here().heap_of(device);
  if (heap != nullptr) return heap->dump(out, capacity);
  if (capacity != 0) *out = '\0';
  return 0;
}
/// Why the last call of this thread gave nothing.
TOKENHEAP_TORCH_SYMBOL inline const char* tokenheap_torch_last_error() {
  return tokenheap::adapt::cuda_torch_door::last_error();
}
/// Bytes by name, as torch.cuda.memory_stats() calls them: 0 allocated, 1 reserved, 2 active, 3 requested; add 4 for the
/// peaks, 8 counts the requests that failed; ~0 for another number.
TOKENHEAP_TORCH_SYMBOL inline std::size_t tokenheap_torch_stat(int device, int which) {
  const auto all = tokenheap::adapt::cuda_torch_door::here().stats_of(device);
  const tokenheap::gauge of[] = {all.all.allocated_bytes, all.all.reserved_bytes, all.all.active_bytes, all.all.requested_bytes};
  if (which >= 0 && which < 4) return of[which].current;
  if (which >= 4 && which < 8) return of[which - 4].peak;
  return which == 8 ? all.num_ooms : ~std::size_t{0};
}
/// All numbers of a device under the keys of torch.cuda.memory_stats(), as JSON into `out`, terminated; returns the length
/// of the whole, which is more than was written if it is no less than the capacity.
TOKENHEAP_TORCH_SYMBOL inline std::size_t tokenheap_torch_memory_stats(int device, char* out, std::size_t capacity) {
  return tokenheap::adapt::write_torch_stats(tokenheap::adapt::cuda_torch_door::here().stats_of(device), out, capacity);
}
TOKENHEAP_TORCH_SYMBOL inline void tokenheap_torch_reset_peak_stats(int device) {
  if (auto* const heap = tokenheap::adapt::cuda_torch_door::here().heap_of(device)) heap->reset_peaks();
}
TOKENHEAP_TORCH_SYMBOL inline void tokenheap_torch_reset_accumulated_stats(int device) {
  if (auto* const heap = tokenheap::adapt::cuda_torch_door::here().heap_of(device)) heap->reset_accumulated();
}
/// Segments, pieces and last events of all devices into a file for https://docs.pytorch.org/memory_viz: JSON if its name
/// ends in .json, else a pickle. 0, or a number that tokenheap_torch_error_text explains.
TOKENHEAP_TORCH_SYMBOL inline int tokenheap_torch_snapshot(const char* path) {
  return static_cast<int>(tokenheap::adapt::write_torch_snapshot(tokenheap::adapt::cuda_torch_door::here(), path));
}
TOKENHEAP_TORCH_SYMBOL inline const char* tokenheap_torch_error_text(int code) {
  return tokenheap::to_text(static_cast<tokenheap::errc>(code));
}
