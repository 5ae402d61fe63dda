// The groups of layers of a model, by what they keep of each sequence.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <tokenheap/plan/config_shape.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

namespace config_parts {

[[nodiscard]] inline kv::group_kind kind_of(layer_mixer mixer) noexcept {
  switch (mixer) {
    case layer_mixer::window: return kv::group_kind::window;
    case layer_mixer::chunked: return kv::group_kind::chunked;
    case layer_mixer::cross: return kv::group_kind::cross;
    case layer_mixer::state: return kv::group_kind::state;
    default: return kv::group_kind::full;
  }
}

/// One group out of the layers `at`. Requires that there are any.
[[nodiscard]] inline layer_group group_of(const config_shape& of, layer_mixer mixer, std::vector<std::size_t> at) {
  const attention_shape& heads = of.attention;
  layer_group g{.name = "full", .kind = kind_of(mixer), .at = std::move(at)};
  if (mixer == layer_mixer::state) {
    g.name = "state";
    g.conv_numbers = of.state.conv_numbers;
    g.state_numbers = of.state.state_numbers;
    g.conv_bytes_each = of.state.conv_bytes;
    g.state_bytes_each = of.state.state_bytes;
    g.state_heads = of.state.heads;
    return g;
  }
  if (mixer == layer_mixer::latent) {
    g.name = "latent";
    g.kv_heads = 1;
    g.head_size = heads.kv_rank;
    g.latent = true;
    g.rope_size = heads.rope_size;
    return g;
  }
  g.kv_heads = heads.kv_heads;
  g.head_size = heads.head_size;
  g.value_head_size = heads.value_size == heads.head_size ? 0 : heads.value_size;
  if (mixer == layer_mixer::window) g.name = "window " + std::to_string(of.window), g.span = of.window;
  if (mixer == layer_mixer::chunked) g.name = "chunk " + std::to_string(of.chunk), g.span = of.chunk;
  if (mixer == layer_mixer::cross) g.name = "cross", g.encoder_tokens = of.encoder_tokens;
  return g;
}

}  // namespace config_parts

/// The groups of a model: full layers first, then what looks less far back.
[[nodiscard]] inline std::vector<layer_group> groups_of(const config_shape& of) {
  std::vector<layer_group> out;
  const std::size_t keeping = of.layers.size() - (of.keepless < of.layers.size() ? of.keepless : 0);
  for (const layer_mixer mixer : {layer_mixer::full, layer_mixer::latent, layer_mixer::window, layer_mixer::chunked,
                                  layer_mixer::cross, layer_mixer::state}) {
    std::vector<std::size_t> at = of.with(mixer);
    while (!at.empty() && at.back() >= keeping) at.pop_back();
    if (!at.empty()) out.push_back(config_parts::group_of(of, mixer, std::move(at)));
  }
  const std::vector<std::size_t> all = of.where([](const config_layer&) { return true; });
  if (of.crosses && !all.empty()) out.push_back(config_parts::group_of(of, layer_mixer::cross, all));
  if (of.keeps_state && !all.empty()) out.push_back(config_parts::group_of(of, layer_mixer::state, all));
  return out;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
