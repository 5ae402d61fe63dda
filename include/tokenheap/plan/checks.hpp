// What makes no sense in a model or a deployment, by the name of the field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/groups.hpp>
#include <tokenheap/kv/head_split.hpp>
#include <tokenheap/plan/deployment.hpp>
#include <tokenheap/plan/formats.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// The largest numbers that are planned with: products of them fit 128 bits.
inline constexpr std::size_t most_layers = std::size_t{1} << 16;
inline constexpr std::size_t most_ranks = std::size_t{1} << 12;
inline constexpr std::size_t most_count = std::size_t{1} << 32;
inline constexpr std::size_t most_tokens = std::size_t{1} << 40;
inline constexpr std::uint64_t most_numbers = std::uint64_t{1} << 56;

namespace detail {

struct bounds {
  std::string field;
  std::uint64_t value;
  std::uint64_t least;
  std::uint64_t most;
};

[[nodiscard]] inline std::string outside(const bounds& b) {
  if (b.value >= b.least && b.value <= b.most) return {};
  return b.field + ": " + std::to_string(b.value) + " is not within " + std::to_string(b.least) + " and " +
         std::to_string(b.most);
}

[[nodiscard]] inline std::string first_outside(std::initializer_list<bounds> all) {
  for (const bounds& b : all)
    if (std::string wrong = outside(b); !wrong.empty()) return wrong;
  return {};
}

[[nodiscard]] inline std::string in_words(const std::string& field, const failure& why) {
  std::string text = field + ": " + why.what + " " + std::to_string(why.need);
  if (why.limit != 0) text += ", limit " + std::to_string(why.limit);
  return *why.fix != '\0' ? text + "; " + why.fix : text;
}

[[nodiscard]] inline std::string bad_layers(const std::string& field, const std::vector<std::size_t>& at,
                                            std::size_t layers, bool rising) {
  for (std::size_t k = 0; k < at.size(); ++k) {
    if (at[k] >= layers) return field + ".at: layer " + std::to_string(at[k]) + " of " + std::to_string(layers);
    if (rising && k != 0 && at[k] <= at[k - 1]) return field + ".at: layers do not rise at " + std::to_string(at[k]);
  }
  return {};
}

[[nodiscard]] inline std::string bad_state(const std::string& field, const layer_group& g, std::size_t tensor) {
  std::string wrong = first_outside({{field + ".conv_numbers", g.conv_numbers, 0, most_tokens},
                                     {field + ".state_numbers", g.state_numbers, 0, most_tokens},
                                     {field + ".conv_bytes_each", g.conv_bytes_each, 0, 16},
                                     {field + ".state_bytes_each", g.state_bytes_each, 0, 16},
                                     {field + ".state_heads", g.state_heads, 0, most_count}});
  if (!wrong.empty() || g.state_heads == 0) return wrong;
  const failure why = kv::head_split{g.state_heads, tensor}.why_not();
  return why.code == errc::ok ? std::string{} : in_words("tensor: heads of states", why);
}

/// What is wrong with a group, or nothing.
[[nodiscard]] inline std::string bad_group(const std::string& field, const layer_group& g, const deployment& d,
                                           const kv_format& f) {
  if (g.kind == kv::group_kind::state) return bad_state(field, g, d.tensor);
  if (g.kind > kv::group_kind::state) return field + ".kind: no kind of group";
  std::string wrong = first_outside({{field + ".kv_heads", g.kv_heads, 1, most_count},
                                     {field + ".head_size", g.head_size, 1, most_count},
                                     {field + ".value_head_size", g.value_head_size, 0, most_count},
                                     {field + ".rope_size", g.rope_size, 0, most_count},
                                     {field + ".span", g.span, 0, most_tokens},
                                     {field + ".encoder_tokens", g.encoder_tokens, 0, most_tokens}});
  if (!wrong.empty()) return wrong;
  const bool spans = g.kind == kv::group_kind::window || g.kind == kv::group_kind::chunked;
  if (spans && g.span == 0) return field + ".span: give windows and chunks at least 1 token";
  if (g.latent && g.kv_heads != 1) return field + ".kv_heads: a latent vector is one head";
  if (f.latent_only && !g.latent) return "kv_dtype: " + std::string(f.name) + " is for latent vectors, not for " + field;
  if (const failure why = kv::head_split{g.kv_heads, d.tensor}.why_not(); !g.latent && why.code != errc::ok)
    return in_words("tensor", why);
  const failure why = layout_of(g, f, g.at.size(), d.block_tokens).why_not();
  return why.code == errc::ok ? std::string{} : in_words(field, why);
}

[[nodiscard]] inline std::string bad_deployment(const deployment& d) {
  std::string wrong = first_outside({{"device_bytes", d.device_bytes, 1, max_allocation},
                                     {"tensor", d.tensor, 1, most_ranks},
                                     {"pipeline", d.pipeline, 1, most_ranks},
                                     {"expert", d.expert, 1, most_ranks * most_ranks},
                                     {"data", d.data, 1, most_ranks},
                                     {"block_tokens", d.block_tokens, 1, kv::max_block_tokens},
                                     {"tokens", d.tokens, 0, most_tokens},
                                     {"sequences", d.sequences, 1, most_count},
                                     {"prefill_tokens", d.prefill_tokens, 1, most_count},
                                     {"graph_bytes", d.graph_bytes, 0, max_allocation / 16},
                                     {"communication_bytes", d.communication_bytes, 0, max_allocation / 16},
                                     {"context_bytes", d.context_bytes, 0, max_allocation / 16},
                                     {"lora_adapters", d.lora_adapters, 0, std::size_t{1} << 20},
                                     {"lora_rank", d.lora_rank, 1, std::size_t{1} << 16}});
  if (!wrong.empty()) return wrong;
  if (!(d.utilization > 0 && d.utilization <= 1)) return "utilization: give more than 0 and at most 1";
  if (d.tensor * d.data % d.expert != 0)
    return "expert: " + std::to_string(d.expert) + " ranks do not divide tensor * data = " +
           std::to_string(d.tensor * d.data);
  if (d.tensor % d.expert != 0 && d.expert % d.tensor != 0)
    return "expert: " + std::to_string(d.expert) + " is neither a divisor nor a multiple of tensor = " +
           std::to_string(d.tensor);
  if (!d.weight_dtype.empty() && find_format(weight_formats, d.weight_dtype) == nullptr)
    return "weight_dtype: '" + d.weight_dtype + "' is none of: " + names_of(weight_formats);
  if (!d.kv_dtype.empty() && find_format(kv_formats, d.kv_dtype) == nullptr)
    return "kv_dtype: '" + d.kv_dtype + "' is none of: " + names_of(kv_formats);
  return {};
}

[[nodiscard]] inline std::string bad_weights(const model& m, const deployment& d) {
  for (std::size_t k = 0; k < m.weights.size(); ++k) {
    const weight_part& w = m.weights[k];
    const std::string field = "weights[" + std::to_string(k) + "]";
    std::string wrong = outside({field + ".numbers", w.numbers, 0, most_numbers});
    if (wrong.empty()) wrong = bad_layers(field, w.at, m.layers, false);
    if (wrong.empty() && w.split > weight_split::head) wrong = field + ".split: no split";
    if (wrong.empty() && w.at.size() > m.layers) wrong = field + ".at: more than all layers";
    if (!wrong.empty()) return wrong;
  }
  const std::string_view own = plain_name(m.weight_dtype);
  if (find_format(weight_formats, own) == nullptr)
    return "weight_dtype: '" + m.weight_dtype + "' of the checkpoint is none of: " + names_of(weight_formats);
  const bool gguf = d.weight_dtype.empty() ? own == "gguf" : d.weight_dtype == "gguf";
  if (gguf && (own != "gguf" || m.exact_weight_bytes == 0))
    return "weight_dtype: what gguf costs only the header of a GGUF file says";
  if (gguf && d.pruned_2_4) return "pruned_2_4: not for gguf";
  return {};
}

}  // namespace detail

/// What no plan can be made with, by the name of the field; empty if there is nothing.
[[nodiscard]] inline std::string why_not(const model& m, const deployment& d) {
  std::string wrong = detail::bad_deployment(d);
  if (!wrong.empty()) return wrong;
  const std::string of = m.name.empty() ? "model" : m.name;
  wrong = detail::first_outside({{"layers", m.layers, 1, most_layers},
                                 {"hidden", m.hidden, 0, most_count},
                                 {"intermediate", m.intermediate, 0, most_count},
                                 {"vocabulary", m.vocabulary, 0, most_count},
                                 {"query_heads", m.query_heads, 0, most_count},
                                 {"head_size", m.head_size, 0, most_count},
                                 {"experts", m.experts, 0, most_count},
                                 {"longest", m.longest, 0, most_tokens},
                                 {"groups", m.groups.size(), 0, kv::max_page_groups},
                                 {"exact_weight_bytes", m.exact_weight_bytes, 0, max_allocation}});
  if (!wrong.empty()) return of + ": " + wrong;
  if (d.pipeline > m.layers)
    return "pipeline: " + std::to_string(d.pipeline) + " stages for " + std::to_string(m.layers) + " layers";
  if (d.tokens == 0 && m.longest == 0) return "tokens: the model does not say for how many it was trained; give a number";
  const kv_format& f = *find_format(kv_formats, d.kv_dtype.empty() ? "bf16" : d.kv_dtype);
  for (std::size_t k = 0; k < m.groups.size(); ++k) {
    const layer_group& g = m.groups[k];
    const std::string field = "groups[" + std::to_string(k) + "]";
    wrong = detail::bad_layers(field, g.at, m.layers, true);
    if (wrong.empty() && !g.at.empty()) wrong = detail::bad_group(field, g, d, f);
    if (!wrong.empty()) return of + ": " + wrong;
  }
  wrong = detail::bad_weights(m, d);
  return wrong.empty() ? wrong : of + ": " + wrong;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
