// Which slot size serves which request: four classes per doubling.
#pragma once

#include <bit>

#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// Slot sizes in steps of a quarter of the last power of two: 16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, ...
///
/// Less than 20 % of a slot, or less than 16 bytes of it, stay unused, whichever is more.
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

/// The class of every size up to `Largest`, by table where that is small: shorter than the arithmetic on x86-64.
template <std::size_t Largest>
struct classes_up_to {
  static constexpr std::size_t count = size_classes::of(Largest) + 1;
  static constexpr std::size_t largest = size_classes::size(count - 1);

  /// Returns   the number of the smallest class that holds `bytes`; Requires 0 < bytes <= largest
  [[nodiscard]] TOKENHEAP_INLINE static constexpr std::size_t of(std::size_t bytes) noexcept {
    if constexpr (by_table) {
      return table.number[(bytes + 15) / 16];
    } else {
      return size_classes::of(bytes);
    }
  }

 private:
  static constexpr bool by_table = largest <= 64 * KiB;
  struct numbers {
    std::uint8_t number[by_table ? largest / 16 + 1 : 1] = {};

    constexpr numbers() noexcept {
      for (std::size_t k = 1; k < sizeof number; ++k) number[k] = static_cast<std::uint8_t>(size_classes::of(k * 16));
    }
  };
  static constexpr numbers table{};
};

static_assert(size_classes::of(1) == 0 && size_classes::of(64) == 3 && size_classes::of(65) == 4);
static_assert(size_classes::size(4) == 80 && size_classes::of(80) == 4 && size_classes::of(81) == 5);
static_assert(size_classes::size(7) == 128 && size_classes::of(128) == 7 && size_classes::size(8) == 160);

}  // namespace v0
}  // namespace tokenheap
