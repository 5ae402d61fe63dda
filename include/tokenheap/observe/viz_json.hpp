// A snapshot as the JSON that PyTorch's memory viewer opens.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include <tokenheap/observe/report_text.hpp>
#include <tokenheap/observe/viz_walk.hpp>

namespace tokenheap {
inline namespace v0 {

namespace detail {

// `,"name":`, in a room of one size, so that it is copied without a look at its length.
struct viz_json_key {
  static constexpr std::size_t room = 32;
  char text[room] = {};
  std::size_t length = 0;
};

struct viz_json_keys {
  constexpr viz_json_keys() noexcept {
    for (std::size_t k = 0; k != viz_keys; ++k) {
      viz_json_key& to = all[k];
      to.text[to.length++] = ',';
      to.text[to.length++] = '"';
      for (const char* at = to_text(static_cast<viz_key>(k)); *at != '\0'; ++at) to.text[to.length++] = *at;
      to.text[to.length++] = '"';
      to.text[to.length++] = ':';
    }
  }
  viz_json_key all[viz_keys] = {};
};
inline constexpr viz_json_keys viz_json_names{};

}  // namespace detail

/// JSON as `viz_walk` wants it, through a buffer into a sink.
///
/// Texts are escaped once and remembered by where they lie, so they must not change meanwhile.
template <class Sink>
class viz_json {
 public:
  explicit viz_json(Sink& to) noexcept : to_(to) {}
  viz_json(const viz_json&) = delete;
  viz_json& operator=(const viz_json&) = delete;
  ~viz_json() { flush(); }

  void open_map() { byte('{'), first_ = true; }
  void close_map() { byte('}'), first_ = false; }
  void open_list() { byte('['), first_ = true; }
  void close_list() { byte(']'), first_ = false; }
  void item() {
    if (!first_) byte(',');
    first_ = false;
  }
  void key(viz_key k) {
    const detail::viz_json_key& name = detail::viz_json_names.all[static_cast<std::size_t>(k)];
    make_room(detail::viz_json_key::room);
    const std::size_t skip = first_ ? 1 : 0;
    std::memcpy(room_ + used_, name.text + skip, detail::viz_json_key::room - 1);
    used_ += name.length - skip;
    first_ = false;
  }
  void number(std::uint64_t value) {
    make_room(20);
    used_ = static_cast<std::size_t>(std::to_chars(room_ + used_, room_ + sizeof room_, value).ptr - room_);
  }
  void flag(bool value) { raw(value ? "true" : "false"); }
  void text(const char* value) {
    note& seen = notes_[(reinterpret_cast<std::uintptr_t>(value) * std::uint64_t{0x9e3779b97f4a7c15}) >> 58];
    if (seen.of == value && seen.length != 0) return raw({seen.text, seen.length});
    seen.of = nullptr;
    std::size_t length = 0;
    const auto keep = [&](std::string_view piece) {
      raw(piece);
      for (const char one : piece) {
        if (length < sizeof seen.text) seen.text[length] = one;
        ++length;
      }
    };
    report_text<decltype(keep)>(keep).string(value);
    if (length <= sizeof seen.text) seen.of = value, seen.length = length;
  }
  void frames(const viz_frame& frame) { open_list(), item(), put_frame(*this, frame), close_list(); }

 private:
  struct note {
    const char* of = nullptr;
    std::size_t length = 0;
    char text[112];
  };

  void byte(char one) {
    make_room(1);
    room_[used_++] = one;
  }
  void raw(std::string_view piece) {
    while (!piece.empty()) {
      if (used_ == sizeof room_) flush();
      const std::size_t part = piece.size() < sizeof room_ - used_ ? piece.size() : sizeof room_ - used_;
      std::memcpy(room_ + used_, piece.data(), part);
      used_ += part;
      piece.remove_prefix(part);
    }
  }
  void make_room(std::size_t bytes) {
    if (bytes > sizeof room_ - used_) flush();
  }
  void flush() {
    if (used_ != 0) to_(std::string_view(room_, used_));
    used_ = 0;
  }

  Sink& to_;
  note notes_[64];
  bool first_ = true;
  std::size_t used_ = 0;
  char room_[4096];
};

/// Writes a snapshot as JSON into a sink that is called with text, a few kilobytes at a time.
///
/// Example   write_viz_json(snapshot, [&](std::string_view text) { file << text; });
/// Requires  a sink that is callable with `std::string_view`
/// Cost      about 200 bytes and 0.15 us an event
template <class Sink>
void write_viz_json(const viz_snapshot& of, Sink&& to) {
  viz_json<std::remove_reference_t<Sink>> format(to);
  viz_walk(format).snapshot(of);
}

}  // namespace v0
}  // namespace tokenheap
