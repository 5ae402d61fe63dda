// Text into a buffer of the caller's: what reports and dumps are written with, without a heap or a stream.
#pragma once

#include <cstddef>

namespace tokenheap {
inline namespace v0 {

/// Writes text and numbers into a buffer, keeps it terminated, and cuts off what does not fit.
///
/// Requires  a buffer of `capacity` bytes; with 0 nothing is written
/// Cost      one store per character
class text_buffer {
 public:
  constexpr text_buffer(char* out, std::size_t capacity) noexcept : out_(out), capacity_(capacity) {
    if (capacity_ != 0) out_[0] = '\0';
  }

  constexpr text_buffer& operator<<(const char* text) noexcept {
    for (; text != nullptr && *text != '\0' && length_ + 1 < capacity_; ++text) out_[length_++] = *text;
    if (text != nullptr && *text != '\0') cut_ = true;
    if (capacity_ != 0) out_[length_] = '\0';
    return *this;
  }
  constexpr text_buffer& operator<<(std::size_t number) noexcept { return put(number, 10); }

  constexpr text_buffer& hex(std::size_t number) noexcept { return *this << "0x", put(number, 16); }

  /// Returns   the characters written, without the terminator
  [[nodiscard]] constexpr std::size_t length() const noexcept { return length_; }
  /// True if something did not fit.
  [[nodiscard]] constexpr bool cut() const noexcept { return cut_; }
  /// Takes back what was written since the text had this length. Requires  length <= length()
  constexpr void back_to(std::size_t length) noexcept {
    length_ = length;
    cut_ = false;
    if (capacity_ != 0) out_[length_] = '\0';
  }

 private:
  constexpr text_buffer& put(std::size_t number, unsigned radix) noexcept {
    char digits[21] = {};
    std::size_t at = 20;
    do {
      digits[--at] = "0123456789abcdef"[number % radix];
      number /= radix;
    } while (number != 0);
    return *this << digits + at;
  }

  char* out_;
  std::size_t capacity_;
  std::size_t length_ = 0;
  bool cut_ = false;
};

}  // namespace v0
}  // namespace tokenheap
