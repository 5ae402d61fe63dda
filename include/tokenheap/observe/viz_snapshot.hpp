// What allocators hold and what happened to them, in the words of PyTorch's memory viewer, before it is written.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include <tokenheap/alloc/device_trace.hpp>
#include <tokenheap/alloc/range_table.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/source/host.hpp>

namespace tokenheap {
inline namespace v0 {

/// What a block of a snapshot is.
enum class viz_state : std::uint8_t { allocated, pending, inactive };

[[nodiscard]] constexpr const char* to_text(viz_state state) noexcept {
  constexpr const char* names[] = {"active_allocated", "active_pending_free", "inactive"};
  return names[static_cast<std::size_t>(state)];
}

/// What the viewer shows where a program of Python has its stack: whose memory it is. Texts are UTF-8, not copied.
struct viz_frame {
  const char* name = "memory";  ///< such as the owner
  const char* filename = "";    ///< such as the pool
  std::uint64_t line = 0;       ///< such as the number of a KV block
};

/// One piece of a segment.
struct viz_block {
  std::uint64_t address = 0;
  std::uint64_t size = 0;
  std::uint64_t requested = 0;
  viz_state state = viz_state::inactive;
  viz_frame frame{};
};

/// One stretch of addresses with memory; its sizes are those of its blocks, which follow each other without a gap.
struct viz_segment {
  std::uint16_t device = 0;
  std::uint64_t address = 0;
  std::uint64_t stream = 0;
  std::uint32_t pool = 0;   ///< of the viewer's private pools; 0: none
  bool large = true;
  bool expandable = false;  ///< pages are mapped and unmapped, segment_map and segment_unmap
  viz_frame frame{};
  std::uint64_t total = 0;      ///< this and what follows are filled by the snapshot
  std::uint64_t allocated = 0;
  std::uint64_t active = 0;
  std::uint64_t requested = 0;
  std::size_t first = 0;   ///< its first block
  std::size_t blocks = 0;
};

/// One thing that happened; an event without a time gets its place in the order as one.
struct viz_event {
  std::uint16_t device = 0;
  device_action action = device_action::alloc;
  std::uint64_t address = 0;  ///< of `oom` the device's free bytes
  std::uint64_t bytes = 0;    ///< as those of `device_event`
  std::uint64_t stream = 0;
  std::uint64_t microseconds = 0;
  viz_frame frame{};
};

/// A picture of allocators that `collect` fills, and `write_viz_json` and `write_viz_pickle` write for PyTorch's viewer.
///
/// For https://docs.pytorch.org/memory_viz, which takes both forms and sends nothing away. Collect as many allocators as
/// you like; those of one device lie side by side, so give a pool that lives inside another one a device number of its
/// own. Errors stay: ask `status()` once, at the end.
///
/// Requires  texts that live as long as the snapshot
/// Fails     `out_of_memory`; `too_large` for an address of 2^53 or more, or a device above 63; `invalid_argument` for
///           blocks that do not follow each other
/// Threads   not safe
/// Cost      72 bytes a block, 72 an event
/// Example   examples/snapshot.cpp
class viz_snapshot {
 public:
  /// JavaScript's numbers are exact below it.
  static constexpr std::uint64_t too_far = std::uint64_t{1} << 53;
  static constexpr std::size_t most_devices = 64;

  explicit viz_snapshot(const host_source& book = {}) noexcept : segments_(book), blocks_(book), events_(book) {}

  /// Begins a segment, which takes the blocks that are added next.
  void begin_segment(const viz_segment& of) noexcept {
    if (is_wrong(of.device, of.address, 0) || !room(segments_, segment_count_)) return;
    viz_segment& s = segments_[segment_count_++];
    s = of;
    s.stream %= too_far;
    s.total = s.allocated = s.active = s.requested = 0;
    s.first = block_count_;
    s.blocks = 0;
    count_device(of.device);
    open_ = true;
  }

  /// Adds a block where the one before it ended.
  void add(const viz_block& b) noexcept {
    if (status_ != errc::ok) return;
    viz_segment* const s = open_ ? &segments_[segment_count_ - 1] : nullptr;
    if (s == nullptr || b.size == 0 || b.address != s->address + s->total) return fail(errc::invalid_argument);
    if (is_wrong(s->device, b.address, b.size) || !room(blocks_, block_count_)) return;
    viz_block& kept = blocks_[block_count_++];
    kept = b;
    if (b.state == viz_state::inactive) kept.requested = 0;
    kept.requested = std::min(kept.requested, kept.size);
    ++s->blocks;
    s->total += b.size;
    s->requested += kept.requested;
    s->active += b.state != viz_state::inactive ? b.size : 0;
    s->allocated += b.state == viz_state::allocated ? b.size : 0;
  }

  void add(const viz_event& e) noexcept {
    if (is_wrong(e.device, e.address, e.bytes) || !room(events_, event_count_)) return;
    events_[event_count_] = e;
    events_[event_count_].stream %= too_far;
    if (e.microseconds == 0) events_[event_count_].microseconds = event_count_;
    ++event_count_;
    count_device(e.device);
  }

  /// Adds an event of a column's ring: a free is two events, and it has its granted bytes where nobody knows others.
  void add(const trace_event& e, std::uint16_t device, const viz_frame& frame) noexcept {
    viz_event out{.device = device, .address = reinterpret_cast<std::uintptr_t>(e.address),
                  .bytes = e.requested != 0 ? e.requested : e.granted, .frame = frame};
    if (e.kind == trace_kind::out_of_memory) out.action = device_action::oom, out.address = 0;
    if (e.kind == trace_kind::allocate || e.kind == trace_kind::out_of_memory) return add(out);
    if (e.kind != trace_kind::deallocate) return;
    out.action = device_action::free_requested;
    add(out);
    out.action = device_action::free_completed;
    add(out);
  }

  /// Drops the events for which `keep`, called from the last one backwards, says no; the first `since` stay.
  template <class Keep>
  void keep_events(std::size_t since, Keep&& keep) {
    std::size_t to = event_count_;
    for (std::size_t at = event_count_; at-- > since;)
      if (keep(static_cast<const viz_event&>(events_[at]))) events_[--to] = events_[at];
    if (to == since) return;
    std::copy(events_.begin() + to, events_.begin() + event_count_, events_.begin() + since);
    event_count_ -= to - since;
  }

  /// Puts segments into the order of devices and addresses; blocks go with theirs, and none can be added to them.
  void arrange() noexcept {
    open_ = false;
    std::sort(segments_.begin(), segments_.begin() + segment_count_, [](const viz_segment& a, const viz_segment& b) {
      return a.device != b.device ? a.device < b.device : a.address < b.address;
    });
  }

  /// True if an address lies in a segment of the device. Requires that `arrange` was called
  [[nodiscard]] bool has(std::uint16_t device, std::uint64_t address) const noexcept {
    const auto all = segments();
    const auto above = std::upper_bound(all.begin(), all.end(), address, [&](std::uint64_t at, const viz_segment& s) {
      return device != s.device ? device < s.device : at < s.address;
    });
    if (above == all.begin()) return false;
    const viz_segment& s = *(above - 1);
    return s.device == device && address - s.address < s.total;
  }

  [[nodiscard]] std::span<const viz_segment> segments() const noexcept { return {segments_.begin(), segment_count_}; }
  [[nodiscard]] std::span<const viz_block> blocks(const viz_segment& of) const noexcept {
    return {blocks_.begin() + of.first, of.blocks};
  }
  [[nodiscard]] std::span<const viz_event> events() const noexcept { return {events_.begin(), event_count_}; }
  /// One more than the highest device that anything was added for; at least one.
  [[nodiscard]] std::size_t devices() const noexcept { return devices_; }

  /// The first thing that went wrong; nothing was added since.
  [[nodiscard]] errc status() const noexcept { return status_; }
  /// True if no segments of a device overlap, and blocks tile theirs. Requires that `arrange` was called
  [[nodiscard]] bool is_valid() const noexcept {
    const viz_segment* before = nullptr;
    for (const viz_segment& s : segments()) {
      if (before != nullptr && before->device == s.device && before->address + before->total > s.address) return false;
      before = &s;
      std::uint64_t at = s.address;
      for (const viz_block& b : blocks(s)) {
        if (b.address != at || b.size == 0) return false;
        at += b.size;
      }
      if (at != s.address + s.total || s.blocks == 0) return false;
    }
    return status_ == errc::ok;
  }

  /// Says that nothing can be added any more, and why; the first reason stays.
  void fail(errc code) noexcept {
    if (status_ == errc::ok) status_ = code;
  }
  /// Forgets everything, and keeps the memory for the next picture.
  void reset() noexcept {
    segment_count_ = block_count_ = event_count_ = 0;
    devices_ = 1;
    status_ = errc::ok;
    open_ = false;
  }

 private:
  [[nodiscard]] bool is_wrong(std::uint16_t device, std::uint64_t address, std::uint64_t bytes) noexcept {
    if (device >= most_devices || address >= too_far || bytes >= too_far - address) fail(errc::too_large);
    return status_ != errc::ok;
  }
  template <class Array>
  [[nodiscard]] bool room(Array& in, std::size_t count) noexcept {
    if (in.ensure(count + 1)) return true;
    fail(errc::out_of_memory);
    return false;
  }
  void count_device(std::uint16_t device) noexcept { devices_ = std::max(devices_, std::size_t{device} + 1); }

  grown_array<viz_segment, host_source> segments_;
  grown_array<viz_block, host_source> blocks_;
  grown_array<viz_event, host_source> events_;
  std::size_t segment_count_ = 0, block_count_ = 0, event_count_ = 0;
  std::size_t devices_ = 1;
  errc status_ = errc::ok;
  bool open_ = false;
};

}  // namespace v0
}  // namespace tokenheap
