// A small decoder of the Llama kind: random weights, real attention, and results that do not depend on the batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <tokenheap/kv/layout.hpp>

#include "memory.hpp"

namespace program {

namespace kv = tokenheap::kv;

class device_step;

/// The decoder's sizes. Every matrix has a multiple of eight columns, which is what the kernels need.
struct model_shape {
  static constexpr std::size_t layers = 4;
  static constexpr std::size_t width = 64;
  static constexpr std::size_t heads = 8;
  static constexpr std::size_t kv_heads = 4;
  static constexpr std::size_t head_size = 16;
  static constexpr std::size_t hidden = 160;
  static constexpr std::size_t vocabulary = 512;
  static constexpr std::size_t query_width = heads * head_size;
  static constexpr std::size_t kv_width = kv_heads * head_size;
};

/// A number format of the cache by its name on the command line.
struct cache_format {
  const char* name;
  kv::dtype type;
};
inline constexpr cache_format cache_formats[] = {
    {"float32", kv::dtype::float32}, {"float16", kv::dtype::float16}, {"bfloat16", kv::dtype::bfloat16},
    {"fp8", kv::dtype::float8_e4m3}, {"int8", kv::dtype::int8},       {"int4", kv::dtype::int4},
    {"nvfp4", kv::dtype::nvfp4},     {"mxfp4", kv::dtype::mxfp4}};

/// How the keys and values of `block_tokens` tokens of this model lie in memory; scales go where their block goes.
constexpr kv::layout layout_of_model(std::size_t block_tokens, kv::dtype type) {
  return {.layers = model_shape::layers,
          .kv_heads = model_shape::kv_heads,
          .head_size = model_shape::head_size,
          .type = type,
          .block_tokens = block_tokens,
          .planes = 2,
          .order = kv::axis_order::hnd,
          .scales = kv::default_scaling(type)};
}

/// Where the keys and values of one sequence are: its blocks in order. A contiguous cache is one long block.
struct kv_view {
  kv::layout layout;
  std::byte* const* blocks = nullptr;

  /// The bytes of one head of the token at `position`; those of the tokens behind it in its block follow.
  [[nodiscard]] std::byte* at(std::size_t layer, std::size_t plane, std::size_t head, std::size_t position) const {
    const kv::element e{layer, plane, head, position % layout.block_tokens};
    return blocks[position / layout.block_tokens] + layout.offset_of(e);
  }
  /// Its scales, if the format has any in the block; null otherwise.
  [[nodiscard]] std::byte* scales_at(std::size_t layer, std::size_t plane, std::size_t head, std::size_t position) const {
    if (scale_bytes() == 0) return nullptr;
    const kv::element e{layer, plane, head, position % layout.block_tokens};
    return blocks[position / layout.block_tokens] + layout.scale_offset_of(e);
  }
  /// The bytes of one head's scales.
  [[nodiscard]] std::size_t scale_bytes() const { return layout.scales_of() * layout.scale_size(); }
};

/// One token to compute: which, where in its sequence, and where its logits go (null: not wanted).
struct row {
  std::uint32_t token = 0;
  std::uint32_t position = 0;
  const kv_view* cache = nullptr;
  float* logits = nullptr;
};

/// Weights from a seed, and the forward pass over rows of any mix of sequences.
///
/// Each row is computed in one fixed order of additions, whatever rows stand beside it and however its sequence's
/// cache is cut into blocks: the same tokens give the same bits. Rows of one sequence stand in order of position.
class decoder {
 public:
  /// Fills the weights. Returns false if the memory below has no room for them.
  bool open(weight_memory& memory, std::uint64_t seed);

  /// Computes the rows: writes their keys and values, and the logits that are wanted.
  ///
  /// Requires  blocks for every position up to the row's own, keys and values of all earlier positions written
  /// Returns   false if the scratch memory ran out; then the cache of these rows is unspecified
  bool forward(std::span<const row> rows, scratch_memory& scratch) const;
  /// The same on the device that the weights were copied to.
  bool forward(std::span<const row> rows, device_step& step) const;

  /// Calls `visit(pointer, count)` for all weights, one array after the other.
  template <class Visit>
  void for_each_tensor(Visit visit);

 private:
  struct layer_weights {
    float* attention_norm = nullptr;
    float* query = nullptr;
    float* key = nullptr;
    float* value = nullptr;
    float* output = nullptr;
    float* feed_norm = nullptr;
    float* gate = nullptr;
    float* up = nullptr;
    float* down = nullptr;
  };
  struct buffers;

  // a step says where the rows lie, gives memory, and is told before each kernel what that touches
  template <class Step>
  bool run(std::span<const row> plan, Step& step) const;
  template <class Step>
  void embed(std::span<const row> rows, const buffers& b, Step& step) const;
  template <class Step>
  void write_cache(std::span<const row> plan, std::span<const row> rows, const buffers& b, std::size_t layer,
                   Step& step) const;
  template <class Step>
  void attention(std::span<const row> plan, std::span<const row> rows, const buffers& b, std::size_t layer,
                 Step& step) const;
  template <class Step>
  void feed_forward(const buffers& b, const layer_weights& w, Step& step) const;
  template <class Step>
  void write_logits(std::span<const row> plan, std::span<const row> rows, const buffers& b, Step& step) const;

  layer_weights layers_[model_shape::layers];
  float* embedding_ = nullptr;
  float* final_norm_ = nullptr;
  float* head_ = nullptr;
};

template <class Visit>
void decoder::for_each_tensor(Visit visit) {
  using m = model_shape;
  visit(embedding_, m::vocabulary * m::width);
  for (layer_weights& w : layers_) {
    visit(w.attention_norm, m::width);
    visit(w.query, m::width * m::query_width);
    visit(w.key, m::width * m::kv_width);
    visit(w.value, m::width * m::kv_width);
    visit(w.output, m::query_width * m::width);
    visit(w.feed_norm, m::width);
    visit(w.gate, m::width * m::hidden);
    visit(w.up, m::width * m::hidden);
    visit(w.down, m::hidden * m::width);
  }
  visit(final_norm_, m::width);
  visit(head_, m::width * m::vocabulary);
}

}  // namespace program
