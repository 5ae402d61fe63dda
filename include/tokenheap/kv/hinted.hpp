// Who leaves first where requests say what they know: priorities, how long they hold, and what comes next.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/kv/block_lists.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/expiry_wheel.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Evicts by what requests said of their blocks: the lowest priority first, and in it what is not used again.
///
/// For a front end that gives hints; without any it is `lru`. A block has a priority from 0 to 100, which may fall at
/// a tick and never rises by itself. Among equals those leave first whose request said "not again", until somebody
/// uses them all the same, then the longest unwanted. Blocks that waiting requests will use leave last, those of the
/// nearest request at the very end.
///
/// A prefix is worth at least what was built on it, now and later: so no parent leaves before its child, whatever
/// their own priorities. It keeps that worth when the child is gone, until it holds something new.
///
/// Requires  ids below the count it was opened with; chains from the first block on, live in `built`
/// Fails     push of a member and remove of a stranger change nothing; remove then returns false
/// Threads   not safe; the pool's lock covers it
/// Cost      O(1) for each call and block, six more steps for a block whose priority falls; 20 bytes per block, and
///           20 more for those that were ever given a tick
class hinted {
 public:
  /// Positions in the waiting queue that are told apart; all those behind count as the last of them.
  static constexpr std::size_t positions = 1024;
  static constexpr std::uint8_t most_priority = 100;

  [[nodiscard]] bool open(std::size_t blocks) noexcept {
    if (blocks > max_blocks || !lists_.open(blocks, levels + positions) || !rows_.open(blocks)) return false;
    for (std::uint64_t& bits : taken_) bits = 0;
    size_ = expected_ = 0;
    round_ = 0;
    expires_ = false;
    return wheel_.open(blocks);
  }

  /// Says what a block is worth that is about to be published. Nothing happens to a member.
  void value(block_id id, const worth& of) noexcept {
    if (id >= rows_.size() || lists_.contains(id)) return;
    const std::uint8_t again = of.again ? 1 : 0;
    row& at = rows_[id];
    const std::uint8_t later = of.later < of.priority ? of.later : of.priority;
    at = {.level = level_of(of.priority, again), .later = level_of(later, again), .given = true};
    if (of.until == 0 || of.until > wheel_.now() + expiry_wheel::horizon) {
      at.later = at.level;
    } else if (!wheel_.is_ahead(of.until)) {
      at.level = at.later;
    }
    if (at.level == at.later) return;
    at.falls = expires_ = true;
    wheel_.set_due(id, of.until);
  }

  /// The blocks `from` to `to` of a chain can be found now: the ones before them come to be worth as much at least.
  void built(const block_id* chain, std::size_t from, std::size_t to) noexcept {
    for (; to > 1; --to) {
      settle(chain[to - 2]);
      if (!cover(chain[to - 2], chain[to - 1]) && to <= from + 1) return;
    }
  }

  /// Somebody found the block again: it is no longer one of those that leave first, from its next push on.
  void reuse(block_id id) noexcept {
    if (id >= rows_.size()) return;
    rows_[id].level |= 1;
    rows_[id].later |= 1;
  }

  /// Begins a new look over the waiting queue: what was expected before is not any more.
  void look_ahead() noexcept {
    // from the furthest on, so that among equals a prefix stays behind what was built on it
    for (std::size_t list = levels + positions; expected_ != 0 && list-- != levels;) {
      for (block_id id = lists_.first(list); id != no_block; id = lists_.first(list)) {
        leave_list(id);
        rows_[id].position = 0;
        enter_list(id);
      }
    }
    if (++round_ == 0) {
      for (std::size_t id = 0; id < rows_.size(); ++id) rows_[id].position = 0;
    }
  }

  /// Keeps the blocks that the waiting request at `position` will find until all others are gone.
  void expect(const block_id* chain, std::size_t n, std::size_t position) noexcept {
    if (position >= positions) position = positions - 1;
    while (n-- != 0) {
      const block_id id = chain[n];
      // nearer for a child is nearer for its whole prefix; as near, it must come to stand behind the child
      if (id >= rows_.size() || (is_expected(id) && rows_[id].position <= position)) return;
      const bool member = lists_.contains(id);
      if (member) leave_list(id);
      rows_[id].position = static_cast<std::uint16_t>(position + 1);
      rows_[id].round = round_;
      if (member) enter_list(id);
    }
  }

  /// Moves the clock on: each block whose tick has come falls to its later priority, behind the others there.
  void advance(std::uint64_t now) noexcept {
    wheel_.advance(now, [this](block_id id) {
      row& at = rows_[id];
      at.falls = false;
      // a use may have made both equal: then it keeps its place, before its parents
      if (at.level == at.later) return;
      at.level = at.later;
      if (is_expected(id)) return;
      leave_list(id);
      enter_list(id);
    });
  }

  void push(block_id id) noexcept {
    if (id >= rows_.size() || lists_.contains(id)) return;
    row& at = rows_[id];
    if (!at.given) at = {.level = usual, .later = usual, .given = true};
    if (at.falls) {
      settle(id);
      if (at.falls) wheel_.add(id, wheel_.due(id));
    }
    ++size_;
    enter_list(id);
  }

  /// Puts the blocks of a chain behind all others of their worth, the last one first.
  void push_chain(const block_id* chain, std::size_t n) noexcept {
    while (n-- != 0) {
      push(chain[n]);
      if (n != 0) cover(chain[n - 1], chain[n]);
    }
  }

  [[nodiscard]] bool remove(block_id id) noexcept {
    if (!lists_.contains(id)) return false;
    leave_list(id);
    if (expires_ && wheel_.contains(id)) wheel_.remove(id);
    --size_;
    return true;
  }

  /// Takes out the `n` that leave next, in their order, and says `seen(id)` of each at once. Requires n <= size().
  template <class Seen>
  void pop(block_id* out, std::size_t n, Seen&& seen) noexcept {
    for (std::size_t at = 0; at < n; ++at) {
      const block_id id = out[at] = victim();
      TOKENHEAP_PREFETCH_TO_WRITE(rows_.first() + lists_.fetch_after(id));
      static_cast<void>(remove(id));
      rows_[id].given = false;
      seen(id);
    }
  }

  /// The block that leaves next, or `no_block`; it stays in the order until it is removed.
  [[nodiscard]] block_id victim() const noexcept {
    const std::size_t list = list_from(0);
    return list == block_lists::none ? no_block : lists_.first(list);
  }

  /// The block that leaves after `id`, or `no_block`.
  [[nodiscard]] block_id after(block_id id) const noexcept {
    if (!lists_.contains(id)) return no_block;
    const std::size_t ended = lists_.ended_by(id);
    if (ended == block_lists::none) return lists_.next(id);
    const std::size_t list = list_from(rank_of(ended) + 1);
    return list == block_lists::none ? no_block : lists_.first(list);
  }

  /// What a block is worth now; `again` is false while it is one of those that leave first.
  [[nodiscard]] worth worth_of(block_id id) const noexcept {
    if (id >= rows_.size() || !rows_[id].given) return {};
    const row& at = rows_[id];
    return {.priority = static_cast<std::uint8_t>(at.level / 2), .later = static_cast<std::uint8_t>(at.later / 2),
            .again = (at.level & 1) != 0, .until = at.falls ? wheel_.due(id) : 0};
  }
  /// Members that waiting requests will use.
  [[nodiscard]] std::size_t expected() const noexcept { return expected_; }
  [[nodiscard]] bool contains(block_id id) const noexcept { return lists_.contains(id); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t bytes() const noexcept {
    return lists_.bytes() + rows_.bytes() + (expires_ ? wheel_.bytes() : 0);
  }
  [[nodiscard]] bool is_valid() const noexcept;

 private:
  static constexpr std::size_t levels = 2 * (most_priority + 1);
  static constexpr std::size_t level_words = 4;
  static constexpr std::size_t words = level_words + positions / 64;
  static constexpr std::uint8_t usual = 2 * worth{}.priority + 1;

  struct row {
    std::uint8_t level = 0;  // twice the priority, and 1 more if it is used again
    std::uint8_t later = 0;
    std::uint16_t position = 0;  // in the waiting queue, from 1 on; counts in its round alone
    std::uint16_t round = 0;
    bool falls = false;
    bool given = false;
  };
  static_assert(sizeof(row) == 8);

  [[nodiscard]] static std::uint8_t level_of(std::uint8_t priority, std::uint8_t again) noexcept {
    return static_cast<std::uint8_t>(2 * (priority < most_priority ? priority : most_priority) + again);
  }
  [[nodiscard]] bool is_expected(block_id id) const noexcept {
    return rows_[id].position != 0 && rows_[id].round == round_;
  }

  // ranks are the order of leaving: levels upwards, then positions from the furthest to the nearest
  [[nodiscard]] static constexpr std::size_t rank_of(std::size_t list) noexcept {
    return list < levels ? list : level_words * 64 + (levels + positions - 1 - list);
  }
  [[nodiscard]] static constexpr std::size_t list_of(std::size_t rank) noexcept {
    return rank < level_words * 64 ? rank : levels + positions - 1 - (rank - level_words * 64);
  }
  [[nodiscard]] std::size_t list_from(std::size_t rank) const noexcept {
    std::size_t word = rank / 64;
    if (word >= words) return block_lists::none;
    std::uint64_t bits = taken_[word] & (~std::uint64_t{0} << rank % 64);
    while (bits == 0) {
      if (++word == words) return block_lists::none;
      bits = taken_[word];
    }
    return list_of(word * 64 + trailing_zeros(bits));
  }

  void enter_list(block_id id) noexcept {
    const bool waited_for = is_expected(id);
    const std::size_t list = waited_for ? levels + rows_[id].position - 1 : rows_[id].level;
    expected_ += waited_for;
    const std::size_t rank = rank_of(list);
    taken_[rank / 64] |= std::uint64_t{1} << rank % 64;
    lists_.add(list, id);
  }
  void leave_list(block_id id) noexcept {
    if (expected_ != 0 && is_expected(id)) --expected_;
    const std::size_t emptied = lists_.remove(id);
    if (emptied == block_lists::none) return;
    const std::size_t rank = rank_of(emptied);
    taken_[rank / 64] &= ~(std::uint64_t{1} << rank % 64);
  }

  // what fell due while the block was live
  void settle(block_id id) noexcept {
    row& at = rows_[id];
    if (!at.falls || wheel_.due(id) > wheel_.now()) return;
    at.falls = false;
    at.level = at.later;
  }

  // makes a block that is in no list worth as much as the one built on it; false if it was already
  bool cover(block_id parent, block_id child) noexcept {
    if (parent >= rows_.size() || lists_.contains(parent)) return false;
    row& up = rows_[parent];
    if (!up.given) up = {.level = usual, .later = usual, .given = true};
    row& down = rows_[child];
    if (!down.given) down = {.level = usual, .later = usual, .given = true};
    const bool longer = down.falls && (!up.falls || wheel_.due(child) > wheel_.due(parent));
    if (up.level >= down.level && up.later >= down.later && (!longer || up.later >= down.level)) return false;
    if (up.level < down.level) up.level = down.level;
    if (up.later < down.later) up.later = down.later;
    if (longer) wheel_.set_due(parent, wheel_.due(child));
    up.falls = up.level != up.later;
    return true;
  }

  block_lists lists_;
  column<row> rows_;
  expiry_wheel wheel_;
  std::uint64_t taken_[words] = {};
  std::size_t size_ = 0;
  std::size_t expected_ = 0;
  std::uint16_t round_ = 0;
  bool expires_ = false;
};



inline bool hinted::is_valid() const noexcept {
  if (rows_.size() == 0) return size_ == 0;
  std::size_t members = 0;
  std::size_t expected = 0;
  for (std::size_t list = 0; list < levels + positions; ++list) {
    const std::size_t length = lists_.walk(list);
    const std::size_t rank = rank_of(list);
    if (length == block_lists::none || (taken_[rank / 64] >> rank % 64 & 1) != (length != 0)) return false;
    for (block_id id = lists_.first(list); id != no_block; id = lists_.next(id)) {
      const row& at = rows_[id];
      const bool waited_for = is_expected(id);
      if (waited_for ? list != levels + at.position - 1 : (list | 1) != (at.level | 1)) return false;
      if (at.falls != wheel_.contains(id) || (at.falls && wheel_.due(id) <= wheel_.now())) return false;
      expected += waited_for;
    }
    members += length;
  }
  return members == size_ && expected == expected_ && wheel_.is_valid();
}

static_assert(eviction_order<hinted>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
