// Blocks of a KV pool as rows of a matrix, as ggml_set_rows and ggml_get_rows count them.
#pragma once

#include <span>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/layout.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// The keys or values of one layer of all blocks as a matrix without gaps: one row holds all heads of one token.
///
/// Where other planes lie between two blocks, their bytes are rows too, which no token of this plane has: use the matrix
/// with row numbers of `row_of` alone, never as a whole.
struct ggml_rows {
  std::size_t offset = 0;     ///< bytes from where block 0 starts in its tensor to row 0
  std::size_t numbers = 0;    ///< of a row: ne[0]
  std::size_t rows = 0;       ///< ne[1]
  std::size_t per_block = 0;  ///< rows from a block to the next one
  std::size_t tokens = 0;     ///< of a block

  [[nodiscard]] constexpr std::size_t row_of(kv::block_id block, std::size_t token) const noexcept {
    return static_cast<std::size_t>(block) * per_block + token;
  }
  /// The rows of `out.size()` tokens of a sequence from token `first` on, by the blocks that hold its tokens.
  ///
  /// Requires  blocks for all of these tokens
  template <class Number>
  constexpr void write(std::span<const kv::block_id> blocks, std::size_t first, std::span<Number> out) const noexcept {
    for (std::size_t k = 0; k != out.size(); ++k) {
      const std::size_t token = first + k;
      TOKENHEAP_ASSERT(token / tokens < blocks.size());
      out[k] = static_cast<Number>(row_of(blocks[token / tokens], token % tokens));
    }
  }
};

/// How ggml sees a plane of a pool's memory, or of an engine's own tensor with the same layout.
///
/// Place a tensor of F32, F16 or BF16, `ggml_new_tensor_2d(ctx, type, numbers, rows)`, at `offset` behind block 0 with
/// ggml_backend_tensor_alloc; write tokens with ggml_set_rows, read a sequence with ggml_get_rows. ggml knows nothing of
/// blocks: prefixes are shared, forked and evicted by the pool.
///
/// Fails     layouts with heads before tokens, scales or formats of 8 bits and less, and strides that are no whole rows
/// Threads   safe: a value
/// Example   examples/ggml/decoder.cpp
[[nodiscard]] inline result<ggml_rows> rows_for_ggml(const kv::layout& shape, std::size_t blocks, std::size_t layer,
                                                     std::size_t plane) noexcept {
  const auto refuse = [](errc code, const char* what, std::size_t need, std::size_t limit, const char* fix) {
    return failure{.code = code, .pool = "ggml", .what = what, .need = need, .limit = limit, .fix = fix};
  };
  if (blocks == 0) return refuse(errc::invalid_argument, "blocks of a matrix", 0, 0, "give at least one");
  if (const failure wrong = shape.why_not(blocks, "ggml"); wrong.code != errc::ok) return wrong;
  if (layer >= shape.layers) return refuse(errc::invalid_argument, "layer of a matrix", layer, shape.layers, "count from 0");
  if (plane >= shape.planes)
    return refuse(errc::invalid_argument, "plane of a matrix", plane, shape.planes, "use 0 for keys, 1 for values");
  const std::size_t each = kv::bytes_of(shape.type, 1);
  const bool plain = shape.type == kv::dtype::float32 || shape.type == kv::dtype::float16 || shape.type == kv::dtype::bfloat16;
  if (!plain || shape.tail_size != 0 || shape.scale_bytes() != 0)
    return refuse(errc::unsupported, "bytes of a number", each, 4, "use float32, float16 or bfloat16 without scales or tail");
  if (shape.order != kv::axis_order::nhd && shape.kv_heads != 1)
    return refuse(errc::unsupported, "heads of a row", shape.kv_heads, 1, "use axis_order::nhd");
  const std::size_t row = shape.token_stride(plane);
  const std::size_t offset = shape.offset_of({.layer = layer, .plane = plane});
  const std::size_t step = shape.block_stride(plane);
  if (row % 32 != 0 || offset % 32 != 0)
    return refuse(errc::unsupported, "bytes of a row", row, 0, "use heads whose row is a multiple of 32 bytes");
  if (step % row != 0) return refuse(errc::unsupported, "bytes from a block to the next", step, row, "use strides of whole rows");
  ggml_rows made{.offset = offset, .numbers = row / each, .per_block = step / row, .tokens = shape.block_tokens};
  made.rows = (blocks - 1) * made.per_block + made.tokens;
  // ggml_get_rows takes 32-bit numbers
  if (made.rows > 0x7FFFFFFF)
    return refuse(errc::too_large, "rows of a matrix", made.rows, 0x7FFFFFFF, "use fewer blocks, or layers_apart");
  return made;
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
