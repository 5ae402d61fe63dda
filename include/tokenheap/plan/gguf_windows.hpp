// Which layers of a GGUF model look back through a window only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <tokenheap/plan/gguf_fields.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// Architectures whose files do not say which layers have windows: of each `period` layers one looks at all tokens.
struct gguf_window_rule {
  std::string_view architecture;
  std::size_t period = 0;
  bool first = false;          ///< the first of each period, not the last, looks at all
  std::uint64_t chunk = 0;     ///< tokens of a chunk, where it is chunks and not windows
};

inline constexpr gguf_window_rule gguf_window_rules[] = {
    {"gemma2", 2},  {"gemma3", 6}, {"gemma3n", 5},        {"gemma-embedding", 6}, {"gpt-oss", 2},
    {"cohere2", 4}, {"olmo2", 4},  {"exaone4", 4},        {"smallthinker", 4, true},
    {"llama4", 4, false, 8192},
};

/// The windows of a model.
struct gguf_windows {
  std::vector<bool> at;       ///< for each layer: it has one
  std::uint64_t span = 0;
  bool chunked = false;
};

/// Finds them: by what the file says, by what is known of its architecture, else none, and a warning where that is a guess.
[[nodiscard]] inline gguf_windows windows_of(gguf_fields& fields, std::string_view architecture, std::size_t layers,
                                             std::vector<std::string>& warnings) {
  constexpr const char* span_key = "attention.sliding_window";
  constexpr const char* pattern_key = "attention.sliding_window_pattern";
  gguf_windows out{.at = std::vector<bool>(layers), .span = fields.number(span_key, 0, gguf_limits::tokens)};
  const gguf_window_rule* rule = nullptr;
  for (const gguf_window_rule& one : gguf_window_rules) {
    if (one.architecture == architecture) rule = &one;
  }
  if (rule != nullptr && rule->chunk != 0) {
    out.chunked = true;
    if (out.span == 0) out.span = rule->chunk;
  }
  if (out.span == 0) return out;
  if (fields.is_list(pattern_key)) {
    const std::vector<std::uint64_t> flags = fields.repeated(pattern_key, layers, 1);
    for (std::size_t l = 0; l < layers; ++l) out.at[l] = flags[l] != 0;
    return out;
  }
  if (rule == nullptr && !fields.has(pattern_key)) {
    warnings.push_back("the file has a window of " + std::to_string(out.span) +
                       " tokens but does not say in which layers: all are counted as full attention");
    out.span = 0;
    return out;
  }
  const std::size_t known = rule != nullptr ? rule->period : 0;
  const auto period = static_cast<std::size_t>(fields.number(pattern_key, known, gguf_limits::layers));
  const bool first = rule != nullptr && rule->first;
  for (std::size_t l = 0; l < layers; ++l) {
    out.at[l] = period == 0 || (first ? l % period != 0 : l % period < period - 1);
  }
  return out;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
