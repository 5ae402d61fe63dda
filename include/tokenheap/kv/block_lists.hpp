// Lists of blocks that need no memory of their own: what the orders of eviction are made of.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Keeps every block in at most one of several lists; all of their memory is asked for once.
///
/// For an order of eviction with several queues. A list is a ring through a row of its own, so that taking a block out
/// of the middle needs no knowledge of its list. An order with a single queue is quicker as `lru` does it.
///
/// Requires  ids below `blocks`, lists below `lists`; a block is added while it is in none and removed while in one
/// Fails     open only
/// Threads   not safe; the pool's lock covers it
/// Cost      O(1) for each call; 12 bytes per block and list
class block_lists {
 public:
  [[nodiscard]] bool open(std::size_t blocks, std::size_t lists) noexcept {
    if (!rows_.open(blocks + lists)) return false;
    blocks_ = static_cast<block_id>(blocks);
    for (block_id& id : recent_) id = static_cast<block_id>(blocks);
    for (std::size_t at = blocks; at < blocks + lists; ++at) rows_[at] = ring(static_cast<block_id>(at));
    return true;
  }

  [[nodiscard]] block_id count() const noexcept { return blocks_; }
  [[nodiscard]] bool is_empty(std::size_t list) const noexcept { return rows_[blocks_ + list].next == blocks_ + list; }
  /// True if the block is in a list: a row that is in none is all zeros, which no ring of two can be.
  [[nodiscard]] bool contains(block_id id) const noexcept {
    return id < blocks_ && (rows_[id].next | rows_[id].previous) != 0;
  }

  /// The first block of a list, or `no_block`.
  [[nodiscard]] block_id first(std::size_t list) const noexcept { return named(rows_[blocks_ + list].next); }
  /// The block behind `id` in its list, or `no_block`.
  [[nodiscard]] block_id next(block_id id) const noexcept { return named(rows_[id].next); }

  /// The list that `id` ends, or `none` if another block stands behind it.
  [[nodiscard]] std::size_t ended_by(block_id id) const noexcept {
    return rows_[id].next >= blocks_ ? rows_[id].next - blocks_ : none;
  }

  void add(std::size_t list, block_id id) noexcept {
    const block_id head = blocks_ + static_cast<block_id>(list);
    const block_id last = rows_[head].previous;
    rows_[id] = {head, last, head};
    rows_[last].next = id;
    rows_[head].previous = id;
    // those that come one behind the other often leave so, too
    block_id& older = recent_[turn_++ % ahead];
    rows_[older].hint = id;
    older = id;
  }

  void add_first(std::size_t list, block_id id) noexcept {
    const block_id head = blocks_ + static_cast<block_id>(list);
    const block_id first = rows_[head].next;
    rows_[id] = {first, head, head};
    rows_[head].next = id;
    rows_[first].previous = id;
  }

  /// The block that was added some turns after this one: a guess at who leaves then, for fetching it from far memory.
  [[nodiscard]] block_id fetch_after(block_id id) const noexcept {
    const block_id hint = rows_[id].hint;
    TOKENHEAP_PREFETCH_TO_WRITE(rows_.first() + hint);
    return hint < blocks_ ? hint : 0;
  }

  /// Takes a block out; returns the list that became empty by it, or `none`.
  std::size_t remove(block_id id) noexcept {
    const row at = rows_[id];
    rows_[at.previous].next = at.next;
    rows_[at.next].previous = at.previous;
    rows_[id].next = rows_[id].previous = 0;
    return at.next == at.previous && at.next >= blocks_ ? at.next - blocks_ : none;
  }
  static constexpr std::size_t none = ~std::size_t{0};

  [[nodiscard]] std::size_t bytes() const noexcept { return rows_.bytes(); }

  /// Walks one list both ways; returns its length, or `none` if a link is wrong.
  [[nodiscard]] std::size_t walk(std::size_t list) const noexcept {
    const block_id head = blocks_ + static_cast<block_id>(list);
    std::size_t length = 0;
    for (block_id at = head;; ++length) {
      const block_id next = rows_[at].next;
      if (next >= rows_.size() || rows_[next].previous != at || length > blocks_) return none;
      if (next == head) return length;
      if (next >= blocks_) return none;
      at = next;
    }
  }

 private:
  struct row {
    block_id next;
    block_id previous;
    block_id hint;
  };

  static constexpr std::size_t ahead = 8;

  static constexpr row ring(block_id head) noexcept { return {head, head, head}; }
  [[nodiscard]] block_id named(block_id at) const noexcept { return at < blocks_ ? at : no_block; }

  column<row> rows_;
  block_id recent_[ahead] = {};
  std::size_t turn_ = 0;
  block_id blocks_ = 0;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
