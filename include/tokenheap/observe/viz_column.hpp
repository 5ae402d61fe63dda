// A picture of any allocator that has a ring of its last events on top.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <tokenheap/observe/viz_snapshot.hpp>
#include <tokenheap/policy/trace.hpp>

namespace tokenheap {
inline namespace v0 {
namespace detail {

// One piece in a ring: from the event that handed it out, or from the start of the ring, to the one that took it back.
struct traced_life {
  std::uint64_t address, granted, requested;
  std::size_t came, went;
};

/// Writes down the life of each piece of a ring; `resets` are their places, in order.
template <class Ring>
class traced_lives {
 public:
  explicit traced_lives(const Ring& ring) noexcept : ring_(ring), order_(host_source{}), lives_(host_source{}) {}

  /// False if there is no memory for it.
  [[nodiscard]] bool find() noexcept {
    if (!order_.ensure(ring_.size()) || !lives_.ensure(ring_.size())) return false;
    std::size_t pieces = 0;
    std::size_t next_reset = ring_.size();
    for (std::size_t k = ring_.size(); k-- != 0;) {
      if (ring_[k].kind == trace_kind::reset) next_reset = k;
      const bool named = ring_[k].kind == trace_kind::allocate || ring_[k].kind == trace_kind::deallocate;
      if (named && ring_[k].granted != 0) order_[pieces++] = {at(k), k, next_reset};
    }
    std::sort(order_.begin(), order_.begin() + pieces, [](const place& a, const place& b) {
      return a.address != b.address ? a.address < b.address : a.at < b.at;
    });
    for (std::size_t k = 0; k != pieces; ++k) {
      const place& p = order_[k];
      const trace_event& e = ring_[p.at];
      if (e.kind == trace_kind::allocate) {
        const bool again = k + 1 != pieces && order_[k + 1].address == p.address;
        const std::size_t went = std::min(again ? order_[k + 1].at : ring_.size(), p.reset);
        lives_[count_++] = {p.address, e.granted, e.requested, p.at, went};
      } else if (k == 0 || order_[k - 1].address != p.address) {
        lives_[count_++] = {p.address, e.granted, e.granted, 0, p.at};
      }
    }
    return true;
  }

  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] const traced_life& operator[](std::size_t k) const noexcept { return lives_[k]; }
  [[nodiscard]] bool is_live(std::size_t k) const noexcept { return lives_[k].went == ring_.size(); }
  /// Into the order in which they ended, for a reset that ends many.
  void sort_by_end() noexcept {
    std::sort(lives_.begin(), lives_.begin() + count_, [](const traced_life& a, const traced_life& b) {
      return a.went != b.went ? a.went < b.went : a.address < b.address;
    });
  }

 private:
  struct place {
    std::uint64_t address;
    std::size_t at, reset;
  };
  [[nodiscard]] std::uint64_t at(std::size_t k) const noexcept { return reinterpret_cast<std::uintptr_t>(ring_[k].address); }

  const Ring& ring_;
  grown_array<place, host_source> order_;
  grown_array<traced_life, host_source> lives_;
  std::size_t count_ = 0;
};

}  // namespace detail

/// Adds what the ring of a column of layers tells: pieces that are out, and the stretches in which pieces were seen.
///
/// For slabs, arenas, ranges and anything else under `with<ring_trace<>>`, which hold no list of their pieces. Pieces
/// that were handed out before the ring begins, and are still out, are not in the picture.
///
/// Requires  that nobody uses the column meanwhile; a `name` that lives as long as the snapshot
/// Cost      O(events * log events)
template <trace_shape Shape>
void collect(viz_snapshot& out, const event_ring<trace_event, Shape>& ring, const char* name, std::uint16_t device = 0) noexcept {
  const viz_frame own{.name = name, .filename = "tokenheap"};
  detail::traced_lives<event_ring<trace_event, Shape>> lives(ring);
  if (!lives.find()) return out.fail(errc::out_of_memory);
  for (std::size_t first = 0, next = 0; first != lives.size(); first = next) {
    std::uint64_t end = lives[first].address;
    for (next = first; next != lives.size() && lives[next].address <= end; ++next)
      end = std::max(end, lives[next].address + lives[next].granted);
    std::uint64_t at = lives[first].address;
    const auto gap = [&](std::uint64_t until) {
      if (until > at) out.add(viz_block{.address = at, .size = until - at, .frame = own});
      at = std::max(at, until);
    };
    out.begin_segment({.device = device, .address = at, .frame = own});
    for (std::size_t k = first; k != next; ++k) {
      if (!lives.is_live(k) || lives[k].address < at) continue;
      gap(lives[k].address);
      out.add(viz_block{.address = at, .size = lives[k].granted, .requested = lives[k].requested,
                        .state = viz_state::allocated, .frame = own});
      at += lives[k].granted;
    }
    gap(end);
  }
  lives.sort_by_end();
  std::size_t ended = 0;
  for (std::size_t k = 0; k != ring.size(); ++k) {
    for (; ended != lives.size() && lives[ended].went == k; ++ended) {
      const detail::traced_life& gone = lives[ended];
      out.add({trace_kind::deallocate, reinterpret_cast<void*>(gone.address), gone.requested, gone.granted}, device, own);
    }
    if (ring[k].kind == trace_kind::allocate || ring[k].kind == trace_kind::out_of_memory) out.add(ring[k], device, own);
  }
  out.arrange();
}

}  // namespace v0
}  // namespace tokenheap
