// The number formats of cached keys and values: their bits, and which of their numbers share a scale.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// The number format of cached keys and values.
enum class dtype : std::uint8_t {
  float32,
  float16,
  bfloat16,
  float8_e4m3,  ///< 448 at most, no infinity
  float8_e5m2,  ///< 57344 at most
  int8,         ///< -127 to 127 times a scale
  int4,         ///< -7 to 7 times a scale; two in a byte, the first one in the low half
  nvfp4,        ///< 6 at most, by sixteens under one e4m3 scale each, and a scale for the whole tensor
  mxfp4,        ///< 6 at most, by 32 under one power of two
  float8 = float8_e4m3,
};

/// The bits of one number; 0 for a value that names no format.
[[nodiscard]] constexpr std::size_t bits_of(dtype type) noexcept {
  switch (type) {
    case dtype::float32: return 32;
    case dtype::float16:
    case dtype::bfloat16: return 16;
    case dtype::float8_e4m3:
    case dtype::float8_e5m2:
    case dtype::int8: return 8;
    case dtype::int4:
    case dtype::nvfp4:
    case dtype::mxfp4: return 4;
  }
  return 0;
}

/// The bytes of `numbers` side by side, rounded up. Requires a product with `bits_of(type)` that fits.
[[nodiscard]] constexpr std::size_t bytes_of(dtype type, std::size_t numbers = 1) noexcept {
  return divide_up(bits_of(type) * numbers, 8);
}

/// Which numbers share a scale.
enum class scale_per : std::uint8_t {
  none,
  tensor,      ///< all keys of a layer, and all its values: the scale is no part of any block
  token_head,  ///< one token's numbers of one head
  group,       ///< `group` neighbours inside a head; the last ones of a head may be fewer
};

/// The number format of a scale.
enum class scale_type : std::uint8_t {
  float32,
  float16,
  bfloat16,
  float8_e4m3,
  e8m0,  ///< a power of two
};

/// The bytes of one scale; 0 for a value that names no format.
[[nodiscard]] constexpr std::size_t bytes_of(scale_type type) noexcept {
  switch (type) {
    case scale_type::float32: return 4;
    case scale_type::float16:
    case scale_type::bfloat16: return 2;
    case scale_type::float8_e4m3:
    case scale_type::e8m0: return 1;
  }
  return 0;
}

/// Where the scales of a block are.
enum class scale_place : std::uint8_t {
  page,    ///< in the block, behind each plane: they go wherever the block goes
  row,     ///< in the block, behind the numbers of each token and head
  beside,  ///< in a second region, which has as many blocks
};

/// Which numbers share a scale, in which format and where it is.
struct scaling {
  scale_per per = scale_per::none;
  scale_type type = scale_type::float32;
  std::size_t group = 0;  ///< numbers under one scale, with `scale_per::group`
  scale_place place = scale_place::page;

  /// Scales in a block for one token and one head of `numbers`.
  [[nodiscard]] constexpr std::size_t count(std::size_t numbers) const noexcept {
    if (per == scale_per::token_head) return 1;
    return per == scale_per::group ? divide_up(numbers, group) : 0;
  }

  friend constexpr bool operator==(const scaling&, const scaling&) = default;
};

/// How a format is scaled where nobody says otherwise; nvfp4 and mxfp4 are defined with exactly this.
[[nodiscard]] constexpr scaling default_scaling(dtype type, scale_place place = scale_place::page) noexcept {
  switch (type) {
    case dtype::float8_e4m3:
    case dtype::float8_e5m2: return {.per = scale_per::tensor, .place = place};
    case dtype::int8:
    case dtype::int4: return {.per = scale_per::token_head, .place = place};
    case dtype::nvfp4:
      return {.per = scale_per::group, .type = scale_type::float8_e4m3, .group = 16, .place = place};
    case dtype::mxfp4: return {.per = scale_per::group, .type = scale_type::e8m0, .group = 32, .place = place};
    default: return {};
  }
}

/// True if a format keeps one float32 for each tensor of keys or values, outside of all blocks.
[[nodiscard]] constexpr bool has_tensor_scale(dtype type, const scaling& with) noexcept {
  return with.per == scale_per::tensor || type == dtype::nvfp4;
}

/// What is wrong with a format and its scaling, in words, or null.
[[nodiscard]] constexpr const char* why_not(dtype type, const scaling& with) noexcept {
  const bool in_blocks = with.per == scale_per::token_head || with.per == scale_per::group;
  if (bits_of(type) == 0) return "dtype of a layout";
  if (with.per > scale_per::group || with.place > scale_place::beside) return "scaling of a layout";
  if (bits_of(type) > 8 && with.per != scale_per::none) return "scales of numbers that need none";
  if (in_blocks && bytes_of(with.type) == 0) return "format of the scales";
  if ((with.per == scale_per::group) != (with.group != 0)) return "numbers that share a scale";
  const scaling fixed = default_scaling(type, with.place);
  if (fixed.per == scale_per::group && with != fixed) return "scales that define a 4-bit float";
  return nullptr;
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
