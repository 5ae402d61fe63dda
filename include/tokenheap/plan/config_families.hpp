// What families of models have in common, and what their configs leave out because it is a matter of course.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <tokenheap/plan/config_fields.hpp>
#include <tokenheap/plan/config_shape.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// What a family has unless its config says otherwise.
struct config_family {
  enum : std::uint32_t {
    tied = 1,            ///< the head is the embedding
    plain_mlp = 2,       ///< two matrices, not three; four times as wide as the model
    layer_norm = 4,      ///< norms with a bias
    one_norm = 8,        ///< attention and MLP side by side
    four_norms = 16,
    qkv_bias = 32,
    o_bias = 64,
    mlp_bias = 128,
    head_norms = 256,    ///< queries and keys, head by head
    wide_norms = 512,    ///< queries and keys, all heads at once
    head_bias = 1024,
    windowless = 2048,   ///< windows only where `use_sliding_window` says so
    no_norms = 4096,     ///< without weights
    o_unbiased = 8192,   ///< `attention_bias` means queries, keys and values alone
    k_unbiased = 16384,
    positions = 32768,   ///< learned ones
    rough = 65536,       ///< has weights beside those that are counted here
    all_biased = qkv_bias | o_bias | mlp_bias,
  };
  std::string_view type;
  std::uint32_t traits = 0;
  std::uint32_t head_size = 0;     ///< 0: hidden / heads
  std::uint32_t every = 0;         ///< one full layer in so many, windows between; 0: no such pattern
  std::uint32_t window = 0;
  /// What configs inside configs leave out where it is like this.
  std::uint32_t hidden = 0, intermediate = 0, layers = 0, heads = 0, kv_heads = 0, vocabulary = 0;
  std::uint32_t longest = 0;

  [[nodiscard]] constexpr bool has(std::uint32_t trait) const noexcept { return (traits & trait) != 0; }
};

namespace config_parts {

using have = config_family;

inline constexpr config_family families[] = {
    {.type = "llama", .hidden = 4096, .intermediate = 11008, .layers = 32, .heads = 32, .kv_heads = 32, .vocabulary = 32000},
    {.type = "mistral", .hidden = 4096, .intermediate = 14336, .layers = 32, .heads = 32, .kv_heads = 8, .vocabulary = 32000},
    {.type = "mixtral"},
    {.type = "ministral"},
    {.type = "granite"},
    {.type = "granitemoe"},
    {.type = "granitemoeshared"},
    {.type = "granitemoehybrid"},
    {.type = "internlm2"},
    {.type = "baichuan"},
    {.type = "smollm3"},
    {.type = "qwen2", .traits = have::qkv_bias | have::windowless, .hidden = 4096, .intermediate = 22016, .layers = 32,
     .heads = 32, .kv_heads = 32, .vocabulary = 151936},
    {.type = "qwen2_moe", .traits = have::qkv_bias | have::windowless},
    {.type = "qwen3", .traits = have::head_norms | have::windowless, .head_size = 128},
    {.type = "qwen3_moe", .traits = have::head_norms | have::windowless},
    {.type = "qwen3_next", .traits = have::head_norms, .head_size = 256},
    {.type = "gemma", .traits = have::tied, .head_size = 256, .hidden = 3072, .intermediate = 24576, .layers = 28, .heads = 16,
     .kv_heads = 16, .vocabulary = 256000, .longest = 8192},
    {.type = "gemma2", .traits = have::tied | have::four_norms, .head_size = 256, .every = 2, .window = 4096, .hidden = 2304,
     .intermediate = 9216, .layers = 26, .heads = 8, .kv_heads = 4, .vocabulary = 256000, .longest = 8192},
    {.type = "gemma3_text", .traits = have::tied | have::four_norms | have::head_norms, .head_size = 256, .every = 6,
     .window = 4096, .hidden = 2304, .intermediate = 9216, .layers = 26, .heads = 8, .kv_heads = 4,
     .vocabulary = 262208, .longest = 131072},
    {.type = "gemma3n_text", .traits = have::tied | have::four_norms | have::head_norms | have::rough, .head_size = 256,
     .every = 5, .window = 512},
    {.type = "phi", .traits = have::plain_mlp | have::layer_norm | have::one_norm | have::all_biased | have::head_bias},
    {.type = "phi3"},
    {.type = "phimoe", .traits = have::layer_norm | have::head_bias},
    {.type = "deepseek_v2"},
    {.type = "deepseek_v3"},
    {.type = "deepseek_v32"},
    {.type = "kimi_k2"},
    {.type = "glm4", .traits = have::four_norms | have::o_unbiased},
    {.type = "glm4_moe", .traits = have::o_unbiased},
    {.type = "gpt_oss", .traits = have::qkv_bias | have::o_bias, .every = 2, .window = 128},
    {.type = "jamba"},
    {.type = "minimax_text_01"},
    {.type = "lfm2", .traits = have::tied | have::head_norms},
    {.type = "bamba"},
    {.type = "nemotron_h", .traits = have::plain_mlp | have::one_norm},
    {.type = "falcon_h1"},
    {.type = "mamba", .traits = have::tied | have::one_norm},
    {.type = "mamba2", .traits = have::one_norm},
    {.type = "falcon_mamba", .traits = have::tied | have::one_norm},
    {.type = "whisper", .traits = have::tied | have::plain_mlp | have::layer_norm | have::all_biased | have::k_unbiased |
                                  have::positions},
    {.type = "gpt2", .traits = have::tied | have::plain_mlp | have::layer_norm | have::all_biased | have::positions},
    {.type = "gpt_bigcode", .traits = have::tied | have::plain_mlp | have::layer_norm | have::all_biased | have::positions},
    {.type = "gpt_neox", .traits = have::plain_mlp | have::layer_norm | have::all_biased},
    {.type = "gptj", .traits = have::plain_mlp | have::layer_norm | have::one_norm | have::mlp_bias | have::head_bias},
    {.type = "opt", .traits = have::tied | have::plain_mlp | have::layer_norm | have::all_biased},
    {.type = "bloom", .traits = have::tied | have::plain_mlp | have::layer_norm | have::all_biased},
    {.type = "dbrx"},
    {.type = "kimi_linear"},
    {.type = "mpt", .traits = have::tied | have::plain_mlp},
    {.type = "falcon", .traits = have::tied | have::plain_mlp | have::layer_norm, .longest = 2048},
    {.type = "starcoder2", .traits = have::tied | have::plain_mlp | have::layer_norm | have::all_biased},
    {.type = "stablelm", .traits = have::layer_norm},
    {.type = "cohere", .traits = have::tied | have::one_norm},
    {.type = "cohere2", .traits = have::tied | have::one_norm, .every = 4, .window = 4096},
    {.type = "olmo", .traits = have::no_norms},
    {.type = "olmo2", .traits = have::wide_norms},
    {.type = "olmo3", .traits = have::wide_norms, .every = 4, .window = 4096},
    {.type = "olmoe", .traits = have::wide_norms},
    {.type = "chatglm", .traits = have::o_unbiased},
    {.type = "llama4_text", .head_size = 128},
    {.type = "mllama_text_model"},
};

/// Another name of a family.
struct same_family {
  std::string_view type, as;
};

inline constexpr same_family aliases[] = {
    {"gemma3", "gemma3_text"},      {"RefinedWeb", "falcon"},       {"RefinedWebModel", "falcon"}, {"llama4", "llama4_text"},
    {"mllama", "mllama_text_model"}, {"qwen2_vl", "qwen2"},         {"qwen2_vl_text", "qwen2"},    {"qwen2_5_vl", "qwen2"},
    {"qwen2_5_vl_text", "qwen2"},   {"qwen3_vl_text", "qwen3"},     {"qwen3_vl_moe_text", "qwen3_moe"},
    {"kimi_k25", "kimi_k2"},        {"internlm3", "llama"},         {"yi", "llama"},               {"codegen", "gptj"},
    {"ministral3", "ministral"},    {"mistral3", "mistral"},       {"phi4mm", "phi3"},
    {"qwen3_5_text", "qwen3_next"}, {"qwen3_5_moe_text", "qwen3_next"}, {"minimax_m1", "minimax_text_01"},
    {"gemma3n", "gemma3n_text"},    {"minimax", "minimax_text_01"},
};

}  // namespace config_parts

/// The family of a `model_type`, or null.
[[nodiscard]] inline const config_family* find_family(std::string_view type) noexcept {
  for (const config_parts::same_family& each : config_parts::aliases) {
    if (each.type == type) type = each.as;
  }
  for (const config_family& each : config_parts::families) {
    if (each.type == type) return &each;
  }
  return nullptr;
}

/// Reads a config field by field into a shape.
struct config_reader {
  const config_fields& top;
  const config_fields& text;   ///< those of the language model: the same, or inside of it
  config_family family;        ///< that of Llama where it is not known
  bool nested = false;
  bool known = true;

  /// A flag of the language model, or of the whole.
  [[nodiscard]] bool flag(const char* name, bool otherwise) const {
    return text.has(name) ? text.flag(name, otherwise) : top.flag(name, otherwise);
  }
  /// True for models without any attention.
  [[nodiscard]] bool is_stateful() const noexcept {
    return family.type == "mamba" || family.type == "mamba2" || family.type == "falcon_mamba";
  }
  /// A field that must be there, unless the family has a default and the config is inside of another.
  [[nodiscard]] std::size_t need(config_fields::names any, std::size_t usual, std::size_t most) const {
    return nested && known && usual != 0 ? text.take(any, usual, most) : text.need(any, most);
  }
};

namespace config_parts {

inline void read_heads(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  attention_shape& a = out.attention;
  a.heads = text.has("decoder_attention_heads")
                ? text.need({"decoder_attention_heads"}, config_limits::heads)
                : from.need({"num_attention_heads", "n_head", "n_heads", "num_heads"}, from.family.heads, config_limits::heads);
  const config_fields inner = text.inside("attn_config");
  const bool multi = from.family.type != "chatglm" || text.flag("multi_query_attention", false);
  const std::size_t usual = from.nested && from.known && from.family.kv_heads != 0 ? from.family.kv_heads : a.heads;
  a.kv_heads = inner.has("kv_n_heads") ? inner.need({"kv_n_heads"}, config_limits::heads)
               : multi ? text.take({"num_key_value_heads", "num_kv_heads", "n_head_kv", "multi_query_group_num",
                                    "num_query_groups"}, usual, config_limits::heads)
                       : a.heads;
  if (a.kv_heads > a.heads) {
    text.complain("num_key_value_heads", "is " + std::to_string(a.kv_heads) + ", more than the " +
                                             std::to_string(a.heads) + " heads of queries");
  }
  a.head_size = text.take({"head_dim", "attention_head_dim", "kv_channels", "d_kv"}, 0, config_limits::head_size);
  if (a.head_size != 0 || text.has("kv_lora_rank")) return;
  a.head_size = from.family.head_size;
  // the two large ones of these families have narrower heads
  if (from.family.type == "gemma3_text" && out.hidden == 5376) a.head_size = 128;
  if (from.family.type == "gemma2" && out.hidden == 4608) a.head_size = 128;
  if (a.head_size != 0) return;
  if (out.hidden % a.heads != 0) {
    text.complain("head_dim", "is missing, and hidden_size " + std::to_string(out.hidden) + " is no multiple of the " +
                                  std::to_string(a.heads) + " heads");
  }
  a.head_size = std::max<std::size_t>(out.hidden / a.heads, 1);
  if (a.head_size > config_limits::head_size) text.complain("num_attention_heads", "is too small for hidden_size");
}

inline void read_latent(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  attention_shape& a = out.attention;
  if (!text.has("kv_lora_rank")) return;
  a.kv_rank = text.need({"kv_lora_rank"}, config_limits::head_size);
  a.rope_size = text.need({"qk_rope_head_dim"}, config_limits::head_size);
  a.plain_size = text.need({"qk_nope_head_dim"}, config_limits::head_size);
  a.value_size = text.need({"v_head_dim"}, config_limits::head_size);
  a.q_rank = text.take({"q_lora_rank"}, 0, config_limits::head_size);
  a.head_size = a.plain_size + a.rope_size;
  a.kv_heads = 1;
}

inline void read_biases(const config_reader& from, config_shape& out) {
  const config_family& is = from.family;
  attention_shape& a = out.attention;
  const bool all = from.text.flag("use_bias", from.text.flag("bias", false));
  bool qkv = is.has(config_family::qkv_bias) || all, o = is.has(config_family::o_bias) || all;
  for (const char* name : {"add_qkv_bias", "qkv_bias", "use_qkv_bias"}) qkv = from.text.flag(name, qkv);
  if (from.text.has("attention_bias")) {
    qkv = from.text.flag("attention_bias", false);
    o = qkv && !is.has(config_family::o_unbiased);
  }
  a.q_bias = a.k_bias = a.v_bias = qkv;
  if (is.has(config_family::k_unbiased)) a.k_bias = false;
  a.o_bias = o;
  out.feed.bias = from.text.flag("mlp_bias", is.has(config_family::mlp_bias) || all);
  const bool normed = is.type == "glm4_moe" && from.text.flag("use_qk_norm", false);
  if (is.has(config_family::head_norms) || normed) a.others = 2 * a.head_size;
  if (is.has(config_family::wide_norms)) a.others = (a.heads + a.kv_heads) * a.head_size;
}

inline void read_width(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  const config_family& is = from.family;
  // four times as wide is a matter of course for some
  const config_fields::names names{"intermediate_size", "decoder_ffn_dim", "n_inner", "ffn_dim", "ffn_hidden_size", "d_ff",
                                   "block_ff_dim"};
  const bool usual = is.has(config_family::plain_mlp) || !from.known;
  if (text.has("ffn_config")) {
    out.feed.intermediate = text.inside("ffn_config").take({"ffn_hidden_size"}, 4 * out.hidden, config_limits::width);
  } else if (text.is_list("intermediate_size") && (!from.known || is.has(config_family::rough))) {
    for (const std::size_t each : text.numbers("intermediate_size", 1, config_limits::width)) {
      out.feed.intermediate = std::max(out.feed.intermediate, each);
    }
    out.warnings.push_back("intermediate_size is a list: the largest is taken for all layers");
  } else {
    out.feed.intermediate = usual ? text.take(names, 4 * out.hidden, config_limits::width)
                                  : from.need(names, is.intermediate, config_limits::width);
  }
}

}  // namespace config_parts

/// The sizes that all families have, under whichever names.
inline void read_common(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  const config_family& is = from.family;
  out.hidden = from.need({"hidden_size", "n_embd", "d_model"}, is.hidden, config_limits::width);
  // an encoder's layers go by the plain name where a decoder has a name of its own
  const bool two = text.has("decoder_layers") || text.has("num_decoder_layers");
  out.layers.resize(two ? text.need({"decoder_layers", "num_decoder_layers"}, config_limits::layers)
                        : from.need({"num_hidden_layers", "n_layer", "n_layers", "num_layers"}, is.layers,
                                    config_limits::layers));
  out.vocabulary = text.has("padded_vocab_size") ? text.need({"padded_vocab_size"}, config_limits::words)
                                                 : from.need({"vocab_size"}, is.vocabulary, config_limits::words);
  out.longest = text.count({"max_position_embeddings", "max_target_positions", "n_positions", "max_sequence_length",
                            "max_seq_len", "seq_length", "n_ctx", "model_max_length"}, is.longest, config_limits::tokens);
  if (!from.is_stateful()) {
    config_parts::read_heads(from, out);
    config_parts::read_latent(from, out);
    config_parts::read_biases(from, out);
    config_parts::read_width(from, out);
  }
  out.feed.gated = !is.has(config_family::plain_mlp);
  out.norms = {.each = 2, .last = 1, .bias = is.has(config_family::layer_norm)};
  if (is.has(config_family::one_norm)) out.norms.each = 1;
  if (is.has(config_family::four_norms)) out.norms.each = 4;
  if (is.has(config_family::no_norms)) out.norms = {.each = 0, .last = 0, .bias = false};
  out.tied = from.flag("tie_word_embeddings", is.has(config_family::tied));
  if (is.has(config_family::rough)) out.warnings.push_back("this family has more weights than are counted here");
  out.head_bias = is.has(config_family::head_bias);
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
