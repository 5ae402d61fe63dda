// What only one family has: Falcon's heads, learned positions, encoders, images, experts of Llama 4.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <tokenheap/plan/config_families.hpp>
#include <tokenheap/plan/config_shape.hpp>
#include <tokenheap/plan/config_weights.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

namespace config_parts {

inline void add_extra(config_shape& out, const char* name, std::uint64_t numbers, weight_split split, bool quantised,
                      std::vector<std::size_t> at) {
  out.extra.push_back({.name = name, .numbers = numbers, .split = split, .quantised = quantised, .at = std::move(at)});
}

/// Weights that are whole on the first stage.
inline void add_first(config_shape& out, const char* name, std::uint64_t numbers) {
  add_extra(out, name, numbers, weight_split::replicated, false, {0});
}

inline void read_falcon(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  const bool fresh = text.flag("new_decoder_architecture", text.has("n_head_kv"));
  const bool parallel = text.flag("parallel_attn", true);
  if (!fresh && text.flag("multi_query", true)) out.attention.kv_heads = 1;
  else if (!fresh) out.attention.kv_heads = out.attention.heads;
  out.norms.each = fresh ? text.take({"num_ln_in_parallel_attn"}, 2, 2) : parallel ? 1 : 2;
}

inline void read_opt(const config_reader& from, config_shape& out) {
  add_first(out, "positions", weights_product({out.longest + 2, out.hidden}));
  if (!from.text.flag("do_layer_norm_before", true)) out.norms.last = 0;
  const std::size_t words = from.text.take({"word_embed_proj_dim"}, out.hidden, config_limits::width);
  if (words != out.hidden) out.warnings.push_back("word_embed_proj_dim: embeddings are counted as wide as hidden_size");
}

/// An encoder before the decoder, whose keys and values are kept once for each sequence.
inline void read_whisper(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  const std::uint64_t hidden = out.hidden;
  out.crosses = true;
  out.encoder_tokens = text.take({"max_source_positions"}, 1500, config_limits::tokens);
  out.norms.each = 3;
  const std::uint64_t layers = text.need({"encoder_layers"}, config_limits::layers);
  const std::uint64_t wide = text.take({"encoder_ffn_dim"}, out.feed.intermediate, 4 * config_limits::width);
  const std::uint64_t mels = text.take({"num_mel_bins"}, 80, config_limits::head_size);
  const std::uint64_t square = weights_product({hidden, hidden});
  const std::uint64_t layer = 4 * square + weights_product({2, hidden, wide}) + wide + 8 * hidden;
  add_extra(out, "encoder layers", weights_product({layers, layer}), weight_split::tensor, true, {0});
  add_first(out, "encoder convolutions", weights_product({3, mels, hidden}) + 3 * square + 2 * hidden);
  add_first(out, "encoder positions", weights_product({out.encoder_tokens, hidden}) + 2 * hidden);
}

/// Layers of their own that look at pictures.
inline void read_mllama(const config_reader& from, config_shape& out) {
  for (const std::size_t at : from.text.numbers("cross_attention_layers", 0, out.layers.size() - 1)) {
    out.layers[at].mixer = layer_mixer::cross;
  }
  const config_fields eye = from.top.inside("vision_config");
  const std::size_t side = eye.take({"image_size"}, 560, config_limits::head_size);
  const std::size_t patch = eye.take({"patch_size"}, 14, config_limits::head_size);
  const std::size_t across = side / patch;
  out.encoder_tokens = eye.take({"max_num_tiles"}, 4, 1024) * (across * across + 1);
  // norms of heads, and two gates
  add_extra(out, "cross attention others", 2 * out.attention.head_size + 2, weight_split::replicated, false,
            out.with(layer_mixer::cross));
  add_first(out, "words of pictures", weights_product({8, out.hidden}));
}

inline void read_llama4(const config_reader& from, config_shape& out) {
  feed_shape& f = out.feed;
  if (f.experts != 0) f.expert_intermediate = f.shared_intermediate = f.intermediate;
  f.intermediate = from.text.take({"intermediate_size_mlp"}, f.intermediate, config_limits::width);
}

/// MLPs of LFM2: two thirds of the width that is named, up to a multiple.
inline void read_lfm2(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  if (!text.flag("block_auto_adjust_ff_dim", true)) return;
  const std::size_t named = text.take({"block_ff_dim"}, out.feed.intermediate, config_limits::width);
  const std::size_t multiple = text.take({"block_multiple_of"}, 256, config_limits::width);
  out.feed.intermediate = (2 * named / 3 + multiple - 1) / multiple * multiple;
}

/// An encoder and a decoder whose weights are not known in detail: what it keeps is.
inline void read_encoder(const config_reader& from, config_shape& out) {
  out.crosses = true;
  out.encoder_tokens = from.text.take({"max_source_positions", "n_positions", "max_position_embeddings"}, 512,
                                      config_limits::tokens);
  out.warnings.push_back("the encoder's weights are not counted");
}

}  // namespace config_parts

/// The last word on a shape. Requires  that everything that families have in common is read
inline void read_special(const config_reader& from, config_shape& out) {
  const std::string_view type = from.family.type;
  if (type == "falcon") config_parts::read_falcon(from, out);
  if (type == "gpt_bigcode" && from.text.flag("multi_query", true)) out.attention.kv_heads = 1;
  if (type == "opt") config_parts::read_opt(from, out);
  if (type == "bloom") config_parts::add_first(out, "norm of embeddings", 2 * std::uint64_t{out.hidden});
  if (type == "llama4_text") config_parts::read_llama4(from, out);
  if (type == "mllama_text_model") config_parts::read_mllama(from, out);
  if (type == "qwen3_next") out.attention.gated = from.text.flag("attn_output_gate", true);
  if (type == "lfm2") config_parts::read_lfm2(from, out);
  if (type == "granitemoehybrid" && out.feed.experts == 0) {  // without experts, what they share is all there is
    out.feed.intermediate = from.text.take({"shared_intermediate_size"}, out.feed.intermediate, config_limits::width);
  }
  if (type == "gpt_oss") out.attention.others = out.attention.heads;
  if (type == "whisper") config_parts::read_whisper(from, out);
  else if (from.text.has("decoder_layers") || from.text.has("num_decoder_layers")) config_parts::read_encoder(from, out);
  if (from.family.has(config_family::positions)) {
    config_parts::add_first(out, "positions", weights_product({out.longest, out.hidden}));
  }
  out.keepless = from.text.count({"num_kv_shared_layers"}, 0, out.layers.size() - 1);
  if (from.top.has("vision_config") || from.top.has("audio_config")) {
    out.warnings.push_back("weights of the parts that see and hear are not counted");
  }
  if (from.text.has("index_head_dim")) out.warnings.push_back("the keys of the indexer are not counted");
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
