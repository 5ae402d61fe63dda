// What is asked of the planner, and what it answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/plan/model.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// Assumed where nobody measured: what a CUDA driver keeps for a process, on each device.
inline constexpr std::size_t assumed_context_bytes = 512 * MiB;
/// Assumed where nobody measured: captured graphs of decode steps, on each device.
inline constexpr std::size_t assumed_graph_bytes = 512 * MiB;
/// Assumed where nobody measured: buffers of collective communication, on each device of several.
inline constexpr std::size_t assumed_communication_bytes = GiB;

/// The machine, the formats and the load that a model is planned for.
struct deployment {
  std::size_t device_bytes = 0;             ///< memory of one device
  double utilization = 0.9;                 ///< the share of it that the engine may take
  std::size_t tensor = 1;                   ///< ranks of tensor parallelism
  std::size_t pipeline = 1;
  std::size_t expert = 1;                   ///< ranks that experts are divided among; a divisor of tensor * data
  std::size_t data = 1;                     ///< copies of the model, each with tensor * pipeline devices
  std::string weight_dtype{};               ///< of `weight_formats`; empty: as the checkpoint
  std::string kv_dtype{};                   ///< of `kv_formats`; empty: bf16
  std::size_t block_tokens = 16;
  std::size_t tokens = 0;                   ///< of each sequence; 0: what the model was trained for
  std::size_t sequences = 1;                ///< at once, for each copy
  std::size_t prefill_tokens = 8192;        ///< most tokens of one step
  std::size_t graph_bytes = assumed_graph_bytes;  ///< reserve for captured graphs, on each device
  std::size_t communication_bytes = assumed_communication_bytes;  ///< on each device, where a copy has several
  std::size_t context_bytes = assumed_context_bytes;  ///< of the driver, on each device
  std::size_t lora_adapters = 0;            ///< that are resident at once
  std::size_t lora_rank = 16;
  bool pruned_2_4 = false;                  ///< half of the quantisable weights, and two bits of index each
};

/// What one group of layers costs on the device that has most of its layers.
struct group_need {
  std::string name{};
  kv::group_kind kind = kv::group_kind::full;
  std::size_t layers = 0;                   ///< on that device
  std::size_t block_bytes = 0;              ///< of all its layers there; of states: of one sequence
  std::size_t token_bytes = 0;              ///< without padding; 0 for states
  std::size_t blocks_per_sequence = 0;      ///< once `tokens` are settled: `kv::needed_blocks`
  std::size_t peak_blocks = 0;              ///< the most on the way there: a window can touch one block more
  std::size_t sequence_bytes = 0;           ///< block_bytes * blocks_per_sequence
};

/// Where the memory of a device goes. The parts add up to `total`.
struct device_need {
  std::size_t stage = 0;                    ///< which stage of the pipeline
  std::size_t total = 0;                    ///< the memory of the device
  std::size_t unused = 0;                   ///< total * (1 - utilization)
  std::size_t weights = 0;
  std::size_t lora = 0;
  std::size_t activations = 0;
  std::size_t reserve = 0;                  ///< graphs, communication, driver
  std::size_t kv = 0;                       ///< what the pool gets; 0 if nothing is left
  std::size_t kv_slack = 0;                 ///< of it, what is no whole block
  std::size_t missing = 0;                  ///< what the rest needs beyond the budget
};

/// The answer: figures per device are those of the fullest one.
struct answer {
  std::string weight_dtype{};                     ///< what was planned with, where the question left it open
  std::string kv_dtype{};
  std::size_t tokens = 0;
  std::size_t devices_in_all = 0;                 ///< tensor * pipeline * data
  std::size_t kv_bytes_per_token = 0;             ///< what all layers write for a token, all devices of one copy together
  std::size_t kv_bytes_per_token_per_device = 0;
  std::size_t kv_bytes_per_token_past_windows = 0;  ///< of it, what stays however long the sequence gets
  std::size_t kv_bytes_per_sequence = 0;          ///< all devices of one copy, whole blocks, `tokens` settled, without states
  std::size_t kv_bytes_per_sequence_per_device = 0;
  std::size_t kv_bytes_per_sequence_unwindowed = 0;  ///< the same if no group let go of what its window has passed
  std::size_t state_bytes_per_sequence = 0;       ///< all devices of one copy
  std::uint64_t weights_bytes = 0;                ///< of the model, once
  std::uint64_t weights_bytes_per_device = 0;
  std::size_t block_tokens = 0;
  std::size_t block_bytes = 0;                    ///< of one block of all groups that grow with it, on the fullest device
  std::size_t blocks = 0;                         ///< that the pool of each device has: the least of all
  std::size_t max_tokens = 0;                     ///< longest context that memory has room for, with `sequences` of them
  std::size_t max_sequences = 0;                  ///< of `tokens` each, for each copy
  double waste_percent = 0;                       ///< of a sequence's bytes, expected: (block_tokens - 1) / 2 tokens a group
  bool fits = false;                              ///< `sequences` of `tokens` each
  std::vector<group_need> groups{};               ///< in the model's order
  std::vector<device_need> devices{};             ///< one for each stage
  std::string shortage{};                         ///< what is missing where; empty if it fits
  std::vector<std::string> advice{};              ///< each is one change with which it fits; empty if it does
  std::vector<std::string> warnings{};
};

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
