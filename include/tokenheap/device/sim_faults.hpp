// Calls of a simulated device that are made to fail.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include <tokenheap/core/config.hpp>
#include <tokenheap/device/sim_hooks.hpp>

namespace tokenheap {
inline namespace v0 {

/// Counts the calls of a device, and says which of them fail.
///
/// Threads   not safe
class sim_faults {
 public:
  /// The `nth` call from now on fails with `error`, once; 1 is the next one. 0 is taken for 1.
  void fail(sim_call call, std::size_t nth, device_error error) { planned_.push_back({call, nth == 0 ? 1 : nth, error, false}); }
  /// Every call from now on fails with `error`.
  void fail_always(sim_call call, device_error error) { planned_.push_back({call, 0, error, true}); }
  void clear() noexcept { planned_.clear(); }

  /// Counts one call; Returns what it must fail with, or ok.
  device_error note(sim_call call) noexcept {
    ++calls_[static_cast<unsigned>(call)];
    return planned_.empty() ? device_error::ok : due(call);
  }

  [[nodiscard]] std::size_t calls(sim_call call) const noexcept { return calls_[static_cast<unsigned>(call)]; }
  [[nodiscard]] std::size_t calls() const noexcept {
    std::size_t all = 0;
    for (const std::size_t n : calls_) all += n;
    return all;
  }
  void reset_calls() noexcept { calls_.fill(0); }

 private:
  struct plan {
    sim_call call;
    std::size_t left;  // until it is due
    device_error error;
    bool always = false;
  };

  TOKENHEAP_COLD device_error due(sim_call call) noexcept {
    device_error answer = device_error::ok;
    for (std::size_t k = 0; k < planned_.size();) {
      plan& p = planned_[k];
      if (p.call != call || (!p.always && --p.left != 0)) {
        ++k;
        continue;
      }
      if (answer == device_error::ok) answer = p.error;
      if (p.always) {
        ++k;
      } else {
        planned_.erase(planned_.begin() + static_cast<std::ptrdiff_t>(k));
      }
    }
    return answer;
  }

  std::vector<plan> planned_;
  std::array<std::size_t, sim_calls> calls_{};
};

}  // namespace v0
}  // namespace tokenheap
