// What a sequence costs in each group of layers, on the devices of each stage.
#pragma once

#include <cstddef>
#include <vector>

#include <tokenheap/kv/groups.hpp>
#include <tokenheap/kv/head_split.hpp>
#include <tokenheap/plan/checks.hpp>
#include <tokenheap/plan/reading.hpp>
#include <tokenheap/plan/stages.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// A group of layers on one device: the rule by which its blocks come and go, and what each of them costs.
struct device_group {
  std::size_t group = 0;          ///< which one of the model
  std::size_t layers = 0;         ///< of it on this device
  kv::group_rule rule{};
  std::size_t encoder_tokens = 0;
  std::size_t block_bytes = 0;    ///< of all its layers here; of states: of one sequence
  std::size_t token_bytes = 0;    ///< without padding; 0 for states
};

/// The bytes of a number of sequences' states on one rank, in one layer.
[[nodiscard]] inline wide state_bytes(const layer_group& g, std::size_t tensor) noexcept {
  const std::size_t heads = g.state_heads == 0 ? 1 : g.state_heads;
  const std::size_t here = g.state_heads == 0 ? 1 : kv::head_split{heads, tensor}.heads_per_rank();
  const auto part = [&](std::size_t numbers, std::size_t each) {
    return (wide{numbers} * here + heads - 1) / heads * each;
  };
  return part(g.conv_numbers, g.conv_bytes_each) + part(g.state_numbers, g.state_bytes_each);
}

/// The groups on a device of each stage; a stage without layers of a group does not have it.
///
/// Requires  why_not(m, d) to be empty
/// Fails     a block that is too large to count, by its group
[[nodiscard]] inline reading<std::vector<std::vector<device_group>>> groups_of_stages(const model& m,
                                                                                      const deployment& d) {
  reading<std::vector<std::vector<device_group>>> out;
  out.value.resize(d.pipeline);
  const kv_format& f = *find_format(kv_formats, d.kv_dtype.empty() ? "bf16" : d.kv_dtype);
  for (std::size_t k = 0; k < m.groups.size(); ++k) {
    const layer_group& g = m.groups[k];
    const std::vector<std::size_t> counts = count_by_stage(g.at, m.layers, d.pipeline);
    for (std::size_t stage = 0; stage < d.pipeline; ++stage) {
      if (counts[stage] == 0) continue;
      device_group here{.group = k, .layers = counts[stage], .encoder_tokens = g.encoder_tokens};
      here.rule = {.name = g.name.c_str(), .kind = g.kind, .block_tokens = d.block_tokens, .span = g.span};
      if (g.kind == kv::group_kind::state) {
        here.rule.span = 0;
        const wide bytes = state_bytes(g, d.tensor) * counts[stage];
        if (bytes > max_allocation) return out.error = "groups[" + std::to_string(k) + "]: states are too large", out;
        here.block_bytes = static_cast<std::size_t>(bytes);
        if (bytes == 0) continue;
      } else {
        const kv::layout l = kv::layout_of_rank(layout_of(g, f, counts[stage], d.block_tokens), d.tensor);
        here.block_bytes = l.block_bytes();
        here.token_bytes = l.token_bytes();
      }
      out.value[stage].push_back(here);
    }
  }
  return out;
}

/// The blocks that a sequence holds once all of its `tokens` are settled.
[[nodiscard]] constexpr std::size_t settled_blocks(const device_group& g, std::size_t tokens) noexcept {
  const kv::block_range r = kv::needed_blocks(g.rule, tokens, tokens, g.encoder_tokens);
  return r.end - r.first + (g.rule.kind == kv::group_kind::state ? g.rule.fixed : 0);
}

/// The most that it holds on the way there while it grows token by token: a window begins and ends inside a block.
[[nodiscard]] constexpr std::size_t peak_blocks(const device_group& g, std::size_t tokens) noexcept {
  const std::size_t all = divide_up(tokens, g.rule.block_tokens);
  std::size_t most = all;
  switch (g.rule.kind) {
    case kv::group_kind::full: return all;
    case kv::group_kind::window: most = kv::most_window_blocks(g.rule.span, 1, tokens, g.rule.block_tokens); break;
    case kv::group_kind::chunked:
      most = divide_up(g.rule.span, g.rule.block_tokens) + (g.rule.span % g.rule.block_tokens != 0 ? 1 : 0);
      break;
    case kv::group_kind::cross:
    case kv::group_kind::state: return settled_blocks(g, tokens);
  }
  return most < all ? most : all;
}

/// The blocks of a group that `sequences` of so many tokens need at the worst moment.
///
/// Each has its own peak; and a step adds up to `step` tokens before the windows of that step's sequences are let go of,
/// which is counted once for all of them.
[[nodiscard]] inline std::size_t blocks_at_once(const device_group& g, std::size_t sequences, std::size_t tokens,
                                                std::size_t step) noexcept {
  wide most = wide{sequences} * peak_blocks(g, tokens);
  if (g.rule.kind == kv::group_kind::window || g.rule.kind == kv::group_kind::chunked) {
    const wide all = wide{sequences} * divide_up(tokens, g.rule.block_tokens);
    most += divide_up(step, g.rule.block_tokens);
    most = most < all ? most : all;
  }
  return most < max_allocation ? static_cast<std::size_t>(most) : max_allocation;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
