// What a config.json says about a model, in one form for all families: groups of layers and weights are made of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <tokenheap/plan/model.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// How a layer looks at tokens before it.
enum class layer_mixer : std::uint8_t { none, full, window, chunked, latent, cross, state };

/// What follows in the layer.
enum class layer_feed : std::uint8_t { none, dense, experts };

/// What one layer is made of.
struct config_layer {
  layer_mixer mixer = layer_mixer::full;
  layer_feed feed = layer_feed::dense;
};

/// Numbers that stand in each attention layer beside the four matrices.
struct attention_shape {
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_size = 0;
  std::size_t value_size = 0;   ///< of a head; 0: as the keys
  bool gated = false;           ///< queries are twice as wide: the other half gates what comes out
  bool q_bias = false, k_bias = false, v_bias = false, o_bias = false;
  std::size_t others = 0;       ///< norms of heads, sinks
  std::size_t q_rank = 0;       ///< latent: 0 where queries are made in one step
  std::size_t kv_rank = 0;      ///< latent: what a token keeps
  std::size_t rope_size = 0;    ///< latent: what a token keeps beside it
  std::size_t plain_size = 0;   ///< latent: of a head's keys, without the rope
};

/// Numbers that stand in each feed-forward part.
struct feed_shape {
  std::size_t intermediate = 0;
  bool gated = true;
  bool bias = false;
  std::size_t experts = 0;
  std::size_t expert_intermediate = 0;
  std::size_t shared_intermediate = 0;
  bool shared_gate = false;
  bool expert_bias = false;
  bool router_bias = false;
};

/// What a sequence keeps in each layer that has a state in the place of keys and values.
struct state_shape {
  std::size_t conv_numbers = 0;
  std::size_t state_numbers = 0;
  std::size_t heads = 0;
  std::size_t conv_bytes = 2;
  std::size_t state_bytes = 2;
};

/// How many norms there are.
struct norm_shape {
  std::size_t each = 2;    ///< in each layer
  std::size_t last = 1;    ///< behind the last
  bool bias = false;
};

/// A model between its config.json and its groups and weights.
struct config_shape {
  std::string type;
  std::vector<config_layer> layers;
  std::size_t hidden = 0;
  std::size_t vocabulary = 0;
  std::size_t longest = 0;
  std::size_t window = 0;           ///< tokens of its window layers
  std::size_t chunk = 0;            ///< tokens of its chunked layers
  bool tied = false;
  bool head_bias = false;
  attention_shape attention;
  feed_shape feed;
  state_shape state;
  norm_shape norms;
  bool crosses = false;             ///< each layer looks at the encoder as well
  bool keeps_state = false;         ///< each layer has a state beside its attention
  std::size_t encoder_tokens = 0;
  std::size_t draft_layers = 0;     ///< how many of the last layers only draft
  std::size_t keepless = 0;         ///< how many of the last layers look at what earlier ones keep
  std::vector<weight_part> extra;   ///< what only this family has
  std::vector<std::string> warnings;

  /// The layers of which `which` is true, rising.
  template <class Which>
  [[nodiscard]] std::vector<std::size_t> where(Which&& which) const {
    std::vector<std::size_t> at;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      if (which(layers[i])) at.push_back(i);
    }
    return at;
  }
  [[nodiscard]] std::vector<std::size_t> with(layer_mixer mixer) const {
    return where([&](const config_layer& l) { return l.mixer == mixer; });
  }
  [[nodiscard]] std::vector<std::size_t> with(layer_feed feed_kind) const {
    return where([&](const config_layer& l) { return l.feed == feed_kind; });
  }
};

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
