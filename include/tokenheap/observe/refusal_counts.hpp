// How often requests were refused, by reason: what an engine counts that gets an `errc` back.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <tokenheap/core/result.hpp>

namespace tokenheap {
inline namespace v0 {

/// Counts refusals by their code; name it in the pool's `registration_options`, and `count` what a pool answers.
///
/// For pools whose calls return an `errc`, so that they need not count themselves: KV blocks above all.
///
/// Threads   safe
/// Cost      `errc::ok` costs one comparison, a refusal one relaxed atomic addition
class refusal_counts {
 public:
  static constexpr std::size_t codes = static_cast<std::size_t>(errc::forked) + 1;

  /// Counts a code unless it is `ok`, and returns it: `if (refused.count(pool.allocate(ids)) != errc::ok) ...`
  errc count(errc code) noexcept {
    const auto k = static_cast<std::size_t>(code);
    if (k != 0 && k < codes) counts_[k].fetch_add(1, std::memory_order_relaxed);
    return code;
  }
  /// Returns   how often a code was counted; 0 for `ok`
  [[nodiscard]] std::uint64_t of(errc code) const noexcept {
    const auto k = static_cast<std::size_t>(code);
    return k < codes ? counts_[k].load(std::memory_order_relaxed) : 0;
  }

 private:
  std::array<std::atomic<std::uint64_t>, codes> counts_{};
};

/// The code as the value of a label: `out_of_memory`, where `to_text` says "out of memory".
[[nodiscard]] constexpr const char* to_label(errc code) noexcept {
  switch (code) {
    case errc::ok: return "ok";
    case errc::out_of_memory: return "out_of_memory";
    case errc::limit_reached: return "limit_reached";
    case errc::invalid_argument: return "invalid_argument";
    case errc::size_overflow: return "size_overflow";
    case errc::too_large: return "too_large";
    case errc::double_free: return "double_free";
    case errc::foreign_pointer: return "foreign_pointer";
    case errc::interior_pointer: return "interior_pointer";
    case errc::wrong_size: return "wrong_size";
    case errc::stale_handle: return "stale_handle";
    case errc::not_open: return "not_open";
    case errc::in_use: return "in_use";
    case errc::corrupted: return "corrupted";
    case errc::leaked: return "leaked";
    case errc::system_refused: return "system_refused";
    case errc::unsupported: return "unsupported";
    case errc::no_device: return "no_device";
    case errc::device_failed: return "device_failed";
    case errc::forked: return "forked";
  }
  return "unknown";
}

}  // namespace v0
}  // namespace tokenheap
