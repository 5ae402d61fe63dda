// Who leaves first where most of what comes is never wanted again.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/kv/block_lists.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Evicts what nobody came back for before what somebody did, each in the order of its arrival.
///
/// A block waits in the first of two queues until it is used again, and in the main one from then on. The main one
/// gives a block as many more turns as it was used lately, three at most, and is left alone while it is a tenth of all
/// or less: what belongs to a chat comes back late, and a smaller first queue forgets it before that. Good against
/// scans; `lru` is better where what is used again is used soon, `hinted` where requests can say what they will do.
///
/// Blocks have no name that outlives them, so there is no memory of those that left. A block of the main queue never
/// leaves before an older one of the first queue: this keeps a prefix longer than what was built on it.
///
/// Requires  ids below the count it was opened with; `reuse` for every block of the prefix that a request found
/// Fails     push of a member and remove of a stranger change nothing; remove then returns false
/// Threads   not safe; the pool's lock covers it, also for victim
/// Cost      O(1) for each call, three more turns per use counted to it; 20 bytes per block
class s3_fifo {
 public:
  [[nodiscard]] bool open(std::size_t blocks) noexcept {
    if (blocks > max_blocks || !lists_.open(blocks, 2) || !rows_.open(blocks)) return false;
    sizes_[first_queue] = sizes_[main_queue] = 0;
    clock_ = 0;
    return true;
  }

  /// A block that holds something new: nobody has used it again.
  void value(block_id id, const worth&) noexcept {
    if (id < rows_.size()) rows_[id].uses = 0;
  }

  /// Somebody found the block again.
  void reuse(block_id id) noexcept {
    if (id >= rows_.size()) return;
    row& at = rows_[id];
    if (at.uses < most_uses) ++at.uses;
    // where the pool takes it out first it comes back by push; a member changes its queue here
    if (lists_.contains(id)) {
      static_cast<void>(remove(id));
      push(id);
    }
  }

  /// A chain was found or built on, and is live: each block of it comes to have as many uses as the one behind it.
  void built(const block_id* chain, std::size_t, std::size_t to) noexcept {
    for (; to > 1; --to) {
      const std::uint8_t uses = rows_[chain[to - 1]].uses;
      if (rows_[chain[to - 2]].uses < uses) rows_[chain[to - 2]].uses = uses;
    }
  }

  void push(block_id id) noexcept {
    if (id >= rows_.size() || lists_.contains(id)) return;
    const std::uint8_t list = rows_[id].uses == 0 ? first_queue : main_queue;
    rows_[id].list = list;
    rows_[id].arrives(clock_++);
    lists_.add(list, id);
    ++sizes_[list];
  }

  [[nodiscard]] bool remove(block_id id) noexcept {
    if (!lists_.contains(id)) return false;
    lists_.remove(id);
    --sizes_[rows_[id].list];
    return true;
  }

  /// Takes out the `n` that leave next, in their order, and says `seen(id)` of each at once. Requires n <= size().
  template <class Seen>
  void pop(block_id* out, std::size_t n, Seen&& seen) noexcept {
    for (std::size_t at = 0; at < n; ++at) {
      const block_id id = out[at] = victim();
      TOKENHEAP_PREFETCH_TO_WRITE(rows_.first() + lists_.fetch_after(id));
      static_cast<void>(remove(id));
      rows_[id].uses = 0;
      seen(id);
    }
  }

  /// The block that leaves next, or `no_block`; those with turns left are sent round until one has none.
  [[nodiscard]] block_id victim() const noexcept {
    if (sizes_[main_queue] == 0) return lists_.first(first_queue);
    if (sizes_[first_queue] * 10 >= size() * 9) return lists_.first(first_queue);
    for (block_id id = lists_.first(main_queue);; id = lists_.first(main_queue)) {
      const block_id young = lists_.first(first_queue);
      // a child that was not used again yet may wait there: it came before its parent did
      if (young != no_block && rows_[young].arrived() < rows_[id].arrived()) return young;
      if (rows_[id].turns() == 0) return id;
      --rows_[id].uses;
      lists_.remove(id);
      lists_.add(main_queue, id);
    }
  }

  [[nodiscard]] bool contains(block_id id) const noexcept { return lists_.contains(id); }
  [[nodiscard]] std::size_t size() const noexcept { return sizes_[first_queue] + sizes_[main_queue]; }
  [[nodiscard]] std::size_t bytes() const noexcept { return lists_.bytes() + rows_.bytes(); }

  [[nodiscard]] bool is_valid() const noexcept {
    if (rows_.size() == 0) return size() == 0;
    if (lists_.walk(first_queue) != sizes_[first_queue] || lists_.walk(main_queue) != sizes_[main_queue]) return false;
    for (std::uint8_t list = first_queue; list <= main_queue; ++list) {
      for (block_id id = lists_.first(list); id != no_block; id = lists_.next(id)) {
        if (rows_[id].list != list) return false;
      }
    }
    return true;
  }

 private:
  static constexpr std::uint8_t first_queue = 0;
  static constexpr std::uint8_t main_queue = 1;
  static constexpr std::uint8_t most_uses = 4;  // the first use opens the main queue, the others are turns

  struct row {
    std::uint32_t low;  // 48 bits of arrival never wrap
    std::uint16_t high;
    std::uint8_t uses;
    std::uint8_t list;
    void arrives(std::uint64_t now) noexcept {
      low = static_cast<std::uint32_t>(now);
      high = static_cast<std::uint16_t>(now >> 32);
    }
    [[nodiscard]] std::uint64_t arrived() const noexcept { return (std::uint64_t{high} << 32) | low; }
    [[nodiscard]] unsigned turns() const noexcept { return uses > 1 ? uses - 1U : 0U; }
  };
  static_assert(sizeof(row) == 8);

  // naming a victim sends others round, which nobody can see but by the next victim
  mutable block_lists lists_;
  mutable column<row> rows_;
  std::size_t sizes_[2] = {};
  std::uint64_t clock_ = 0;
};

static_assert(eviction_order<s3_fifo>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
