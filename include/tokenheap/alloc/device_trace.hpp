// What happened to device memory, one event at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/policy/trace.hpp>

namespace tokenheap {
inline namespace v0 {

/// What happened to device memory, in the words of PyTorch's allocator traces.
enum class device_action : std::uint8_t {
  alloc, free_requested, free_completed, segment_alloc, segment_free, segment_map, segment_unmap, snapshot, oom
};

[[nodiscard]] constexpr const char* to_text(device_action action) noexcept {
  constexpr const char* names[] = {"alloc", "free_requested", "free_completed", "segment_alloc", "segment_free",
                                   "segment_map", "segment_unmap", "snapshot", "oom"};
  return names[static_cast<std::size_t>(action)];
}

/// One thing that happened; bytes are the requested ones of alloc and free, the segment's of the others.
///
/// `address` is the device's free bytes for `oom`, as PyTorch's `device_free` is.
struct device_event {
  device_action action = device_action::alloc;
  std::size_t address = 0;
  std::size_t bytes = 0;
  std::uint64_t stream = 0;
};

/// Records nothing.
struct no_device_trace {
  constexpr void record(const device_event&) noexcept {}
};

/// Keeps the last events of a caching allocator; see `event_ring`.
template <trace_shape Shape = trace_shape{}>
using device_ring_trace = event_ring<device_event, Shape>;

}  // namespace v0
}  // namespace tokenheap
