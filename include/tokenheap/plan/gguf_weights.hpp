// The tensors of a GGUF file as parts of a model: what belongs together, in which layers, and how it is spread over ranks.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <tokenheap/plan/gguf.hpp>
#include <tokenheap/plan/model.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// The name of a tensor, taken apart: "blk.3.attn_q.weight" is `attn_q` of layer 3.
struct gguf_tensor_name {
  std::string_view part;
  std::size_t layer = 0;  ///< of an encoder: no layer that there is
  bool in_layer = false;
  bool bias = false;
};

[[nodiscard]] inline gguf_tensor_name take_apart(std::string_view name) noexcept {
  gguf_tensor_name out{.part = name};
  for (const std::string_view start : {std::string_view("blk."), std::string_view("dec.blk."), std::string_view("enc.blk.")}) {
    if (!name.starts_with(start)) continue;
    const char* const first = name.data() + start.size();
    const char* const last = name.data() + name.size();
    const auto [end, wrong] = std::from_chars(first, last, out.layer);
    if (wrong == std::errc() && end != last && *end == '.') {
      out.part = std::string_view(end + 1, static_cast<std::size_t>(last - end) - 1);
      out.in_layer = true;
    }
  }
  if (out.in_layer && name.starts_with("enc.")) out.layer = ~std::size_t{0};
  if (out.part.ends_with(".weight")) out.part.remove_suffix(7);
  if (out.part.ends_with(".bias")) out.part.remove_suffix(5), out.bias = true;
  return out;
}

/// How a tensor is spread over ranks, by its name.
[[nodiscard]] inline weight_split split_of(const gguf_tensor_name& name) noexcept {
  const std::string_view p = name.part;
  const auto is = [p](std::initializer_list<std::string_view> any) {
    for (const std::string_view one : any) {
      if (p == one) return true;
    }
    return false;
  };
  if (!name.in_layer) {
    if (is({"token_embd", "per_layer_token_embd"})) return weight_split::embedding;
    return is({"output", "cls"}) ? weight_split::head : weight_split::replicated;
  }
  // a number behind the name is an expert's, in files from before experts stood together
  const bool numbered = !p.empty() && p.back() >= '0' && p.back() <= '9' && p.find('.') != std::string_view::npos;
  if (p.ends_with("_exps") || (p.starts_with("ffn_") && numbered)) return weight_split::expert;
  if (is({"attn_k", "attn_v"})) return weight_split::kv;
  if (p.ends_with("norm") || p.ends_with("norm_2") || p.starts_with("ffn_gate_inp") || p.starts_with("exp_probs")) {
    return weight_split::replicated;
  }
  // what makes the latent vector of keys and values is whole on each rank, and so is a bias behind a divided product
  if (is({"attn_kv_a_mqa", "attn_q_a", "attn_rot_embd", "rope_freqs"})) return weight_split::replicated;
  if (name.bias && is({"attn_output", "ffn_down"})) return weight_split::replicated;
  return weight_split::tensor;
}

/// The parts of a model of `layers` layers. `kv_heads` has one number for each of them.
///
/// Tensors of layers that the model does not have, and of none, are counted once.
[[nodiscard]] inline std::vector<weight_part> weights_of(const gguf& from, std::size_t layers,
                                                         const std::vector<std::uint64_t>& kv_heads) {
  std::vector<weight_part> out;
  std::map<std::string, std::size_t, std::less<>> places;
  for (const gguf_tensor& tensor : from.tensors) {
    if (tensor.numbers == 0) continue;
    const gguf_tensor_name name = take_apart(tensor.name);
    const bool placed = name.in_layer && name.layer < layers;
    weight_part part{.name = std::string(name.part), .numbers = tensor.numbers, .split = split_of(name),
                     .quantised = tensor.type->quantised(), .at = {}};
    if (name.bias) part.name += " bias";
    if (part.split == weight_split::kv && placed) part.heads = static_cast<std::size_t>(kv_heads[name.layer]);
    // layers whose part has another size or type, or as many heads, are a part of their own
    const std::string key = part.name + '\0' + std::to_string(part.numbers) + (part.quantised ? "q" : "p") +
                            (placed ? "l" : "o") + std::to_string(part.heads);
    const auto [place, fresh] = places.try_emplace(key, out.size());
    if (fresh) out.push_back(std::move(part));
    else if (!placed) out[place->second].numbers += tensor.numbers;
    if (placed) out[place->second].at.push_back(name.layer);
  }
  return out;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
