#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "trace.hpp"

namespace program {
namespace {

using json = nlohmann::json;

constexpr std::array<std::string_view, 4> known_fields{"timestamp", "input_length", "output_length", "hash_ids"};
enum field : std::size_t { timestamp, input_length, output_length, hash_ids, unknown_field };

// the parser's events become a request at once: no tree is built, and an error knows the field it stands in
class request_events {
 public:
  explicit request_events(trace_request& out) : out_(out) {}

  bool null() { return other("null"); }
  bool boolean(bool) { return other("true or false"); }
  bool string(std::string&) { return other("a text"); }
  bool binary(json::binary_t&) { return other("binary"); }

  bool number_integer(std::int64_t v) {
    return v < 0 ? negative(fmt::to_string(v)) : number_unsigned(static_cast<std::uint64_t>(v));
  }

  bool number_unsigned(std::uint64_t v) {
    if (depth_ == 0) return other("a number");
    if (skipping()) return true;
    switch (field_) {
      case timestamp:
        return out_.arrival_ms = static_cast<double>(v), scalar();
      case input_length:
        return length(v, out_.prompt_tokens);
      case output_length:
        return length(v, out_.output_tokens);
      default:
        return depth_ == 2 ? (out_.prefix_ids.push_back(v), true) : refuse("needs a list of ids, found a number");
    }
  }

  bool number_float(double v, const std::string& text) {
    if (depth_ == 0) return other("a number");
    if (skipping()) return true;
    if (v < 0) return negative(text);
    if (field_ == timestamp) return out_.arrival_ms = v, scalar();
    // a number of more than 64 bits arrives here too; so do whole numbers written with a point
    if (field_ != hash_ids && v <= static_cast<double>(longest_request) && std::floor(v) == v)
      return number_unsigned(static_cast<std::uint64_t>(v));
    const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
    if (std::floor(v) != v || (field_ == hash_ids && !digits))
      return refuse(fmt::format("needs a whole number, found {}", shortened(text)));
    return refuse(fmt::format("{} is too large (at most {})", shortened(text),
                              field_ == hash_ids ? ~std::uint64_t{0} : longest_request));
  }

  bool start_object(std::size_t) {
    if (depth_ != 0 && !skipping()) return other("an object");
    ++depth_;
    return true;
  }
  bool end_object() { return --depth_, true; }

  bool start_array(std::size_t) {
    if (depth_ == 0) return field_ = unknown_field, refuse("a request is a JSON object, found a list");
    if (!skipping()) {
      if (field_ != hash_ids || depth_ != 1) return other("a list");
      seen_[hash_ids] = true;
    }
    ++depth_;
    return true;
  }
  bool end_array() { return --depth_, true; }

  bool key(std::string& name) {
    if (depth_ != 1) return true;
    field_ = unknown_field;
    for (std::size_t i = 0; i < known_fields.size(); ++i)
      if (name == known_fields[i]) field_ = static_cast<field>(i);
    if (field_ != unknown_field && seen_[field_]) return refuse("stands there twice");
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const json::exception& e) {
    if (!reason_.empty()) return false;
    const bool cut = std::string_view(e.what()).find("unexpected end of input") != std::string_view::npos;
    const bool range = e.id == 406;
    refuse(range ? std::string("the number is too large")
                 : fmt::format("{} at byte {}", cut ? "the line is cut off" : "no valid JSON", position));
    return false;
  }

  complaint finish_at_zero(std::size_t position) {
    reason_.clear();
    refuse(fmt::format("a zero byte stands at byte {}", position));
    return reason_;
  }

  complaint finish() {
    if (!reason_.empty()) return reason_;
    for (std::size_t i = 0; i < known_fields.size(); ++i)
      if (!seen_[i]) return fmt::format("field '{}': is missing", known_fields[i]);
    return {};
  }

 private:
  [[nodiscard]] bool skipping() const { return depth_ > 0 && field_ == unknown_field; }

  static std::string shortened(const std::string& text) {
    return text.size() <= 40 ? text : text.substr(0, 37) + "...";
  }

  bool scalar() {
    if (depth_ != 1) return refuse("needs a number, found a list");
    return seen_[field_] = true;
  }

  bool length(std::uint64_t v, std::uint32_t& out) {
    if (v > longest_request) return refuse(fmt::format("{} is too large (at most {})", v, longest_request));
    out = static_cast<std::uint32_t>(v);
    return scalar();
  }

  bool negative(const std::string& text) {
    if (depth_ == 0) return other("a number");
    if (skipping()) return true;
    return refuse(fmt::format("{} is negative", shortened(text)));
  }

  bool other(std::string_view found) {
    if (depth_ == 0) return field_ = unknown_field, refuse(fmt::format("a request is a JSON object, found {}", found));
    if (skipping()) return true;
    const bool list = field_ == hash_ids && depth_ == 1;
    return refuse(fmt::format("needs {}, found {}", list ? "a list of ids" : "a number", found));
  }

  bool refuse(const std::string& why) {
    if (!reason_.empty()) return false;
    reason_ = field_ == unknown_field ? fmt::format("field: none could be read; {}", why)
                                      : fmt::format("field '{}': {}", known_fields[field_], why);
    return false;
  }

  trace_request& out_;
  complaint reason_;
  std::array<bool, 5> seen_{};
  field field_ = unknown_field;
  int depth_ = 0;
};

}  // namespace

complaint parse_mooncake_line(std::string_view line, trace_request& out) {
  request_events events(out);
  // the parser takes a zero byte for the end of its input
  const std::size_t zero = line.find('\0');
  json::sax_parse(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(std::min(zero, line.size())), &events);
  return zero == std::string_view::npos ? events.finish() : events.finish_at_zero(zero + 1);
}

}  // namespace program
