// Layers that keep a state in place of tokens: what it is made of, and what they weigh.
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

/// The most numbers of one state of one layer.
inline constexpr std::uint64_t too_large_state = std::uint64_t{1} << 40;

/// Weights in state layers: matrices that ranks divide, and the rest.
inline void add_state_weights(config_shape& out, std::uint64_t matrices, std::uint64_t others) {
  const std::vector<std::size_t> at =
      out.keeps_state ? out.where([](const config_layer&) { return true; }) : out.with(layer_mixer::state);
  out.extra.push_back({.name = "state matrices", .numbers = matrices, .split = weight_split::tensor, .at = at});
  out.extra.push_back({.name = "state others", .numbers = others, .split = weight_split::tensor, .quantised = false, .at = at});
}

/// What is kept, unless no machine could keep it.
inline void set_state(const config_reader& from, config_shape& out, std::uint64_t conv, std::uint64_t state) {
  if (conv > too_large_state || state > too_large_state) {
    from.text.complain("hidden_size", "and the sizes of states make more than 2^40 numbers in a layer");
    return;
  }
  out.state.conv_numbers = static_cast<std::size_t>(conv);
  out.state.state_numbers = static_cast<std::size_t>(state);
}

/// Mamba as Jamba has it: a state for each channel.
inline void read_mamba(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  const std::uint64_t hidden = out.hidden;
  const std::uint64_t inner = text.has("mamba_expand") || !text.has("intermediate_size") || text.has("attn_layer_period")
                                  ? hidden * text.take({"mamba_expand", "expand"}, 2, 64)
                                  : text.need({"intermediate_size"}, config_limits::width);
  const std::uint64_t states = text.take({"mamba_d_state", "state_size"}, 16, config_limits::head_size);
  const std::uint64_t kernel = text.take({"mamba_d_conv", "conv_kernel"}, 4, 1024);
  const char* rank_name = text.has("mamba_dt_rank") ? "mamba_dt_rank" : "time_step_rank";
  const std::uint64_t usual_rank = (hidden + 15) / 16;
  const std::uint64_t rank = text.is_text(rank_name)
                                 ? usual_rank
                                 : text.take({rank_name}, static_cast<std::size_t>(usual_rank), config_limits::width);
  out.state.heads = static_cast<std::size_t>(inner);
  set_state(from, out, weights_product({inner, kernel - 1}), weights_product({inner, states}));
  const bool conv_bias = text.flag("mamba_conv_bias", text.flag("use_conv_bias", true));
  const bool bias = text.flag("mamba_proj_bias", text.flag("use_bias", false));
  const bool normed = from.family.type == "jamba";
  add_state_weights(out, weights_product({3, hidden, inner}) + weights_product({inner, rank * 2 + states * 2}),
                    weights_product({inner, kernel + states + 2}) + (conv_bias ? inner : 0) +
                        (bias ? 2 * inner + hidden : 0) + (normed ? rank + 2 * states : 0));
}

/// The second Mamba: a matrix for each head.
inline void read_mamba2(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  const std::uint64_t hidden = out.hidden;
  const std::uint64_t heads = text.need({"mamba_n_heads", "mamba_num_heads", "num_heads"}, config_limits::heads);
  const std::size_t usual = text.take({"mamba_d_ssm"}, out.hidden * text.take({"mamba_expand", "expand"}, 2, 64),
                                      config_limits::width);
  const std::uint64_t size = text.is_text("mamba_d_head")
                                 ? usual / heads
                                 : text.take({"mamba_d_head", "mamba_head_dim", "head_dim"},
                                             static_cast<std::size_t>(usual / heads), config_limits::head_size);
  const std::uint64_t groups = text.take({"mamba_n_groups", "n_groups"}, 1, config_limits::heads);
  const std::uint64_t states = text.take({"mamba_d_state", "ssm_state_size", "state_size"}, 128, config_limits::head_size);
  const std::uint64_t kernel = text.take({"mamba_d_conv", "conv_kernel"}, 4, 1024);
  if (size == 0) text.complain("mamba_n_heads", "is more than there are channels");
  const std::uint64_t inner = heads * size, mixed = inner + 2 * groups * states;
  out.state.heads = static_cast<std::size_t>(heads);
  set_state(from, out, weights_product({mixed, kernel - 1}), weights_product({inner, states}));
  const bool conv_bias = text.flag("mamba_conv_bias", text.flag("use_conv_bias", true));
  const bool normed = from.family.type != "falcon_h1" || text.flag("mamba_rms_norm", false);
  add_state_weights(out, weights_product({hidden, mixed + 2 * inner + heads}),
                    weights_product({mixed, kernel}) + (conv_bias ? mixed : 0) + 3 * heads + (normed ? inner : 0));
}

/// Gated delta rule: a matrix for each head of values.
inline void read_delta(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  const std::uint64_t hidden = out.hidden;
  const std::uint64_t keys = weights_product({text.take({"linear_num_key_heads"}, 16, config_limits::heads),
                                              text.take({"linear_key_head_dim"}, 128, config_limits::head_size)});
  const std::uint64_t heads = text.take({"linear_num_value_heads"}, 32, config_limits::heads);
  const std::uint64_t size = text.take({"linear_value_head_dim"}, 128, config_limits::head_size);
  const std::uint64_t key_size = text.take({"linear_key_head_dim"}, 128, config_limits::head_size);
  const std::uint64_t kernel = text.take({"linear_conv_kernel_dim"}, 4, 1024);
  const std::uint64_t values = heads * size, mixed = 2 * keys + values;
  out.state.heads = static_cast<std::size_t>(heads);
  set_state(from, out, weights_product({mixed, kernel - 1}), weights_product({values, key_size}));
  add_state_weights(out, weights_product({hidden, mixed + values + 2 * heads}) + weights_product({hidden, values}),
                    weights_product({mixed, kernel}) + 2 * heads + size);
}

/// The delta rule with a gate for each channel, as Kimi has it.
inline void read_channel_delta(const config_reader& from, config_shape& out) {
  const config_fields text = from.text.inside("linear_attn_config");
  const std::uint64_t hidden = out.hidden, heads = text.need({"num_heads"}, config_limits::heads);
  const std::uint64_t size = text.need({"head_dim"}, config_limits::head_size);
  const std::uint64_t kernel = text.take({"short_conv_kernel_size"}, 4, 1024), wide = heads * size;
  out.state.heads = static_cast<std::size_t>(heads);
  out.state.state_bytes = 4;
  set_state(from, out, weights_product({3, wide, kernel - 1}), weights_product({wide, size}));
  // queries, keys, values and what comes out; two gates by way of one head's width; one number for each head
  add_state_weights(out, weights_product({4, hidden, wide}) + weights_product({2, size, hidden + wide}) +
                             weights_product({hidden, heads}),
                    weights_product({3, wide, kernel}) + wide + heads + size);
}

/// Linear attention without a convolution: a square for each head, kept in single precision.
inline void read_linear(const config_reader& from, config_shape& out) {
  const attention_shape& a = out.attention;
  const std::uint64_t wide = weights_product({a.heads, a.head_size});
  out.state.heads = a.heads;
  out.state.state_bytes = 4;
  set_state(from, out, 0, weights_product({wide, a.head_size}));
  add_state_weights(out, weights_product({5, out.hidden, wide}), wide);
}

/// Short convolutions alone.
inline void read_short_conv(const config_reader& from, config_shape& out) {
  const std::uint64_t hidden = out.hidden, kernel = from.text.take({"conv_L_cache"}, 3, 1024);
  out.state.heads = out.hidden;
  set_state(from, out, weights_product({hidden, kernel - 1}), 0);
  add_state_weights(out, weights_product({4, hidden, hidden}), weights_product({hidden, kernel}));
}

}  // namespace config_parts

/// What the state layers of a model keep; nothing where there are none. Requires  that the kinds of layers are known
inline void read_states(const config_reader& from, config_shape& out) {
  const config_fields& text = from.text;
  out.keeps_state = from.family.type == "falcon_h1";
  if (!out.keeps_state && out.with(layer_mixer::state).empty()) return;
  if (text.has("linear_num_value_heads") || from.family.type == "qwen3_next") config_parts::read_delta(from, out);
  else if (text.has("linear_attn_config")) config_parts::read_channel_delta(from, out);
  else if (text.has("attn_type_list")) config_parts::read_linear(from, out);
  else if (text.has("conv_L_cache")) config_parts::read_short_conv(from, out);
  else if (text.has("mamba_n_heads") || text.has("mamba_num_heads") || from.family.type == "mamba2") {
    config_parts::read_mamba2(from, out);
  } else if (text.has("mamba_d_state") || text.has("mamba_d_conv") || text.has("state_size") || from.family.type == "jamba") {
    config_parts::read_mamba(from, out);
  } else {
    text.complain("layer_types", "names layers with a state, and no field says how large it is");
  }
  const std::string whole = text.text({"torch_dtype", "dtype"}, from.top.text({"torch_dtype", "dtype"}));
  if (whole == "float32") out.state.conv_bytes = out.state.state_bytes = 4;
  if (text.text({"mamba_ssm_dtype", "mamba_ssm_cache_dtype"}) == "float32") out.state.state_bytes = 4;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
