// Who touched which bytes last: what decides whether two accesses can overlap in some timing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include <tokenheap/device/sim_clock.hpp>

namespace tokenheap {
inline namespace v0 {

/// An access that was not ordered before the present one.
struct sim_conflict {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
  sim_epoch first{};
  bool first_writes = false;
};

/// For each range of bytes the last write and the reads since, as epochs.
///
/// Ranges are cut where accesses begin and end, and grow together again when one write covers them.
///
/// Threads   not safe
/// Cost      O(log ranges) for an access that repeats one before
class sim_shadow {
 public:
  /// Notes an access by `now`, whose dimension knows `clock`. Returns false, and the first conflict, if there is one.
  bool write(std::uintptr_t begin, std::size_t bytes, const sim_epoch& now, const sim_clock& clock, sim_conflict& out) {
    const bool clean = is_ordered(begin, bytes, true, clock, out);
    auto at = first_over(begin);
    if (at != cells_.end() && at->first == begin && at->second.end == begin + bytes) {
      at->second.write = now;
      at->second.forget_reads();
      return clean;
    }
    forget(begin, bytes);
    cell fresh;
    fresh.end = begin + bytes;
    fresh.write = now;
    cells_.emplace(begin, std::move(fresh));
    return clean;
  }
  bool read(std::uintptr_t begin, std::size_t bytes, const sim_epoch& now, const sim_clock& clock, sim_conflict& out) {
    const bool clean = is_ordered(begin, bytes, false, clock, out);
    const std::uintptr_t end = begin + bytes;
    split(begin);
    split(end);
    std::uintptr_t at = begin;
    for (auto it = cells_.lower_bound(begin); at < end;) {
      if (it == cells_.end() || it->first > at) {
        cell gap;
        gap.end = it == cells_.end() || end < it->first ? end : it->first;
        it = cells_.emplace_hint(it, at, std::move(gap));
      }
      it->second.note_read(now, clock);
      at = it->second.end;
      ++it;
    }
    return clean;
  }

  /// True if an access that knows `clock` is ordered behind all conflicting ones; else the first conflict.
  [[nodiscard]] bool is_ordered(std::uintptr_t begin, std::size_t bytes, bool writes, const sim_clock& clock,
                                sim_conflict& out) const {
    const std::uintptr_t end = begin + bytes;
    for (auto it = first_over(begin); it != cells_.end() && it->first < end; ++it) {
      const cell& c = it->second;
      const sim_epoch* const early = c.unordered(writes, clock);
      if (early == nullptr) continue;
      out.begin = begin < it->first ? it->first : begin;
      out.bytes = (end < c.end ? end : c.end) - out.begin;
      out.first = *early;
      out.first_writes = early == &c.write;
      return false;
    }
    return true;
  }

  /// The bytes are fresh: nobody touched them.
  void forget(std::uintptr_t begin, std::size_t bytes) {
    if (cells_.empty()) return;
    split(begin);
    split(begin + bytes);
    cells_.erase(cells_.lower_bound(begin), cells_.lower_bound(begin + bytes));
  }
  void clear() noexcept { cells_.clear(); }
  [[nodiscard]] std::size_t ranges() const noexcept { return cells_.size(); }

 private:
  struct cell {
    std::uintptr_t end = 0;
    sim_epoch write{};
    sim_epoch read{};              // one reader is the common case
    std::vector<sim_epoch> reads;  // the others

    void forget_reads() noexcept {
      read = {};
      reads.clear();
    }
    void note_read(const sim_epoch& now, const sim_clock& clock) {
      // a read that is ordered before this one says nothing more
      std::erase_if(reads, [&](const sim_epoch& e) { return clock.covers(e); });
      if (!read || clock.covers(read)) {
        read = now;
      } else {
        reads.push_back(now);
      }
    }
    [[nodiscard]] const sim_epoch* unordered(bool writes, const sim_clock& clock) const noexcept {
      if (!clock.covers(write)) return &write;
      if (!writes) return nullptr;
      if (!clock.covers(read)) return &read;
      for (const sim_epoch& e : reads) {
        if (!clock.covers(e)) return &e;
      }
      return nullptr;
    }
  };
  using cell_map = std::map<std::uintptr_t, cell>;

  // the first range that ends behind `at`
  [[nodiscard]] cell_map::const_iterator first_over(std::uintptr_t at) const {
    auto it = cells_.upper_bound(at);
    if (it == cells_.begin()) return it;
    auto before = it;
    --before;
    return before->second.end > at ? before : it;
  }
  [[nodiscard]] cell_map::iterator first_over(std::uintptr_t at) {
    auto it = cells_.upper_bound(at);
    if (it == cells_.begin()) return it;
    auto before = it;
    --before;
    return before->second.end > at ? before : it;
  }
  void split(std::uintptr_t at) {
    auto it = first_over(at);
    if (it == cells_.end() || it->first >= at) return;
    cell right = it->second;
    it->second.end = at;
    cells_.emplace_hint(++it, at, std::move(right));
  }

  cell_map cells_;
};

}  // namespace v0
}  // namespace tokenheap
