// Reads what a model is out of the config.json that checkpoints of Hugging Face carry.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include <tokenheap/plan/config_families.hpp>
#include <tokenheap/plan/config_fields.hpp>
#include <tokenheap/plan/config_groups.hpp>
#include <tokenheap/plan/config_layers.hpp>
#include <tokenheap/plan/config_quantisation.hpp>
#include <tokenheap/plan/config_shape.hpp>
#include <tokenheap/plan/config_special.hpp>
#include <tokenheap/plan/config_states.hpp>
#include <tokenheap/plan/config_weights.hpp>
#include <tokenheap/plan/model.hpp>
#include <tokenheap/plan/reading.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// What else to read.
struct config_options {
  bool drafts = false;   ///< the layers that only draft, as DeepSeek's: engines leave them out unless they speculate
};

namespace config_parts {

/// The object that the language model's fields stand in.
[[nodiscard]] inline config_fields language_model(const config_fields& top, bool& nested) {
  for (const char* name : {"text_config", "llm_config", "language_config"}) {
    if (top.has(name)) return nested = true, top.inside(name);
  }
  if (top.has("thinker_config")) return nested = true, top.inside("thinker_config").inside("text_config");
  nested = false;
  return top;
}

/// Layers behind the last that propose tokens: each like the last one, and a matrix that joins two hidden states.
inline void add_drafts(const config_reader& from, config_shape& out) {
  const std::size_t more = from.text.count({"num_nextn_predict_layers", "mtp_num_hidden_layers"}, 0, 64);
  if (more == 0) return;
  const std::size_t first = out.layers.size();
  const config_layer last = out.layers.back();
  out.layers.insert(out.layers.end(), more, last);
  out.draft_layers = more;
  std::vector<std::size_t> at;
  for (std::size_t i = first; i < out.layers.size(); ++i) at.push_back(i);
  const std::uint64_t hidden = out.hidden;
  out.extra.push_back({.name = "draft join", .numbers = weights_product({2, hidden, hidden}),
                       .split = weight_split::replicated, .quantised = false, .at = at});
  out.extra.push_back({.name = "draft norms", .numbers = 3 * hidden, .split = weight_split::replicated, .quantised = false,
                       .at = at});
}

[[nodiscard]] inline config_shape shape_of(const config_reader& from, const config_options& with) {
  config_shape out;
  out.type = from.text.text({"model_type"}, from.top.text({"model_type"}));
  if (!from.known) out.warnings.push_back("model_type '" + out.type.substr(0, 40) + "' is not known: read like a Llama");
  read_common(from, out);
  if (!from.text.good()) return out;
  read_layers(from, out);
  if (!from.text.good()) return out;
  read_special(from, out);
  read_states(from, out);
  if (with.drafts && from.text.good()) add_drafts(from, out);
  return out;
}

[[nodiscard]] inline model model_of(const config_shape& of) {
  model out;
  out.type = of.type;
  out.layers = of.layers.size();
  out.hidden = of.hidden;
  const feed_shape& f = of.feed;
  out.intermediate = f.experts == 0 ? f.intermediate : std::max(f.intermediate, f.expert_intermediate);
  out.vocabulary = of.vocabulary;
  out.query_heads = of.attention.heads;
  out.head_size = of.attention.head_size;
  out.experts = f.experts;
  out.longest = of.longest;
  out.tied = of.tied;
  out.groups = groups_of(of);
  out.weights = weights_of(of);
  out.warnings = of.warnings;
  return out;
}

}  // namespace config_parts

/// The model that a config.json describes; `file` is what complaints call it.
///
/// The text may be anything. Model types that are not known are read by their generic fields, with a warning.
/// Fails  on what is no JSON object, on fields that are missing, of a wrong type, zero or absurd: the first is named
[[nodiscard]] inline reading<model> read_config(std::string text, const std::string& file, config_options with = {}) {
  reading<model> out;
  const auto parsed = parse_object(std::move(text), file);
  out.error = parsed.error;
  if (!out) return out;
  const config_fields top(parsed.value, file + ": ", out.error);
  bool nested = false;
  const config_fields inner = config_parts::language_model(top, nested);
  const std::string type = inner.text({"model_type"}, top.text({"model_type"}));
  const config_family* family = find_family(type);
  const config_reader from{.top = top, .text = inner, .family = family != nullptr ? *family : *find_family("llama"),
                           .nested = nested, .known = family != nullptr};
  const config_shape shape = config_parts::shape_of(from, with);
  if (!out) return out;
  out.value = config_parts::model_of(shape);
  out.value.name = file;
  if (!is_countable(out.value.weights)) inner.complain("hidden_size", "and the other sizes make more than 2^56 weights");
  read_formats(top, inner, out.value);
  if (!out) out.value = {};
  return out;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
