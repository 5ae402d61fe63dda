// A ring of the last things that happened.
#pragma once

#include <cstdint>

#include <tokenheap/concepts/policy.hpp>

namespace tokenheap {
inline namespace v0 {

/// How many events a `ring_trace` keeps; a power of two.
struct trace_shape {
  std::size_t events = 1024;
};

/// Keeps the last events of a layer in place, without allocating; older ones are overwritten and counted as lost.
///
/// Good for the minutes before an out-of-memory: the ring is part of the allocator and always there. Not a log: the
/// events carry an order, no time.
///
/// Threads   not safe; put it below a lock
/// Cost      one store of an event per call
template <class Event, trace_shape Shape = trace_shape{}>
class event_ring {
  static_assert(Shape.events != 0 && (Shape.events & (Shape.events - 1)) == 0, "trace_shape::events: a power of two");

 public:
  static constexpr std::size_t capacity = Shape.events;

  constexpr void record(const Event& event) noexcept { ring_[recorded_++ & (capacity - 1)] = event; }

  /// Returns   how many events are still there
  [[nodiscard]] constexpr std::size_t size() const noexcept {
    return recorded_ < capacity ? static_cast<std::size_t>(recorded_) : capacity;
  }
  /// Returns   the number of the first event that is still there; events are numbered from 0
  [[nodiscard]] constexpr std::uint64_t first() const noexcept { return recorded_ - size(); }
  [[nodiscard]] constexpr std::uint64_t recorded() const noexcept { return recorded_; }
  /// True once older events were overwritten; `first()` tells how many.
  [[nodiscard]] constexpr bool overflowed() const noexcept { return recorded_ > capacity; }

  /// Returns   the k-th oldest event that is still there; Requires k < size()
  [[nodiscard]] constexpr const Event& operator[](std::size_t k) const noexcept {
    TOKENHEAP_ASSERT(k < size());
    return ring_[(first() + k) & (capacity - 1)];
  }
  constexpr void clear() noexcept { recorded_ = 0; }

 private:
  Event ring_[capacity] = {};
  std::uint64_t recorded_ = 0;
};

/// The ring of a column of layers.
template <trace_shape Shape = trace_shape{}>
using ring_trace = event_ring<trace_event, Shape>;

static_assert(trace_policy<event_ring<trace_event>>);

}  // namespace v0
}  // namespace tokenheap
