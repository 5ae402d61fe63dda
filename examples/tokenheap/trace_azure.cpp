#include <array>
#include <charconv>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "fields.hpp"
#include "trace.hpp"

namespace program {
namespace {

complaint length_of(std::string_view name, std::string_view raw, std::uint32_t& out) {
  const std::string_view text = trimmed(raw);
  if (text.empty()) return fmt::format("field '{}': is missing", name);
  const bool negative = text.front() == '-';
  std::uint64_t value = 0;
  const auto [end, code] = std::from_chars(text.data() + (negative ? 1 : 0), text.data() + text.size(), value);
  if (end != text.data() + text.size() || code == std::errc::invalid_argument)
    return fmt::format("field '{}': needs a whole number, found '{}'", name, shown(text));
  if (negative) return fmt::format("field '{}': {} is negative", name, shown(text));
  if (code != std::errc{} || value > longest_request)
    return fmt::format("field '{}': {} is too large (at most {})", name, shown(text), longest_request);
  out = static_cast<std::uint32_t>(value);
  return {};
}

// a run of digits of the text, and what follows it
std::optional<std::int64_t> digits(std::string_view& text, std::size_t fewest, std::size_t most) {
  std::int64_t value = 0;
  std::size_t n = 0;
  for (; n < text.size() && n < most && text[n] >= '0' && text[n] <= '9'; ++n) value = value * 10 + (text[n] - '0');
  if (n < fewest) return std::nullopt;
  text.remove_prefix(n);
  return value;
}

bool skip(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

std::int64_t days_in(std::int64_t year, std::int64_t month) {
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  if (month == 2) return leap ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

std::int64_t days_from_civil(std::int64_t y, std::int64_t m, std::int64_t d) {
  y -= m <= 2 ? 1 : 0;
  const std::int64_t era = y / 400;
  const std::int64_t year_of_era = y - era * 400;
  const std::int64_t day_of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

constexpr std::int64_t furthest_zone = 14;  // hours east; no clock on earth is further from UTC, and none further west

// a zone at the end: Z, +hh:mm or -hhmm; in minutes
std::optional<std::int64_t> zone(std::string_view& text) {
  if (text.empty() || skip(text, "Zz")) return 0;
  const bool west = text.front() == '-';
  if (!skip(text, "+-")) return std::nullopt;
  const auto hours = digits(text, 2, 2);
  skip(text, ":");
  const auto minutes = text.empty() ? std::optional<std::int64_t>(0) : digits(text, 2, 2);
  if (!hours || !minutes || *hours > furthest_zone || *minutes > 59) return std::nullopt;
  return (*hours * 60 + *minutes) * (west ? -1 : 1);
}

// `2023-11-16 18:17:03.9799600`, with T or a space, any count of decimals, with or without a zone
std::optional<double> time_ms(std::string_view text) {
  std::array<std::int64_t, 6> part{};
  constexpr std::array<std::string_view, 6> after{"-", "-", "T ", ":", ":", ""};
  for (std::size_t i = 0; i < part.size(); ++i) {
    const auto value = digits(text, i == 0 ? 4 : 1, i == 0 ? 4 : 2);
    if (!value || (!after[i].empty() && !skip(text, after[i]))) return std::nullopt;
    part[i] = *value;
  }
  const auto [year, month, day, hour, minute, second] = part;
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in(year, month) || hour > 23 || minute > 59 || second > 60)
    return std::nullopt;
  double fraction = 0;
  if (skip(text, ".")) {
    double unit = 1000;
    if (text.empty()) return std::nullopt;
    while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
      unit /= 10;
      fraction += unit * (text.front() - '0');
      text.remove_prefix(1);
    }
  }
  const auto minutes_east = zone(text);
  if (!minutes_east || !text.empty()) return std::nullopt;
  const std::int64_t seconds =
      ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute - *minutes_east) * 60 + second;
  return static_cast<double>(seconds) * 1000 + fraction;
}

}  // namespace

complaint azure_parser::header(std::string_view line) {
  if (line.find('\0') != std::string_view::npos) return "field 'TIMESTAMP': a zero byte stands in the header";
  if (complaint bad = split_fields(line, fields_); !bad.empty()) return bad;
  columns_ = fields_.size();
  const auto find = [&](std::string_view name, std::size_t& at) -> complaint {
    std::size_t found = 0;
    for (std::size_t i = 0; i < fields_.size(); ++i)
      if (trimmed(fields_[i]) == name) at = i, ++found;
    if (found == 0) return fmt::format("field '{}': the header does not name it", name);
    if (found > 1) return fmt::format("field '{}': the header names it {} times", name, found);
    return {};
  };
  if (complaint bad = find("TIMESTAMP", time_); !bad.empty()) return bad;
  if (complaint bad = find("ContextTokens", context_); !bad.empty()) return bad;
  return find("GeneratedTokens", generated_);
}

complaint azure_parser::row(std::string_view line, trace_request& out) {
  if (complaint bad = split_fields(line, fields_); !bad.empty()) return bad;
  // a line that was cut off lacks its last columns: name the first of ours that is gone
  constexpr std::array<std::string_view, 3> names{"TIMESTAMP", "ContextTokens", "GeneratedTokens"};
  const std::array<std::size_t, 3> at{time_, context_, generated_};
  for (std::size_t i = 0; i < names.size(); ++i)
    if (at[i] >= fields_.size()) return fmt::format("field '{}': is missing", names[i]);
  if (fields_.size() != columns_)
    return fmt::format("field '{}': {} columns, the header names {}", names.back(), fields_.size(), columns_);
  const std::string_view when = trimmed(fields_[time_]);
  const std::optional<double> time = time_ms(when);
  if (!time) return fmt::format("field 'TIMESTAMP': needs a date and a time, found '{}'", shown(when));
  out.arrival_ms = *time;
  if (complaint bad = length_of("ContextTokens", fields_[context_], out.prompt_tokens); !bad.empty()) return bad;
  return length_of("GeneratedTokens", fields_[generated_], out.output_tokens);
}

}  // namespace program
