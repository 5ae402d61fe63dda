#include "fields.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace program {

complaint split_fields(std::string_view line, std::vector<std::string>& fields) {
  fields.clear();
  for (std::size_t at = 0;;) {
    std::string& field = fields.emplace_back();
    if (at < line.size() && line[at] == '"') {
      for (++at;; ++at) {
        if (at >= line.size()) return fmt::format("column {}: the quote is not closed", fields.size());
        if (line[at] == '"' && (at + 1 >= line.size() || line[at + 1] != '"')) break;
        if (line[at] == '"') ++at;
        field += line[at];
      }
      if (++at < line.size() && line[at] != ',') return fmt::format("column {}: text after the quote", fields.size());
    } else {
      const std::size_t end = std::min(line.find(',', at), line.size());
      field = line.substr(at, end - at);
      at = end;
    }
    if (at >= line.size()) return {};
    ++at;
  }
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

std::string shown(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, 40)) out += c >= ' ' && c <= '~' ? c : '?';
  return out;
}

complaint number_of(std::string_view name, std::string_view raw, std::uint64_t& out) {
  std::string_view text = trimmed(raw);
  if (text.empty()) return fmt::format("field '{}': is missing", name);
  const std::string found = shown(text);
  if (text.front() == '-') return fmt::format("field '{}': {} is negative", name, found);
  int radix = 10;
  if (text.size() > 2 && text.front() == '0' && (text[1] == 'x' || text[1] == 'X')) {
    text.remove_prefix(2);
    radix = 16;
  }
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out, radix);
  if (end != text.data() + text.size() || code == std::errc::invalid_argument)
    return fmt::format("field '{}': needs a whole number, found '{}'", name, found);
  if (code != std::errc{}) return fmt::format("field '{}': {} is too large (at most {})", name, found, ~std::uint64_t{0});
  return {};
}

}  // namespace program
