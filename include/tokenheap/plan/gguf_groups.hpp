// The groups of layers of a GGUF model, by what they keep of each sequence.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tokenheap/plan/gguf_fields.hpp>
#include <tokenheap/plan/gguf_windows.hpp>
#include <tokenheap/plan/model.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// Collects layers into groups out of the metadata. Errors stay in the fields.
class gguf_groups {
 public:
  /// Requires  that the fields outlive this; `hidden` of at least 1
  gguf_groups(gguf_fields& fields, std::string_view architecture, std::size_t layers, std::size_t hidden)
      : fields_(fields), architecture_(architecture), layers_(layers), hidden_(hidden) {
    heads_ = fields_.each("attention.head_count", layers, 0, gguf_limits::heads);
    const std::uint64_t most = heads_.empty() ? 0 : *std::max_element(heads_.begin(), heads_.end());
    query_heads_ = static_cast<std::size_t>(most);
    // a file without it has as many as queries have
    kv_heads_ = fields_.has("attention.head_count_kv")
                    ? fields_.each("attention.head_count_kv", layers, 0, gguf_limits::heads)
                    : heads_;
    const std::uint64_t size = most == 0 ? 0 : hidden / most;
    key_ = fields_.number("attention.key_length", size, gguf_limits::head_size);
    value_ = fields_.number("attention.value_length", size, gguf_limits::head_size);
    rank_ = fields_.number("attention.kv_lora_rank", 0, gguf_limits::head_size);
  }

  [[nodiscard]] std::size_t query_heads() const noexcept { return query_heads_; }
  [[nodiscard]] std::size_t head_size() const noexcept { return static_cast<std::size_t>(key_); }
  [[nodiscard]] const std::vector<std::uint64_t>& kv_heads() const noexcept { return kv_heads_; }

  /// All groups. What had to be guessed becomes a warning.
  [[nodiscard]] std::vector<layer_group> take(std::vector<std::string>& warnings) {
    if (fields_.number("attention.causal", 1, 1) == 0) {
      warnings.push_back("an encoder: it keeps no keys and values between steps");
      return {};
    }
    states(warnings);
    attention(warnings);
    if (architecture_ == "t5") cross();
    if (groups_.empty()) fields_.refuse("attention.head_count", "is missing or 0, and there are no states either");
    const auto by_kind = [](const layer_group& a, const layer_group& b) { return a.kind < b.kind; };
    std::stable_sort(groups_.begin(), groups_.end(), by_kind);
    return std::move(groups_);
  }

 private:
  [[nodiscard]] static bool alike(const layer_group& a, const layer_group& b) noexcept {
    return a.kind == b.kind && a.kv_heads == b.kv_heads && a.head_size == b.head_size && a.latent == b.latent &&
           a.value_head_size == b.value_head_size && a.span == b.span && a.rope_size == b.rope_size;
  }
  /// Puts a layer into the group that keeps the same, or into a new one.
  void add(layer_group like, std::size_t layer) {
    bool taken = false;
    for (layer_group& g : groups_) {
      if (alike(g, like)) return g.at.push_back(layer);
      taken = taken || g.name == like.name;
    }
    if (taken) like.name += ", " + std::to_string(like.kv_heads) + " heads of " + std::to_string(like.head_size);
    like.at.push_back(layer);
    groups_.push_back(std::move(like));
  }

  /// Layers at the end that use the keys and values of others, or predict further tokens only, keep none.
  [[nodiscard]] std::size_t keeping() {
    const std::uint64_t shared = fields_.number("attention.shared_kv_layers", 0, layers_);
    const std::uint64_t further = fields_.number("nextn_predict_layers", 0, layers_);
    return layers_ - static_cast<std::size_t>(std::min<std::uint64_t>(shared + further, layers_));
  }

  void attention(std::vector<std::string>& warnings) {
    const gguf_windows windows = windows_of(fields_, architecture_, layers_, warnings);
    const std::uint64_t key = fields_.number("attention.key_length_swa", key_, gguf_limits::head_size);
    const std::uint64_t value = fields_.number("attention.value_length_swa", value_, gguf_limits::head_size);
    const std::size_t keeping_layers = keeping();
    if (rank_ != 0) latent_sizes(warnings);
    for (std::size_t l = 0; l < keeping_layers; ++l) {
      if (kv_heads_[l] == 0 || only_state(l)) continue;
      if (rank_ != 0) {
        layer_group g{.name = "latent", .at = {}, .kv_heads = 1, .latent = true, .rope_size = rope_};
        g.head_size = static_cast<std::size_t>(rank_);
        add(std::move(g), l);
        continue;
      }
      layer_group g{.name = "full", .at = {}, .kv_heads = static_cast<std::size_t>(kv_heads_[l])};
      if (windows.at[l]) {
        g.kind = windows.chunked ? kv::group_kind::chunked : kv::group_kind::window;
        g.name = (windows.chunked ? "chunk " : "window ") + std::to_string(windows.span);
        g.span = static_cast<std::size_t>(windows.span);
      }
      g.head_size = static_cast<std::size_t>(windows.at[l] ? key : key_);
      g.value_head_size = static_cast<std::size_t>(windows.at[l] ? value : value_);
      if (g.value_head_size == g.head_size) g.value_head_size = 0;
      if (g.head_size == 0) return fields_.refuse("attention.key_length", "is 0, and so are the head counts");
      add(std::move(g), l);
    }
  }

  void latent_sizes(std::vector<std::string>& warnings) {
    rope_ = static_cast<std::size_t>(fields_.number("rope.dimension_count", 64, gguf_limits::head_size));
    if (!fields_.has("rope.dimension_count")) warnings.push_back("rope.dimension_count is missing: 64 is taken");
    if (fields_.number("attention.indexer.key_length", 0, gguf_limits::head_size) != 0) {
      warnings.push_back("the keys of the sparse indexer are not counted");
    }
  }

  /// What a layer of states keeps; `conv_numbers` and `state_numbers` of 0 if there are none.
  [[nodiscard]] layer_group state_shape() {
    const auto number = [this](const char* name, std::uint64_t otherwise = 0) {
      return static_cast<std::size_t>(fields_.number(name, otherwise, gguf_limits::width));
    };
    // llama.cpp keeps states as float32
    layer_group g{.name = "state", .kind = kv::group_kind::state, .at = {}, .conv_bytes_each = 4, .state_bytes_each = 4};
    const std::size_t kernel = number("ssm.conv_kernel"), before = kernel == 0 ? 0 : kernel - 1;
    if (const std::size_t head = number("kda.head_dim"); head != 0) {
      const std::size_t width = query_heads_ * head;
      if (width <= gguf_limits::width && before <= 64) g.conv_numbers = 3 * before * width, g.state_numbers = width * head;
      else fields_.refuse("kda.head_dim", "is too large");
      g.state_heads = query_heads_;
    } else if (const std::size_t inner = number("ssm.inner_size"); inner != 0) {
      const std::size_t state = number("ssm.state_size"), bands = number("ssm.group_count");
      if (before > 64 || state > 65'536 || bands > 65'536) fields_.refuse("ssm", "its sizes are too large");
      else g.conv_numbers = before * (inner + 2 * bands * state), g.state_numbers = state * inner;
      g.state_heads = bands == 0 ? inner : number("ssm.time_step_rank");
    } else if (const std::size_t cached = number("shortconv.l_cache"); cached != 0) {
      if (cached > 64) fields_.refuse("shortconv.l_cache", "is more than 64");
      else g.conv_numbers = (cached - 1) * hidden_;
    } else if (const std::size_t size = number("wkv.head_size"); size != 0) {
      if (size > 65'536) fields_.refuse("wkv.head_size", "is more than 65536");
      else g.conv_numbers = std::min<std::size_t>(number("token_shift_count", 2), 64) * hidden_, g.state_numbers = hidden_ * size;
      g.state_heads = std::max<std::size_t>(1, hidden_ / size);
    }
    return g;
  }

  void states(std::vector<std::string>& warnings) {
    layer_group like = state_shape();
    if (like.conv_numbers == 0 && like.state_numbers == 0) return;
    const bool listed = fields_.is_list("attention.head_count_kv") || query_heads_ == 0;
    const bool interleaved = architecture_ == "qwen3next" || architecture_.starts_with("qwen35");
    period_ = static_cast<std::size_t>(fields_.number("full_attention_interval", interleaved ? 4 : 0, gguf_limits::layers));
    const std::vector<std::uint64_t> mlps = fields_.each("feed_forward_length", layers_, 0, gguf_limits::width);
    const bool apart = architecture_ == "nemotron_h" || architecture_ == "nemotron_h_moe";  // MLPs are layers of their own
    if (!listed && period_ == 0 && architecture_ != "falcon-h1") {
      warnings.push_back("the file does not say which layers have states: each is counted with both states and attention");
    }
    for (std::size_t l = 0; l < layers_; ++l) {
      const bool has = period_ != 0 ? only_state(l) : !listed || (kv_heads_[l] == 0 && !(apart && mlps[l] != 0));
      if (has) add(like, l);
    }
  }
  [[nodiscard]] bool only_state(std::size_t layer) const noexcept { return period_ != 0 && (layer + 1) % period_ != 0; }

  void cross() {
    layer_group g{.name = "cross", .kind = kv::group_kind::cross, .at = {}, .kv_heads = query_heads_, .head_size = head_size()};
    g.encoder_tokens = static_cast<std::size_t>(fields_.number("context_length", 512, gguf_limits::tokens));
    for (std::size_t l = 0; l < layers_ && query_heads_ != 0 && key_ != 0; ++l) add(g, l);
  }

  gguf_fields& fields_;
  std::string_view architecture_;
  std::size_t layers_, hidden_, query_heads_ = 0, rope_ = 0, period_ = 0;
  std::uint64_t key_ = 0, value_ = 0, rank_ = 0;
  std::vector<std::uint64_t> heads_, kv_heads_;
  std::vector<layer_group> groups_;
};

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
