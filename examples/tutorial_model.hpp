// The model of the tutorial: a decoder so small that it fits on a page, and always decides on the same tokens.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

// [shape]
using token = std::uint32_t;
inline constexpr std::size_t layers = 2, heads = 2, head = 16, width = heads * head, vocabulary = 101;
inline constexpr std::size_t matrix = width * width;  // of queries, keys, values and output, in each layer
inline constexpr std::size_t weight_count = vocabulary * width + layers * 4 * matrix;
// [shape]

inline void make_weights(float* out) {
  std::uint32_t state = 7;
  for (std::size_t k = 0; k != weight_count; ++k) {
    state = state * 1664525U + 1013904223U;
    out[k] = static_cast<float>(state >> 8) / 33554432.0F - 0.25F;  // -0.25 up to 0.25
  }
}

inline float dot(const float* a, const float* b, std::size_t n) {
  float sum = 0;
  for (std::size_t k = 0; k != n; ++k) sum += a[k] * b[k];
  return sum;
}
inline void multiply(const float* by, const float* x, float* y) {
  for (std::size_t row = 0; row != width; ++row) y[row] = dot(by + row * width, x, width);
}

/// Attention of one head at place `at` over all tokens up to there.
template <class Row>
void attend(const float* query, std::size_t at, float* scores, float* out, Row row) {
  float sum = 0;
  for (std::size_t s = 0; s <= at; ++s) sum += scores[s] = std::exp(8 * dot(query, row(0, s), head));
  for (std::size_t k = 0; k != head; ++k) out[k] = 0;
  for (std::size_t s = 0; s <= at; ++s) {
    for (std::size_t k = 0; k != head; ++k) out[k] += scores[s] / sum * row(1, s)[k];
  }
}

// [step]
/// Reads the token at place `at` and decides on the next one. `row(layer, plane, place)` is where the keys (plane 0) or
/// the values (plane 1) of a token lie, so the model does not know how memory is cut. `scores` has room for at + 1 numbers.
template <class Row>
token next_token(const float* weights, token t, std::size_t at, float* scores, Row row) {
  float x[width], query[width], seen[width], y[width];
  for (std::size_t k = 0; k != width; ++k) {
    x[k] = weights[t * width + k] + 0.5F * std::sin(static_cast<float>(at * (k + 1)));
  }
  for (std::size_t layer = 0; layer != layers; ++layer) {
    const float* const m = weights + vocabulary * width + layer * 4 * matrix;
    multiply(m, x, query);
    multiply(m + matrix, x, row(layer, 0, at));
    multiply(m + 2 * matrix, x, row(layer, 1, at));
    for (std::size_t h = 0; h != width; h += head) {
      attend(query + h, at, scores, seen + h, [&](std::size_t plane, std::size_t s) { return row(layer, plane, s) + h; });
    }
    multiply(m + 3 * matrix, seen, y);
    for (std::size_t k = 0; k != width; ++k) x[k] += 2 * y[k];
  }
  token best = 0;
  float most = -1e9F;
  for (token n = 0; n != vocabulary; ++n) {
    const float now = dot(weights + n * 37 % vocabulary * width, x, width);
    if (now > most) best = n, most = now;
  }
  return best;
}
// [step]

// [plain]
/// The truth: one request alone, its keys and values in one piece that nobody shares.
inline std::vector<token> plain(const float* weights, std::vector<token> tokens, std::size_t answers) {
  const std::size_t most = tokens.size() + answers;
  std::vector<float> keys_and_values(layers * 2 * most * width), scores(most);
  const auto row = [&](std::size_t layer, std::size_t plane, std::size_t at) {
    return keys_and_values.data() + ((layer * 2 + plane) * most + at) * width;
  };
  for (std::size_t at = 0; at + 1 < most; ++at) {
    const token next = next_token(weights, tokens[at], at, scores.data(), row);
    if (at + 1 == tokens.size()) tokens.push_back(next);
  }
  return tokens;
}
// [plain]
