// The functions of c_device.h. Define TOKENHEAP_C_CUDA as 1, and link CUDA's runtime, for CUDA devices.
#pragma once

#include <tokenheap/adapt/c_gpu.hpp>

#ifndef TOKENHEAP_C_CUDA
#define TOKENHEAP_C_CUDA 0
#endif
#if TOKENHEAP_C_CUDA
#include <tokenheap/adapt/c_gpu_cuda.hpp>
#endif

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// An allocator for the device that the options name; null and the refusal noted, or null for want of memory.
[[nodiscard]] inline c_gpu* c_make_gpu(const th_gpu_options& with) noexcept {
  failure wrong{.code = errc::invalid_argument, .pool = with.name != nullptr ? with.name : "device", .what = "kind of a device",
                .fix = "give a th_device_kind"};
  // also no number at all
  if (!(with.collect_above >= 0 && with.collect_above <= 1)) {
    wrong.what = "collect_above of an allocator";
    wrong.fix = "give a share from 0 to 1";
    return static_cast<void>(c_refuse(wrong)), nullptr;
  }
  if (with.kind == th_device_simulated && with.ordinal == 0) return new (std::nothrow) c_gpu_of<c_sim_home>(with);
  if (with.kind == th_device_cuda && with.ordinal <= 63) {
#if TOKENHEAP_C_CUDA
    return new (std::nothrow) c_gpu_of<c_cuda_home>(with);
#else
    wrong.code = errc::unsupported;
    wrong.what = "a CUDA device";
    wrong.fix = "build the library with TOKENHEAP_C_CUDA=1 and CUDA's runtime, or take a simulated device";
#endif
  } else if (with.kind <= th_device_cuda) {
    wrong.code = errc::no_device;
    wrong.what = "number of a device";
    wrong.need = with.ordinal;
    wrong.limit = with.kind == th_device_simulated ? 0 : 63;
    wrong.fix = "give the number of a device that is there";
  }
  return static_cast<void>(c_refuse(wrong)), nullptr;
}

TOKENHEAP_C_SYMBOL th_gpu* th_gpu_open(const th_gpu_options* options) noexcept {
  th_gpu_options with;
  if (c_read(options, with, "th_gpu_options") != th_ok) return nullptr;
  const std::uint64_t noted = c_noted();
  c_gpu* const made = c_make_gpu(with);
  if (made == nullptr && c_noted() != noted) return nullptr;
  const failure why = made == nullptr ? failure{} : made->look_at_device();
  if (why.code == errc::ok) return c_hand_out<th_gpu>(made);
  static_cast<void>(c_refuse(why));
  delete made;
  return nullptr;
}
TOKENHEAP_C_SYMBOL th_status th_gpu_close(th_gpu* gpu) noexcept {
  return c_close<c_gpu>(gpu, [](c_gpu& g, const char*& name) {
    name = g.name();
    const std::size_t out = g.stats().all.allocation.current;
    if (out == 0) return th_ok;
    return c_refuse({.code = errc::in_use, .pool = name, .what = "pieces that are out of an allocator to be closed",
                     .need = out, .fix = "give back every piece"});
  });
}
TOKENHEAP_C_SYMBOL th_status th_gpu_allocate_as(th_gpu* gpu, void* stream, const th_gpu_request* request,
                                                th_allocation* out) noexcept {
  if (out == nullptr) return c_refuse_null("where an allocation goes");
  *out = {nullptr, 0};
  c_gpu* const g = c_find<c_gpu>(gpu);
  th_gpu_request with;
  if (g == nullptr || c_read(request, with, "th_gpu_request") != th_ok) return c_last_reason().status;
  if (with.memory_class >= memory_classes) {
    return c_refuse({.code = errc::invalid_argument, .pool = g->name(), .what = "memory class of a request",
                     .need = with.memory_class, .limit = memory_classes - 1, .fix = "give a th_memory_class"});
  }
  allocation a{};
  const device_request asked{.bytes = with.bytes, .alignment = with.alignment == 0 ? 1 : static_cast<std::size_t>(with.alignment),
                             .of = static_cast<memory_class>(with.memory_class)};
  const th_status status = g->allocate(stream, asked, with.only_cached != 0, a);
  *out = {a.data, a.size};
  return status;
}
TOKENHEAP_C_SYMBOL th_status th_gpu_allocate(th_gpu* gpu, void* stream, size_t bytes, th_allocation* out) noexcept {
  if (out == nullptr) return c_refuse_null("where an allocation goes");
  *out = {nullptr, 0};
  c_gpu* const g = c_find<c_gpu>(gpu);
  if (g == nullptr) return c_last_reason().status;
  allocation a{};
  const th_status status = g->allocate(stream, {.bytes = bytes}, false, a);
  *out = {a.data, a.size};
  return status;
}
TOKENHEAP_C_SYMBOL th_status th_gpu_deallocate(th_gpu* gpu, void* stream, th_allocation piece) noexcept {
  c_gpu* const g = c_find<c_gpu>(gpu);
  if (g == nullptr) return c_last_reason().status;
  return piece.data == nullptr ? th_ok : g->deallocate(stream, {piece.data, piece.bytes});
}
TOKENHEAP_C_SYMBOL th_status th_gpu_record_stream(th_gpu* gpu, th_allocation piece, void* stream) noexcept {
  c_gpu* const g = c_find<c_gpu>(gpu);
  return g == nullptr ? c_last_reason().status : g->record_stream({piece.data, piece.bytes}, stream);
}
TOKENHEAP_C_SYMBOL th_status th_gpu_retire(th_gpu* gpu, void* stream) noexcept {
  c_gpu* const g = c_find<c_gpu>(gpu);
  return g == nullptr ? c_last_reason().status : g->retire(stream);
}
TOKENHEAP_C_SYMBOL th_status th_gpu_trim(th_gpu* gpu, size_t keep, size_t* given) noexcept {
  c_gpu* const g = c_find<c_gpu>(gpu);
  if (g == nullptr) return c_last_reason().status;
  const std::size_t bytes = g->trim(keep);
  if (given != nullptr) *given = bytes;
  return th_ok;
}
TOKENHEAP_C_SYMBOL th_status th_gpu_set_limit(th_gpu* gpu, uint64_t bytes) noexcept {
  c_gpu* const g = c_find<c_gpu>(gpu);
  if (g == nullptr) return c_last_reason().status;
  return g->set_limit(bytes), th_ok;
}
TOKENHEAP_C_SYMBOL th_status th_gpu_stats_of(th_gpu* gpu, th_gpu_stats* out) noexcept {
  c_gpu* const g = c_find<c_gpu>(gpu);
  if (g == nullptr) return c_last_reason().status;
  const device_stats now = g->stats();
  th_gpu_stats all{};
  all.pieces = now.all.allocation.current;
  all.allocated_bytes = now.all.allocated_bytes.current;
  all.allocated_peak = now.all.allocated_bytes.peak;
  all.requested_bytes = now.all.requested_bytes.current;
  all.reserved_bytes = now.all.reserved_bytes.current;
  all.reserved_peak = now.all.reserved_bytes.peak;
  all.cached_bytes = now.cached_bytes;
  all.pending_bytes = now.pending_bytes;
  all.largest_free = now.largest_free;
  all.allocations = now.all.allocation.allocated;
  all.device_allocations = now.num_device_alloc;
  all.device_frees = now.num_device_free;
  all.device_waits = now.num_sync_all_streams;
  all.retries = now.num_alloc_retries;
  all.failures = now.num_ooms;
  return c_write(all, out, "th_gpu_stats");
}
TOKENHEAP_C_SYMBOL th_status th_gpu_dump(th_gpu* gpu, char* out, size_t room, size_t* length) noexcept {
  c_gpu* const g = c_find<c_gpu>(gpu);
  if (g == nullptr) return c_last_reason().status;
  char line[1024];
  const std::size_t bytes = g->dump(line, sizeof line);
  return c_write_text(line, bytes, out, room, length);
}
TOKENHEAP_C_SYMBOL th_status th_gpu_is_valid(th_gpu* gpu) noexcept {
  const c_gpu* const g = c_find<c_gpu>(gpu);
  if (g == nullptr) return c_last_reason().status;
  if (g->is_valid()) return th_ok;
  return c_refuse({.code = errc::corrupted, .pool = g->name(), .what = "books of an allocator",
                   .fix = "find who writes over them"});
}
TOKENHEAP_C_SYMBOL th_status th_gpu_snapshot(th_gpu* gpu, const char* path, uint32_t format) noexcept {
  c_gpu* const g = c_find<c_gpu>(gpu);
  if (g == nullptr) return c_last_reason().status;
  if (path == nullptr) return c_refuse_null("path of a snapshot");
  failure why{.code = errc::invalid_argument, .pool = g->name(), .what = "a snapshot"};
  if (format > th_snapshot_json) return why.fix = "give a th_snapshot_format", c_refuse(why);
  viz_snapshot picture;
  g->draw(picture);
  why.code = picture.status();
  why.fix = "free some memory, and ask again";
  if (why.code == errc::ok) {
    why.code = c_write_snapshot(picture, path, format);
    why.fix = "give a path that can be written, on a disk with room";
  }
  return c_refuse(why);
}
TOKENHEAP_C_SYMBOL th_status th_stream_create(th_gpu* gpu, void** stream) noexcept {
  c_gpu* const g = c_find<c_gpu>(gpu);
  if (g == nullptr) return c_last_reason().status;
  return stream == nullptr ? c_refuse_null("where a stream goes") : g->create_stream(*stream);
}
TOKENHEAP_C_SYMBOL th_status th_stream_destroy(th_gpu* gpu, void* stream) noexcept {
  c_gpu* const g = c_find<c_gpu>(gpu);
  return g == nullptr ? c_last_reason().status : g->destroy_stream(stream);
}
TOKENHEAP_C_SYMBOL th_status th_stream_synchronize(th_gpu* gpu, void* stream) noexcept {
  c_gpu* const g = c_find<c_gpu>(gpu);
  return g == nullptr ? c_last_reason().status : g->synchronize(stream);
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
