// The model that is planned, the same question with other layouts and formats, and what a load needs.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "plan_report.hpp"

namespace program {

/// A config.json or its folder, a GGUF or a safetensors file; `from` says which of them were read.
complaint read_model(const std::string& path, tokenheap::plan::model& into, std::string& from);

/// The most requests of a trace that are replayed.
inline constexpr std::size_t most_arrivals = 1'000'000;

/// Every TP of 1 to 8 with the formats of weights and caches that are worth a look, and what was asked.
std::vector<what_if> what_if_table(const tokenheap::plan::model& m, const plan_options& o,
                                   const tokenheap::plan::answer& found);

/// The fewest devices and least lossy formats that fit, as a sentence.
std::string cheapest_words(const tokenheap::plan::model& m, const plan_options& o);

/// How many machines a load takes: from means, or from a trace, which is also replayed through the real pools.
complaint load_rows(const tokenheap::plan::model& m, const plan_options& o, std::vector<load_row>& out);

}  // namespace program
