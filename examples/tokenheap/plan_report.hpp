// What `tokenheap plan` found, and the ways to show it: a table, one JSON object, a page.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <tokenheap/plan/deployment.hpp>
#include <tokenheap/plan/model.hpp>

#include "plan_options.hpp"

namespace program {

/// The same question with another layout or other formats.
struct what_if {
  std::size_t tensor = 1;
  std::string kv_dtype;
  std::string weight_dtype;
  std::string refused;                 ///< why there is no plan; then the numbers mean nothing
  std::size_t blocks = 0;
  std::size_t max_tokens = 0;
  std::size_t max_sequences = 0;
  std::uint64_t weights_bytes_per_device = 0;
  bool fits = false;
  bool asked = false;                  ///< this is the question itself
};

/// What a load needs, in words and numbers.
struct load_row {
  std::string key;                     ///< of the JSON object
  std::string text;
  double value = 0;
};

/// Everything that there is to say. What the planner wrote stands in `found`.
struct plan_report {
  const plan_options& options;
  const tokenheap::plan::model& of;
  const tokenheap::plan::answer& found;
  std::string from;                    ///< "config.json and 4 safetensors files"
  std::vector<what_if> table;          ///< empty where nobody asked for it
  std::string cheapest;                ///< of `table`, a sentence; empty without --search
  std::vector<load_row> load;          ///< empty without a load
};

/// A part of a device's memory, as all three reports name it.
struct memory_part {
  const char* key;                     ///< of the JSON object, and the class in the page
  char letter;                         ///< in the bar of the terminal
  const char* text;
  std::size_t bytes;
};

/// Stages of the pipeline whose devices look the same.
struct device_class {
  std::size_t first = 0;
  std::size_t last = 0;
  const tokenheap::plan::device_need* need = nullptr;
};

/// The command line of an engine for what fits.
struct engine_line {
  std::string engine;
  std::string text;
};

std::string plan_table(const plan_report& report, std::size_t width);
std::string plan_json(const plan_report& report);
std::string plan_page(const plan_report& report);

/// Fits or not, how many users, how long a context: one sentence.
std::string verdict(const plan_report& report);
/// How each number comes about, a sentence each.
std::vector<std::string> explanation(const plan_report& report);
/// What is assumed and not computed.
std::vector<std::string> assumptions(const plan_report& report);
/// What the planner warns of, without what `assumptions` says as well.
std::vector<std::string> warnings_of(const plan_report& report);
/// The shortage in the planner's words, where the verdict does not say it already.
std::string shortage_words(const plan_report& report);
/// "1 user", "7 users".
std::string users_words(std::size_t n);
/// Empty where nothing fits.
std::vector<engine_line> engine_lines(const plan_report& report);

/// The question in a few words: "4 x 80.00 GiB, TP 4".
std::string machine_words(const plan_options& options);
std::vector<memory_part> parts_of(const tokenheap::plan::device_need& need);
/// Neighbours whose parts differ by no more than `tolerance` bytes are one class, shown by the one with least for KV.
std::vector<device_class> classes_of(const std::vector<tokenheap::plan::device_need>& devices, std::size_t tolerance = 0);
/// What is too small to be seen in a report.
inline constexpr std::size_t unseen_bytes = 16 * tokenheap::MiB;
std::string stages_words(const device_class& of, std::size_t stages);

/// What the planner says of its fields, in the words of the options: "tensor 4" becomes "--tp 4".
std::string in_options(std::string text);
/// Valid UTF-8 without control characters, whatever a file name holds.
std::string printable(std::string_view text);
/// The folder or file that a person knows the model by.
std::string short_name(std::string_view path);
/// 1234567 as 1,234,567.
std::string grouped(std::uint64_t n);
/// 81920 as 80.00 KiB.
std::string sized(std::uint64_t bytes);

}  // namespace program
