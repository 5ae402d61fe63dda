// The lines of a metrics page: names, escaped labels, and numbers that read back as they were.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <tokenheap/core/config.hpp>

namespace tokenheap {
inline namespace v0 {

/// The two dialects of the text that scrapers read.
enum class metric_format : std::uint8_t {
  prometheus,    ///< text/plain; version=0.0.4: what Prometheus and `promtool check metrics` take
  open_metrics,  ///< application/openmetrics-text; version=1.0.0: units, and an end that shows that nothing is missing
};

/// What a metric does over time.
enum class metric_kind : std::uint8_t { gauge, counter, histogram, info };

/// Appends `text` as the value of a label: `\`, `"` and line ends escaped, bytes that are no UTF-8 replaced by U+FFFD.
///
/// Threads   safe for different strings
/// Cost      O(length)
inline void append_label_value(std::string& out, std::string_view text) {
  // the length of the UTF-8 character at the start, 0 if there is none: overlong forms, surrogates, beyond U+10FFFF
  const auto length_at = [](std::string_view s) noexcept -> std::size_t {
    const auto byte = [&](std::size_t k) noexcept { return k < s.size() ? static_cast<unsigned char>(s[k]) : 0U; };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t n = first >= 0xF0 ? 4 : (first >= 0xE0 ? 3 : 2);
    if (first < 0xC2 || first > 0xF4) return 0;
    for (std::size_t k = 1; k != n; ++k)
      if ((byte(k) & 0xC0) != 0x80) return 0;
    const unsigned second = byte(1);
    if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F)) return 0;
    if ((first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F)) return 0;
    return n;
  };
  while (!text.empty()) {
    const std::size_t n = length_at(text);
    if (n == 0) {
      out += "\xEF\xBF\xBD";
      text.remove_prefix(1);
      continue;
    }
    switch (text.front()) {
      case '\\': out += "\\\\"; break;
      case '"': out += "\\\""; break;
      case '\n': out += "\\n"; break;
      default: out += text.substr(0, n);
    }
    text.remove_prefix(n);
  }
}

/// Appends `name="value"` to labels, behind a comma if there are some; an empty value leaves the label out.
inline void append_label(std::string& labels, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  if (!labels.empty()) labels += ',';
  labels += name;
  labels += "=\"";
  append_label_value(labels, value);
  labels += '"';
}

/// Writes the metrics of one page, family by family.
///
/// Call `family` once for each, then `sample` for each of its lines, with labels that `append_label` made. It neither
/// sorts nor remembers: all lines of a family must follow its `family`, and no two may have the same labels.
///
/// Cost      what appending to a string costs
class metric_text {
 public:
  /// One more label, whose value needs no escapes.
  struct label {
    std::string_view name, value;
  };

  explicit metric_text(metric_format format = metric_format::prometheus) noexcept : format_(format) {}

  /// Begins a family. `name` is without `_total`, `_info` and `_bucket`; `unit` is its last word, or empty.
  void family(std::string_view name, std::string_view unit, metric_kind kind, std::string_view help) {
    name_ = name;
    kind_ = kind;
    const bool open = format_ == metric_format::open_metrics;
    const std::string_view end = open ? "" : suffix();
    head("# HELP ", end, help);
    head("# TYPE ", end, type());
    if (open && !unit.empty()) head("# UNIT ", end, unit);
  }

  /// One line of a counter, a gauge or an info.
  void sample(std::string_view labels, label more, std::uint64_t value) { line(suffix(), labels, more, value); }
  void sample(std::string_view labels, std::uint64_t value) { line(suffix(), labels, {}, value); }
  void sample(std::string_view labels, double value) { line(suffix(), labels, {}, value); }
  /// All lines of one histogram: `counts[k]` lie between bounds k - 1 and k; the last of `n + 1` has no bound.
  void histogram(std::string_view labels, const double* bounds, const std::uint64_t* counts, std::size_t n, double sum) {
    std::uint64_t all = 0;
    char digits[max_digits];
    for (std::size_t k = 0; k != n; ++k)
      line("_bucket", labels, {"le", number(digits, bounds[k], true)}, all += counts[k]);
    line("_bucket", labels, {"le", "+Inf"}, all += counts[n]);
    line("_sum", labels, {}, sum);
    line("_count", labels, {}, all);
  }

  /// Ends the page.
  void finish() {
    if (format_ == metric_format::open_metrics) text_ += "# EOF\n";
  }

  [[nodiscard]] std::string& text() noexcept { return text_; }

 private:
  [[nodiscard]] std::string_view suffix() const noexcept {
    return kind_ == metric_kind::counter ? "_total" : (kind_ == metric_kind::info ? "_info" : "");
  }
  [[nodiscard]] std::string_view type() const noexcept {
    switch (kind_) {
      case metric_kind::gauge: return "gauge";
      case metric_kind::counter: return "counter";
      case metric_kind::histogram: return "histogram";
      case metric_kind::info: break;
    }
    return format_ == metric_format::open_metrics ? "info" : "gauge";
  }
  void head(std::string_view what, std::string_view end, std::string_view text) {
    text_ += what;
    text_ += name_;
    text_ += end;
    text_ += ' ';
    text_ += text;
    text_ += '\n';
  }

  static constexpr std::size_t max_digits = 40;

  /// A number as text; whole ones get ".0" where a bound must look like a fraction.
  [[nodiscard]] static std::string_view number(char* out, double value, bool fraction = false) noexcept {
    char* end = std::to_chars(out, out + max_digits - 2, value).ptr;
    if (fraction && std::string_view(out, static_cast<std::size_t>(end - out)).find_first_of(".e") == std::string_view::npos) {
      *end++ = '.';
      *end++ = '0';
    }
    return {out, static_cast<std::size_t>(end - out)};
  }
  [[nodiscard]] static std::string_view number(char* out, std::uint64_t value) noexcept {
    char* const end = std::to_chars(out, out + max_digits, value).ptr;
    return {out, static_cast<std::size_t>(end - out)};
  }

  template <class Value>
  void line(std::string_view end, std::string_view labels, label more, Value value) {
    text_ += name_;
    text_ += end;
    if (!labels.empty() || !more.value.empty()) {
      text_ += '{';
      text_ += labels;
      if (!labels.empty() && !more.value.empty()) text_ += ',';
      if (!more.value.empty()) {
        text_ += more.name;
        text_ += "=\"";
        text_ += more.value;
        text_ += '"';
      }
      text_ += '}';
    }
    char digits[max_digits];
    text_ += ' ';
    text_ += number(digits, value);
    text_ += '\n';
  }

  metric_format format_;
  metric_kind kind_ = metric_kind::gauge;
  std::string_view name_;
  std::string text_;
};

}  // namespace v0
}  // namespace tokenheap
