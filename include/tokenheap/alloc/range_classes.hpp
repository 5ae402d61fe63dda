// Size classes of free ranges: two levels of bits over one list head per class.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include <tokenheap/core/config.hpp>

namespace tokenheap {
inline namespace v0 {

/// Finds a non-empty size class by two bit scans: `Sub` classes for each doubling of the size.
///
/// Sizes below `Sub` units have a class of their own; above, a class spans 1 / `Sub` of its doubling. It holds the
/// heads of lists and which of them are not empty; the lists themselves are the user's.
///
/// Cost      O(1); 4 bytes a class, 64-bit sizes in all
template <std::size_t Sub>
class range_classes {
  static constexpr unsigned log2_sub = static_cast<unsigned>(std::countr_zero(Sub));

 public:
  static constexpr std::size_t levels = 64 - log2_sub + 1;
  static constexpr std::size_t count = levels * Sub;
  static constexpr std::size_t none = ~std::size_t{0};

  /// The class of a size in units. Requires units > 0.
  [[nodiscard]] static constexpr std::size_t of(std::size_t units) noexcept {
    const auto coarse = static_cast<unsigned>(63 - std::countl_zero(units | Sub)) - log2_sub;
    return (std::size_t{coarse} << log2_sub) + (units >> coarse);
  }

  [[nodiscard]] std::uint32_t head(std::size_t c) const noexcept { return heads_[c]; }

  void set_head(std::size_t c, std::uint32_t node) noexcept {
    heads_[c] = node;
    bits_[c >> log2_sub] |= std::uint64_t{1} << (c & (Sub - 1));
    tops_ |= std::uint64_t{1} << (c >> log2_sub);
  }

  void clear_head(std::size_t c) noexcept {
    heads_[c] = 0;
    std::uint64_t& word = bits_[c >> log2_sub];
    word &= ~(std::uint64_t{1} << (c & (Sub - 1)));
    if (word == 0) tops_ &= ~(std::uint64_t{1} << (c >> log2_sub));
  }

  /// The first class from `c` on that is not empty, or `none`.
  [[nodiscard]] std::size_t from(std::size_t c) const noexcept {
    const std::size_t level = c >> log2_sub;
    return first_of(level, bits_[level] & (~std::uint64_t{0} << (c & (Sub - 1))));
  }

  /// The first class above `c` that is not empty, or `none`.
  [[nodiscard]] std::size_t above(std::size_t c) const noexcept {
    const std::size_t level = c >> log2_sub;
    // shifting ~1 instead of ~0 by one more keeps the count below 64
    return first_of(level, bits_[level] & (~std::uint64_t{1} << (c & (Sub - 1))));
  }

  /// The highest class that is not empty, or `none`.
  [[nodiscard]] std::size_t highest() const noexcept {
    if (tops_ == 0) return none;
    const auto level = static_cast<std::size_t>(63 - std::countl_zero(tops_));
    return (level << log2_sub) + static_cast<std::size_t>(63 - std::countl_zero(bits_[level]));
  }

  void clear() noexcept { *this = range_classes{}; }

  /// The bits say exactly which heads are set.
  [[nodiscard]] bool is_valid() const noexcept {
    for (std::size_t c = 0; c != count; ++c) {
      const bool marked = (bits_[c >> log2_sub] >> (c & (Sub - 1)) & 1) != 0;
      if (marked != (heads_[c] != 0)) return false;
    }
    for (std::size_t level = 0; level != levels; ++level)
      if ((tops_ >> level & 1) != static_cast<std::uint64_t>(bits_[level] != 0)) return false;
    return true;
  }

 private:
  [[nodiscard]] std::size_t first_of(std::size_t level, std::uint64_t word) const noexcept {
    if (word == 0) {
      const std::uint64_t tops = tops_ & (~std::uint64_t{1} << level);
      if (tops == 0) [[unlikely]] return none;
      level = static_cast<std::size_t>(std::countr_zero(tops));
      word = bits_[level];
    }
    return (level << log2_sub) + static_cast<std::size_t>(std::countr_zero(word));
  }

  std::uint64_t tops_ = 0;
  std::uint64_t bits_[levels] = {};
  std::uint32_t heads_[count] = {};
};

static_assert(range_classes<32>::of(1) == 1 && range_classes<32>::of(31) == 31 && range_classes<32>::of(32) == 32);
static_assert(range_classes<32>::of(63) == 63 && range_classes<32>::of(64) == 64 && range_classes<32>::of(65) == 64);
static_assert(range_classes<32>::of(~std::size_t{0}) == range_classes<32>::count - 1);

}  // namespace v0
}  // namespace tokenheap
