// Events of one device that are used again and again.
#pragma once

#include <cstdint>

#include <tokenheap/alloc/range_table.hpp>
#include <tokenheap/concepts/device.hpp>

namespace tokenheap {
inline namespace v0 {

/// Keeps events that nobody waits for, so that the device makes a new one only when none is left.
///
/// Only touches its own list: its owner calls it under a lock and makes and destroys events outside it.
///
/// Threads   not safe
/// Cost      O(1)
template <device Device, source Book>
class event_pool {
 public:
  using event = typename Device::event;

  explicit event_pool(const Book& book) noexcept : idle_(book) {}

  /// True, and an event in `out`, if one is idle.
  [[nodiscard]] bool take(event& out) noexcept {
    if (count_ == 0) return false;
    out = idle_[--count_];
    return true;
  }
  /// Makes room for one event more than there are; false when the source of the bookkeeping has no more.
  [[nodiscard]] bool expect_one() noexcept {
    if (!idle_.ensure(made_ + 1)) return false;
    ++made_;
    return true;
  }
  /// The event that was expected could not be made.
  void expect_one_less() noexcept { --made_; }
  /// Requires an event that was expected
  void put(event e) noexcept { idle_[count_++] = e; }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

 private:
  grown_array<event, Book> idle_;
  std::size_t count_ = 0;
  std::size_t made_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
