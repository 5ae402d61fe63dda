// Addresses that a simulated device hands out: lowest first, so that every run gives the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// A range of addresses out of which pieces are taken, lowest fit first.
///
/// Threads   not safe
/// Cost      O(gaps)
class sim_addresses {
 public:
  sim_addresses() noexcept = default;
  sim_addresses(std::uintptr_t begin, std::size_t bytes) : begin_(begin), end_(begin + bytes) { reset(); }

  /// Returns   the start of the lowest piece, or 0 if none is large enough
  [[nodiscard]] std::uintptr_t take(std::size_t bytes, std::size_t alignment) {
    for (std::size_t k = 0; k != gaps_.size(); ++k) {
      const gap g = gaps_[k];
      const std::uintptr_t at = align_up(g.begin, alignment);
      if (at >= g.end || g.end - at < bytes) continue;
      put(k, g.begin, at, at + bytes, g.end);
      highest_ = highest_ < at + bytes ? at + bytes : highest_;
      return at;
    }
    return 0;
  }
  void give_back(std::uintptr_t begin, std::size_t bytes) {
    const std::uintptr_t end = begin + bytes;
    auto at = gaps_.begin();
    while (at != gaps_.end() && at->begin < begin) ++at;
    const bool right = at != gaps_.end() && at->begin == end;
    const bool left = at != gaps_.begin() && (at - 1)->end == begin;
    if (left && right) {
      (at - 1)->end = at->end;
      gaps_.erase(at);
    } else if (left) {
      (at - 1)->end = end;
    } else if (right) {
      at->begin = begin;
    } else {
      gaps_.insert(at, {begin, end});
    }
  }
  void reset() {
    gaps_.assign(1, {begin_, end_});
    highest_ = begin_;
  }

  [[nodiscard]] bool contains(std::uintptr_t at) const noexcept { return at >= begin_ && at < end_; }
  /// True if some piece that was taken once had this address.
  [[nodiscard]] bool was_used(std::uintptr_t at) const noexcept { return at >= begin_ && at < highest_; }
  [[nodiscard]] std::uintptr_t begin() const noexcept { return begin_; }

 private:
  struct gap {
    std::uintptr_t begin;
    std::uintptr_t end;
  };
  // gap k becomes what is left of [begin, from) and [to, end)
  void put(std::size_t k, std::uintptr_t begin, std::uintptr_t from, std::uintptr_t to, std::uintptr_t end) {
    const auto at = gaps_.begin() + static_cast<std::ptrdiff_t>(k);
    if (begin != from && to != end) {
      *at = {to, end};
      gaps_.insert(at, {begin, from});
    } else if (begin != from) {
      *at = {begin, from};
    } else if (to != end) {
      *at = {to, end};
    } else {
      gaps_.erase(at);
    }
  }

  std::uintptr_t begin_ = 0;
  std::uintptr_t end_ = 0;
  std::uintptr_t highest_ = 0;
  std::vector<gap> gaps_;
};

}  // namespace v0
}  // namespace tokenheap
