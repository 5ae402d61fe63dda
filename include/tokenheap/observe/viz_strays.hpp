// Events of a snapshot that its segments do not bear out.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tokenheap/observe/viz_snapshot.hpp>

namespace tokenheap {
inline namespace v0 {

/// The stretches of one device that have memory, while a trace is followed backwards.
///
/// Cost      O(log stretches) to ask, O(stretches) to change
class viz_stretches {
 public:
  explicit viz_stretches(const host_source& book = {}) noexcept : all_(book) {}

  /// False, and nothing changes, if some of it is there already, or there is no memory for the note.
  [[nodiscard]] bool add(std::uint64_t begin, std::uint64_t bytes) noexcept {
    const std::size_t at = above(begin);
    if (bytes == 0 || (at != 0 && all_[at - 1].end > begin) || (at != count_ && all_[at].begin < begin + bytes)) return false;
    return insert(at, {begin, begin + bytes});
  }
  /// False, and nothing changes, unless all of it lies in one stretch; `whole`: it is that stretch.
  [[nodiscard]] bool take(std::uint64_t begin, std::uint64_t bytes, bool whole) noexcept {
    const std::size_t at = above(begin);
    if (bytes == 0 || at == 0 || all_[at - 1].end - begin < bytes || !contains(begin)) return false;
    stretch& s = all_[at - 1];
    const stretch was = s;
    if (whole && (was.begin != begin || was.end != begin + bytes)) return false;
    if (was.begin < begin && was.end > begin + bytes) {
      if (!insert(at, {begin + bytes, was.end})) return false;
      all_[at - 1].end = begin;
    } else if (was.begin < begin) {
      s.end = begin;
    } else if (was.end > begin + bytes) {
      s.begin = begin + bytes;
    } else {
      std::memmove(&all_[at - 1], all_.begin() + at, (--count_ - (at - 1)) * sizeof(stretch));
    }
    return true;
  }
  [[nodiscard]] bool contains(std::uint64_t address) const noexcept {
    const std::size_t at = above(address);
    return at != 0 && address < all_[at - 1].end;
  }
  /// Joins neighbours: pages that were mapped one by one are unmapped at once, or the other way round.
  void join() noexcept {
    std::size_t to = 0;
    for (std::size_t at = 1; at < count_; ++at) {
      if (all_[to].end == all_[at].begin) {
        all_[to].end = all_[at].end;
      } else {
        all_[++to] = all_[at];
      }
    }
    if (count_ != 0) count_ = to + 1;
  }

 private:
  struct stretch {
    std::uint64_t begin, end;
  };

  [[nodiscard]] std::size_t above(std::uint64_t address) const noexcept {
    const stretch* const first = all_.begin();
    return static_cast<std::size_t>(
        std::upper_bound(first, first + count_, address, [](std::uint64_t a, const stretch& s) { return a < s.begin; }) - first);
  }
  [[nodiscard]] bool insert(std::size_t at, stretch s) noexcept {
    if (!all_.ensure(count_ + 1)) return false;
    std::memmove(all_.begin() + at + 1, all_.begin() + at, (count_ - at) * sizeof(stretch));
    all_[at] = s;
    ++count_;
    return true;
  }

  grown_array<stretch, host_source> all_;
  std::size_t count_ = 0;
};

/// Drops events, from number `since` on, of one device that a viewer could not follow back from the segments.
///
/// Such as those of memory that went without an event of its own, by a trim of a pool or by sleep. `collect` calls it.
/// Requires  that `arrange` was called
/// Cost      O(events * log segments)
inline void drop_strays(viz_snapshot& of, std::uint16_t device, std::size_t since) noexcept {
  viz_stretches now;
  for (const viz_segment& s : of.segments()) {
    if (s.device == device && !now.add(s.address, s.total)) return of.fail(errc::invalid_argument);
  }
  of.keep_events(since, [&](const viz_event& e) {
    if (e.device != device) return true;
    switch (e.action) {
      case device_action::segment_alloc: return now.take(e.address, e.bytes, true);
      case device_action::segment_map: return now.take(e.address, e.bytes, false);
      case device_action::segment_free: return now.add(e.address, e.bytes);
      case device_action::segment_unmap: {
        const bool fits = now.add(e.address, e.bytes);
        now.join();
        return fits;
      }
      case device_action::oom:
      case device_action::snapshot: return true;
      default: return now.contains(e.address);
    }
  });
}

}  // namespace v0
}  // namespace tokenheap
