// A model out of the header of a GGUF file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <tokenheap/plan/gguf.hpp>
#include <tokenheap/plan/gguf_fields.hpp>
#include <tokenheap/plan/gguf_groups.hpp>
#include <tokenheap/plan/gguf_weights.hpp>
#include <tokenheap/plan/model.hpp>
#include <tokenheap/plan/reading.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

namespace gguf_parts {

/// Why a file holds no language model, or nothing.
[[nodiscard]] inline std::string no_model(const gguf& from) {
  const gguf_value* type = from.find("general.type");
  if (type != nullptr && !type->text.empty() && type->text != "model") {
    return "general.type: '" + printable(type->text) + "', give the file of the model itself";
  }
  const gguf_value* architecture = from.find("general.architecture");
  if (architecture == nullptr || architecture->kind != gguf_kind::text || architecture->text.empty()) {
    return "general.architecture: is missing or no text; of a model in parts give the first";
  }
  if (architecture->text == "clip") return "general.architecture: 'clip' is a projector, give the file of the language model";
  return {};
}

/// Words of the vocabulary: by the model, by its tokenizer, by its embedding.
[[nodiscard]] inline std::uint64_t words_of(const gguf& from, gguf_fields& fields) {
  const std::uint64_t said = fields.number("vocab_size", 0, gguf_limits::words);
  if (said != 0) return said;
  const gguf_value* tokens = from.find("tokenizer.ggml.tokens");
  if (tokens != nullptr && tokens->kind == gguf_kind::array && tokens->length != 0) {
    return std::min(tokens->length, gguf_limits::words);
  }
  for (const gguf_tensor& one : from.tensors) {
    if (one.name == "token_embd.weight") return std::min(one.dims[1], gguf_limits::words);
  }
  return 0;
}

/// Numbers of the widest MLP that one token goes through.
[[nodiscard]] inline std::uint64_t widest_of(gguf_fields& fields) {
  const std::uint64_t dense = fields.number("feed_forward_length", 0, gguf_limits::width);
  const std::uint64_t expert = fields.number("expert_feed_forward_length", 0, gguf_limits::width);
  const std::uint64_t used = fields.number("expert_used_count", 0, gguf_limits::heads);
  const std::uint64_t count = fields.number("expert_shared_count", 0, gguf_limits::heads);
  const std::uint64_t shared = fields.number("expert_shared_feed_forward_length", expert * count, gguf_limits::width);
  // without a width of their own experts are as wide as the MLP
  const std::uint64_t experts = (expert != 0 ? expert : dense) * used + shared;
  return std::min(std::max(dense, experts), gguf_limits::width);
}

/// The type of most numbers that are not quantised, or bf16.
[[nodiscard]] inline std::string plain_of(const gguf& from) {
  std::uint64_t sums[3] = {};
  for (const gguf_tensor& one : from.tensors) {
    // norms are float32 in every file
    if (one.dims[1] > 1 && one.type->name == "F32") sums[0] += one.numbers;
    if (one.type->name == "F16") sums[1] += one.numbers;
    if (one.type->name == "BF16") sums[2] += one.numbers;
  }
  if (sums[0] > sums[1] && sums[0] > sums[2]) return "fp32";
  return sums[1] > sums[2] ? "fp16" : "bf16";
}

}  // namespace gguf_parts

/// Makes a model of a header; `file` is its name in messages.
///
/// Fails  on what is no language model, on numbers that are missing or beyond any model, with the key and its byte
[[nodiscard]] inline reading<model> model_of(const gguf& from, const std::string& file) {
  reading<model> out;
  if (const std::string why = gguf_parts::no_model(from); !why.empty()) return out.error = file + ": " + why, out;
  model& m = out.value;
  m.name = file;
  m.type = from.find("general.architecture")->text;
  gguf_fields fields(from, m.type);
  const bool decodes_apart = fields.has("decoder_block_count");
  m.layers = static_cast<std::size_t>(fields.need(decodes_apart ? "decoder_block_count" : "block_count", gguf_limits::layers));
  m.hidden = static_cast<std::size_t>(fields.need("embedding_length", gguf_limits::width));
  m.intermediate = static_cast<std::size_t>(gguf_parts::widest_of(fields));
  m.vocabulary = static_cast<std::size_t>(gguf_parts::words_of(from, fields));
  m.experts = static_cast<std::size_t>(fields.number("expert_count", 0, gguf_limits::heads));
  m.longest = static_cast<std::size_t>(fields.number("context_length", 0, gguf_limits::tokens));
  gguf_groups groups(fields, m.type, m.layers, m.hidden);
  m.query_heads = groups.query_heads();
  m.head_size = groups.head_size();
  m.groups = groups.take(m.warnings);
  m.weights = weights_of(from, m.layers, groups.kv_heads());
  m.weight_dtype = "gguf";
  m.plain_dtype = gguf_parts::plain_of(from);
  m.exact_weight_bytes = from.weight_bytes;
  m.tied = true;
  for (const weight_part& part : m.weights) m.tied = m.tied && part.split != weight_split::head;
  if (from.tensors.empty()) m.warnings.push_back("the file has no tensors: its weights are not known");
  if (m.longest == 0) m.warnings.push_back("context_length is missing: give the number of tokens");
  if (m.vocabulary == 0) m.warnings.push_back("the size of the vocabulary is not known: logits are not counted");
  if (from.missing_bytes() != 0) {
    m.warnings.push_back("the file ends " + std::to_string(from.missing_bytes()) +
                         " bytes before its last tensor does: it was not copied whole");
  }
  if (!fields.error().empty()) out.error = file + ": " + fields.error();
  return out;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
