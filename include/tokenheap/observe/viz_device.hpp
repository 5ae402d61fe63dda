// Pictures of device memory and of pinned memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/alloc/pinned_pool.hpp>
#include <tokenheap/observe/viz_strays.hpp>

namespace tokenheap {
inline namespace v0 {

namespace detail {

// The growable segments of a picture, for their events.
class viz_growing {
 public:
  void add(const device_segment& g, std::uint64_t stream) noexcept {
    if (all_.ensure(count_ + 1)) all_[count_++] = {g.address, g.size, stream};
  }
  /// False for an event that is not to be shown; pages go without a stream, and get that of their segment.
  [[nodiscard]] bool says(const device_event& e, std::uint64_t& stream) const noexcept {
    if ((e.action != device_action::segment_map && e.action != device_action::segment_unmap) || e.stream != 0) return true;
    for (std::size_t k = 0; k != count_; ++k) {
      if (e.address - all_[k].address >= all_[k].size) continue;
      stream = all_[k].stream;
      // a segment that wakes up maps itself under pieces that have been out all the time
      return e.action == device_action::segment_unmap || e.address != all_[k].address;
    }
    return true;
  }

 private:
  struct place {
    std::uint64_t address, size, stream;
  };
  grown_array<place, host_source> all_{host_source{}};
  std::size_t count_ = 0;
};

}  // namespace detail

/// Adds what a caching allocator holds, and its last events if its policy keeps them, under its device's number.
///
/// A fixed segment is one segment; of a growable one each stretch with memory is. Blocks are named after their owners.
/// Of a class that sleeps the blocks stay in the picture, as addresses.
///
/// Threads   safe; the allocator's lock is held for one copy
/// Cost      O(pieces + events * log segments)
template <device Device, class Policy>
void collect(viz_snapshot& out, caching_allocator<Device, Policy>& from) noexcept {
  const auto device = static_cast<std::uint16_t>(from.device().ordinal());
  const viz_frame own{.name = from.name(), .filename = "tokenheap"};
  const std::size_t since = out.events().size();
  std::uint64_t end = 0;  // of the stretch so far; 0: none
  const device_segment* last = nullptr;
  detail::viz_growing growing;
  const auto see = [&](const device_segment& g, const device_piece& a, std::uint64_t stream, const char* owner) {
    if (a.offset == g.address && g.kind == segment_kind::growable) growing.add(g, stream);
    if (a.state == piece_state::unmapped) return void(last = nullptr);
    if (last != &g || a.offset != end) {
      out.begin_segment({.device = device, .address = a.offset, .stream = stream, .pool = g.pool, .large = g.large,
                         .expandable = g.kind == segment_kind::growable,
                         .frame = {.name = to_text(g.of), .filename = from.name()}});
    }
    last = &g;
    end = a.offset + a.size;
    const bool is_out = a.state == piece_state::out;
    const bool pends = a.state == piece_state::pending;
    out.add(viz_block{.address = a.offset, .size = a.size, .requested = is_out || pends ? a.size - a.slack : 0,
                      .state = is_out ? viz_state::allocated : pends ? viz_state::pending : viz_state::inactive,
                      .frame = {.name = is_out || pends ? owner : "cached", .filename = from.name()}});
  };
  from.for_each_piece(see, [&](const auto& trace) {
    if constexpr (requires { trace[0].action; }) {
      for (std::size_t k = 0; k != trace.size(); ++k) {
        const device_event& e = trace[k];
        std::uint64_t on = e.stream;
        if (growing.says(e, on)) {
          out.add(viz_event{.device = device, .action = e.action, .address = e.address, .bytes = e.bytes, .stream = on,
                            .frame = own});
        }
      }
    }
  });
  out.arrange();
  drop_strays(out, device, since);
}

/// Adds what a pinned pool holds, and its last events if its policy keeps them in a ring.
///
/// A block that waits for streams is pending. Give the number of the device that the copies go to, or one of its own.
///
/// Threads   safe; the pool's lock is held for one copy
/// Cost      O(pieces + events * (log segments + pieces that wait))
template <class Device, class Policy>
void collect(viz_snapshot& out, const pinned_pool<Device, Policy>& from, std::uint16_t device = 0) noexcept {
  const viz_frame own{.name = "pinned", .filename = from.name()};
  const std::size_t since = out.events().size();
  const std::size_t before = out.segments().size();
  std::size_t end = 0;
  const auto see = [&](std::size_t address, std::size_t bytes, bool is_out, bool waits) {
    if (address != end) out.begin_segment({.device = device, .address = address, .frame = own});
    end = address + bytes;
    out.add(viz_block{.address = address, .size = bytes, .requested = bytes,
                      .state = waits ? viz_state::pending : is_out ? viz_state::allocated : viz_state::inactive, .frame = own});
  };
  from.for_each_piece(see, [&](const auto& trace) {
    if constexpr (requires { trace[0].kind; }) {
      for (std::size_t k = 0; k != trace.size(); ++k) out.add(trace[k], device, own);
    }
  });
  // the ring does not say when a stream was done: what waits now has not been given back in full
  for (std::size_t s = before; s < out.segments().size(); ++s) {
    for (const viz_block& b : out.blocks(out.segments()[s])) {
      bool last = b.state == viz_state::pending;
      if (!last) continue;
      out.keep_events(since, [&](const viz_event& e) {
        const bool drop = last && e.action == device_action::free_completed && e.address == b.address;
        if (drop) last = false;
        return !drop;
      });
    }
  }
  out.arrange();
  drop_strays(out, device, since);
}

}  // namespace v0
}  // namespace tokenheap
