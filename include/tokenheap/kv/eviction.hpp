// Who leaves the cache first.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Evicts the block that nobody has wanted for the longest time.
///
/// The default order of a pool. A chain that is let go tail first leaves tail first, so a prefix outlives what was
/// built on it. Not good where long scans that never return push out what does; the trace will say.
///
/// Requires  ids below the count it was opened with
/// Fails     push of a member and remove of a stranger change nothing; remove then returns false
/// Threads   not safe; the pool's lock covers it
/// Cost      O(1) for each call, 8 bytes per block
class lru {
 public:
  [[nodiscard]] bool open(std::size_t blocks) noexcept {
    // row 0 is nobody, so that a zeroed link means "not in the list"; the last row closes the ring
    if (!links_.open(blocks + 2)) return false;
    end_ = static_cast<std::uint32_t>(blocks + 1);
    links_[end_] = {end_, end_};
    size_ = 0;
    return true;
  }

  /// Puts a block behind all others: it leaves last.
  void push(block_id id) noexcept { insert_before(end_, id); }

  /// Puts the blocks of a chain behind all others, the last one first. Requires that none of them is in.
  void push_chain(const block_id* chain, std::size_t n) noexcept {
    if (n == 0) return;
    std::uint32_t previous = links_[end_].previous;
    links_[previous].next = chain[n - 1] + 1;
    for (std::size_t at = n - 1; at != 0; --at) {
      links_[chain[at] + 1] = {chain[at - 1] + 1, previous};
      previous = chain[at] + 1;
    }
    links_[chain[0] + 1] = {end_, previous};
    links_[end_].previous = chain[0] + 1;
    size_ += n;
  }

  /// Puts a block in front of all others: it leaves first.
  void push_front(block_id id) noexcept { insert_before(links_[end_].next, id); }

  [[nodiscard]] bool remove(block_id id) noexcept {
    if (!contains(id)) return false;
    const neighbours at = links_[id + 1];
    links_[at.previous].next = at.next;
    links_[at.next].previous = at.previous;
    links_[id + 1] = {0, 0};
    --size_;
    return true;
  }

  /// Takes out the `n` that leave next, in their order, and says `seen(id)` of each at once. Requires n <= size().
  template <class Seen>
  void pop(block_id* out, std::size_t n, Seen&& seen) noexcept {
    std::uint32_t at = links_[end_].next;
    for (std::size_t taken = 0; taken < n; ++taken) {
      out[taken] = at - 1;
      seen(at - 1);
      const std::uint32_t next = links_[at].next;
      links_[at] = {0, 0};
      at = next;
    }
    links_[end_].next = at;
    links_[at].previous = end_;
    size_ -= n;
  }

  /// The block that leaves next, or `no_block`; it stays in the order until it is removed.
  [[nodiscard]] block_id victim() const noexcept { return size_ == 0 ? no_block : links_[end_].next - 1; }

  /// The block that leaves after `id`, or `no_block`.
  [[nodiscard]] block_id after(block_id id) const noexcept {
    const std::uint32_t next = links_[id + 1].next;
    return next == end_ || next == 0 ? no_block : next - 1;
  }

  [[nodiscard]] bool contains(block_id id) const noexcept {
    return std::size_t{id} + 1 < end_ && links_[id + 1].next != 0;
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return links_.bytes(); }

  [[nodiscard]] bool is_valid() const noexcept {
    if (end_ == 0) return size_ == 0;
    std::size_t members = 0;
    for (std::uint32_t at = links_[end_].next, before = end_; at != end_; before = at, at = links_[at].next) {
      if (at == 0 || at > end_ || links_[at].previous != before || ++members > size_) return false;
    }
    return members == size_;
  }

 private:
  struct neighbours {
    std::uint32_t next;
    std::uint32_t previous;
  };

  void insert_before(std::uint32_t next, block_id id) noexcept {
    if (contains(id) || std::size_t{id} + 1 >= end_) return;
    const std::uint32_t previous = links_[next].previous;
    links_[id + 1] = {next, previous};
    links_[previous].next = id + 1;
    links_[next].previous = id + 1;
    ++size_;
  }

  column<neighbours> links_;
  std::uint32_t end_ = 0;
  std::size_t size_ = 0;
};

static_assert(eviction_order<lru>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
