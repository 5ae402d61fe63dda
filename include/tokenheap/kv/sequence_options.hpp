// What a request says when it is opened.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/pool_options.hpp>
#include <tokenheap/kv/root_table.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// With whom a request shares what it publishes, and whose blocks it finds, under one salt and adapter.
enum class share_scope : std::uint8_t {
  process,  ///< with every tenant
  tenant,   ///< with requests of the same tenant
  request,  ///< with its own forks alone
};

/// What the blocks of some tokens of a request are worth: those whose first token lies in it. Ranges may not overlap.
struct retained_range {
  std::size_t first = 0;              ///< token
  std::size_t end = ~std::size_t{0};  ///< the token behind the last one
  worth value{};
};

/// What must fit before a request begins.
enum class admit : std::uint8_t {
  prompt,    ///< its prompt and look-ahead
  whole,     ///< `expected_tokens` too, at that moment
  reserved,  ///< these are set aside for it, so that its growth up to there cannot be refused
};

/// What a request wants besides blocks for its prompt.
struct sequence_options {
  prefix_key key{};             ///< salt, adapter and tenant: only equal keys share blocks
  share_scope share = share_scope::tenant;
  bool read_cache = true;       ///< false: find nothing, publish all the same
  bool recompute_last = true;   ///< leave the last prompt token to be computed, as every engine that samples needs
  worth value{};                ///< of its blocks, to who chooses the next to leave
  std::span<const retained_range> retention{};  ///< of those of some tokens
  bool partial = false;         ///< reuse a block that agrees in its first tokens only, and leave the last one for others
  std::size_t lookahead = 0;    ///< slots beyond the prompt, for drafts
  std::size_t expected_tokens = 0;  ///< of the whole request: room in the block list, and for `fit`
  admit fit = admit::prompt;        ///< what must fit before it begins

  /// How many tokens of a prompt may come from the cache.
  [[nodiscard]] constexpr std::size_t reusable(std::size_t prompt) const noexcept {
    return !read_cache || prompt == 0 ? 0 : prompt - (recompute_last ? 1 : 0);
  }

  /// How many blocks the prompt and the look-ahead fill, or why they can never be had.
  [[nodiscard]] constexpr failure count_blocks(std::size_t prompt, const pool_options& pool, std::size_t& out) const noexcept {
    const std::size_t tokens = pool.block_tokens;
    const std::size_t rest = prompt % tokens + lookahead % tokens;
    // counted in blocks the sum fits, unless a block is one token
    out = prompt / tokens + lookahead / tokens;
    if (out < prompt / tokens || !checked_add(out, divide_up(rest, tokens), out)) out = ~std::size_t{0};
    std::size_t sum = 0;
    const bool fits = checked_add(prompt, lookahead, sum);
    failure why{.pool = pool.name, .what = "slots of a prompt, in blocks", .need = out, .limit = pool.blocks};
    if (!fits) return why.code = errc::size_overflow, why.fix = "ask for less look-ahead", why;
    const std::size_t whole = fit == admit::prompt ? 0 : divide_up(expected_tokens, tokens);
    if (out <= pool.blocks && whole <= pool.blocks) return {};
    why.need = out > whole ? out : whole;
    why.code = errc::too_large;
    return why.fix = "shorten the prompt to limit x block_tokens tokens, or open a larger pool", why;
  }
  /// Blocks that the whole request has beyond `count`.
  [[nodiscard]] constexpr std::size_t blocks_beyond(std::size_t count, std::size_t block_tokens) const noexcept {
    const std::size_t whole = divide_up(expected_tokens, block_tokens);
    return whole > count ? whole - count : 0;
  }

  /// The key under which blocks are looked for and published; `fresh` is a number that no request had before.
  [[nodiscard]] constexpr prefix_key shared_key(std::uint64_t fresh) const noexcept {
    prefix_key made = key;
    if (share == share_scope::process) made.tenant = 0;
    if (share == share_scope::request) made.request = fresh;
    return made;
  }

  /// What to change before a request can be opened with these, or null.
  [[nodiscard]] constexpr const char* why_not() const noexcept {
    for (std::size_t at = 0; at < retention.size(); ++at) {
      const retained_range& range = retention[at];
      if (range.first >= range.end) return "end a retained range behind its first token";
      if (range.value.priority > 100 || range.value.later > 100) return "give priorities from 0 to 100";
      for (const retained_range& other : retention.first(at)) {
        if (range.first < other.end && other.first < range.end) return "give retained ranges that do not overlap";
      }
    }
    if (key.tenant > max_tenant) return "number tenants from 0 to 4294967294";
    if (key.salt == nullptr && key.salt_bytes != 0) return "give the bytes of the salt, or no salt";
    return nullptr;
  }
};

/// What a sequence remembers of the worth of its blocks, for the time when they are published.
struct kept_worth {
  worth otherwise{};
  column<retained_range> ranges{};

  [[nodiscard]] bool open(const sequence_options& with) noexcept {
    otherwise = with.value;
    if (with.retention.empty()) return true;
    if (!ranges.open(with.retention.size())) return false;
    for (std::size_t at = 0; at < with.retention.size(); ++at) ranges[at] = with.retention[at];
    return true;
  }

  /// What the block whose first token is `first` is worth.
  [[nodiscard]] worth of_block(std::size_t first) const noexcept {
    for (std::size_t at = 0; at < ranges.size(); ++at) {
      if (ranges[at].first <= first && first < ranges[at].end) return ranges[at].value;
    }
    return otherwise;
  }
};

/// Stands in for it where the order does not ask.
struct no_worth {
  [[nodiscard]] constexpr bool open(const sequence_options&) noexcept { return true; }
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
