// The weights of a model, counted part by part out of its shape.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include <tokenheap/plan/config_shape.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// More weights than any product here is let grow to.
inline constexpr std::uint64_t too_many_weights = std::uint64_t{1} << 56;

/// The product, and `too_many_weights` where it is more.
[[nodiscard]] constexpr std::uint64_t weights_product(std::initializer_list<std::uint64_t> factors) noexcept {
  std::uint64_t product = 1;
  for (const std::uint64_t f : factors) {
    if (f != 0 && product > too_many_weights / f) product = too_many_weights;
    else product *= f;
  }
  return product;
}

/// Collects parts; those of no numbers or no layers are left out.
class weight_list {
 public:
  explicit weight_list(const config_shape& of) : of_(&of) {}

  /// Weights in each of the layers `at`.
  void in(const std::vector<std::size_t>& at, const char* name, std::uint64_t numbers, weight_split split,
          bool quantised = true) {
    if (numbers == 0 || at.empty()) return;
    parts_.push_back({.name = name, .numbers = numbers, .split = split, .quantised = quantised, .at = at,
                      .heads = split == weight_split::kv ? of_->attention.kv_heads : 0});
  }
  /// Weights that are there once.
  void once(const char* name, std::uint64_t numbers, weight_split split) {
    if (numbers != 0) parts_.push_back({.name = name, .numbers = numbers, .split = split, .quantised = false, .at = {}});
  }

  /// Keys, queries, values and what they are put together with.
  void attention(const std::vector<std::size_t>& at, const std::string& name) {
    const attention_shape& a = of_->attention;
    const std::uint64_t hidden = of_->hidden, queries = weights_product({a.heads, a.head_size, a.gated ? 2u : 1u});
    const std::uint64_t values = a.value_size == 0 ? a.head_size : a.value_size;
    in(at, (name + " q").c_str(), weights_product({hidden, queries}), weight_split::tensor);
    in(at, (name + " k").c_str(), weights_product({hidden, a.kv_heads, a.head_size}), weight_split::kv);
    in(at, (name + " v").c_str(), weights_product({hidden, a.kv_heads, values}), weight_split::kv);
    in(at, (name + " o").c_str(), weights_product({hidden, a.heads, values}), weight_split::tensor);
    in(at, (name + " q bias").c_str(), a.q_bias ? queries : 0, weight_split::tensor, false);
    in(at, (name + " kv bias").c_str(),
       (a.k_bias ? a.kv_heads * a.head_size : 0) + (a.v_bias ? a.kv_heads * values : 0), weight_split::kv, false);
    in(at, (name + " o bias").c_str(), a.o_bias ? hidden : 0, weight_split::replicated, false);
  }
  /// The same by way of a latent vector.
  void latent(const std::vector<std::size_t>& at) {
    const attention_shape& a = of_->attention;
    const std::uint64_t hidden = of_->hidden, key = a.plain_size + a.rope_size;
    if (a.q_rank == 0) {
      in(at, "latent q", weights_product({hidden, a.heads, key}), weight_split::tensor);
    } else {
      in(at, "latent q_a", weights_product({hidden, a.q_rank}), weight_split::replicated);
      in(at, "latent q_b", weights_product({a.q_rank, a.heads, key}), weight_split::tensor);
    }
    in(at, "latent kv_a", weights_product({hidden, a.kv_rank + a.rope_size}), weight_split::replicated);
    in(at, "latent kv_b", weights_product({a.kv_rank, a.heads, a.plain_size + a.value_size}), weight_split::tensor);
    in(at, "latent o", weights_product({hidden, a.heads, a.value_size}), weight_split::tensor);
    in(at, "latent norms", a.q_rank + a.kv_rank, weight_split::replicated, false);
    const std::uint64_t biases = (a.q_rank == 0 ? 0 : a.q_rank) + a.kv_rank + a.rope_size + hidden;
    in(at, "latent biases", a.o_bias ? biases : 0, weight_split::replicated, false);
  }
  void dense(const std::vector<std::size_t>& at) {
    const feed_shape& f = of_->feed;
    const std::uint64_t up = f.gated ? 2 : 1;
    in(at, "mlp", weights_product({of_->hidden, f.intermediate, up + 1}), weight_split::tensor);
    in(at, "mlp bias up", f.bias ? up * f.intermediate : 0, weight_split::tensor, false);
    in(at, "mlp bias down", f.bias ? of_->hidden : 0, weight_split::replicated, false);
  }
  void experts(const std::vector<std::size_t>& at) {
    const feed_shape& f = of_->feed;
    const std::uint64_t up = f.gated ? 2 : 1;
    in(at, "experts", weights_product({f.experts, of_->hidden, f.expert_intermediate, up + 1}), weight_split::expert);
    in(at, "experts bias", f.expert_bias ? weights_product({f.experts, up * f.expert_intermediate + of_->hidden}) : 0,
       weight_split::expert, false);
    in(at, "shared expert", weights_product({of_->hidden, f.shared_intermediate, up + 1}), weight_split::tensor);
    in(at, "router", weights_product({of_->hidden, f.experts}), weight_split::replicated, false);
    in(at, "router bias", f.router_bias ? f.experts : 0, weight_split::replicated, false);
    in(at, "shared expert gate", f.shared_gate ? of_->hidden : 0, weight_split::replicated, false);
  }

  [[nodiscard]] std::vector<weight_part> take() && { return std::move(parts_); }

 private:
  const config_shape* of_;
  std::vector<weight_part> parts_;
};

/// Every weight of a model, in parts. Requires  a layer
[[nodiscard]] inline std::vector<weight_part> weights_of(const config_shape& of) {
  weight_list list(of);
  const auto all = of.where([](const config_layer&) { return true; });
  list.once("embedding", weights_product({of.hidden, of.vocabulary}), weight_split::embedding);
  list.attention(of.where([](const config_layer& l) {
    return l.mixer != layer_mixer::none && l.mixer != layer_mixer::state && l.mixer != layer_mixer::latent;
  }), "attention");
  list.in(of.where([](const config_layer& l) { return l.mixer != layer_mixer::none && l.mixer != layer_mixer::state; }),
          "attention others", of.attention.others, weight_split::replicated, false);
  list.latent(of.with(layer_mixer::latent));
  if (of.crosses) list.attention(all, "cross attention");
  list.dense(of.with(layer_feed::dense));
  list.experts(of.with(layer_feed::experts));
  const std::uint64_t norm = weights_product({of.hidden, of.norms.bias ? 2u : 1u});
  list.in(all, "norms", weights_product({norm, of.norms.each}), weight_split::replicated, false);
  list.in({of.layers.size() - 1}, "last norm", weights_product({norm, of.norms.last}), weight_split::replicated, false);
  if (!of.tied) list.once("head", weights_product({of.hidden, of.vocabulary}), weight_split::head);
  if (of.head_bias) list.once("head bias", of.vocabulary, weight_split::head);
  std::vector<weight_part> out = std::move(list).take();
  for (const weight_part& part : of.extra) {
    if (part.numbers != 0) out.push_back(part);
  }
  return out;
}

/// False if there are more than any machine could hold: then sums of them do not fit 64 bits.
[[nodiscard]] inline bool is_countable(const std::vector<weight_part>& parts) noexcept {
  std::uint64_t sum = 0;
  for (const weight_part& part : parts) {
    sum += weights_product({part.numbers, part.at.empty() ? 1 : part.at.size()});
    if (sum >= too_many_weights) return false;
  }
  return true;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
