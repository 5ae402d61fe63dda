// How the keys and values of one block lie in memory, in bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// The number format of cached keys and values.
enum class dtype : std::uint8_t { float32, float16, bfloat16, float8, int8 };

[[nodiscard]] constexpr std::size_t bytes_of(dtype type) noexcept {
  switch (type) {
    case dtype::float32: return 4;
    case dtype::float16:
    case dtype::bfloat16: return 2;
    case dtype::float8:
    case dtype::int8: return 1;
  }
  return 0;
}

/// Which of tokens and heads comes first inside a plane, as FlashInfer names it.
enum class axis_order : std::uint8_t {
  nhd,  ///< tokens, then heads: what most kernels write
  hnd,  ///< heads, then tokens: what low-precision kernels like to read
};

/// One element inside a block.
struct element {
  std::size_t layer = 0;
  std::size_t plane = 0;  ///< 0 the keys, 1 the values
  std::size_t head = 0;
  std::size_t token = 0;
};

/// Says how many bytes a block has and where each layer, plane, head and token lies in it.
///
/// A block is one contiguous piece: layer by layer, the plane of keys before the plane of values. One plane serves
/// models that keep a single latent vector per token. Check `why_not()` once; all other calls rely on it.
///
/// Requires  why_not().code == errc::ok
/// Threads   safe: a value
/// Cost      a few multiplications
/// Example   examples/kv_pool.cpp
struct layout {
  std::size_t layers = 0;
  std::size_t kv_heads = 0;
  std::size_t head_size = 0;
  dtype type = dtype::float16;
  std::size_t block_tokens = 16;
  std::size_t planes = 2;
  axis_order order = axis_order::nhd;

  [[nodiscard]] constexpr std::size_t head_bytes() const noexcept { return head_size * bytes_of(type); }
  [[nodiscard]] constexpr std::size_t plane_bytes() const noexcept { return block_tokens * kv_heads * head_bytes(); }
  [[nodiscard]] constexpr std::size_t layer_bytes() const noexcept { return planes * plane_bytes(); }
  [[nodiscard]] constexpr std::size_t block_bytes() const noexcept { return layers * layer_bytes(); }
  [[nodiscard]] constexpr std::size_t token_bytes() const noexcept { return layers * planes * kv_heads * head_bytes(); }

  /// Bytes from a token to the next one of the same head, and from a head to the next one of the same token.
  [[nodiscard]] constexpr std::size_t token_stride() const noexcept {
    return order == axis_order::nhd ? kv_heads * head_bytes() : head_bytes();
  }
  [[nodiscard]] constexpr std::size_t head_stride() const noexcept {
    return order == axis_order::nhd ? head_bytes() : block_tokens * head_bytes();
  }

  /// Bytes from the start of a block to the first number of `e`. Requires every part of `e` below its count.
  [[nodiscard]] constexpr std::size_t offset_of(const element& e) const noexcept {
    return e.layer * layer_bytes() + e.plane * plane_bytes() + e.head * head_stride() + e.token * token_stride();
  }

  /// Why these numbers are no layout, or `errc::ok`: every count at least 1, and a block below 2^63 bytes.
  [[nodiscard]] constexpr failure why_not(const char* pool = "kv") const noexcept {
    const auto bad = [pool](errc code, const char* what, std::size_t need, std::size_t most, const char* fix) {
      return failure{.code = code, .pool = pool, .what = what, .need = need, .limit = most, .fix = fix};
    };
    constexpr std::size_t limit = max_allocation;
    if (layers == 0) return bad(errc::invalid_argument, "layers of a layout", 0, limit, "give at least 1");
    if (kv_heads == 0) return bad(errc::invalid_argument, "KV heads of a layout", 0, limit, "give at least 1");
    if (head_size == 0) return bad(errc::invalid_argument, "head size of a layout", 0, limit, "give at least 1");
    if (planes == 0 || planes > 2) {
      return bad(errc::invalid_argument, "planes of a layout", planes, 2, "2: keys and values; 1: a latent vector");
    }
    if (block_tokens == 0) return bad(errc::invalid_argument, "tokens of a block", 0, limit, "give at least 1");
    if (bytes_of(type) == 0) return bad(errc::invalid_argument, "dtype of a layout", 0, 0, "use a named dtype");
    std::size_t bytes = bytes_of(type);
    for (const std::size_t factor : {layers, kv_heads, head_size, planes, block_tokens}) {
      if (!checked_mul(bytes, factor, bytes) || bytes > max_allocation) {
        return bad(errc::size_overflow, "bytes of a block", factor, max_allocation, "use smaller counts");
      }
    }
    return {};
  }

  friend constexpr bool operator==(const layout&, const layout&) = default;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
