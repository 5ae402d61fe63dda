// A model as the planner sees it: its groups of layers, and where its weights are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <tokenheap/kv/groups.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// Layers that keep the same things for a sequence; a layer can be in several groups (Whisper: self and cross).
struct layer_group {
  std::string name{};                       ///< "full", "window 1024", "latent", "cross", "state"
  kv::group_kind kind = kv::group_kind::full;
  std::vector<std::size_t> at{};            ///< which layers, from 0, rising
  std::size_t kv_heads = 0;                 ///< 1 for a latent vector; 0 for states
  std::size_t head_size = 0;                ///< of keys; for a latent vector its rank
  std::size_t value_head_size = 0;          ///< 0: as the keys
  bool latent = false;                      ///< one vector for keys and values: one plane, whole on each rank
  std::size_t rope_size = 0;                ///< numbers of a latent vector behind its rank
  std::size_t span = 0;                     ///< tokens of a window or chunk
  std::size_t encoder_tokens = 0;           ///< cross: tokens of the encoder, kept once for each sequence
  std::size_t conv_numbers = 0;             ///< state: numbers of the convolution, of one sequence and layer
  std::size_t state_numbers = 0;            ///< state: numbers of the recurrence, of one sequence and layer
  std::size_t conv_bytes_each = 2;          ///< bytes of one of these numbers
  std::size_t state_bytes_each = 2;
  std::size_t state_heads = 0;              ///< state: what tensor parallelism divides
};

/// How a weight is spread over the ranks of a layout.
enum class weight_split : std::uint8_t {
  replicated,  ///< whole on each rank of its stage: norms, routers
  tensor,      ///< divided by the ranks of tensor parallelism
  kv,          ///< as `tensor`, but by at most as many ranks as there are KV heads
  expert,      ///< experts: divided by expert parallelism, then by tensor parallelism
  embedding,   ///< divided by tensor parallelism; on the first stage
  head,        ///< the same on the last stage
};

/// Weights of the same kind: `numbers` of them in each layer of `at`, or once where `at` is empty.
struct weight_part {
  std::string name{};
  std::uint64_t numbers = 0;
  weight_split split = weight_split::tensor;
  bool quantised = true;                    ///< false: stays in `model::plain_dtype` (norms, embeddings, heads)
  std::vector<std::size_t> at{};
  std::size_t heads = 0;                    ///< `kv`: how many KV heads these are
};

/// What the planner knows of a model.
struct model {
  std::string name{};                       ///< the file or folder that it was read from
  std::string type{};                       ///< `model_type` or `general.architecture`
  std::size_t layers = 0;
  std::size_t hidden = 0;
  std::size_t intermediate = 0;             ///< of the widest layer of one token
  std::size_t vocabulary = 0;
  std::size_t query_heads = 0;
  std::size_t head_size = 0;
  std::size_t experts = 0;                  ///< 0 for dense models
  std::size_t longest = 0;                  ///< tokens that the model was trained for; 0 unknown
  std::string weight_dtype = "bf16";        ///< of the checkpoint: fp32 fp16 bf16 fp8 int8 awq gptq nvfp4 mxfp4 gguf
  std::string plain_dtype = "bf16";         ///< of the weights that are not quantised
  std::size_t weight_bits = 0;              ///< int8, awq and gptq: bits of a weight; 0: as the name says
  std::size_t weight_group = 0;             ///< weights that share a scale; 0: as is usual
  bool tied = false;                        ///< the head is the embedding
  std::vector<layer_group> groups{};
  std::vector<weight_part> weights{};
  std::uint64_t exact_weight_bytes = 0;     ///< out of a safetensors or GGUF header; 0: from `weights`
  std::vector<std::string> warnings{};      ///< what was guessed

  /// Numbers of all weights.
  [[nodiscard]] std::uint64_t parameters() const noexcept {
    std::uint64_t sum = 0;
    for (const weight_part& w : weights) sum += w.numbers * (w.at.empty() ? 1 : w.at.size());
    return sum;
  }
};

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
