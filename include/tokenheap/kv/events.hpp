// Tells routers what a pool holds: every prefix that comes and goes, numbered, and all of it at once to who fell behind.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/kv/block_hash.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/event.hpp>
#include <tokenheap/kv/event_ring.hpp>
#include <tokenheap/kv/root_table.hpp>
#include <tokenheap/kv/siphash.hpp>
#include <tokenheap/kv/tokens.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// How much of the past a stream keeps for its readers.
struct event_shape {
  std::size_t bytes = 4 * MiB;
};

/// Hears what a pool publishes and forgets, and keeps it as numbered events for any count of readers.
///
/// Name it as `events` of a pool's policy; read it with an `event_feed`. A publish is one event for all blocks that were
/// not findable before, a block that leaves is one, a reset is one. Blocks with a prefix that another one holds too are
/// not heard of: the last holder that leaves is. Names are made by `Hash` under the pool's seed, and read off a
/// `hash_chain_index` with the same hash. Not for a pool whose contents nobody else asks for: `no_events` costs nothing.
///
/// Requires  an index that says `holder_of(position)` and `key_of(root)`
/// Fails     open, for want of memory; an event larger than the whole ring is lost, and its readers see that
/// Threads   not safe; the pool's lock covers it: read it in `with_events`
/// Cost      O(1) per block: one hash and a copy of its tokens, or the copy alone; 32 bytes per block, and the ring
/// Example   examples/events.cpp
template <event_shape Shape = event_shape{}, block_hash Hash = sip128>
class event_stream {
 public:
  static constexpr std::size_t ring_bytes = Shape.bytes;

  [[nodiscard]] bool open(std::size_t blocks, std::size_t block_tokens, std::uint64_t seed) noexcept {
    if (!ring_.open(Shape.bytes) || !rows_.open(blocks)) return false;
    hash_ = Hash::open(&seed, sizeof seed);
    block_tokens_ = block_tokens;
    round_ = 0;
    return true;
  }

  /// Says for which group of layers and on which medium this pool holds blocks; for the events from now on.
  void label(std::uint32_t group, event_medium medium = event_medium::device) noexcept {
    group_ = group;
    medium_ = medium;
  }

  template <class Index>
  void on_stored(const Index& index, typename Index::position root, const block_id* chain, std::size_t from,
                 std::size_t to) noexcept {
    static_assert(sizeof root <= sizeof(std::uint32_t));
    // what others hold already comes first: below a new prefix nothing can be old
    for (; from != to; ++from) {
      const block_id holder = index.holder_of(index.position_of(chain[from]));
      if (holder == chain[from]) break;
      join(chain[from], holder);
    }
    if (from == to) return;
    const prefix_key key = index.key_of(root);
    hash128 name = from == 0 ? name_of_root(hash_, key) : rows_[chain[from - 1]].name;
    detail::event_record* const out = ring_.add(to - from, (to - from) * block_tokens_);
    if (out != nullptr) out->say(about(event_kind::stored, key, from == 0, name));
    hash128* names = out != nullptr ? out->first_name() : nullptr;
    token* tokens = out != nullptr ? out->first_token() : nullptr;
    constexpr std::size_t ahead = 4;  // tokens were written past the caches
    for (; from != to; ++from) {
      if (from + ahead < to) TOKENHEAP_PREFETCH(index.tokens_of(chain[from + ahead]));
      const block_id id = chain[from];
      name = name_below(index, name, id);
      rows_[id] = {name, id, id, static_cast<std::uint32_t>(root), 0};
      if (out == nullptr) continue;
      *names++ = name;
      copy_tokens(tokens, index.tokens_of(id), block_tokens_);
      tokens += block_tokens_;
    }
  }

  template <class Index>
  void on_removed(const Index&, const block_id* ids, std::size_t n, removal why) noexcept {
    // a reset takes all blocks, and is one event
    if (why == removal::cleared) return;
    constexpr std::size_t ahead = 8;
    for (std::size_t at = 0; at != n; ++at) {
      if (at + ahead < n) TOKENHEAP_PREFETCH_TO_WRITE(rows_.first() + ids[at + ahead]);
      const block_id id = ids[at];
      if (leave(id)) tell_removed(rows_[id].name, why);
    }
  }

  void on_all_cleared() noexcept {
    if (detail::event_record* const out = ring_.add(0, 0); out != nullptr) out->say(about(event_kind::cleared));
  }

  /// Adds an event of the caller's own, with the next number: what a lower tier has stored, lost, or holds already.
  ///
  /// Returns   false if it is larger than the ring: its readers will fall behind
  bool announce(const event& what) noexcept {
    detail::event_record* const out = ring_.add(what.names.size(), what.tokens.size());
    if (out == nullptr) return false;
    out->say(what);
    for (std::size_t at = 0; at != what.names.size(); ++at) out->first_name()[at] = what.names[at];
    copy_tokens(out->first_token(), what.tokens.data(), what.tokens.size());
    return true;
  }

  [[nodiscard]] const event_ring& ring() const noexcept { return ring_; }

  /// The name of a published block's prefix.
  [[nodiscard]] hash128 name_of(block_id id) const noexcept { return rows_[id].name; }
  /// What the prefixes under a key have for a parent.
  [[nodiscard]] hash128 name_of(const prefix_key& key) const noexcept { return name_of_root(hash_, key); }

  /// Room that is enough for a snapshot of so many published blocks.
  [[nodiscard]] std::size_t snapshot_bytes(std::size_t published) const noexcept {
    return sizeof(detail::event_record) + published * detail::event_record::size(1, block_tokens_);
  }

  /// Writes a `cleared` event and then all that is findable, each run below what was written before it; returns the bytes.
  ///
  /// Requires  room for snapshot_bytes(index.size())
  template <class Index>
  [[nodiscard]] std::size_t snapshot(const Index& index, unsigned char* out) noexcept {
    unsigned char* const first = out;
    out = behind(*put_record(out, about(event_kind::cleared), 0));
    if (++round_ == 0) {
      for (std::size_t id = 0; id != rows_.size(); ++id) rows_[id].round = 0;
      round_ = 1;
    }
    for (block_id id = 0; index.size() != 0 && id != rows_.size(); ++id) {
      // from the ends upwards, so that a chain is one event
      if (!index.is_published(id) || index.has_children(id)) continue;
      out = put_run(index, index.holder_of(index.position_of(id)), out);
    }
    return static_cast<std::size_t>(out - first);
  }

  [[nodiscard]] std::size_t bytes() const noexcept { return ring_.bytes() + rows_.bytes(); }

  /// Walks every published block: those that hold one prefix are linked in a ring and have its name, which follows
  /// from the tokens.
  template <class Index>
  [[nodiscard]] bool is_valid(const Index& index) const noexcept {
    for (block_id id = 0; index.size() != 0 && id != rows_.size(); ++id) {
      if (!index.is_published(id)) continue;
      const row& at = rows_[id];
      const row& twin = rows_[at.next];
      if (twin.previous != id || !(twin.name == at.name) || twin.root != at.root) return false;
      if (index.position_of(at.next) != index.position_of(id)) return false;
      const auto parent = index.parent_of(id);
      const bool first = Index::is_root(parent);
      const hash128 above = first ? name_of(index.key_of(parent)) : rows_[index.holder_of(parent)].name;
      if (!(name_below(index, above, id) == at.name)) return false;
    }
    return ring_.is_valid();
  }

 private:
  struct row {
    hash128 name;
    block_id next;  // blocks that hold the same prefix, in a ring
    block_id previous;
    std::uint32_t root;
    std::uint32_t round;  // the last snapshot that told of it
  };
  static_assert(sizeof(row) == 32);

  [[nodiscard]] event about(event_kind kind, const prefix_key& key = {}, bool at_root = false,
                            const hash128& parent = {}) const noexcept {
    return {.kind = kind, .medium = medium_, .at_root = at_root,
            .keyed = key.salt_bytes != 0 || key.tenant != 0 || key.request != 0, .group = group_, .tenant = key.tenant,
            .adapter = key.adapter, .parent = parent, .block_tokens = block_tokens_};
  }

  template <class Index>
  [[nodiscard]] hash128 name_below(const Index& index, const hash128& parent, block_id id) const noexcept {
    if constexpr (requires { requires std::same_as<typename Index::naming, Hash>; }) {
      return index.hash_of(id);
    } else {
      return hash_(parent, index.tokens_of(id), block_tokens_);
    }
  }

  void tell_removed(const hash128& name, removal why) noexcept {
    detail::event_record* const out = ring_.add(1, 0);
    if (out == nullptr) return;
    out->say(about(event_kind::removed));
    out->why = why;
    *out->first_name() = name;
  }

  void join(block_id id, block_id holder) noexcept {
    row& old = rows_[holder];
    rows_[id] = {old.name, old.next, holder, old.root, old.round};
    rows_[old.next].previous = id;
    old.next = id;
  }

  // true if nobody else holds the same prefix
  [[nodiscard]] bool leave(block_id id) noexcept {
    const row& at = rows_[id];
    if (at.next == id) return true;
    rows_[at.next].previous = at.previous;
    rows_[at.previous].next = at.next;
    return false;
  }

  [[nodiscard]] detail::event_record* put_record(unsigned char* out, const event& what, std::size_t names) const noexcept {
    auto* const made = ::new (out) detail::event_record;
    made->say(what);
    made->number = ring_.next();
    made->snapshot = true;
    made->names = static_cast<std::uint32_t>(names);
    made->tokens = static_cast<std::uint32_t>(names * block_tokens_);
    made->bytes = static_cast<std::uint32_t>(detail::event_record::size(names, names * block_tokens_) / 8);
    return made;
  }
  [[nodiscard]] static unsigned char* behind(detail::event_record& made) noexcept {
    return reinterpret_cast<unsigned char*>(&made) + std::size_t{made.bytes} * 8;
  }

  // the blocks from below a prefix that was told, or from the root, down to this one
  template <class Index>
  [[nodiscard]] unsigned char* put_run(const Index& index, block_id end, unsigned char* out) noexcept {
    std::size_t n = 0;
    block_id above = end;  // the last one that is told, once the loop is left by it
    bool at_root = false;
    for (; !at_root && rows_[above].round != round_; ++n) {
      rows_[above].round = round_;
      const auto parent = index.parent_of(above);
      at_root = Index::is_root(parent);
      if (!at_root) above = index.holder_of(parent);
    }
    if (n == 0) return out;
    const prefix_key key = index.key_of(rows_[end].root);
    const hash128 parent = at_root ? name_of_root(hash_, key) : rows_[above].name;
    detail::event_record* const made = put_record(out, about(event_kind::stored, key, at_root, parent), n);
    while (n-- != 0) {
      made->first_name()[n] = rows_[end].name;
      copy_tokens(made->first_token() + n * block_tokens_, index.tokens_of(end), block_tokens_);
      if (n != 0) end = index.holder_of(index.parent_of(end));
    }
    return behind(*made);
  }

  event_ring ring_;
  column<row> rows_;
  std::size_t block_tokens_ = 0;
  std::uint32_t group_ = 0;
  std::uint32_t round_ = 0;
  event_medium medium_ = event_medium::device;
  Hash hash_;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
