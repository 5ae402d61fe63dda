// The arithmetic of the decoder, four numbers at a time, each sum in one fixed order.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace program {

using float4 = float __attribute__((vector_size(16)));
using int4 = std::int32_t __attribute__((vector_size(16)));

inline float4 load4(const float* from) {
  float4 v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline void store4(float* to, float4 v) { std::memcpy(to, &v, sizeof v); }

inline float4 all4(float v) { return float4{v, v, v, v}; }

inline float sum4(float4 v) { return (v[0] + v[2]) + (v[1] + v[3]); }

/// The sixteen numbers of one head: four names instead of an array, so that they stay in registers at -O2.
struct head16 {
  float4 a, b, c, d;
};

inline head16 load16(const float* from) { return {load4(from), load4(from + 4), load4(from + 8), load4(from + 12)}; }

inline void store16(float* to, const head16& v) {
  store4(to, v.a);
  store4(to + 4, v.b);
  store4(to + 8, v.c);
  store4(to + 12, v.d);
}

/// Four sums that add up to the product of two heads.
inline float4 product16(const head16& x, const head16& y) { return (x.a * y.a + x.b * y.b) + (x.c * y.c + x.d * y.d); }

inline void add_scaled(head16& sum, float4 factor, const head16& v) {
  sum.a += factor * v.a;
  sum.b += factor * v.b;
  sum.c += factor * v.c;
  sum.d += factor * v.d;
}

inline head16 divided(const head16& v, float4 by) { return {v.a / by, v.b / by, v.c / by, v.d / by}; }

/// The sums of four vectors that lie behind each other, each added up as `sum4` does.
inline float4 sums_of_4(const float* from) {
  const float4 a = load4(from);
  const float4 b = load4(from + 4);
  const float4 c = load4(from + 8);
  const float4 d = load4(from + 12);
  const float4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const float4 ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const float4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const float4 cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const float4 first = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
  const float4 second = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
  const float4 third = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
  const float4 fourth = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
  return (first + third) + (second + fourth);
}

/// The largest power of e that this gives is e^88; below e^-87 it gives 0.
inline float4 exp4(float4 x) {
  const float4 top = all4(88.0F);
  const float4 bottom = all4(-87.0F);
  const int4 vanishes = x < bottom;
  x = x > top ? top : x;
  x = x < bottom ? bottom : x;
  // e^x = 2^n * e^r with |r| <= ln(2) / 2; ln(2) in two parts keeps r exact
  const float4 scaled = x * all4(1.44269504F);
  const float4 half = scaled < all4(0.0F) ? all4(-0.5F) : all4(0.5F);
  const int4 n = __builtin_convertvector(scaled + half, int4);
  const float4 whole = __builtin_convertvector(n, float4);
  const float4 r = (x - whole * all4(0.693359375F)) - whole * all4(-2.12194440e-4F);
  float4 p = all4(1.9875691500e-4F);
  p = p * r + all4(1.3981999507e-3F);
  p = p * r + all4(8.3334519073e-3F);
  p = p * r + all4(4.1665795894e-2F);
  p = p * r + all4(1.6666665459e-1F);
  p = p * r + all4(5.0000001201e-1F);
  const float4 e = (p * r * r + r) + all4(1.0F);
  const int4 power = (n + 127) << 23;
  float4 scale;
  std::memcpy(&scale, &power, sizeof scale);
  return vanishes ? all4(0.0F) : e * scale;
}

/// out[r][j] = sum over i of in[r][i] * weights[i][j], added in the order of i; `add` adds to what stands in `out`.
///
/// Requires  rows a multiple of 4, columns a multiple of 8: rows that nobody wants are computed and ignored
[[gnu::noinline]] inline void multiply(const float* in, std::size_t rows, std::size_t inner, const float* weights,
                                       std::size_t columns, float* out, bool add) {
  for (std::size_t r = 0; r < rows; r += 4) {
    const float* x = in + r * inner;
    for (std::size_t j = 0; j < columns; j += 8) {
      float4 sum[4][2] = {};
      for (std::size_t i = 0; i < inner; ++i) {
        const float4 left = load4(weights + i * columns + j);
        const float4 right = load4(weights + i * columns + j + 4);
        for (std::size_t k = 0; k < 4; ++k) {
          const float4 factor = all4(x[k * inner + i]);
          sum[k][0] += factor * left;
          sum[k][1] += factor * right;
        }
      }
      for (std::size_t k = 0; k < 4; ++k) {
        float* to = out + (r + k) * columns + j;
        store4(to, add ? load4(to) + sum[k][0] : sum[k][0]);
        store4(to + 4, add ? load4(to + 4) + sum[k][1] : sum[k][1]);
      }
    }
  }
}

/// Scales each row to a mean square of one, then by the weights.
inline void rms_norm(const float* in, std::size_t rows, std::size_t width, const float* weights, float* out) {
  for (std::size_t r = 0; r < rows; ++r, in += width, out += width) {
    float4 squares{};
    for (std::size_t i = 0; i < width; i += 4) squares += load4(in + i) * load4(in + i);
    const float scale = 1.0F / std::sqrt(sum4(squares) / static_cast<float>(width) + 1e-5F);
    for (std::size_t i = 0; i < width; i += 4) store4(out + i, load4(in + i) * all4(scale) * load4(weights + i));
  }
}

/// gate = silu(gate) * up, number by number.
inline void gated(float* gate, const float* up, std::size_t count) {
  for (std::size_t i = 0; i < count; i += 4) {
    const float4 g = load4(gate + i);
    store4(gate + i, g / (all4(1.0F) + exp4(-g)) * load4(up + i));
  }
}

}  // namespace program
