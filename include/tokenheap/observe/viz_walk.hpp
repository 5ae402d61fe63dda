// The order in which a snapshot is written, whatever it is written as.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/observe/viz_snapshot.hpp>

namespace tokenheap {
inline namespace v0 {

/// The names of a snapshot's fields, in the order of their first use.
enum class viz_key : std::uint8_t {
  segments, device, address, total_size, allocated_size, active_size, requested_size, stream, segment_type,
  segment_pool_id, is_expandable, frames, blocks, size, state, device_traces, action, addr, device_free, time_us,
  compile_context, user_metadata, allocator_settings, allocator, external_annotations, name, filename, line,
};
inline constexpr std::size_t viz_keys = 28;

[[nodiscard]] constexpr const char* to_text(viz_key key) noexcept {
  constexpr const char* names[viz_keys] = {
      "segments", "device", "address", "total_size", "allocated_size", "active_size", "requested_size", "stream",
      "segment_type", "segment_pool_id", "is_expandable", "frames", "blocks", "size", "state", "device_traces", "action",
      "addr", "device_free", "time_us", "compile_context", "user_metadata", "allocator_settings", "allocator",
      "external_annotations", "name", "filename", "line"};
  return names[static_cast<std::size_t>(key)];
}

/// Tells a format of a snapshot, piece by piece; `write_viz_json` and `write_viz_pickle` are its callers.
///
/// `Format` has `open_map`, `close_map`, `open_list`, `close_list`, `item` before each thing in a list, `key`, `number`,
/// `text`, `flag` and `frames`.
template <class Format>
class viz_walk {
 public:
  explicit viz_walk(Format& to) noexcept : to_(to) {}

  void snapshot(const viz_snapshot& of) {
    to_.open_map();
    to_.key(viz_key::segments), to_.open_list();
    for (const viz_segment& s : of.segments()) to_.item(), segment(of, s);
    to_.close_list();
    to_.key(viz_key::device_traces), to_.open_list();
    for (std::size_t device = 0; device != of.devices(); ++device) {
      to_.item(), to_.open_list();
      for (const viz_event& e : of.events())
        if (e.device == device) to_.item(), event(e);
      to_.close_list();
    }
    to_.close_list();
    to_.key(viz_key::allocator_settings), to_.open_map();
    to_.key(viz_key::allocator), to_.text("tokenheap");
    to_.close_map();
    to_.key(viz_key::external_annotations), to_.open_list(), to_.close_list();
    to_.close_map();
  }

 private:
  void put(viz_key key, std::uint64_t value) { to_.key(key), to_.number(value); }
  void put(viz_key key, const char* value) { to_.key(key), to_.text(value); }

  void segment(const viz_snapshot& of, const viz_segment& s) {
    to_.open_map();
    put(viz_key::device, std::uint64_t{s.device});
    put(viz_key::address, s.address);
    put(viz_key::total_size, s.total);
    put(viz_key::allocated_size, s.allocated);
    put(viz_key::active_size, s.active);
    put(viz_key::requested_size, s.requested);
    put(viz_key::stream, s.stream);
    put(viz_key::segment_type, s.large ? "large" : "small");
    to_.key(viz_key::segment_pool_id), to_.open_list();
    to_.item(), to_.number(0), to_.item(), to_.number(std::uint64_t{s.pool}), to_.close_list();
    to_.key(viz_key::is_expandable), to_.flag(s.expandable);
    to_.key(viz_key::frames), to_.frames(s.frame);
    to_.key(viz_key::blocks), to_.open_list();
    for (const viz_block& b : of.blocks(s)) to_.item(), block(b);
    to_.close_list(), to_.close_map();
  }

  void block(const viz_block& b) {
    to_.open_map();
    put(viz_key::address, b.address);
    put(viz_key::size, b.size);
    put(viz_key::requested_size, b.requested);
    put(viz_key::state, to_text(b.state));
    to_.key(viz_key::frames), to_.frames(b.frame);
    to_.close_map();
  }

  void event(const viz_event& e) {
    to_.open_map();
    put(viz_key::action, to_text(e.action));
    put(e.action == device_action::oom ? viz_key::device_free : viz_key::addr, e.address);
    put(viz_key::size, e.bytes);
    put(viz_key::stream, e.stream);
    put(viz_key::time_us, e.microseconds);
    put(viz_key::compile_context, "N/A");
    put(viz_key::user_metadata, "");
    to_.key(viz_key::frames), to_.frames(e.frame);
    to_.close_map();
  }

  Format& to_;
};

/// Writes what makes a frame, without its list.
template <class Format>
void put_frame(Format& to, const viz_frame& frame) {
  to.open_map();
  to.key(viz_key::name), to.text(frame.name);
  to.key(viz_key::filename), to.text(frame.filename);
  to.key(viz_key::line), to.number(frame.line);
  to.close_map();
}

}  // namespace v0
}  // namespace tokenheap
