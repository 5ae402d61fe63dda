// Request traces: what a line of one says, and how to read a file of either public format.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace program {

/// What went wrong, in words for the person at the terminal; empty when nothing did.
using complaint = std::string;

/// The longest prompt or answer that a trace may name.
inline constexpr std::uint64_t longest_request = 2147483647;

/// How many tokens one prefix id of a Mooncake trace stands for.
inline constexpr std::uint32_t tokens_per_prefix_id = 512;

/// One request of a trace, as the file says it.
struct trace_request {
  double arrival_ms = 0;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t output_tokens = 0;
  std::vector<std::uint64_t> prefix_ids;  ///< equal ids stand for equal prefixes; empty where the format has none
};

enum class trace_format { mooncake, azure };

/// Takes each request in the file's order; what it complains of ends the reading, with file and line in front of it.
using trace_sink = std::function<complaint(trace_request&&)>;

struct file_closer {
  void operator()(std::FILE* f) const { std::fclose(f); }
};
using file_handle = std::unique_ptr<std::FILE, file_closer>;

/// Opens a file or a pipe for reading, and nothing else.
complaint open_trace(const std::string& path, file_handle& out);

/// Takes each line of a file that is not blank, and what stands at its end; a complaint ends the reading.
using line_sink = std::function<complaint(std::string_view)>;
using end_sink = std::function<complaint()>;

/// Reads a file line by line; memory does not grow with it, but for one long line.
///
/// Returns  an empty complaint, or what was complained of, with file and line in front of it
complaint read_lines(const std::string& path, const line_sink& take, const end_sink& at_end);

/// Reads a whole trace and hands every request to `sink`; memory does not grow with the file.
///
/// Returns  an empty complaint, or file, line, field and reason; requests before the bad line were already handed over
complaint read_trace(const std::string& path, trace_format format, const trace_sink& sink);

/// One line of a Mooncake trace: a JSON object; unknown fields are skipped.
///
/// Returns  an empty complaint, or field and reason
complaint parse_mooncake_line(std::string_view line, trace_request& out);

/// An Azure trace line by line: a CSV header with three known names in any order, then the requests.
class azure_parser {
 public:
  /// Finds the columns; the first line of the file.
  complaint header(std::string_view line);
  complaint row(std::string_view line, trace_request& out);

 private:
  std::vector<std::string> fields_;
  std::size_t columns_ = 0;
  std::size_t time_ = 0;
  std::size_t context_ = 0;
  std::size_t generated_ = 0;
};

}  // namespace program
