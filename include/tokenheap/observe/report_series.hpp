// Numbers over time, and which of them a picture needs.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <tokenheap/core/config.hpp>

namespace tokenheap {
inline namespace v0 {

/// What numbers count, so that a page can write them as people do.
enum class report_unit : std::uint8_t { count, bytes, share, nanoseconds };

/// Colours of a page by what they stand for; each has one value on a light page and another on a dark one.
enum class report_tone : std::uint8_t { blue, aqua, yellow, violet, red, green, magenta, orange, quiet };

/// One quantity over time: a value for each time of its series. What is no finite number is a gap.
struct report_line {
  const char* name = "";
  report_tone tone = report_tone::blue;
  std::span<const double> values = {};
};

/// Quantities over the same times, in seconds and in order, drawn into one picture.
struct report_series {
  const char* title = "";
  const char* note = "";
  report_unit unit = report_unit::count;
  bool stacked = false;  ///< areas one on the other, the first one below; else lines
  double limit = 0;      ///< drawn as a line of its own; 0: none
  const char* limit_name = "";
  std::span<const double> times = {};
  std::span<const report_line> lines = {};  ///< the first `most_report_lines` are drawn
};

inline constexpr std::size_t most_report_lines = 12;

namespace detail {

/// The value of a line in a row, or the sum of all lines for the number behind the last one.
[[nodiscard]] constexpr double value_in(std::span<const report_line> lines, std::size_t line, std::size_t row) {
  if (line != lines.size()) return lines[line].values[row];
  double sum = 0;
  for (const report_line& one : lines) sum += one.values[row];
  return sum;
}

}  // namespace detail

/// Calls `keep(row)` for the rows that a picture needs, ascending: at most `most`, or all if there are no more.
///
/// The rows are cut into equal parts, and of each part stay the rows where a line, or the sum of all lines, is least
/// and where it is greatest; the first and the last row stay too. So no peak is lost.
/// Requires  `most` of 64 at least; lines with a value for each row
/// Cost      O(rows x lines), no memory
template <class Keep>
constexpr void thin_rows(std::size_t rows, std::span<const report_line> lines, std::size_t most, Keep&& keep) {
  if (rows <= most) {
    for (std::size_t row = 0; row != rows; ++row) keep(row);
    return;
  }
  lines = lines.first(std::min(lines.size(), most_report_lines));
  const std::size_t count = lines.size();
  const std::size_t parts = std::max<std::size_t>(1, (most - 2) / (2 * (count + 1)));
  const auto value = [&](std::size_t line, std::size_t row) { return detail::value_in(lines, line, row); };
  std::size_t next = 0;  // rows below were kept or left out
  for (std::size_t part = 0; part != parts; ++part) {
    const std::size_t from = rows / parts * part + std::min(part, rows % parts);
    const std::size_t to = from + rows / parts + (part < rows % parts ? 1 : 0);
    std::size_t chosen[2 * (most_report_lines + 1) + 2];
    std::size_t n = 0;
    if (part == 0) chosen[n++] = 0;
    if (part + 1 == parts) chosen[n++] = rows - 1;
    for (std::size_t line = 0; line <= count; ++line) {
      std::size_t least = from;
      std::size_t greatest = from;
      for (std::size_t row = from; row != to; ++row) {
        // what is no number differs from itself, and gives way to whatever comes
        const double now = value(line, row), low = value(line, least), high = value(line, greatest);
        if (now < low || low != low) least = row;
        if (now > high || high != high) greatest = row;
      }
      chosen[n++] = least;
      chosen[n++] = greatest;
    }
    std::sort(chosen, chosen + n);
    for (std::size_t k = 0; k != n; ++k) {
      if (chosen[k] < next) continue;
      keep(chosen[k]);
      next = chosen[k] + 1;
    }
  }
}

}  // namespace v0
}  // namespace tokenheap
