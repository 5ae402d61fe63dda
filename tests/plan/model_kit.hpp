// Models built by hand, from their published dimensions.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <tokenheap/plan/deployment.hpp>

namespace model_kit {

namespace kv = tokenheap::kv;
namespace plan = tokenheap::plan;

using split = plan::weight_split;

inline std::vector<std::size_t> up_to(std::size_t n) {
  std::vector<std::size_t> all;
  for (std::size_t k = 0; k < n; ++k) all.push_back(k);
  return all;
}

inline plan::weight_part part(const char* name, std::uint64_t numbers, plan::weight_split how,
                              std::vector<std::size_t> at = {}, bool quantised = true) {
  return {.name = name, .numbers = numbers, .split = how, .quantised = quantised, .at = std::move(at)};
}

/// Dimensions of a dense model.
struct sizes {
  std::size_t layers = 2, hidden = 64, intermediate = 256, vocabulary = 1000, heads = 4, kv_heads = 2, head_size = 16;
  std::size_t longest = 4096;
};

/// A dense decoder with grouped heads: queries, keys and values, output, gate, up, down, norms, embedding, head.
inline plan::model dense(const char* name, const sizes& s) {
  plan::model m;
  m.name = name;
  m.type = "llama";
  m.layers = s.layers;
  m.hidden = s.hidden;
  m.intermediate = s.intermediate;
  m.vocabulary = s.vocabulary;
  m.query_heads = s.heads;
  m.head_size = s.head_size;
  m.longest = s.longest;
  m.groups = {{.name = "full", .at = up_to(s.layers), .kv_heads = s.kv_heads, .head_size = s.head_size}};
  const std::uint64_t h = s.hidden, q = s.heads * s.head_size, keys = s.kv_heads * s.head_size;
  m.weights = {part("queries", 2 * h * q, split::tensor, up_to(s.layers)),
               part("keys", 2 * h * keys, split::kv, up_to(s.layers)),
               part("mlp", 3 * h * s.intermediate, split::tensor, up_to(s.layers)),
               part("norms", 2 * h, split::replicated, up_to(s.layers), false),
               part("norm", h, split::replicated, {}, false),
               part("embedding", h * s.vocabulary, split::embedding, {}, false),
               part("head", h * s.vocabulary, split::head, {}, false)};
  return m;
}

inline plan::model llama2_13b() { return dense("Llama-2-13B", {40, 5120, 13824, 32000, 40, 40, 128, 4096}); }
inline plan::model llama3_70b() { return dense("Llama-3-70B", {80, 8192, 28672, 128256, 64, 8, 128, 131072}); }
inline plan::model qwen25_7b() { return dense("Qwen2.5-7B", {28, 3584, 18944, 152064, 28, 4, 128, 131072}); }
inline plan::model qwen3_8b() { return dense("Qwen3-8B", {36, 4096, 12288, 151936, 32, 8, 128, 40960}); }

/// 62 layers, of which each sixth is full and the others have a window of 1,024.
inline plan::model gemma3_27b() {
  plan::model m = dense("Gemma-3-27B", {62, 5376, 21504, 262208, 32, 16, 128, 131072});
  plan::layer_group window = m.groups[0];
  window.name = "window 1024";
  window.kind = kv::group_kind::window;
  window.span = 1024;
  window.at.clear();
  m.groups[0].at.clear();
  for (std::size_t k = 0; k < 62; ++k) (k % 6 == 5 ? m.groups[0] : window).at.push_back(k);
  m.groups.push_back(window);
  return m;
}

/// 61 layers that keep a latent vector of 512 numbers, and 64 of its position; 256 experts from layer 3 on.
inline plan::model deepseek_v3() {
  plan::model m;
  m.name = "DeepSeek-V3";
  m.layers = 61, m.hidden = 7168, m.intermediate = 18432, m.vocabulary = 129280, m.query_heads = 128, m.head_size = 128;
  m.experts = 256, m.longest = 163840, m.weight_dtype = "fp8";
  m.groups = {{.name = "latent", .at = up_to(61), .kv_heads = 1, .head_size = 512, .latent = true, .rope_size = 64}};
  std::vector<std::size_t> sparse = up_to(61);
  sparse.erase(sparse.begin(), sparse.begin() + 3);
  m.weights = {part("attention", 187'105'280, split::tensor, up_to(61)),
               part("dense", 396'361'728, split::tensor, up_to(3)),
               part("shared", 44'040'192, split::tensor, sparse),
               part("experts", 256ULL * 44'040'192, split::expert, sparse),
               part("router", 256 * 7168, split::replicated, sparse, false),
               part("embedding", 7168ULL * 129280, split::embedding, {}, false),
               part("head", 7168ULL * 129280, split::head, {}, false)};
  return m;
}

/// Layers with states, of 8 heads, beside full ones, one in four.
inline plan::model hybrid() {
  plan::model m = dense("hybrid", {8, 512, 2048, 32000, 8, 2, 64, 65536});
  plan::layer_group state;
  state.name = "state", state.kind = kv::group_kind::state;
  state.conv_numbers = 3 * 1536, state.state_numbers = 8 * 64 * 64, state.state_bytes_each = 4, state.state_heads = 8;
  m.groups[0].at = {3, 7};
  state.at = {0, 1, 2, 4, 5, 6};
  m.groups.push_back(state);
  return m;
}

/// Whisper large v3's decoder: 32 layers of 20 heads, and as many that look at 1,500 tokens of the encoder.
inline plan::model whisper() {
  plan::model m = dense("whisper", {32, 1280, 5120, 51866, 20, 20, 64, 448});
  plan::layer_group cross = m.groups[0];
  cross.name = "cross", cross.kind = kv::group_kind::cross, cross.encoder_tokens = 1500;
  m.groups.push_back(cross);
  return m;
}

/// A deployment without reserves, so that numbers are exact.
inline plan::deployment bare(std::size_t device_bytes) {
  plan::deployment d;
  d.device_bytes = device_bytes;
  d.graph_bytes = d.communication_bytes = d.context_bytes = 0;
  return d;
}

}  // namespace model_kit
