// The answer to a question, from a model that lies on its devices.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include <tokenheap/plan/fitting.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {
namespace detail {

/// What the caches of a sequence cost on one device.
struct sequence_cost {
  wide token = 0;       ///< all layers, one token
  wide growing = 0;     ///< of it, in groups that keep all tokens
  wide sequence = 0;    ///< whole blocks, without states
  wide unwindowed = 0;
  wide state = 0;
  wide exact = 0;       ///< numbers and scales of the tokens that are kept
  wide block = 0;       ///< of the groups that count
  double lost = 0;      ///< expected, in part-filled blocks and in padding
};

[[nodiscard]] inline std::size_t kept_tokens(const device_group& g, std::size_t tokens) noexcept {
  switch (g.rule.kind) {
    case kv::group_kind::full: return tokens;
    case kv::group_kind::window:
    case kv::group_kind::chunked: return std::min(tokens, g.rule.span);
    case kv::group_kind::cross: return g.encoder_tokens;
    case kv::group_kind::state: break;
  }
  return 0;
}

[[nodiscard]] inline sequence_cost cost_of(const fitting& f, std::size_t stage) {
  sequence_cost c;
  const std::size_t tokens = f.with().tokens, each = f.with().block_tokens;
  for (const device_group& g : f.groups(stage)) {
    if (f.counts(g)) c.block += g.block_bytes;
    const wide held = wide{settled_blocks(g, tokens)} * g.block_bytes;
    if (g.rule.kind == kv::group_kind::state) {
      c.state += held;
      continue;
    }
    const bool once = g.rule.kind == kv::group_kind::cross;
    if (!once) c.token += g.token_bytes;
    if (g.rule.kind == kv::group_kind::full) c.growing += g.token_bytes;
    c.sequence += held;
    c.unwindowed += once ? held : wide{divide_up(tokens, each)} * g.block_bytes;
    const std::size_t kept = kept_tokens(g, tokens);
    c.exact += wide{kept} * g.token_bytes;
    // a sequence ends anywhere in its last block; an encoder's length is known
    const std::size_t blocks = divide_up(kept, each);
    const double open = once ? static_cast<double>(blocks * each - kept) : static_cast<double>(each - 1) / 2;
    const double padding = static_cast<double>(g.block_bytes - each * g.token_bytes);
    c.lost += open * static_cast<double>(g.token_bytes) + padding * static_cast<double>(blocks);
  }
  return c;
}

/// Adds a number to a figure of the answer; false if it does not fit.
[[nodiscard]] inline bool add_to(std::size_t& figure, wide n) noexcept {
  const wide sum = n + figure;
  figure = static_cast<std::size_t>(sum);
  return sum <= max_allocation;
}

[[nodiscard]] inline bool add_costs(const fitting& f, answer& a) {
  bool good = true;
  double exact = 0, lost = 0;
  const std::size_t ranks = f.with().tensor;
  for (std::size_t stage = 0; stage < f.with().pipeline; ++stage) {
    const sequence_cost c = cost_of(f, stage);
    if (c.token > max_allocation || c.sequence > max_allocation || c.unwindowed > max_allocation) return false;
    good = good && add_to(a.kv_bytes_per_token, c.token * ranks);
    good = good && add_to(a.kv_bytes_per_token_past_windows, c.growing * ranks);
    good = good && add_to(a.kv_bytes_per_sequence, c.sequence * ranks);
    good = good && add_to(a.kv_bytes_per_sequence_unwindowed, c.unwindowed * ranks);
    good = good && add_to(a.state_bytes_per_sequence, c.state * ranks);
    const auto fullest = [](std::size_t& of, wide n) { of = std::max(of, static_cast<std::size_t>(n)); };
    fullest(a.kv_bytes_per_token_per_device, c.token);
    fullest(a.kv_bytes_per_sequence_per_device, c.sequence);
    fullest(a.block_bytes, c.block);
    exact += static_cast<double>(c.exact);
    lost += c.lost;
  }
  a.waste_percent = exact + lost > 0 ? 100 * lost / (exact + lost) : 0;
  return good;
}

[[nodiscard]] inline std::vector<group_need> group_needs(const fitting& f) {
  std::vector<group_need> needs;
  for (std::size_t k = 0; k < f.of().groups.size(); ++k) {
    const device_group* most = nullptr;
    for (std::size_t stage = 0; stage < f.with().pipeline; ++stage)
      for (const device_group& g : f.groups(stage))
        if (g.group == k && (most == nullptr || g.layers > most->layers)) most = &g;
    if (most == nullptr) continue;
    group_need n{.name = f.of().groups[k].name, .kind = most->rule.kind, .layers = most->layers};
    n.block_bytes = most->block_bytes;
    n.token_bytes = most->token_bytes;
    n.blocks_per_sequence = settled_blocks(*most, f.with().tokens);
    n.peak_blocks = peak_blocks(*most, f.with().tokens);
    n.sequence_bytes = n.blocks_per_sequence * n.block_bytes;
    needs.push_back(n);
  }
  return needs;
}

inline void warn(const fitting& f, answer& a) {
  const model& m = f.of();
  const deployment& d = f.with();
  a.warnings = m.warnings;
  const auto say = [&](std::string text) { a.warnings.push_back(std::move(text)); };
  if (m.longest != 0 && d.tokens > m.longest)
    say("tokens: the model was trained for " + std::to_string(m.longest) + ", not for " + std::to_string(d.tokens));
  for (const layer_group& g : m.groups) {
    if (g.kind == kv::group_kind::state || g.at.empty()) continue;
    if (g.latent && d.tensor > 1) {
      say("tensor: each of " + std::to_string(d.tensor) +
          " ranks keeps the whole latent vector; data parallelism divides sequences instead");
    } else if (d.tensor > g.kv_heads) {
      say("tensor: " + std::to_string(d.tensor) + " ranks share " + std::to_string(g.kv_heads) + " KV heads of group '" +
          g.name + "', so that each is kept " + std::to_string(kv::head_split{g.kv_heads, d.tensor}.copies()) + " times");
    }
  }
  std::string assumed;
  if (d.graph_bytes == assumed_graph_bytes) assumed += " graph_bytes";
  if (d.context_bytes == assumed_context_bytes) assumed += " context_bytes";
  if (reserve_bytes(d) != d.graph_bytes + d.context_bytes && d.communication_bytes == assumed_communication_bytes)
    assumed += " communication_bytes";
  if (!assumed.empty()) say("assumed, not measured: activations" + assumed);
}

}  // namespace detail

/// All figures of the answer but the advice.
///
/// Fails     a sum that cannot be counted, by its field
/// Cost      two binary searches over questions to `f`
[[nodiscard]] inline reading<answer> figures_of(const fitting& f) {
  reading<answer> out;
  answer& a = out.value;
  const deployment& d = f.with();
  a.weight_dtype = plain_name(d.weight_dtype.empty() ? f.of().weight_dtype : d.weight_dtype);
  a.kv_dtype = plain_name(d.kv_dtype.empty() ? std::string("bf16") : d.kv_dtype);
  a.tokens = d.tokens;
  a.devices_in_all = d.tensor * d.pipeline * d.data;
  a.block_tokens = d.block_tokens;
  if (!detail::add_costs(f, a)) return out.error = "tokens: the caches of one sequence are too large to count", out;
  a.weights_bytes = f.weights().whole;
  a.blocks = ~std::size_t{0};
  for (std::size_t stage = 0; stage < d.pipeline; ++stage) {
    device_need n = f.device(stage, d.sequences);
    n.kv_slack = f.slack(stage);
    a.weights_bytes_per_device = std::max(a.weights_bytes_per_device, f.weights().devices[stage]);
    a.blocks = std::min(a.blocks, f.blocks(stage));
    a.devices.push_back(n);
  }
  if (a.blocks == ~std::size_t{0}) a.blocks = 0;
  a.groups = detail::group_needs(f);
  a.max_sequences = f.max_sequences();
  a.max_tokens = f.max_tokens();
  a.fits = f.fits(d.sequences, d.tokens);
  detail::warn(f, a);
  return out;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
