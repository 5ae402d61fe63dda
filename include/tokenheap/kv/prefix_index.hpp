// Which block already holds which prefix of tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/root_table.hpp>
#include <tokenheap/kv/tokens.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// The amounts of an index: one row per block, all asked for when it is opened.
struct index_options {
  std::size_t blocks = 0;
  std::size_t block_tokens = 16;
  std::uint64_t seed = 0;  ///< keeps outsiders from aiming at one bucket
  const char* name = "kv";
};

/// Finds the longest published prefix of a prompt by comparing tokens, so that a wrong hit is impossible.
///
/// A radix tree without node objects: an unbranched run of blocks is followed by one number per block, and only the
/// children of a branching block are hashed. Several blocks may hold the same prefix; one of them is found, the others
/// take its place when it goes. Every salt has a root of its own. Not for a cache that keeps parts of blocks.
///
/// Requires  ids below the count of blocks; a block is published once, below a position that is still there
/// Fails     open only; afterwards no call needs memory except `hold_root` for a new salt
/// Threads   not safe; the pool's lock covers it
/// Cost      match compares one block of tokens per hit; publish and remove are O(1), or O(children) where a duplicate
///           takes over
template <token_hash Hash = mixed_hash>
class radix_index {
 public:
  /// A prefix: a block's number plus 1, or a root. 0 is nowhere.
  using position = std::uint32_t;
  using options = index_options;

  radix_index() noexcept = default;

  [[nodiscard]] static result<radix_index> open(const options& with) noexcept {
    radix_index made;
    const failure oom{.code = errc::out_of_memory, .pool = with.name, .what = "rows of the prefix index, in blocks",
                      .need = with.blocks, .limit = max_blocks, .fix = "use fewer blocks, or switch the cache off"};
    std::size_t tokens = 0;
    if (!checked_mul(with.blocks, with.block_tokens, tokens)) return oom;
    // at a load of 0.8 the table takes every block, so publish can never want for room
    const std::size_t slots = with.blocks + with.blocks / 4 + 2;
    if (!made.rows_.open(with.blocks + 1) || !made.tokens_.open(tokens) || !made.table_.open(slots)) return oom;
    if (!made.roots_.open(with.seed)) return oom;
    made.block_tokens_ = with.block_tokens;
    made.seed_ = with.seed;
    return made;
  }

  /// Keeps the root of a key alive and returns it; 0 if there is no memory for a new one. Each one is let go once.
  [[nodiscard]] position hold_root(const prefix_key& key) noexcept {
    const std::uint32_t root = roots_.hold(key);
    return root == root_table::none ? 0 : root | root_bit;
  }
  void share_root(position root) noexcept { roots_.share(root & ~root_bit); }
  void let_go_root(position root) noexcept { roots_.let_go(root & ~root_bit); }

  /// The root of a key, or 0 if nothing is published under it.
  [[nodiscard]] position find_root(const prefix_key& key) const noexcept {
    std::uint32_t root = 0;
    return roots_.find(key, root) ? root | root_bit : 0;
  }

  /// Writes up to `blocks` ids of the longest published prefix of `tokens` below `at` into `out`; returns their count.
  [[nodiscard]] std::size_t match(position at, const token* tokens, std::size_t blocks, block_id* out) const noexcept {
    std::size_t found = 0;
    for (; found < blocks && at != 0; ++found, tokens += block_tokens_) {
      at = child(at, tokens);
      if (at == 0) break;
      out[found] = at - 1;
    }
    return found;
  }

  /// Keeps tokens of a block, from its place `first` on; they can be found once the block is published.
  void write(block_id id, std::size_t first, const token* tokens, std::size_t n) noexcept {
    copy_tokens(tokens_.first() + std::size_t{id} * block_tokens_ + first, tokens, n);
  }
  /// Keeps the tokens of `n` whole blocks.
  void write(const block_id* ids, std::size_t n, const token* tokens) noexcept {
    constexpr std::size_t line = 16;
    if (block_tokens_ % line != 0) return copy_blocks(tokens_.first(), block_tokens_, ids, n, tokens);
    constexpr std::size_t ahead = 16 * line;  // a prompt is read once, from far memory
    // nobody reads these tokens soon: whole lines are written past the caches, which need not fetch them first
    for (std::size_t at = 0; at < n; ++at) {
      token* to = tokens_.first() + ids[at] * block_tokens_;
      for (const token* const end = tokens + block_tokens_; tokens != end; tokens += line, to += line) {
        TOKENHEAP_PREFETCH(tokens + ahead);
        detail::copy_line_past_caches(to, tokens);
      }
    }
    detail::order_copies_past_caches();
  }
  [[nodiscard]] const token* tokens_of(block_id id) const noexcept { return tokens_.first() + id * block_tokens_; }

  /// Fetches what removing a block will touch; fetching its tokens, too, makes the whole slower.
  void prefetch(block_id id) const noexcept { TOKENHEAP_PREFETCH_TO_WRITE(rows_.first() + id + 1); }

  /// Makes a full block findable below `parent` and returns its position: its own, or that of an equal block.
  position publish(position parent, block_id id) noexcept {
    const position self = id + 1;
    ++size_;
    if (const position equal = child(parent, tokens_of(id)); equal != 0) {
      add_duplicate(equal, self);
      return equal;
    }
    std::uint32_t& head = first_child(parent);
    const position next = head & ~fan_bit;
    std::uint32_t fan = head & fan_bit;
    rows_[self] = {parent, 0, next, 0};
    if (next != 0) {
      rows_[next].previous = self;
      if (fan == 0) insert(next);
      fan = fan_bit;
      insert(self);
    } else if (parent & root_bit) {
      roots_.share(parent & ~root_bit);
    }
    head = self | fan;
    return self;
  }

  /// Makes a run of full blocks findable, each below the one before it, the first below `parent`.
  void publish(position parent, const block_id* run, std::size_t n) noexcept {
    for (std::size_t at = 0; at < n; ++at) {
      parent = publish(parent, run[at]);
      if (parent != run[at] + 1) continue;
      // nothing can be below a block that is new itself: the rest of the run needs no look-up
      if (++at == n) return;
      size_ += n - at;
      rows_[parent].child = run[at] + 1;
      for (; at + 1 < n; parent = run[at++] + 1) rows_[run[at] + 1] = {parent, run[at + 1] + 1, 0, 0};
      rows_[run[at] + 1] = {parent, 0, 0, 0};
    }
  }

  /// Where the prefix that ends with this published block is found.
  [[nodiscard]] position position_of(block_id id) const noexcept {
    const row& at = rows_[id + 1];
    return at.parent & duplicate_bit ? at.child : id + 1;
  }

  /// Forgets a block that ends an unbranched run, or returns false and changes nothing if it is not so simple.
  [[nodiscard]] bool remove_end(block_id id) noexcept {
    const position self = id + 1;
    row& at = rows_[self];
    const position parent = at.parent;
    if ((parent & (duplicate_bit | root_bit)) != 0 || (at.child | at.next | at.previous) != 0) return false;
    if (rows_[parent].child != self) return false;
    rows_[parent].child = 0;
    at.parent = 0;
    --size_;
    return true;
  }

  /// Forgets blocks in this order; quick where they are chains, each from its end.
  void remove(const block_id* ids, std::size_t n) noexcept {
    row* const rows = rows_.first();
    std::size_t quick = 0;
    position end = 0;  // has lost its only child, but does not say so yet
    for (std::size_t at = 0; at < n; ++at) {
      const position self = ids[at] + 1;
      const row old = rows[self];
      const bool follows = self == end;
      if (end != 0 && !follows) rows[end].child = 0;
      const std::uint32_t others = (follows ? 0 : old.child) | old.next | old.previous;
      if (((old.parent & (duplicate_bit | root_bit)) | others) == 0 && rows[old.parent].child == self) {
        rows[self].parent = 0;
        end = old.parent;
        ++quick;
        continue;
      }
      if (follows) rows[self].child = 0;
      end = 0;
      remove(ids[at]);
    }
    if (end != 0) rows[end].child = 0;
    size_ -= quick;
  }

  /// Forgets a published block. Requires that it has no children, unless an equal block can take them over.
  void remove(block_id id) noexcept {
    const position self = id + 1;
    const row old = rows_[self];
    --size_;
    rows_[self] = {};
    if (old.parent & duplicate_bit) {
      rows_[old.previous].next = old.next;
      if (old.next != 0) rows_[old.next].previous = old.previous;
      return;
    }
    if (is_duplicate(old.next)) return promote(self, old);
    std::uint32_t& head = first_child(old.parent);
    if (head & fan_bit) erase(self, old.parent);
    if (old.next != 0) rows_[old.next].previous = old.previous;
    if (old.previous != 0) {
      rows_[old.previous].next = old.next;
      return;
    }
    head = old.next == 0 ? 0 : old.next | (head & fan_bit);
    if (old.next == 0 && (old.parent & root_bit)) roots_.let_go(old.parent & ~root_bit);
  }

  /// True if a published block has others below it.
  [[nodiscard]] bool has_children(block_id id) const noexcept { return rows_[position_of(id)].child != 0; }

  /// The blocks below a position, one after the other; `no_block` ends them.
  [[nodiscard]] block_id first_below(position at) const noexcept { return (first_child(at) & ~fan_bit) - 1; }
  [[nodiscard]] block_id next_beside(block_id id) const noexcept { return rows_[id + 1].next - 1; }

  /// The parent position of a published block's prefix, and whether it is a root.
  [[nodiscard]] position parent_of(block_id id) const noexcept { return rows_[position_of(id)].parent; }
  [[nodiscard]] static constexpr bool is_root(position at) noexcept { return (at & root_bit) != 0; }

  [[nodiscard]] prefix_key key_of(position root) const noexcept { return roots_.key_of(root & ~root_bit); }
  /// The block that is found at a position which is no root.
  [[nodiscard]] static block_id holder_of(position at) noexcept { return at - 1; }
  /// Calls `see(id)` for each block that holds the prefix of position `at`.
  template <class See>
  void each_holder(position at, See&& see) const noexcept {
    see(at - 1);
    for (position next = rows_[at].next; is_duplicate(next); next = rows_[next].next) see(next - 1);
  }

  [[nodiscard]] bool is_published(block_id id) const noexcept { return rows_[id + 1].parent != 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t block_tokens() const noexcept { return block_tokens_; }
  [[nodiscard]] std::size_t bytes() const noexcept {
    return rows_.bytes() + tokens_.bytes() + table_.bytes() + roots_.bytes();
  }

  /// Walks every row, every family and the table.
  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t published = 0;
    std::size_t hashed = 0;
    for (position at = 1; at < rows_.size(); ++at) {
      if (rows_[at].parent == 0) continue;
      ++published;
      if (!row_is_valid(at)) return false;
      const bool primary = (rows_[at].parent & duplicate_bit) == 0;
      if (primary && (first_child(rows_[at].parent) & fan_bit)) ++hashed;
    }
    std::size_t taken = 0;
    for (std::size_t slot = 0; slot < table_.size(); ++slot) taken += table_[slot] != 0;
    return published == size_ && hashed == taken && roots_.is_valid();
  }

 private:
  static constexpr std::uint32_t duplicate_bit = std::uint32_t{1} << 31;  // in `parent`: an equal block stands for it
  static constexpr std::uint32_t fan_bit = std::uint32_t{1} << 31;        // in `child`: the children are hashed
  static constexpr std::uint32_t root_bit = std::uint32_t{1} << 30;

  // siblings are one list; duplicates follow their primary in it, and keep its position in `child`
  struct row {
    std::uint32_t parent;
    std::uint32_t child;
    std::uint32_t next;
    std::uint32_t previous;
  };

  [[nodiscard]] std::uint32_t& first_child(position at) noexcept {
    return at & root_bit ? roots_.child(at & ~root_bit) : rows_[at].child;
  }
  [[nodiscard]] std::uint32_t first_child(position at) const noexcept {
    return at & root_bit ? roots_.child(at & ~root_bit) : rows_[at].child;
  }

  [[nodiscard]] bool is_duplicate(position at) const noexcept {
    return at != 0 && (rows_[at].parent & duplicate_bit) != 0;
  }

  [[nodiscard]] position child(position at, const token* tokens) const noexcept {
    const std::uint32_t head = first_child(at);
    if (head & fan_bit) return look_up(at, tokens);
    if (head == 0 || !equal_tokens(tokens_of(head - 1), tokens, block_tokens_)) return 0;
    return head;
  }

  [[nodiscard]] std::size_t home(position parent, const token* tokens) const noexcept {
    const std::uint64_t mixed = Hash{}(tokens, block_tokens_, seed_ + parent * std::uint64_t{0x9e3779b97f4a7c15});
    return static_cast<std::size_t>(((mixed >> 32) * table_.size()) >> 32);
  }
  [[nodiscard]] std::size_t following(std::size_t slot) const noexcept { return ++slot == table_.size() ? 0 : slot; }

  [[nodiscard]] position look_up(position parent, const token* tokens) const noexcept {
    for (std::size_t slot = home(parent, tokens);; slot = following(slot)) {
      const position at = table_[slot];
      if (at == 0) return 0;
      if (rows_[at].parent == parent && equal_tokens(tokens_of(at - 1), tokens, block_tokens_)) return at;
    }
  }

  void insert(position self) noexcept {
    std::size_t slot = home(rows_[self].parent, tokens_of(self - 1));
    while (table_[slot] != 0) slot = following(slot);
    table_[slot] = self;
  }

  [[nodiscard]] std::size_t slot_of(position self, position parent) const noexcept {
    std::size_t slot = home(parent, tokens_of(self - 1));
    while (table_[slot] != self) slot = following(slot);
    return slot;
  }

  // entries behind a hole move back to it, so that no tombstone ever slows a look-up down
  void erase(position self, position parent) noexcept {
    std::size_t hole = slot_of(self, parent);
    for (std::size_t slot = following(hole); table_[slot] != 0; slot = following(slot)) {
      const position at = table_[slot];
      const std::size_t wanted = home(rows_[at].parent, tokens_of(at - 1));
      const bool between = hole <= slot ? (hole < wanted && wanted <= slot) : (hole < wanted || wanted <= slot);
      if (between) continue;
      table_[hole] = at;
      hole = slot;
    }
    table_[hole] = 0;
  }

  void add_duplicate(position primary, position self) noexcept {
    const position next = rows_[primary].next;
    rows_[self] = {rows_[primary].parent | duplicate_bit, primary, next, primary};
    if (next != 0) rows_[next].previous = self;
    rows_[primary].next = self;
  }

  // the first duplicate becomes the primary: it takes the place among the siblings, and the children
  TOKENHEAP_NOINLINE void promote(position self, const row& old) noexcept {
    const position heir = old.next;
    std::uint32_t& head = first_child(old.parent);
    if (head & fan_bit) table_[slot_of(self, old.parent)] = heir;
    if (old.previous == 0) {
      head = heir | (head & fan_bit);
    } else {
      rows_[old.previous].next = heir;
    }
    rows_[heir].parent = old.parent;
    rows_[heir].previous = old.previous;
    rows_[heir].child = old.child;
    for (position at = rows_[heir].next; is_duplicate(at); at = rows_[at].next) rows_[at].child = heir;
    const bool hashed = (old.child & fan_bit) != 0;
    for (position at = old.child & ~fan_bit; at != 0; at = rows_[at].next) {
      if (is_duplicate(at)) {
        rows_[at].parent = heir | duplicate_bit;
        continue;
      }
      if (hashed) erase(at, self);
      rows_[at].parent = heir;
      if (hashed) insert(at);
    }
  }

  [[nodiscard]] bool row_is_valid(position at) const noexcept {
    const row& self = rows_[at];
    const position parent = self.parent & ~duplicate_bit;
    if (!(parent & root_bit) && (parent >= rows_.size() || rows_[parent].parent == 0)) return false;
    if (self.next != 0 && rows_[self.next].previous != at) return false;
    if (self.previous != 0 ? rows_[self.previous].next != at : (first_child(parent) & ~fan_bit) != at) return false;
    if (self.parent & duplicate_bit) {
      const position primary = self.child;
      if (self.previous == 0 || rows_[primary].parent != parent) return false;
      return equal_tokens(tokens_of(at - 1), tokens_of(primary - 1), block_tokens_);
    }
    return child(parent, tokens_of(at - 1)) == at;
  }

  column<row, 64> rows_;
  column<token, 64> tokens_;  // a block of 16 tokens is one cache line
  column<position, 64> table_;
  root_table roots_;
  std::size_t block_tokens_ = 0;
  std::size_t size_ = 0;
  std::uint64_t seed_ = 0;
};

static_assert(prefix_index<radix_index<>>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
