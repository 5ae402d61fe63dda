// A router's copy of one pool's prefix index, built from its events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/event.hpp>
#include <tokenheap/kv/siphash.hpp>
#include <tokenheap/kv/tier_keys.hpp>
#include <tokenheap/kv/tokens.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// The amounts of a mirror.
struct event_mirror_options {
  std::size_t blocks = 0;  ///< prefixes that it can hold: the blocks of the pool, and those of its lower tiers
  std::size_t block_tokens = 16;
  std::uint64_t seed = 0;  ///< of the mirror's own hash; nobody else needs it
  const char* name = "mirror";
};

/// Media that a match counts, as a mask.
inline constexpr std::uint8_t any_medium = 7;
[[nodiscard]] constexpr std::uint8_t only(event_medium which) noexcept {
  return static_cast<std::uint8_t>(1 << static_cast<unsigned>(which));
}

/// Answers for a router what the pool would answer: how much of a prompt is there, and on which medium.
///
/// Feed it every event of one pool in order. It needs neither the pool's seed nor its hash: names are numbers to it, and
/// tokens are compared. An event that does not follow the one before is refused, so that a lost one is seen at once;
/// any snapshot puts it right again. For a fleet, keep one for each pool.
///
/// Requires  events with tokens for what is stored first; lower tiers may name prefixes that are known
/// Fails     open; apply: `stale_handle` for a gap, `limit_reached` for want of room, `corrupted` for what contradicts
///           earlier events; nothing changes then, but after a snapshot that failed only another one is taken
/// Threads   not safe
/// Cost      O(1) per block of an event; match one hash per block. About 130 bytes and the tokens for each prefix
/// Example   examples/events.cpp
class event_mirror {
 public:
  using options = event_mirror_options;

  [[nodiscard]] static result<event_mirror> open(const options& with) noexcept {
    event_mirror made;
    failure wrong{.code = errc::invalid_argument, .pool = with.name, .what = "prefixes of a mirror", .need = with.blocks,
                  .limit = max_blocks, .fix = "give at least one block, of at least one token"};
    if (with.blocks == 0 || with.blocks > max_blocks || with.block_tokens == 0 || with.block_tokens > max_block_tokens) {
      return wrong;
    }
    wrong.code = errc::out_of_memory;
    wrong.fix = "mirror fewer blocks";
    std::size_t tokens = 0;
    if (!checked_mul(with.blocks, with.block_tokens, tokens)) return wrong;
    if (!made.tokens_.open(tokens) || !made.names_.open(with.blocks) || !made.steps_.open(with.blocks) ||
        !made.rows_.open(with.blocks) || !made.unused_.open(with.blocks)) {
      return wrong;
    }
    made.hash_ = sip128::open(&with.seed, sizeof with.seed);
    made.block_tokens_ = with.block_tokens;
    while (made.unused_count_ != with.blocks) {
      made.unused_[made.unused_count_] = static_cast<tier_slot>(with.blocks - 1 - made.unused_count_);
      ++made.unused_count_;
    }
    return result<event_mirror>(static_cast<event_mirror&&>(made));
  }

  /// What prefixes without salt, tenant and privacy have for a parent here.
  [[nodiscard]] static constexpr hash128 root_of(std::uint64_t adapter) noexcept { return {adapter, 0}; }

  /// Takes the next event in.
  [[nodiscard]] errc apply(const event& e) noexcept {
    const bool begins = e.snapshot && e.kind == event_kind::cleared;
    if (!begins && e.number != next_) return errc::stale_handle;
    errc wrong = errc::ok;
    switch (e.kind) {
      case event_kind::stored: wrong = store(e); break;
      case event_kind::removed: remove(e); break;
      case event_kind::cleared: clear(begins ? any_medium : only(e.medium)); break;
    }
    if (wrong == errc::ok) {
      next_ = e.snapshot ? e.number : next_ + 1;
    } else if (e.snapshot) {
      // half a snapshot is worth nothing: only another one follows it
      next_ = ~std::uint64_t{0};
    }
    return wrong;
  }

  /// How many tokens of a prompt are there, in whole blocks, below `root`: `root_of(adapter)`, or the parent that
  /// events under a key name.
  [[nodiscard]] std::size_t match(hash128 root, std::span<const token> prompt, std::uint8_t media = any_medium,
                                  std::uint32_t group = 0) const noexcept {
    std::size_t matched = 0;
    while (prompt.size() - matched >= block_tokens_) {
      const token* const tokens = prompt.data() + matched;
      const tier_slot at = steps_.find(step(root, tokens, group));
      if (at == no_slot || (rows_[at].media & media) == 0 || !is_step(at, root, tokens)) break;
      root = name_of(at);
      matched += block_tokens_;
    }
    return matched;
  }

  /// The number of the event that must come next.
  [[nodiscard]] std::uint64_t next() const noexcept { return next_; }
  [[nodiscard]] std::size_t size() const noexcept { return names_.size(); }
  /// Names of blocks that were said to be stored, but whose tokens never came: a match cannot reach them.
  [[nodiscard]] std::size_t unknown() const noexcept { return unknown_; }
  [[nodiscard]] std::size_t bytes() const noexcept {
    return names_.bytes() + steps_.bytes() + rows_.bytes() + unused_.bytes() + tokens_.bytes();
  }

  /// Calls `see(name, parent, tokens, media)` for each prefix.
  template <class See>
  void each(See&& see) const noexcept {
    for (tier_slot at = 0; at != rows_.size(); ++at) {
      if (rows_[at].media != 0) see(name_of(at), rows_[at].parent, tokens_of(at), rows_[at].media);
    }
  }

  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t held = 0;
    for (tier_slot at = 0; at != rows_.size(); ++at) {
      if (rows_[at].media == 0) continue;
      ++held;
      const tier_key& name = names_.key_of(at);
      if (names_.find(name) != at || steps_.find(step(rows_[at].parent, tokens_of(at), name.group)) != at) return false;
    }
    return held == names_.size() && held == steps_.size() && held + unused_count_ == rows_.size() && names_.is_valid() &&
           steps_.is_valid();
  }

 private:
  struct row {
    hash128 parent;
    std::uint8_t media;  // a bit for each; none: not in use
  };

  event_mirror() noexcept = default;

  [[nodiscard]] hash128 name_of(tier_slot at) const noexcept {
    const tier_key& key = names_.key_of(at);
    return {key.low, key.high};
  }
  [[nodiscard]] const token* tokens_of(tier_slot at) const noexcept { return tokens_.first() + at * block_tokens_; }
  [[nodiscard]] tier_key step(const hash128& parent, const token* tokens, std::uint32_t group) const noexcept {
    const hash128 mixed = hash_(parent, tokens, block_tokens_);
    return {mixed.low, mixed.high, group};
  }
  [[nodiscard]] bool is_step(tier_slot at, const hash128& parent, const token* tokens) const noexcept {
    return rows_[at].parent == parent && equal_tokens(tokens_of(at), tokens, block_tokens_);
  }
  [[nodiscard]] static hash128 parent_of(const event& e) noexcept {
    return e.at_root && !e.keyed ? root_of(e.adapter) : e.parent;
  }

  // looks first, so that an event that cannot be taken in changes nothing
  [[nodiscard]] errc store(const event& e) noexcept {
    const bool spelled = !e.tokens.empty();
    if (spelled && (e.block_tokens != block_tokens_ || e.tokens.size() != e.names.size() * block_tokens_)) {
      return errc::corrupted;
    }
    std::size_t fresh = 0;
    hash128 parent = parent_of(e);
    for (std::size_t n = 0; n != e.names.size(); parent = e.names[n++]) {
      const tier_slot at = names_.find({e.names[n].low, e.names[n].high, e.group});
      if (!spelled) continue;
      const token* const tokens = e.tokens.data() + n * block_tokens_;
      if (at == no_slot ? steps_.find(step(parent, tokens, e.group)) != no_slot : !is_step(at, parent, tokens)) {
        return errc::corrupted;
      }
      fresh += at == no_slot;
    }
    if (fresh > unused_count_) return errc::limit_reached;
    parent = parent_of(e);
    for (std::size_t n = 0; n != e.names.size(); parent = e.names[n++]) {
      const tier_key name{e.names[n].low, e.names[n].high, e.group};
      tier_slot at = names_.find(name);
      if (at == no_slot && !spelled) {
        ++unknown_;
        continue;
      }
      if (at == no_slot) at = add(name, parent, e.tokens.data() + n * block_tokens_);
      rows_[at].media |= only(e.medium);
    }
    return errc::ok;
  }

  [[nodiscard]] tier_slot add(const tier_key& name, const hash128& parent, const token* tokens) noexcept {
    const tier_slot at = unused_[--unused_count_];
    names_.insert(name, at);
    steps_.insert(step(parent, tokens, name.group), at);
    rows_[at] = {parent, 0};
    copy_tokens(tokens_.first() + at * block_tokens_, tokens, block_tokens_);
    return at;
  }

  void remove(const event& e) noexcept {
    for (const hash128& name : e.names) {
      const tier_slot at = names_.find({name.low, name.high, e.group});
      if (at != no_slot) leave(at, only(e.medium));
    }
  }
  void clear(std::uint8_t media) noexcept {
    for (tier_slot at = 0; at != rows_.size(); ++at) {
      if (rows_[at].media != 0) leave(at, media);
    }
  }
  void leave(tier_slot at, std::uint8_t media) noexcept {
    rows_[at].media = static_cast<std::uint8_t>(rows_[at].media & ~media);
    if (rows_[at].media != 0) return;
    names_.erase(at);
    steps_.erase(at);
    unused_[unused_count_++] = at;
  }

  tier_keys names_;  // by their name
  tier_keys steps_;  // by what leads to them: the parent's name and the tokens
  column<row> rows_;
  column<token> tokens_;
  column<tier_slot> unused_;
  std::size_t unused_count_ = 0;
  std::size_t block_tokens_ = 0;
  std::size_t unknown_ = 0;
  std::uint64_t next_ = 0;
  sip128 hash_;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
