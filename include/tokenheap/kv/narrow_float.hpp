// Floating-point numbers of 4 to 16 bits, to and from float, without looking at the rounding mode of the machine.
#pragma once

#include <bit>
#include <cstdint>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// What the largest exponent of a format means.
enum class float_specials : std::uint8_t {
  ieee,      ///< infinity and NaN
  nan_only,  ///< numbers as any other exponent, but NaN where all bits are set
  none,      ///< numbers
};

/// Numbers of a sign, some bits of exponent and some of mantissa, as codes in the low bits of a word.
///
/// For engines on the CPU, for tests and for tools: a kernel has instructions for this. A format of 8 bits or fewer
/// saturates: what is too large, infinity too, becomes the largest number. A wider one overflows to infinity.
///
/// Threads   safe: pure functions
template <unsigned Exponent, unsigned Mantissa, float_specials Specials>
struct narrow_float {
  static constexpr unsigned bits = 1 + Exponent + Mantissa;
  static constexpr bool saturates = bits <= 8;
  static constexpr std::uint32_t sign_bit = 1U << (bits - 1);
  static constexpr std::int32_t bias = (1 << (Exponent - 1)) - 1;
  /// The codes of the largest number and of NaN; a format without NaN has the largest number in its place.
  static constexpr std::uint32_t largest = sign_bit - 1 - (Specials == float_specials::ieee       ? (1U << Mantissa)
                                                           : Specials == float_specials::nan_only ? 1U
                                                                                                  : 0U);
  static constexpr std::uint32_t nan = Specials == float_specials::ieee ? largest + 1 + (1U << (Mantissa - 1)) : sign_bit - 1;

  /// The nearest number; of two equally near ones, that with an even code.
  [[nodiscard]] static constexpr std::uint32_t encode(float value) noexcept {
    const auto raw = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (raw >> 31) << (bits - 1);
    const std::uint32_t size = raw & 0x7FFFFFFFU;
    if (size > 0x7F800000U) return sign | nan;
    // the 24 bits of the number, and what the last of them is worth
    std::uint32_t digits = size & 0x7FFFFFU;
    std::int32_t exponent = static_cast<std::int32_t>(size >> 23);
    if (exponent != 0) digits |= 0x800000U;
    exponent = exponent != 0 ? exponent - 127 : -126;
    const bool normal = exponent >= 1 - bias && digits >= 0x800000U;
    const std::int32_t drop = 23 - static_cast<std::int32_t>(Mantissa) + (normal ? 0 : 1 - bias - exponent);
    if (drop > 24) return sign;
    std::uint32_t code = digits >> drop;
    const std::uint32_t rest = digits & ((1U << drop) - 1);
    const std::uint32_t half = drop == 0 ? 1U : 1U << (drop - 1);
    if (rest > half || (rest == half && (code & 1) != 0)) ++code;
    // a carry out of the mantissa belongs to the exponent, and there it goes by itself
    if (normal) {
      const std::int32_t above = exponent + bias - 1;
      if (above >= 1 << Exponent) return sign | past_the_largest();
      code += static_cast<std::uint32_t>(above) << Mantissa;
    }
    return sign | (code > largest ? past_the_largest() : code);
  }

  /// The number of a code; exact.
  [[nodiscard]] static constexpr float decode(std::uint32_t code) noexcept {
    const std::uint32_t sign = (code & sign_bit) << (32 - bits);
    const std::uint32_t size = code & (sign_bit - 1);
    if (size > largest) {
      const bool infinite = Specials == float_specials::ieee && size == largest + 1;
      return std::bit_cast<float>(sign | (infinite ? 0x7F800000U : 0x7FC00000U));
    }
    if constexpr (Exponent == 8) {
      return std::bit_cast<float>(sign | size << (23 - Mantissa));
    } else {
      constexpr auto shift = static_cast<std::uint32_t>(127 - bias);  // between the exponents of both
      if (size >> Mantissa != 0) return std::bit_cast<float>(sign | ((size + (shift << Mantissa)) << (23 - Mantissa)));
      // below the least normal number, where codes count steps of the same size
      constexpr float step = std::bit_cast<float>((shift + 1 - Mantissa) << 23);
      const float distance = static_cast<float>(size) * step;
      return sign != 0 ? -distance : distance;
    }
  }

 private:
  [[nodiscard]] static constexpr std::uint32_t past_the_largest() noexcept { return saturates ? largest : largest + 1; }
};

using float16_bits = narrow_float<5, 10, float_specials::ieee>;
using bfloat16_bits = narrow_float<8, 7, float_specials::ieee>;
using e4m3_bits = narrow_float<4, 3, float_specials::nan_only>;
using e5m2_bits = narrow_float<5, 2, float_specials::ieee>;
using e2m1_bits = narrow_float<2, 1, float_specials::none>;

/// A power of two from 2^-127 to 2^127 in one byte, or NaN: the scale of the formats that begin with mx.
struct e8m0_bits {
  static constexpr std::uint32_t nan = 255;

  [[nodiscard]] static constexpr float decode(std::uint32_t code) noexcept {
    if (code == nan) return std::bit_cast<float>(0x7FC00000U);
    return std::bit_cast<float>(code == 0 ? 0x400000U : code << 23);
  }
  /// The largest power that is not above `value`, times 2^`lower`; what does not fit is the nearest end.
  [[nodiscard]] static constexpr std::uint32_t encode_floor(float value, std::int32_t lower = 0) noexcept {
    const std::uint32_t size = std::bit_cast<std::uint32_t>(value) & 0x7FFFFFFFU;
    if (size >= 0x7F800000U) return nan;
    // below 2^-126 all are taken for the least
    const std::int32_t exponent = static_cast<std::int32_t>(size >> 23) + lower;
    return exponent < 0 ? 0 : exponent > 254 ? 254 : static_cast<std::uint32_t>(exponent);
  }
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
