// Which slot size serves which request: four classes per doubling.
#pragma once

#include <bit>

#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// Slot sizes in steps of a quarter of the last power of two: 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, ...
///
/// A slot is less than 20 % or less than 16 bytes larger than the request, whichever is more.
struct size_classes {
  /// Returns   the number of the smallest class that holds `bytes`; Requires 0 < bytes <= max_allocation
  [[nodiscard]] static constexpr std::size_t of(std::size_t bytes) noexcept {
    // below 128 bytes the steps are those of the doubling from 64 to 128: no branch to mispredict
    const auto doubling = static_cast<std::size_t>(std::bit_width((bytes - 1) | 64)) - 1;
    return (doubling - 6) * 4 + ((bytes - 1) >> (doubling - 2));
  }

  /// Returns   the slot size of a class
  [[nodiscard]] static constexpr std::size_t size(std::size_t number) noexcept {
    const std::size_t doubling = number < 4 ? 0 : number / 4 - 1;
    return (number - doubling * 4 + 1) << (doubling + 4);
  }
};

static_assert(size_classes::of(1) == 0 && size_classes::of(64) == 3 && size_classes::of(65) == 4);
static_assert(size_classes::size(4) == 80 && size_classes::of(80) == 4 && size_classes::of(81) == 5);
static_assert(size_classes::size(7) == 128 && size_classes::of(128) == 7 && size_classes::size(8) == 160);

}  // namespace v0
}  // namespace tokenheap
