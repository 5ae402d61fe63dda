// Which block already holds which prefix: found by names that a hash gives, and compared before they count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/block_hash.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/prefix_index.hpp>
#include <tokenheap/kv/root_table.hpp>
#include <tokenheap/kv/siphash.hpp>
#include <tokenheap/kv/tokens.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Finds blocks by a 128-bit name made of the parent's name and their tokens; a hit is compared, so never wrong.
///
/// Good where blocks need names that other processes know too: events, tiers, routers (`hash_of` tells them). For small
/// blocks that nobody else sees, `radix_index` hashes less. Several blocks may hold the same prefix; one is found, and
/// the next takes its place in one step when it goes. Every key has a root of its own.
///
/// Requires  ids below the count of blocks; a block is published once, below a position that is still there
/// Fails     open only; afterwards no call needs memory except `hold_root` for a new key
/// Threads   not safe; the pool's lock covers it
/// Cost      match compares one block of tokens per hit, and hashes it where the prefix before it branches; publish
///           hashes each block, remove does not; both are O(1). 36 bytes and the tokens per block, and 8 that stay
///           untouched memory until a duplicate takes over
template <block_hash Hash = sip128>
class hash_chain_index {
 public:
  /// A prefix: a number that it keeps whoever holds it, or a root. 0 is nowhere.
  using position = std::uint32_t;
  using options = index_options;
  using naming = Hash;

  hash_chain_index() noexcept = default;

  [[nodiscard]] static result<hash_chain_index> open(const options& with) noexcept {
    hash_chain_index made;
    const failure oom{.code = errc::out_of_memory, .pool = with.name, .what = "rows of the prefix index, in blocks",
                      .need = with.blocks, .limit = max_blocks, .fix = "use fewer blocks, or switch the cache off"};
    std::size_t tokens = 0;
    if (!checked_mul(with.blocks, with.block_tokens, tokens)) return oom;
    if (!made.rows_.open(with.blocks + 1) || !made.tokens_.open(tokens)) return oom;
    if (!made.buckets_.open(with.blocks + 1)) return oom;
    if (!made.places_.open(with.blocks + 1) || !made.holders_.open(with.blocks + 1)) return oom;
    if (!made.roots_.open(with.seed) || !made.root_names_.open(8)) return oom;
    made.hash_ = Hash::open(&with.seed, sizeof with.seed);
    made.block_tokens_ = with.block_tokens;
    made.root_names_[0] = name_of_root(made.hash_, {});
    return made;
  }

  /// Keeps the root of a key alive and returns it; 0 if there is no memory for a new one. Each one is let go once.
  [[nodiscard]] position hold_root(const prefix_key& key) noexcept {
    std::uint32_t known = 0;
    const bool named = roots_.find(key, known);
    const std::uint32_t root = roots_.hold(key);
    if (root == root_table::none) return 0;
    if (named) return root | root_bit;
    if (!root_names_.grow(std::size_t{root} + 1)) return roots_.let_go(root), 0;
    root_names_[root] = name_of_root(hash_, key);
    return root | root_bit;
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
      out[found] = holder_of(at);
    }
    return found;
  }

  /// Keeps tokens of a block, from its place `first` on; they can be found once the block is published.
  void write(block_id id, std::size_t first, const token* tokens, std::size_t n) noexcept {
    copy_tokens(tokens_.first() + std::size_t{id} * block_tokens_ + first, tokens, n);
  }
  /// Keeps the tokens of `n` whole blocks.
  void write(const block_id* ids, std::size_t n, const token* tokens) noexcept {
    copy_blocks(tokens_.first(), block_tokens_, ids, n, tokens);
  }
  [[nodiscard]] const token* tokens_of(block_id id) const noexcept {
    return tokens_.first() + std::size_t{id} * block_tokens_;
  }

  /// Fetches what removing a block will touch.
  void prefetch(block_id id) const noexcept { TOKENHEAP_PREFETCH_TO_WRITE(rows_.first() + id + 1); }

  /// Makes a run of full blocks findable, each below the one before it, the first below `parent`.
  void publish(position parent, const block_id* run, std::size_t n) noexcept {
    hash128 name = name_at(parent);
    size_ += n;
    position waiting = 0;  // its bucket is on its way while the next block is hashed
    for (std::size_t at = 0; at < n; ++at) {
      const token* const tokens = tokens_of(run[at]);
      name = hash_(name, tokens, block_tokens_);
      const position self = place_of(run[at]);
      if (waiting == 0) {
        // below a block that is new itself nothing can be equal, so that the rest of the run needs no look-up
        if (const position equal = look_up(name, parent, tokens); equal != 0) {
          add_duplicate(equal, self);
          parent = equal;
          continue;
        }
        adopt(parent, self);
      } else {
        rows_[parent].guess = self;
        rows_[parent].below = 1;
        attach(waiting);
      }
      rows_[self] = {name, parent, 0, 0, 0};
      TOKENHEAP_PREFETCH_TO_WRITE(&buckets_[home(name)]);
      parent = waiting = self;
    }
    if (waiting != 0) attach(waiting);
  }

  /// Where the prefix that ends with this published block is found.
  [[nodiscard]] position position_of(block_id id) const noexcept {
    const position self = place_of(id);
    return rows_[self].parent & duplicate_bit ? rows_[self].below : self;
  }

  /// Forgets blocks in this order.
  void remove(const block_id* ids, std::size_t n) noexcept {
    constexpr std::size_t ahead = 6;
    // the oldest stands last in its bucket: first its bucket is fetched, then the row that stands before it
    for (std::size_t at = 0; at < n; ++at) {
      if (at + 2 * ahead < n) TOKENHEAP_PREFETCH_TO_WRITE(&buckets_[home_of(ids[at + 2 * ahead])]);
      if (at + ahead < n) TOKENHEAP_PREFETCH_TO_WRITE(&rows_[buckets_[home_of(ids[at + ahead])]]);
      remove(ids[at]);
    }
  }

  /// Forgets a published block. Requires that it has no children, unless an equal block can take them over.
  void remove(block_id id) noexcept {
    position self = place_of(id);
    row old = rows_[self];
    if (!(old.parent & duplicate_bit) && (old.below & shared_bit)) {
      // the prefix keeps its position, so that what is below it need not hear of this
      exchange(self, old.link);
      self = old.link;
      old = rows_[self];
    }
    --size_;
    rows_[self].parent = 0;
    if (old.parent & duplicate_bit) {
      rows_[old.guess].link = old.link;
      if (is_duplicate(old.link)) {
        rows_[old.link].guess = old.guess;
      } else if (old.guess == old.below) {
        rows_[old.below].below &= ~shared_bit;
      }
      return;
    }
    detach(self, old);
    if (is_root(old.parent)) return roots_.let_go(old.parent & ~root_bit);
    row& parent = rows_[old.parent];
    --parent.below;
    if (parent.guess == self) parent.guess = 0;
  }

  /// True if a published block has others below it.
  [[nodiscard]] bool has_children(block_id id) const noexcept {
    return (rows_[position_of(id)].below & ~shared_bit) != 0;
  }

  /// The name of the prefix that ends with this published block: equal in every process that has the seed.
  [[nodiscard]] hash128 hash_of(block_id id) const noexcept { return rows_[place_of(id)].name; }

  /// The parent position of a published block's prefix, and whether it is a root.
  [[nodiscard]] position parent_of(block_id id) const noexcept { return rows_[place_of(id)].parent & ~duplicate_bit; }
  [[nodiscard]] static constexpr bool is_root(position at) noexcept { return (at & root_bit) != 0; }

  /// The block that is found at a position which is no root.
  [[nodiscard]] block_id holder_of(position at) const noexcept {
    return moved_ == 0 ? at - 1 : (holders_[at] ^ at) - 1;
  }
  [[nodiscard]] prefix_key key_of(position root) const noexcept { return roots_.key_of(root & ~root_bit); }

  /// Calls `see(id)` for each block that holds the prefix of position `at`.
  template <class See>
  void each_holder(position at, See&& see) const noexcept {
    see(holder_of(at));
    for (position next = rows_[at].link; is_duplicate(next); next = rows_[next].link) see(holder_of(next));
  }

  [[nodiscard]] bool is_published(block_id id) const noexcept { return rows_[place_of(id)].parent != 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t block_tokens() const noexcept { return block_tokens_; }
  [[nodiscard]] std::size_t bytes() const noexcept {
    return rows_.bytes() + tokens_.bytes() + buckets_.bytes() + places_.bytes() + holders_.bytes() + roots_.bytes() +
           root_names_.bytes();
  }

  /// Walks every row and every bucket, and makes every name again.
  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t published = 0, primaries = 0, below = 0, first = 0, moved = 0;
    for (block_id id = 0; id + 1 < rows_.size(); ++id) {
      const position at = places_[id] ^ (id + 1);
      if (at == 0 || at >= rows_.size() || ((holders_[at] ^ at) - 1) != id) return false;
      moved += places_[id] != 0;
      if (rows_[at].parent == 0) continue;
      ++published;
      if (!row_is_valid(at)) return false;
      if (rows_[at].parent & duplicate_bit) continue;
      ++primaries;
      below += rows_[at].below & ~shared_bit;
      first += is_root(rows_[at].parent);
    }
    std::size_t linked = 0;
    for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
      for (position at = buckets_[bucket]; at != 0; at = rows_[at].link) {
        if (at >= rows_.size() || ++linked > published || home(rows_[at].name) != bucket) return false;
      }
    }
    return published == size_ && linked == size_ && below + first == primaries && moved == moved_ && roots_.is_valid();
  }

 private:
  static constexpr std::uint32_t duplicate_bit = std::uint32_t{1} << 31;  // in `parent`: an equal block stands for it
  static constexpr std::uint32_t root_bit = std::uint32_t{1} << 30;
  static constexpr std::uint32_t shared_bit = std::uint32_t{1} << 31;  // in `below`: duplicates follow

  struct row {
    hash128 name;
    std::uint32_t parent;
    std::uint32_t link;   // the next of its bucket; duplicates follow the one that is found
    std::uint32_t guess;  // one child, if known; of a duplicate: the row before it
    std::uint32_t below;  // how many children; of a duplicate: the position that is found
  };

  // zero stands for "at its own place", so that a fresh column is right as it is
  [[nodiscard]] position place_of(block_id id) const noexcept {
    return moved_ == 0 ? id + 1 : places_[id] ^ (id + 1);
  }
  [[nodiscard]] bool is_duplicate(position at) const noexcept {
    return at != 0 && (rows_[at].parent & duplicate_bit) != 0;
  }

  [[nodiscard]] hash128 name_at(position at) const noexcept {
    return is_root(at) ? root_names_[at & ~root_bit] : rows_[at].name;
  }

  [[nodiscard]] std::size_t home(const hash128& name) const noexcept {
    return static_cast<std::size_t>(((name.low >> 32) * buckets_.size()) >> 32);
  }

  [[nodiscard]] std::size_t home_of(block_id id) const noexcept { return home(rows_[place_of(id)].name); }

  // an only child is compared at once: its name is known, so that an unbranched run is followed without a hash
  [[nodiscard]] position child(position at, const token* tokens) const noexcept {
    if (!is_root(at)) {
      const row& self = rows_[at];
      const std::uint32_t children = self.below & ~shared_bit;
      if (children == 0) return 0;
      if (children == 1 && self.guess != 0) {
        return equal_tokens(tokens_of(holder_of(self.guess)), tokens, block_tokens_) ? self.guess : 0;
      }
    }
    return look_up(hash_(name_at(at), tokens, block_tokens_), at, tokens);
  }

  [[nodiscard]] position look_up(const hash128& name, position parent, const token* tokens) const noexcept {
    position at = buckets_[home(name)];
    for (; at != 0; at = rows_[at].link) {
      if (!(rows_[at].name == name) || rows_[at].parent != parent) continue;
      if (equal_tokens(tokens_of(holder_of(at)), tokens, block_tokens_)) break;
    }
    return at;
  }

  void adopt(position parent, position self) noexcept {
    if (is_root(parent)) return roots_.share(parent & ~root_bit);
    row& up = rows_[parent];
    if ((up.below++ & ~shared_bit) == 0) up.guess = self;
  }

  void attach(position self) noexcept {
    position& bucket = buckets_[home(rows_[self].name)];
    rows_[self].link = bucket;
    bucket = self;
  }

  void detach(position self, const row& old) noexcept {
    position* from = &buckets_[home(old.name)];
    while (*from != self) from = &rows_[*from].link;
    *from = old.link;
  }

  void add_duplicate(position equal, position self) noexcept {
    row& primary = rows_[equal];
    rows_[self] = {primary.name, primary.parent | duplicate_bit, primary.link, equal, equal};
    if (primary.below & shared_bit) rows_[primary.link].guess = self;
    primary.link = self;
    primary.below |= shared_bit;
  }

  // two blocks that hold the same prefix change places
  void exchange(position a, position b) noexcept {
    const block_id first = holder_of(a);
    const block_id second = holder_of(b);
    moved_ -= std::size_t{places_[first] != 0} + std::size_t{places_[second] != 0};
    places_[first] = b ^ (first + 1);
    places_[second] = a ^ (second + 1);
    holders_[a] = (second + 1) ^ a;
    holders_[b] = (first + 1) ^ b;
    moved_ += std::size_t{places_[first] != 0} + std::size_t{places_[second] != 0};
  }

  [[nodiscard]] bool row_is_valid(position at) const noexcept {
    const row& self = rows_[at];
    const position parent = self.parent & ~duplicate_bit;
    if (!is_root(parent) && (parent >= rows_.size() || rows_[parent].parent == 0)) return false;
    const token* const tokens = tokens_of(holder_of(at));
    if (!(hash_(name_at(parent), tokens, block_tokens_) == self.name)) return false;
    if (self.parent & duplicate_bit) {
      return rows_[self.guess].link == at && (rows_[self.below].below & shared_bit) != 0 &&
             look_up(self.name, parent, tokens) == self.below;
    }
    if (self.guess != 0 && (self.guess >= rows_.size() || rows_[self.guess].parent != at)) return false;
    return is_duplicate(self.link) == ((self.below & shared_bit) != 0) && look_up(self.name, parent, tokens) == at;
  }

  column<row, 64> rows_;  // by position
  column<token, 64> tokens_;
  column<position, 64> buckets_;
  column<position> places_;   // by block
  column<block_id> holders_;  // by position
  root_table roots_;
  column<hash128> root_names_;
  std::size_t block_tokens_ = 0;
  std::size_t size_ = 0;
  std::size_t moved_ = 0;  // blocks that are not at their own place
  Hash hash_;
};

static_assert(prefix_index<hash_chain_index<>>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
