// Which layers of a model look at all tokens, at a window, at a chunk or at a state, and which have experts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <tokenheap/plan/config_families.hpp>
#include <tokenheap/plan/config_shape.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

namespace config_parts {

/// A word of a config.json and the mixer that it means.
struct mixer_word {
  std::string_view word;
  layer_mixer mixer;
};

inline constexpr mixer_word mixer_words[] = {
    {"full_attention", layer_mixer::full},        {"attention", layer_mixer::full},
    {"global", layer_mixer::full},                {"global_attention", layer_mixer::full},
    {"sliding_attention", layer_mixer::window},   {"local", layer_mixer::window},
    {"local_attention", layer_mixer::window},     {"sliding_window", layer_mixer::window},
    {"chunked_attention", layer_mixer::chunked},  {"linear_attention", layer_mixer::state},
    {"mamba", layer_mixer::state},                {"mamba2", layer_mixer::state},
    {"conv", layer_mixer::state},                 {"recurrent", layer_mixer::state},
    {"cross_attention", layer_mixer::cross},
};

/// `layer_types` says it layer by layer. False where there is none.
inline bool read_layer_types(const config_reader& from, config_shape& out) {
  const char* name = from.text.has("layer_types") ? "layer_types" : "layers_block_type";
  if (!from.text.has(name)) return false;
  const std::vector<std::string> words = from.text.texts(name);
  if (from.text.good() && words.size() < out.layers.size()) {
    from.text.complain(name, "has " + std::to_string(words.size()) + " entries for " +
                                 std::to_string(out.layers.size()) + " layers");
  }
  for (std::size_t i = 0; i < out.layers.size() && i < words.size(); ++i) {
    const auto* at = std::find_if(std::begin(mixer_words), std::end(mixer_words),
                                  [&](const mixer_word& each) { return each.word == words[i]; });
    if (at == std::end(mixer_words)) {
      from.text.complain(std::string(name) + "[" + std::to_string(i) + "]", "is a kind of layer that is not known: " +
                                                                                words[i].substr(0, 40));
      break;
    }
    out.layers[i].mixer = at->mixer;
  }
  return true;
}

/// One full layer in `every`, the last of them; `other` between.
inline void alternate(config_shape& out, std::size_t every, layer_mixer other) {
  for (std::size_t i = 0; i < out.layers.size(); ++i) {
    out.layers[i].mixer = (i + 1) % every == 0 ? layer_mixer::full : other;
  }
}

/// How many layers a window pattern spans; 0: there is none.
[[nodiscard]] inline std::size_t window_period(const config_reader& from) {
  for (const char* name : {"sliding_window_pattern", "_sliding_window_pattern"}) {
    if (!from.text.has(name)) continue;
    // some write LLLG for three local layers and a global one
    if (from.text.is_text(name)) return from.text.text({name}).size();
    return from.text.need({name}, config_limits::layers);
  }
  return from.family.every;
}

/// Windows by the rules of the families that have no list of their layers.
inline void read_windows(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  if (out.window == 0 || out.attention.kv_rank != 0) return;
  if (!text.flag("use_sliding_window", !from.family.has(config_family::windowless))) return;
  if (from.family.has(config_family::windowless)) {
    const std::size_t first = text.count({"max_window_layers"}, 28, config_limits::tokens);
    for (std::size_t i = first; i < out.layers.size(); ++i) out.layers[i].mixer = layer_mixer::window;
    return;
  }
  const std::size_t every = window_period(from);
  if (every != 0) return alternate(out, every, layer_mixer::window);
  for (config_layer& each : out.layers) each.mixer = layer_mixer::window;
  if (!from.known) out.warnings.push_back("sliding_window is taken to hold for all layers");
}

/// Chunks of Llama 4: every layer that turns its positions, three in four unless the config says which.
inline void read_chunks(const config_reader& from, config_shape& out) {
  const std::vector<std::size_t> turning = from.text.numbers("no_rope_layers", 0, 1);
  const std::size_t every = from.text.take({"no_rope_layer_interval"}, 4, config_limits::layers);
  if (out.chunk == 0) return;
  for (std::size_t i = 0; i < out.layers.size(); ++i) {
    const bool turns = i < turning.size() ? turning[i] == 1 : (i + 1) % every != 0;
    out.layers[i].mixer = turns ? layer_mixer::chunked : layer_mixer::full;
  }
}

/// Attention layers that a list names. False: there is none.
inline bool read_listed(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  if (const std::vector<std::size_t> kinds = text.numbers("attn_type_list", 0, 1); !kinds.empty()) {
    if (kinds.size() < out.layers.size()) text.complain("attn_type_list", "has fewer entries than there are layers");
    for (std::size_t i = 0; i < out.layers.size() && i < kinds.size(); ++i) {
      out.layers[i].mixer = kinds[i] == 1 ? layer_mixer::full : layer_mixer::state;
    }
    return true;
  }
  if (text.has("linear_attn_config")) {  // counts from 1
    for (config_layer& each : out.layers) each.mixer = layer_mixer::state;
    for (const std::size_t at : text.inside("linear_attn_config").numbers("full_attn_layers", 1, out.layers.size())) {
      out.layers[at - 1].mixer = layer_mixer::full;
    }
    return true;
  }
  for (const char* name : {"attn_layer_indices", "full_attn_idxs"}) {
    if (!text.has(name)) continue;
    for (config_layer& each : out.layers) each.mixer = layer_mixer::state;
    for (const std::size_t at : text.numbers(name, 0, out.layers.size() - 1)) out.layers[at].mixer = layer_mixer::full;
    return true;
  }
  return false;
}

/// Attention layers among states: by period and offset, by an interval, by a list or by letters. False: by none of them.
inline bool read_hybrid(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  if (text.has("attn_layer_period")) {
    const std::size_t period = text.need({"attn_layer_period"}, config_limits::layers);
    const std::size_t offset = text.count({"attn_layer_offset"}, 0, config_limits::layers);
    for (std::size_t i = 0; i < out.layers.size(); ++i) {
      out.layers[i].mixer = i % period == offset ? layer_mixer::full : layer_mixer::state;
    }
    return true;
  }
  if (text.has("full_attention_interval") || from.family.type == "qwen3_next") {
    alternate(out, text.take({"full_attention_interval"}, 4, config_limits::layers), layer_mixer::state);
    return true;
  }
  if (read_listed(from, out)) return true;
  const std::string letters = text.text({"hybrid_override_pattern"});
  if (letters.empty()) return false;
  if (letters.size() != out.layers.size()) text.complain("hybrid_override_pattern", "has not one letter for each layer");
  for (std::size_t i = 0; i < out.layers.size() && i < letters.size(); ++i) {
    out.layers[i] = letters[i] == 'M'   ? config_layer{layer_mixer::state, layer_feed::none}
                    : letters[i] == '*' ? config_layer{layer_mixer::full, layer_feed::none}
                    : letters[i] == 'E' ? config_layer{layer_mixer::none, layer_feed::experts}
                                        : config_layer{layer_mixer::none, layer_feed::dense};
  }
  return true;
}

/// Which layers have experts, in the words of each family.
inline void read_expert_layers(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  const std::size_t most = config_limits::layers;
  const std::size_t first = text.count({"first_k_dense_replace", "moe_layer_start_index"}, 0, most);
  const std::size_t step = text.take({"decoder_sparse_step", "interleave_moe_layer_step", "moe_layer_interval"}, 1, most);
  const std::vector<std::size_t> dense = text.numbers("mlp_only_layers", 0, most);
  const std::size_t period = text.take({"expert_layer_period"}, 1, most);
  const std::size_t offset = text.count({"expert_layer_offset"}, 0, most);
  const bool marked = text.is_list("moe_layer_freq");
  const std::vector<std::size_t> marks = marked ? text.numbers("moe_layer_freq", 0, 1) : std::vector<std::size_t>{};
  const std::size_t frequency = marked ? 1 : text.take({"moe_layer_freq"}, 1, most);
  const std::vector<std::size_t> listed = text.numbers("moe_layers", 0, most);
  const bool named = !listed.empty();
  const auto among = [](const std::vector<std::size_t>& list, std::size_t i) {
    return std::find(list.begin(), list.end(), i) != list.end();
  };
  for (std::size_t i = 0; i < out.layers.size(); ++i) {
    if (out.layers[i].feed == layer_feed::none) continue;
    const bool has = named    ? among(listed, i)
                     : marked ? i < marks.size() && marks[i] == 1
                           : i >= first && (i + 1) % step == 0 && i % frequency == 0 && i % period == offset % period &&
                                 !among(dense, i);
    if (has) out.layers[i].feed = layer_feed::experts;
  }
}

/// Widths of experts, of what all tokens share, and what stands beside them.
inline void read_experts(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  feed_shape& f = out.feed;
  f.experts = text.count({"num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts"},
                         text.inside("ffn_config").count({"moe_num_experts"}, 0, config_limits::experts),
                         config_limits::experts);
  if (f.experts == 0 || (f.experts == 1 && from.family.type == "jamba")) {
    f.experts = 0;
    return;
  }
  const bool patterned = text.has("hybrid_override_pattern");
  if (!patterned) read_expert_layers(from, out);
  f.expert_intermediate = text.take({"moe_intermediate_size"}, f.intermediate, config_limits::width);
  const std::size_t shared = text.count({"n_shared_experts", "num_shared_experts", "moe_num_shared_experts"}, 0, 256);
  f.shared_intermediate = text.count({"shared_expert_intermediate_size", "moe_shared_expert_intermediate_size",
                                      "shared_intermediate_size"}, shared * f.expert_intermediate, config_limits::width);
  f.shared_gate = from.family.type == "qwen2_moe" || from.family.type == "qwen3_next";
  f.expert_bias = from.family.type == "gpt_oss";
  const bool corrected = text.text({"topk_method"}, from.family.type == "deepseek_v2" ? "" : "noaux_tc") == "noaux_tc";
  const bool routed = out.attention.kv_rank != 0 || from.family.type == "glm4_moe";
  f.router_bias = f.expert_bias || (routed && corrected);
}

}  // namespace config_parts

/// The kind of each layer.
inline void read_layers(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  out.window = text.is_minus_one("sliding_window")
                   ? 0
                   : text.count({"sliding_window", "sliding_window_size"},
                                text.has_null("sliding_window") ? 0 : from.family.window, config_limits::tokens);
  const bool chunks = from.family.type == "llama4_text";
  out.chunk = text.count({"attention_chunk_size"}, chunks && !text.has_null("attention_chunk_size") ? 8192 : 0,
                         config_limits::tokens);
  const layer_mixer usual = out.attention.kv_rank != 0 ? layer_mixer::latent : layer_mixer::full;
  for (config_layer& each : out.layers) each.mixer = usual;
  if (from.is_stateful()) {
    for (config_layer& each : out.layers) each = {layer_mixer::state, layer_feed::none};
    return;
  }
  if (!config_parts::read_layer_types(from, out) && !config_parts::read_hybrid(from, out)) {
    if (chunks) config_parts::read_chunks(from, out);
    else config_parts::read_windows(from, out);
  }
  for (config_layer& each : out.layers) {
    if (each.mixer == layer_mixer::full) each.mixer = usual;
    // a window as long as the longest sequence never lets go of anything
    const bool is_endless = out.longest != 0 && out.window >= out.longest;
    if (each.mixer == layer_mixer::window && out.window == 0) text.complain("sliding_window", "is missing");
    if (each.mixer == layer_mixer::chunked && out.chunk == 0) text.complain("attention_chunk_size", "is missing");
    if (each.mixer == layer_mixer::window && is_endless) each.mixer = layer_mixer::full;
  }
  config_parts::read_experts(from, out);
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
