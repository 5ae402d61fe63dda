// What a device needs beside weights and caches: activations, logits, adapters, reserves.
#pragma once

#include <cstddef>

#include <tokenheap/plan/deployment.hpp>
#include <tokenheap/plan/formats.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// Bytes of one number of an activation or an adapter, and of a logit.
inline constexpr std::size_t activation_number = 2;
inline constexpr std::size_t logit_number = 4;

/// Numbers of the widest KV group for keys alone; what a projection writes for a token.
[[nodiscard]] inline wide key_numbers(const model& m) noexcept {
  wide most = 0;
  for (const layer_group& g : m.groups) {
    const wide numbers = wide{g.kv_heads} * (g.head_size + g.rope_size);
    if (g.kind != kv::group_kind::state && numbers > most) most = numbers;
  }
  return most;
}

/// The peak of one step, estimated; engines measure it.
///
/// For each token of a prefill step, twice the hidden state (the residual and its norm), and the wider one of what a
/// device holds inside a layer: queries, keys, values and the attention's output; or gate, up and their product. On the
/// last stage, where that is more, a float32 logit for each sequence and entry of the vocabulary, gathered from all ranks.
[[nodiscard]] inline wide activation_bytes(const model& m, const deployment& d, std::size_t stage,
                                           std::size_t sequences) noexcept {
  const wide queries = wide{m.query_heads} * m.head_size;
  const wide attention = (2 * queries + 2 * key_numbers(m)) / d.tensor, inner = wide{3} * m.intermediate / d.tensor;
  const wide numbers = wide{2} * m.hidden + (attention > inner ? attention : inner);
  const wide layer = numbers * d.prefill_tokens * activation_number;
  const wide logits = stage + 1 == d.pipeline ? wide{sequences} * m.vocabulary * logit_number : 0;
  return layer > logits ? layer : logits;
}

/// Adapters that are resident: a pair of thin matrices for each projection of attention and of a dense layer.
///
/// Each pair has rank * (in + out) numbers; the side that tensor parallelism cuts is divided, the other one is whole.
/// Experts have no adapters.
[[nodiscard]] inline wide lora_bytes(const model& m, const deployment& d, std::size_t layers) noexcept {
  if (d.lora_adapters == 0) return 0;
  const wide queries = wide{m.query_heads} * m.head_size, keys = key_numbers(m), hidden = m.hidden;
  const auto cut = [&](wide n) { return (n + d.tensor - 1) / d.tensor; };
  wide numbers = 2 * (hidden + cut(queries)) + 2 * (hidden + cut(keys));      // query, output; key, value
  if (m.experts == 0) numbers += 3 * (hidden + cut(m.intermediate));          // gate, up, down
  return numbers * layers * d.lora_rank * d.lora_adapters * activation_number;
}

/// Graphs, the driver, and the buffers of communication where a copy has several devices.
[[nodiscard]] constexpr std::size_t reserve_bytes(const deployment& d) noexcept {
  const bool alone = d.tensor * d.pipeline == 1 && d.expert == 1;
  return d.graph_bytes + d.context_bytes + (alone ? 0 : d.communication_bytes);
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
