// Where a scheduler can take part in what a simulated device does.
#pragma once

#include <atomic>
#include <cstdint>

#include <tokenheap/concepts/device.hpp>

namespace tokenheap {
inline namespace v0 {

/// The calls of a simulated device, one name for each operation of the concepts `device` and `virtual_device`.
enum class sim_call : std::uint8_t {
  allocate, deallocate, memory,
  allocate_pinned, deallocate_pinned, register_host, unregister_host,
  create_stream, destroy_stream, identify, wait, synchronize_stream, query_stream, is_capturing,
  create_event, destroy_event, record, query_event, synchronize_event,
  copy, fill, synchronize_device, current,
  reserve, unreserve, create_pages, release_pages, map, set_access, unmap,
  launch, call_host, begin_capture, end_capture,
};
inline constexpr unsigned sim_calls = static_cast<unsigned>(sim_call::end_capture) + 1;

[[nodiscard]] constexpr const char* to_text(sim_call call) noexcept {
  constexpr const char* names[] = {
      "allocate", "deallocate", "memory", "allocate_pinned", "deallocate_pinned", "register_host", "unregister_host",
      "create_stream", "destroy_stream", "identify", "wait", "synchronize_stream", "query_stream", "is_capturing",
      "create_event", "destroy_event", "record", "query_event", "synchronize_event", "copy", "fill",
      "synchronize_device", "current", "reserve", "unreserve", "create_pages", "release_pages", "map", "set_access",
      "unmap", "launch", "call_host", "begin_capture", "end_capture"};
  static_assert(sizeof names / sizeof *names == sim_calls);
  return names[static_cast<unsigned>(call)];
}

/// What a scheduler of host threads is asked; any of the functions may be null.
///
/// Simulated devices and `sim_lock` call these at every point where the order of host threads, an open answer or a fault
/// decides what happens next. `check/explorer.hpp` installs them; so can a scheduler of the user's own.
struct sim_hooks {
  void* user = nullptr;
  /// Before every device call, and around every lock operation: another host thread may run first.
  void (*step)(void* user, const char* what) noexcept = nullptr;
  /// A lock is taken: return when it may be free.
  void (*wait_for)(void* user, const void* lock) noexcept = nullptr;
  /// An event or a stream may or may not be done: true lets it be done.
  bool (*is_done)(void* user) noexcept = nullptr;
  /// Before a call takes effect: an error makes it fail with that, `device_error::ok` lets it run.
  device_error (*fault)(void* user, sim_call call) noexcept = nullptr;
  /// Which host thread is calling: 0, 1, 2, ...
  unsigned (*host_thread)(void* user) noexcept = nullptr;
};

/// The hooks of the process; null when nobody schedules.
inline std::atomic<const sim_hooks*> sim_hooks_slot{nullptr};

/// Installs hooks, which must outlive their use, and returns the ones before.
inline const sim_hooks* set_sim_hooks(const sim_hooks* next) noexcept {
  return sim_hooks_slot.exchange(next, std::memory_order_acq_rel);
}

[[nodiscard]] inline const sim_hooks* installed_sim_hooks() noexcept {
  return sim_hooks_slot.load(std::memory_order_acquire);
}

}  // namespace v0
}  // namespace tokenheap
