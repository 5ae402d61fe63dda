// A snapshot as the JSON that PyTorch's memory viewer opens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include <tokenheap/observe/report_text.hpp>
#include <tokenheap/observe/viz_walk.hpp>

namespace tokenheap {
inline namespace v0 {

/// JSON as `viz_walk` wants it, through a buffer into a sink.
template <class Sink>
class viz_json {
 public:
  explicit viz_json(Sink& to) noexcept : to_(to) {}

  void open_map() { to_.raw("{"), first_ = true; }
  void close_map() { to_.raw("}"), first_ = false; }
  void open_list() { to_.raw("["), first_ = true; }
  void close_list() { to_.raw("]"), first_ = false; }
  void item() {
    if (!first_) to_.raw(",");
    first_ = false;
  }
  void key(viz_key k) { to_.key(to_text(k), first_), first_ = false; }
  void number(std::uint64_t value) { to_.number(std::size_t{value}); }
  void text(const char* value) { to_.string(value); }
  void flag(bool value) { to_.raw(value ? "true" : "false"); }
  void frames(const viz_frame& frame) { open_list(), item(), put_frame(*this, frame), close_list(); }

 private:
  report_text<Sink> to_;
  bool first_ = true;
};

/// Writes a snapshot as JSON into a sink that is called with text, a few kilobytes at a time.
///
/// Example   write_viz_json(snapshot, [&](std::string_view text) { file << text; });
/// Requires  a sink that is callable with `std::string_view`
/// Cost      about 200 bytes and 0.3 us an event
template <class Sink>
void write_viz_json(const viz_snapshot& of, Sink&& to) {
  viz_json<std::remove_reference_t<Sink>> format(to);
  viz_walk(format).snapshot(of);
}

}  // namespace v0
}  // namespace tokenheap
