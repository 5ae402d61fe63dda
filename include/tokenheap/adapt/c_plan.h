// The planner for C: how much memory a model takes on these devices, what it holds, and what to change.
#pragma once

#include <tokenheap/adapt/c_status.h>

TOKENHEAP_C_BEGIN

/// An answer of the planner. Nothing changes it, so any thread may read it.
typedef struct th_plan th_plan;

/// Give one of `path` and `config`. 0 and null stand for the default of each field.
typedef struct th_plan_options {
  uint32_t size;
  uint32_t version;
  const char* path;       ///< a folder of a model, a config.json, a .gguf or .safetensors file
  const char* config;     ///< or the text of a config.json
  uint64_t config_bytes;  ///< of that text; 0: it ends with a zero byte
  uint64_t device_bytes;  ///< memory of one device
  double utilization;     ///< the share of it that the engine may take; 0: 0.9
  uint64_t tensor;        ///< ranks of tensor parallelism; 0: 1
  uint64_t pipeline;      ///< 0: 1
  uint64_t expert;        ///< 0: 1
  uint64_t data;          ///< copies of the model; 0: 1
  const char* weight_dtype;  ///< null: as the checkpoint
  const char* kv_dtype;      ///< null: bf16
  uint64_t block_tokens;     ///< 0: 16
  uint64_t tokens;           ///< of each sequence; 0: what the model was trained for
  uint64_t sequences;        ///< at once, for each copy; 0: 1
  uint64_t prefill_tokens;   ///< most tokens of one step; 0: 8192
  uint64_t graph_bytes;      ///< reserve on each device for captured graphs; 0: assumed
  uint64_t communication_bytes;
  uint64_t context_bytes;    ///< of the driver
  uint64_t lora_adapters;
  uint64_t lora_rank;        ///< 0: 16
  uint32_t pruned_2_4;       ///< 1: half of the weights that can be
  uint32_t exact_reserves;   ///< 1: the three reserves are meant as they stand, 0 too
} th_plan_options;

/// The numbers of the answer; figures per device are those of the fullest one.
typedef struct th_plan_numbers {
  uint32_t size;
  uint32_t version;
  uint32_t fits;  ///< 1: `sequences` of `tokens` each
  uint32_t stages;  ///< of the pipeline: for th_plan_device_of
  uint64_t parameters;
  uint64_t devices_in_all;
  uint64_t weights_bytes;
  uint64_t weights_bytes_per_device;
  uint64_t tokens;
  uint64_t kv_bytes_per_token;  ///< all layers, all devices of one copy together
  uint64_t kv_bytes_per_token_per_device;
  uint64_t kv_bytes_per_token_past_windows;
  uint64_t kv_bytes_per_sequence;
  uint64_t kv_bytes_per_sequence_per_device;
  uint64_t state_bytes_per_sequence;
  uint64_t block_tokens;  ///< what th_pool_open is to be given, with the next two
  uint64_t block_bytes;
  uint64_t blocks;
  uint64_t max_tokens;     ///< longest context that there is room for, with `sequences` of them
  uint64_t max_sequences;  ///< of `tokens` each, for each copy
  double waste_percent;
} th_plan_numbers;

/// Where the memory of a device goes. The parts add up to `total`.
typedef struct th_plan_device {
  uint32_t size;
  uint32_t version;
  uint64_t total;
  uint64_t unused;  ///< total * (1 - utilization)
  uint64_t weights;
  uint64_t lora;
  uint64_t activations;
  uint64_t reserve;
  uint64_t kv;       ///< what the pool gets
  uint64_t kv_slack; ///< of it, what is no whole block
  uint64_t missing;  ///< what the rest needs beyond the budget
} th_plan_device;

/// Plans a model. What does not fit is a plan too, with advice; null is for files and numbers that make no sense.
///
/// Where the library was built without its planner this is th_unsupported.
/// Threads   safe
TOKENHEAP_C_API th_plan* th_plan_open(const th_plan_options* options) TOKENHEAP_C_NOEXCEPT;
/// Threads   nobody else may call with the handle meanwhile
TOKENHEAP_C_API th_status th_plan_close(th_plan* plan) TOKENHEAP_C_NOEXCEPT;
TOKENHEAP_C_API th_status th_plan_numbers_of(th_plan* plan, th_plan_numbers* out) TOKENHEAP_C_NOEXCEPT;
/// One stage of the pipeline, from 0 on.
TOKENHEAP_C_API th_status th_plan_device_of(th_plan* plan, uint32_t stage, th_plan_device* out) TOKENHEAP_C_NOEXCEPT;
/// A table for people: the answer, each device, what is missing, advice, warnings. `length` is that of the whole text.
TOKENHEAP_C_API th_status th_plan_table(th_plan* plan, char* out, size_t room, size_t* length) TOKENHEAP_C_NOEXCEPT;
/// One JSON object with everything, its names those of `tokenheap plan --json`.
TOKENHEAP_C_API th_status th_plan_json(th_plan* plan, char* out, size_t room, size_t* length) TOKENHEAP_C_NOEXCEPT;

TOKENHEAP_C_END
