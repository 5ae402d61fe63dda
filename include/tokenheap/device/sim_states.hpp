// What a simulated machine remembers of each stream, each event and each capture.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <tokenheap/device/sim_order.hpp>

namespace tokenheap {
inline namespace v0 {

/// A stream of a simulated device; the handle is 0 for the legacy default stream, 2 for that of the calling thread.
using sim_stream = device_stream<std::uintptr_t>;

/// An event of a simulated device. No later event has the same value.
enum class sim_event : std::uint64_t { none = 0 };

inline constexpr std::uintptr_t sim_legacy_handle = 0;
inline constexpr std::uintptr_t sim_legacy_handle_too = 1;
inline constexpr std::uintptr_t sim_per_thread_handle = 2;
inline constexpr std::uintptr_t sim_first_handle = 3;

/// What is known of a stream: its order on the device, and the capture that it is in.
struct sim_stream_state {
  std::uint64_t id = 0;
  std::uintptr_t handle = 0;
  int device = 0;
  bool is_live = true;
  bool blocking = true;  ///< ordered with the legacy default stream
  std::uint32_t dimension = 0;
  sim_clock clock;
  std::uint64_t capture = 0;  ///< 0: none
  sim_clock captured;         ///< the order inside the capture

  [[nodiscard]] bool is_legacy() const noexcept { return handle == sim_legacy_handle; }
};

/// What is known of an event: the order that it stands for.
struct sim_event_state {
  std::uint32_t generation = 0;
  bool is_live = false;
  bool recorded = false;
  int device = 0;
  sim_clock clock;
  std::uint64_t capture = 0;  ///< the capture that it was recorded in, running or not
  sim_clock captured;
};

/// A capture that runs.
struct sim_capture {
  std::uint64_t id = 0;
  std::uint32_t origin = 0;  ///< slot of the stream that began it
  std::uint32_t host = 0;    ///< dimension of the host thread that began it
  sim_capture_mode mode = sim_capture_mode::global;
  bool broken = false;
};

/// The captures that run, and the rules of what they forbid.
///
/// Threads   not safe
class sim_captures {
 public:
  sim_capture& begin(std::uint32_t origin, const sim_host& host, sim_capture_mode mode) {
    running_.push_back({++last_, origin, host.dimension, mode, false});
    return running_.back();
  }
  [[nodiscard]] sim_capture* find(std::uint64_t id) noexcept {
    for (sim_capture& c : running_) {
      if (c.id == id) return &c;
    }
    return nullptr;
  }
  void break_up(std::uint64_t id) noexcept {
    if (sim_capture* const c = find(id)) c->broken = true;
  }
  void end(std::uint64_t id) {
    std::erase_if(running_, [id](const sim_capture& c) { return c.id == id; });
  }

  /// A call that could disturb a capture: true if one forbids it to this thread, and then that one is broken.
  [[nodiscard]] bool forbid(const sim_host& host) noexcept {
    bool any = false;
    for (sim_capture& c : running_) {
      if (c.mode == sim_capture_mode::relaxed || host.mode == sim_capture_mode::relaxed) continue;
      const bool own = c.host == host.dimension;
      if (!own && (c.mode != sim_capture_mode::global || host.mode != sim_capture_mode::global)) continue;
      c.broken = true;
      any = true;
    }
    return any;
  }
  [[nodiscard]] bool none() const noexcept { return running_.empty(); }

 private:
  std::vector<sim_capture> running_;
  std::uint64_t last_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
