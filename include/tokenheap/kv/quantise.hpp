// Writes the numbers of a head in the format of a layout and reads them again: the reference that runs on the CPU.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tokenheap/kv/layout.hpp>
#include <tokenheap/kv/narrow_float.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// The largest number of a format before it is scaled; 0 for those that are never scaled.
[[nodiscard]] constexpr float largest_of(dtype type) noexcept {
  switch (type) {
    case dtype::float8_e4m3: return 448;
    case dtype::float8_e5m2: return 57344;
    case dtype::int8: return 127;
    case dtype::int4: return 7;
    case dtype::nvfp4:
    case dtype::mxfp4: return 6;
    default: return 0;
  }
}

namespace detail {

template <class Bits>
constexpr std::array<float, std::size_t{1} << Bits::bits> all_numbers_of() noexcept {
  std::array<float, std::size_t{1} << Bits::bits> all{};
  for (std::size_t code = 0; code < all.size(); ++code) all[code] = Bits::decode(static_cast<std::uint32_t>(code));
  return all;
}
inline constexpr auto e4m3_numbers = all_numbers_of<e4m3_bits>();
inline constexpr auto e5m2_numbers = all_numbers_of<e5m2_bits>();
inline constexpr auto e2m1_numbers = all_numbers_of<e2m1_bits>();

/// The nearest whole number, of two the even one, and never beyond `most`; 0 for NaN, which has no whole number.
[[nodiscard]] constexpr std::int32_t nearest(float value, std::int32_t most) noexcept {
  if (value != value) return 0;
  const float bound = static_cast<float>(most);
  if (value >= bound) return most;
  if (value <= -bound) return -most;
  const auto whole = static_cast<std::int32_t>(value);
  const float rest = value < 0 ? static_cast<float>(whole) - value : value - static_cast<float>(whole);
  if (rest > 0.5F || (rest == 0.5F && whole % 2 != 0)) return whole + (value < 0 ? -1 : 1);
  return whole;
}

}  // namespace detail

/// The code of one number that is already divided by its scale. Requires `type` not float32.
[[nodiscard]] constexpr std::uint32_t encode(dtype type, float value) noexcept {
  switch (type) {
    case dtype::float16: return float16_bits::encode(value);
    case dtype::bfloat16: return bfloat16_bits::encode(value);
    case dtype::float8_e4m3: return e4m3_bits::encode(value);
    case dtype::float8_e5m2: return e5m2_bits::encode(value);
    case dtype::int8: return static_cast<std::uint32_t>(detail::nearest(value, 127)) & 0xFFU;
    case dtype::int4: return static_cast<std::uint32_t>(detail::nearest(value, 7)) & 0xFU;
    default: return e2m1_bits::encode(value);
  }
}

/// The number of a code, before it is multiplied by its scale. Requires `type` not float32.
[[nodiscard]] constexpr float decode(dtype type, std::uint32_t code) noexcept {
  switch (type) {
    case dtype::float16: return float16_bits::decode(code);
    case dtype::bfloat16: return bfloat16_bits::decode(code);
    case dtype::float8_e4m3: return detail::e4m3_numbers[code & 0xFFU];
    case dtype::float8_e5m2: return detail::e5m2_numbers[code & 0xFFU];
    case dtype::int8: return static_cast<float>(static_cast<std::int8_t>(code & 0xFFU));
    case dtype::int4: return static_cast<float>(static_cast<std::int32_t>((code & 0xFU) ^ 8U) - 8);
    default: return detail::e2m1_numbers[code & 0xFU];
  }
}

/// Writes heads of a layout's keys and values and reads them back, on the CPU.
///
/// For engines that compute there, and for tests that compare an engine's kernels with it: the same numbers give the
/// same bytes, whatever stands beside them. It is plain code, a number at a time; a device has kernels for this.
///
/// Where numbers share a scale inside a block, the scale is the largest of them over the format's largest number; a
/// power of two is the one that brings the largest to the format's highest exponent. Infinity or NaN among them makes
/// all of them NaN. Without such a scale infinity becomes the largest number of a format of 8 bits or fewer, and NaN
/// stays NaN, or becomes 0 among whole numbers. Where the scale itself is too near to 0 for its format, all become 0.
///
/// Requires  a valid layout; `tensor_scale` finite, above 0, and 1 for a format without a scale per tensor
/// Threads   safe: a value
/// Cost      a few nanoseconds per number
/// Example   examples/layout.cpp
class quantiser {
 public:
  constexpr explicit quantiser(const layout& shape, float tensor_scale = 1) noexcept
      : shape_(shape), tensor_scale_(tensor_scale) {}

  /// Writes one head: `numbers` are those of the plane and the tail's. `scales` is where its first scale is.
  void write(std::size_t plane, const float* numbers, std::byte* row, std::byte* scales) const noexcept {
    const std::size_t size = shape_.size_of(plane);
    const std::size_t group = group_of(size);
    for (std::size_t at = 0; at < size; at += group) {
      const std::size_t count = at + group < size ? group : size - at;
      const float scale = in_blocks() ? write_scale(numbers + at, count, scales) : tensor_scale_;
      if (in_blocks()) scales += shape_.scale_size();
      for (std::size_t k = at; k < at + count; ++k) write_number(row, k, scale == 0 ? 0 : numbers[k] / scale);
    }
    for (std::size_t k = 0; k < shape_.tail_size; ++k)
      put(row + shape_.tail_at(plane) + k * bytes_of(shape_.tail_type), shape_.tail_type, numbers[size + k]);
  }

  /// Reads one head into `numbers`.
  void read(std::size_t plane, const std::byte* row, const std::byte* scales, float* numbers) const noexcept {
    const std::size_t size = shape_.size_of(plane);
    const std::size_t group = group_of(size);
    for (std::size_t at = 0; at < size; at += group) {
      const std::size_t count = at + group < size ? group : size - at;
      const float scale = in_blocks() ? read_scale(scales) : tensor_scale_;
      if (in_blocks()) scales += shape_.scale_size();
      for (std::size_t k = at; k < at + count; ++k) numbers[k] = read_number(row, k) * scale;
    }
    for (std::size_t k = 0; k < shape_.tail_size; ++k)
      numbers[size + k] = get(row + shape_.tail_at(plane) + k * bytes_of(shape_.tail_type), shape_.tail_type);
  }

  /// The same for an element of a block whose numbers start at `page` and whose scales, if beside it, at `beside`.
  void write(const element& e, const float* numbers, std::byte* page, std::byte* beside = nullptr) const noexcept {
    write(e.plane, numbers, page + shape_.offset_of(e), scales_at(e, page, beside));
  }
  void read(const element& e, const std::byte* page, float* numbers, const std::byte* beside = nullptr) const noexcept {
    read(e.plane, page + shape_.offset_of(e), scales_at(e, page, beside), numbers);
  }

  [[nodiscard]] constexpr const layout& shape() const noexcept { return shape_; }

 private:
  [[nodiscard]] bool in_blocks() const noexcept {
    return shape_.scales.per == scale_per::token_head || shape_.scales.per == scale_per::group;
  }
  [[nodiscard]] std::size_t group_of(std::size_t size) const noexcept {
    return shape_.scales.per == scale_per::group ? shape_.scales.group : size;
  }
  template <class Byte>
  [[nodiscard]] Byte* scales_at(const element& e, Byte* page, Byte* beside) const noexcept {
    if (!in_blocks()) return nullptr;
    return (shape_.scales.place == scale_place::beside ? beside : page) + shape_.scale_offset_of(e);
  }

  // the scale as it will be read: what the numbers are divided by is what they will be multiplied by
  float write_scale(const float* numbers, std::size_t count, std::byte* to) const noexcept {
    float most = 0;
    for (std::size_t k = 0; k < count; ++k) {
      const float size = numbers[k] < 0 ? -numbers[k] : numbers[k];
      if (!(size <= most)) most = size;
      if (most != most) break;
    }
    const float wanted = most - most == 0 ? most / largest_of(shape_.type) / tensor_scale_ : not_a_number();
    std::uint32_t code = 0;
    switch (shape_.scales.type) {
      case scale_type::float32: code = std::bit_cast<std::uint32_t>(wanted); break;
      case scale_type::float16: code = float16_bits::encode(wanted); break;
      case scale_type::bfloat16: code = bfloat16_bits::encode(wanted); break;
      case scale_type::float8_e4m3: code = e4m3_bits::encode(wanted); break;
      case scale_type::e8m0:
        code = e8m0_bits::encode_floor(most, -exponent_of(largest_of(shape_.type)));
        break;
    }
    std::memcpy(to, &code, shape_.scale_size());
    return read_scale(to);
  }
  [[nodiscard]] float read_scale(const std::byte* from) const noexcept {
    std::uint32_t code = 0;
    std::memcpy(&code, from, shape_.scale_size());
    switch (shape_.scales.type) {
      case scale_type::float32: return std::bit_cast<float>(code) * tensor_scale_;
      case scale_type::float16: return float16_bits::decode(code) * tensor_scale_;
      case scale_type::bfloat16: return bfloat16_bits::decode(code) * tensor_scale_;
      case scale_type::float8_e4m3: return detail::e4m3_numbers[code] * tensor_scale_;
      case scale_type::e8m0: break;
    }
    return e8m0_bits::decode(code) * tensor_scale_;
  }
  [[nodiscard]] static constexpr std::int32_t exponent_of(float value) noexcept {
    return static_cast<std::int32_t>(std::bit_cast<std::uint32_t>(value) >> 23 & 0xFFU) - 127;
  }
  [[nodiscard]] static constexpr float not_a_number() noexcept { return std::bit_cast<float>(0x7FC00000U); }

  void write_number(std::byte* row, std::size_t k, float value) const noexcept {
    if (bits_of(shape_.type) != 4) return put(row + k * bytes_of(shape_.type), shape_.type, value);
    // the first one of a byte clears it, the second one is put on top
    const auto code = static_cast<std::byte>(encode(shape_.type, value));
    row[k / 2] = k % 2 == 0 ? code : row[k / 2] | code << 4;
  }
  [[nodiscard]] float read_number(const std::byte* row, std::size_t k) const noexcept {
    if (bits_of(shape_.type) != 4) return get(row + k * bytes_of(shape_.type), shape_.type);
    return decode(shape_.type, std::to_integer<std::uint32_t>(row[k / 2]) >> (k % 2 * 4));
  }
  // each case copies a fixed count of bytes, which a compiler makes a move of
  static void put(std::byte* to, dtype type, float value) noexcept {
    if (type == dtype::float32) {
      std::memcpy(to, &value, 4);
    } else if (const std::uint32_t code = encode(type, value); bits_of(type) == 16) {
      std::memcpy(to, &code, 2);
    } else {
      *to = static_cast<std::byte>(code);
    }
  }
  [[nodiscard]] static float get(const std::byte* from, dtype type) noexcept {
    if (bits_of(type) == 8) return decode(type, std::to_integer<std::uint32_t>(*from));
    std::uint32_t code = 0;
    if (type != dtype::float32) return std::memcpy(&code, from, 2), decode(type, code);
    return std::memcpy(&code, from, 4), std::bit_cast<float>(code);
  }

  layout shape_;
  float tensor_scale_;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
