// Text that goes into a page: numbers, JSON and HTML, escaped, through a small buffer into whatever takes it.
#pragma once

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <tokenheap/core/config.hpp>
#include <tokenheap/kv/events_json.hpp>

namespace tokenheap {
inline namespace v0 {

/// Writes pieces of a page into a sink that is called with text, a few kilobytes at a time.
///
/// Any text is safe: what would end a script or a string, and bytes that are no UTF-8, are written as something else.
/// Requires  a sink that is callable with `std::string_view`, and stays where it is
/// Cost      one store per character, and one call of the sink for each 4 KiB
template <class Sink>
class report_text {
 public:
  explicit report_text(Sink& to) noexcept : to_(to) {}
  report_text(const report_text&) = delete;
  report_text& operator=(const report_text&) = delete;
  ~report_text() { flush(); }

  /// As it is.
  report_text& raw(std::string_view text) {
    if (text.size() > sizeof room_ - used_) flush();
    if (text.size() > sizeof room_) return to_(text), *this;
    std::memcpy(room_ + used_, text.data(), text.size());
    used_ += text.size();
    return *this;
  }

  /// Text of an element, or of an attribute in quotes. Null is empty.
  report_text& html(const char* text) {
    return each(text, [this](unsigned char one) {
      switch (one) {
        case '<': return raw("&lt;"), true;
        case '>': return raw("&gt;"), true;
        case '&': return raw("&amp;"), true;
        case '"': return raw("&quot;"), true;
        case '\'': return raw("&#39;"), true;
        default: return false;
      }
    });
  }

  /// A string of JSON that may stand inside a script of a page. Null is empty.
  report_text& string(const char* text) {
    raw("\"");
    each(text, [this](unsigned char one) {
      if (one >= 0x20 && one != '"' && one != '\\' && one != '<' && one != '>' && one != '&') return false;
      constexpr const char* digits = "0123456789abcdef";
      const char escaped[] = {'\\', 'u', '0', '0', digits[one / 16], digits[one % 16]};
      return raw({escaped, sizeof escaped}), true;
    });
    return raw("\"");
  }

  /// The shortest text of seven digits; `null` for what is no number.
  report_text& number(double value) {
    if (!std::isfinite(value)) return raw("null");
    char text[32];
    const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
    const auto end = whole ? std::to_chars(text, text + sizeof text, static_cast<std::int64_t>(value))
                           : std::to_chars(text, text + sizeof text, value, std::chars_format::general, 7);
    return raw({text, static_cast<std::size_t>(end.ptr - text)});
  }
  report_text& number(std::size_t value) {
    char text[24];
    const auto end = std::to_chars(text, text + sizeof text, value);
    return raw({text, static_cast<std::size_t>(end.ptr - text)});
  }

  /// `"name":`, behind a comma unless it is the first of its object.
  report_text& key(std::string_view name, bool first = false) {
    return raw(first ? "\"" : ",\"").raw(name).raw("\":");
  }

  /// `[...]`, where `write` is called with each item.
  template <class Items, class Write>
  report_text& list(const Items& items, Write&& write) {
    raw("[");
    bool first = true;
    for (const auto& one : items) {
      if (!first) raw(",");
      first = false;
      write(one);
    }
    return raw("]");
  }

  void flush() {
    if (used_ != 0) to_(std::string_view(room_, used_));
    used_ = 0;
  }

 private:
  // `escape` writes a byte in other words and says so, or leaves it
  template <class Escape>
  report_text& each(const char* text, Escape&& escape) {
    if (text == nullptr) return *this;
    for (const char* at = text; *at != '\0';) {
      const auto* const byte = reinterpret_cast<const unsigned char*>(at);
      const std::size_t n = kv::detail::utf8_length(byte);
      if (n == 0) {
        raw("\xef\xbf\xbd");
      } else if (n != 1 || !escape(*byte)) {
        raw({at, n});
      }
      at += n == 0 ? 1 : n;
    }
    return *this;
  }

  Sink& to_;
  std::size_t used_ = 0;
  char room_[4096];
};

}  // namespace v0
}  // namespace tokenheap
