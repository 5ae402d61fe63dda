// What falls due when: a calendar over blocks that needs no memory of its own.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/kv/block_lists.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Calls each block when its tick has come, those of one tick in the order in which they were added.
///
/// Six rounds of 64 slots, each 64 times coarser than the one below: a block comes down a round when its slot is
/// reached, at most five times. For the retention of blocks in `hinted`; ticks are whatever the caller counts.
///
/// Requires  a block is added while it is in no slot; `advance` never goes back
/// Fails     open only
/// Threads   not safe; the pool's lock covers it
/// Cost      O(1) for each call and due block; 20 bytes per block, touched only where a block was added
class expiry_wheel {
 public:
  /// A tick further away than this is never reached.
  static constexpr std::uint64_t horizon = std::uint64_t{1} << 31;

  [[nodiscard]] bool open(std::size_t blocks) noexcept {
    now_ = 0;
    for (std::uint64_t& bits : taken_) bits = 0;
    return lists_.open(blocks, rounds * slots) && due_.open(blocks);
  }

  [[nodiscard]] std::uint64_t now() const noexcept { return now_; }
  [[nodiscard]] bool contains(block_id id) const noexcept { return lists_.contains(id); }
  /// True if a block may be added for this tick: it lies ahead, and within the horizon.
  [[nodiscard]] bool is_ahead(std::uint64_t tick) const noexcept { return tick > now_ && tick - now_ <= horizon; }

  /// The tick for which a block was added last, or was set to.
  [[nodiscard]] std::uint64_t due(block_id id) const noexcept { return due_[id]; }
  void set_due(block_id id, std::uint64_t tick) noexcept { due_[id] = tick; }

  /// Requires is_ahead(tick).
  void add(block_id id, std::uint64_t tick) noexcept {
    due_[id] = tick;
    const std::uint64_t apart = tick ^ now_;
    unsigned round = highest_bit(apart) / 6;
    if (round >= rounds) round = rounds - 1;
    const unsigned slot = slot_of(tick, round);
    taken_[round] |= std::uint64_t{1} << slot;
    lists_.add(round * slots + slot, id);
  }

  void remove(block_id id) noexcept {
    const std::size_t emptied = lists_.remove(id);
    if (emptied != block_lists::none) taken_[emptied / slots] &= ~(std::uint64_t{1} << emptied % slots);
  }

  /// Moves the clock on and calls `fall(id)` for each block that is due by then; it is in no slot any more.
  template <class Fall>
  void advance(std::uint64_t now, Fall&& fall) noexcept {
    while (now_ < now) {
      now_ = next_stop(now);
      // coarse slots first: what comes down from them was added before what is below
      for (unsigned round = rounds; round-- != 0;) {
        const bool entered = (now_ & ((std::uint64_t{1} << 6 * round) - 1)) == 0;
        const unsigned slot = slot_of(now_, round);
        if (entered && (taken_[round] >> slot & 1)) empty(round * slots + slot, fall);
      }
    }
  }

  [[nodiscard]] std::size_t bytes() const noexcept { return lists_.bytes() + due_.bytes(); }

  [[nodiscard]] bool is_valid() const noexcept {
    if (due_.size() == 0) return true;
    for (unsigned list = 0; list < rounds * slots; ++list) {
      const std::size_t length = lists_.walk(list);
      const bool taken = (taken_[list / slots] >> list % slots & 1) != 0;
      if (length == block_lists::none || taken != (length != 0)) return false;
    }
    return true;
  }

 private:
  static constexpr unsigned rounds = 6;
  static constexpr unsigned slots = 64;

  [[nodiscard]] static unsigned slot_of(std::uint64_t tick, unsigned round) noexcept {
    return static_cast<unsigned>(tick >> 6 * round) & (slots - 1);
  }

  // the next tick at which a slot that holds something begins, or `last`
  [[nodiscard]] std::uint64_t next_stop(std::uint64_t last) const noexcept {
    std::uint64_t stop = last;
    for (unsigned round = 0; round < rounds; ++round) {
      if (taken_[round] == 0) continue;
      const std::uint64_t here = now_ >> 6 * round;
      const unsigned at = static_cast<unsigned>(here) & (slots - 1);
      // from the slot behind this one on, once round
      const std::uint64_t bits = taken_[round];
      const std::uint64_t turned = at == slots - 1 ? bits : (bits >> (at + 1)) | (bits << (slots - 1 - at));
      const std::uint64_t begins = (here + 1 + trailing_zeros(turned)) << 6 * round;
      if (begins < stop) stop = begins;
    }
    return stop;
  }

  template <class Fall>
  void empty(std::size_t list, Fall&& fall) noexcept {
    for (block_id id = lists_.first(list); id != no_block; id = lists_.first(list)) {
      remove(id);
      if (due_[id] == now_) {
        fall(id);
      } else {
        add(id, due_[id]);
      }
    }
  }

  block_lists lists_;
  column<std::uint64_t> due_;
  std::uint64_t taken_[rounds] = {};
  std::uint64_t now_ = 0;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
