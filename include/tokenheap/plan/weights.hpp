// The bytes of a model's weights, once and on the devices of each stage.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/kv/head_split.hpp>
#include <tokenheap/plan/checks.hpp>
#include <tokenheap/plan/reading.hpp>
#include <tokenheap/plan/stages.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// Bytes of all weights.
struct weight_sum {
  std::uint64_t whole = 0;             ///< of the model, once
  std::vector<std::uint64_t> devices;  ///< on one device of each stage
};

/// What a device has of a part: `of / among` of its numbers.
struct share {
  std::uint64_t of = 1;
  std::uint64_t among = 1;
  friend constexpr bool operator==(const share&, const share&) = default;
};

/// The share that one device has of a part. Requires what `why_not(model, deployment)` lets through
[[nodiscard]] inline share share_of(const weight_part& w, const model& m, const deployment& d) noexcept {
  switch (w.split) {
    case weight_split::replicated: return {};
    case weight_split::expert: {
      // what is left of tensor parallelism inside a group of devices that has all experts between them
      const std::uint64_t inside = d.tensor > d.expert ? d.tensor / d.expert : 1;
      if (m.experts == 0) return {1, d.expert * inside};
      return {divide_up(m.experts, d.expert), m.experts * inside};
    }
    case weight_split::kv: {
      const layer_group* of = nullptr;
      for (const layer_group& g : m.groups) {
        if (g.kind == kv::group_kind::state || g.at.empty()) continue;
        bool here = of == nullptr;
        for (const std::size_t layer : g.at) here = here || (!w.at.empty() && layer == w.at.front());
        if (here) of = &g;
      }
      if (of == nullptr || of->latent) return {};
      return {kv::head_split{of->kv_heads, d.tensor}.heads_per_rank(), of->kv_heads};
    }
    case weight_split::tensor:
    case weight_split::embedding:
    case weight_split::head: break;
  }
  return {1, d.tensor};
}

namespace detail {

/// What each part weighs in one format; the sum is scaled by `by / over`.
struct weighing {
  weight_format quantised;
  weight_format plain;
  bool pruned = false;
};

[[nodiscard]] inline wide part_bytes(const weight_part& w, const weighing& how, wide numbers) noexcept {
  return w.quantised ? weight_bytes(numbers, how.quantised, how.pruned) : weight_bytes(numbers, how.plain);
}

[[nodiscard]] inline wide whole_bytes(const model& m, const weighing& how) noexcept {
  wide sum = 0;
  for (const weight_part& w : m.weights) sum += part_bytes(w, how, wide{w.numbers} * (w.at.empty() ? 1 : w.at.size()));
  return sum;
}

/// The stages that have a part which belongs to no layer: how many times each.
[[nodiscard]] inline std::vector<std::size_t> stages_of(const weight_part& w, const model& m, std::size_t stages) {
  if (!w.at.empty()) return count_by_stage(w.at, m.layers, stages);
  std::vector<std::size_t> counts(stages);
  const bool last = w.split == weight_split::head || w.split == weight_split::replicated;
  counts[last ? stages - 1 : 0] = 1;
  if (w.split == weight_split::embedding && m.tied) counts[stages - 1] = 1;
  return counts;
}

[[nodiscard]] inline weighing weighing_of(const model& m, std::string_view name, std::string_view own, bool pruned) noexcept {
  // gguf says its sum alone: each number weighs the same
  static constexpr weight_format even{"gguf", 8, 1, 0, true};
  const weight_format* const chosen = name == "gguf" ? &even : find_format(weight_formats, name);
  const weight_format* const kept = find_format(weight_formats, own);
  const weight_format* plain = chosen;
  if (!chosen->plain) plain = kept->plain ? kept : find_format(weight_formats, "bf16");
  return {name == own ? grouped(*chosen, m.weight_bits, m.weight_group) : *chosen, *plain, pruned};
}

}  // namespace detail

/// Weighs a model. The exact bytes of a header, where they are known, correct the sum of its parts.
///
/// What is not quantised (norms, embeddings, heads) stays in the type of the checkpoint, or in 16 bits where that is
/// none; a float for all takes them along. Parts of no layer are on the first stage, heads and norms on the last; a
/// tied embedding is on both.
///
/// Requires  why_not(m, d) to be empty
[[nodiscard]] inline reading<weight_sum> weigh(const model& m, const deployment& d) {
  const std::string_view own = plain_name(m.weight_dtype);
  const std::string_view name = d.weight_dtype.empty() ? own : plain_name(d.weight_dtype);
  const detail::weighing how = detail::weighing_of(m, name, own, d.pruned_2_4);
  const detail::weighing before = detail::weighing_of(m, own, own, false);
  reading<weight_sum> out;
  out.value.devices.resize(d.pipeline);
  const wide estimated = detail::whole_bytes(m, before), whole = detail::whole_bytes(m, how);
  if (whole > max_allocation / 2 || estimated > max_allocation / 2) {
    return out.error = "weights: the sum of all parts is too large", out;
  }
  if (estimated == 0) {
    if (m.exact_weight_bytes != 0 && name != own) {
      return out.error = "weights: their numbers are not known, so that weight_dtype has to stay", out;
    }
    out.value.whole = m.exact_weight_bytes;
    for (std::uint64_t& each : out.value.devices) each = divide_up(m.exact_weight_bytes, d.tensor * d.pipeline);
    return out;
  }
  // exact bytes of plain floats say how many numbers there are, whatever they are turned into
  const bool exact = m.exact_weight_bytes != 0 && (name == own || find_format(weight_formats, own)->plain);
  const wide by = exact ? m.exact_weight_bytes : estimated;
  std::vector<wide> sums(d.pipeline);
  for (const weight_part& w : m.weights) {
    const share s = share_of(w, m, d);
    const std::vector<std::size_t> counts = detail::stages_of(w, m, d.pipeline);
    const wide numbers = (wide{w.numbers} * s.of + s.among - 1) / s.among;
    for (std::size_t k = 0; k < d.pipeline; ++k) sums[k] += detail::part_bytes(w, how, numbers * counts[k]);
  }
  out.value.whole = static_cast<std::uint64_t>(whole * by / estimated);
  for (std::size_t k = 0; k < d.pipeline; ++k) {
    const wide scaled = sums[k] > max_allocation ? sums[k] : (sums[k] * by + estimated - 1) / estimated;
    if (scaled > max_allocation / 16) return out.error = "weights: the sum of a device is too large", out;
    out.value.devices[k] = static_cast<std::uint64_t>(scaled);
  }
  return out;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
