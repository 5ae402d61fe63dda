// A snapshot as the pickle that PyTorch's memory viewer opens, and `torch.cuda._memory_viz` loads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/kv/events_json.hpp>
#include <tokenheap/observe/viz_walk.hpp>

namespace tokenheap {
inline namespace v0 {

/// Pickle of protocol 2 as `viz_walk` wants it, in the few opcodes that the viewer's own reader knows.
///
/// Lists are appended to at most 1,000 items at once. Texts are written once and remembered by where they lie, so they
/// must not change meanwhile; bytes that are no UTF-8 are written as U+FFFD.
template <class Sink>
class viz_pickle {
 public:
  static constexpr std::size_t most_items = 1000;

  explicit viz_pickle(Sink& to) noexcept : to_(to) { raw("\x80\x02"); }
  viz_pickle(const viz_pickle&) = delete;
  viz_pickle& operator=(const viz_pickle&) = delete;
  ~viz_pickle() {
    byte('.');
    flush();
  }

  void open_map() { raw("}("); }
  void close_map() { byte('u'); }
  void open_list() {
    byte(']');
    items_[++depth_] = 0;
  }
  void item() {
    std::size_t& items = items_[depth_];
    if (items == most_items) byte('e'), items = 0;
    if (items++ == 0) byte('(');
  }
  void close_list() {
    if (items_[depth_--] != 0) byte('e');
  }
  void key(viz_key k) {
    const auto number = static_cast<std::uint32_t>(k);
    if (known_[number]) return get(number);
    known_[number] = true;
    string(to_text(k));
    put(number);
  }
  void flag(bool value) { byte(value ? '\x88' : '\x89'); }

  /// Requires a value below 2^63
  void number(std::uint64_t value) {
    if (value < 1U << 8) return byte('K'), little(value, 1);
    if (value < 1U << 16) return byte('M'), little(value, 2);
    if (value < 1U << 31) return byte('J'), little(value, 4);
    // as many bytes as hold the value and its sign
    const auto bits = highest_bit(value) + 1;
    const unsigned bytes = bits / 8 + 1;
    byte('\x8a'), little(bytes, 1), little(value, bytes);
  }

  void text(const char* value) {
    note* const seen = find(value, nullptr);
    if (seen == nullptr) return;
    string(value);
    *seen = {value, nullptr, next_};
    put(next_++);
  }

  void frames(const viz_frame& frame) {
    // a frame without a line is that of many: the list is written once
    note* const seen = frame.line == 0 ? find(frame.name, shown(frame.filename)) : nullptr;
    if (seen == nullptr && frame.line == 0) return;
    open_list();
    if (seen != nullptr) {
      *seen = {frame.name, shown(frame.filename), next_};
      put(next_++);
    }
    item(), put_frame(*this, frame), close_list();
  }

 private:
  struct note {
    const void* a = nullptr;
    const void* b = nullptr;
    std::uint32_t memo = 0;  // 0: nothing is remembered here
  };
  static constexpr std::size_t notes = 256, most_depth = 8;

  [[nodiscard]] static const char* shown(const char* text) noexcept { return text == nullptr ? "" : text; }

  /// Null, and what was remembered is written; else the place where to remember.
  [[nodiscard]] note* find(const void* a, const void* b) {
    const std::uint64_t mixed = (reinterpret_cast<std::uintptr_t>(a) + 31 * reinterpret_cast<std::uintptr_t>(b)) *
                                std::uint64_t{0x9e3779b97f4a7c15};
    note& at = notes_[mixed >> 56];
    if (at.memo == 0 || at.a != a || at.b != b) return &at;
    get(at.memo);
    return nullptr;
  }

  void put(std::uint32_t memo) { memo < 256 ? (byte('q'), little(memo, 1)) : (byte('r'), little(memo, 4)); }
  void get(std::uint32_t memo) { memo < 256 ? (byte('h'), little(memo, 1)) : (byte('j'), little(memo, 4)); }

  void string(const char* value) {
    const char* const from = shown(value);
    std::size_t length = 0;
    each(from, [&](std::string_view piece) { length += piece.size(); });
    byte('X'), little(length, 4);
    each(from, [&](std::string_view piece) { raw(piece); });
  }
  template <class See>
  static void each(const char* at, See&& see) {
    while (*at != '\0') {
      const std::size_t n = kv::detail::utf8_length(reinterpret_cast<const unsigned char*>(at));
      see(n == 0 ? std::string_view("\xef\xbf\xbd") : std::string_view(at, n));
      at += n == 0 ? 1 : n;
    }
  }

  void little(std::uint64_t value, unsigned bytes) {
    for (; bytes != 0; --bytes, value >>= 8) byte(static_cast<char>(value & 0xff));
  }
  void raw(std::string_view piece) {
    for (const char one : piece) byte(one);
  }
  void byte(char one) {
    if (used_ == sizeof room_) flush();
    room_[used_++] = one;
  }
  void flush() {
    if (used_ != 0) to_(std::string_view(room_, used_));
    used_ = 0;
  }

  Sink& to_;
  note notes_[notes];
  std::size_t items_[most_depth] = {};
  std::size_t depth_ = 0;
  std::uint32_t next_ = viz_keys;  // the first numbers are those of the keys
  bool known_[viz_keys] = {};
  std::size_t used_ = 0;
  char room_[4096];
};

/// Writes a snapshot as a pickle into a sink that is called with bytes, a few kilobytes at a time.
///
/// Requires  a sink that is callable with `std::string_view`
/// Cost      about 50 bytes and 0.1 us an event
template <class Sink>
void write_viz_pickle(const viz_snapshot& of, Sink&& to) {
  viz_pickle<std::remove_reference_t<Sink>> format(to);
  viz_walk(format).snapshot(of);
}

}  // namespace v0
}  // namespace tokenheap
