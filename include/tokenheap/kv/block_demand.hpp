// What one call takes from a pool: looked for, judged, held, taken.
#pragma once

#include <cstddef>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/admission.hpp>
#include <tokenheap/kv/partial.hpp>
#include <tokenheap/kv/pool_options.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

namespace detail {

// what a tenant can take of all that is there, `own` blocks that were promised to it included
template <class Books>
[[nodiscard]] std::size_t room(const Books& books, tenant_id payer, std::size_t own) noexcept {
  const std::size_t there = Books::divides ? books.free_count() : books.available(), kept = books.promises().reserved - own;
  const std::size_t left = there > kept ? there - kept : 0;
  if constexpr (Books::divides) {
    auto account = books.order().account(payer);
    const std::size_t others = books.order().over() - account.over();
    return account.used -= own, account.room(left, others);
  }
  return left;
}

// promises again what was promised and taken; requires that it was given back, or waits
template <class Books>
void promise_again(Books& books, std::size_t n, tenant_id payer) noexcept {
  books.promises().reserved += n;
  if constexpr (Books::divides) books.order().promise(payer, n);
}

template <class Books>
void redeem(Books& books, std::size_t n, tenant_id payer) noexcept {
  books.promises().reserved -= n;
  if constexpr (Books::divides) books.order().redeem(payer, n);
}

// Requires room. Where tenants have shares the blocks leave the cache at once, so that no other tenant breaks the promise.
template <class Books>
void promise(Books& books, std::size_t n, tenant_id payer) noexcept {
  if constexpr (Books::divides) {
    const std::size_t kept = books.promises().reserved + n, free = books.free_count();
    const std::size_t missing = kept <= free ? 0 : kept - free < n ? kept - free : n;
    promise_again(books, n - missing, payer);
    if (missing != 0) books.clear(missing, payer);
    promise_again(books, missing, payer);
  } else {
    promise_again(books, n, payer);
  }
}

// promises as many of `n` blocks as there are; returns how many
template <class Books>
std::size_t set_aside(Books& books, std::size_t n, tenant_id payer) noexcept {
  const std::size_t left = room(books, payer, 0);
  if (left < n) n = left;
  return promise(books, n, payer), n;
}

}  // namespace detail

/// One request for blocks on its way through a pool's books, in steps, so that a `plan` can take the same step for many.
///
/// `sequence` and `plan` use it; not for use alone. What is found is held before anything is taken, so that taking never
/// evicts it.
///
/// Requires  the lock held for all but `order`; the calls in the order in which they stand here
/// Cost      O(blocks found and taken)
template <class Books>
struct block_demand {
  block_id* ids = nullptr;  ///< the list of the request; those that are taken go to `ids + from`
  std::size_t from = 0;
  std::size_t need = 0;    ///< blocks to take
  std::size_t more = 0;    ///< blocks that must be there besides
  std::size_t keep = 0;    ///< of these: promised to the request when it begins
  std::size_t own = 0;     ///< promised to it before, and once it is taken: what is left
  std::size_t used = 0;    ///< of the promise, by what was taken
  tenant_id payer = 0;     ///< for whom the blocks count where tenants have shares
  bool opens = false;      ///< it begins: the watermark is not for it
  std::size_t found = 0;   ///< of a prompt: the first blocks of `ids`
  std::size_t cached = 0;  ///< of these, where there is no list: those that nobody holds
  bool shared = false;     ///< of growth: the last block is to be copied first
  block_id tail = no_block;    ///< of growth: that block
  std::size_t lookahead = 0;   ///< tokens of a prompt's slots that are none of its own
  partial_match part{};
  std::size_t asked = 0;  ///< tokens of a prompt that count as asked for

  /// Looks for the first `matchable` blocks of a prompt; `part.tokens` says how many tokens a partial match may end at.
  void look(Books& books, typename Books::position root, const token* prompt, std::size_t matchable,
            std::size_t blocks) noexcept {
    opens = true;
    found = from = matchable == 0 ? 0 : books.index().match(root, prompt, matchable, ids);
    need = blocks - found;
    if (part.tokens == 0) return;
    const std::size_t tokens = books.options().block_tokens;
    const std::size_t rest = part.tokens - found * tokens;
    const auto at = found == 0 ? root : books.index().position_of(ids[found - 1]);
    part = match_partial(books.index(), at, prompt + found * tokens, rest < tokens ? rest : tokens);
  }

  /// Looks at growth from `count` blocks to `blocks`; `last` is the half-filled block that will be written, or `no_block`.
  [[nodiscard]] errc look_growth(Books& books, std::size_t count, std::size_t blocks, block_id last) noexcept {
    from = count;
    need = blocks > count ? blocks - count : 0;
    tail = last;
    shared = last != no_block && !books.is_writable(last);
    if (!shared) return errc::ok;
    ++need;
    return books.memory().can_copy() ? errc::ok : errc::unsupported;
  }

  /// Found blocks that nobody holds: holding them takes them out of what is available.
  [[nodiscard]] std::size_t hits(const Books& books) const noexcept {
    return ids == nullptr ? cached : books.count_cached(ids, found);
  }

  /// True if it fits by itself, and `beside` cached blocks that are to be held as well.
  [[nodiscard]] bool fits(const Books& books, std::size_t beside = 0) const noexcept {
    const std::size_t wanted = need + more + beside + books.watermark(opens);
    if (!Books::divides && wanted + books.promises().reserved - own <= books.free_count()) return true;
    return wanted + hits(books) <= detail::room(books, payer, own);
  }
  /// What it is refused with: `limit_reached` where the pool has the blocks, but not for this tenant.
  [[nodiscard]] errc shortage(const Books& books) const noexcept {
    const std::size_t all = need + more + hits(books) + books.promises().reserved - own + books.watermark(opens);
    return Books::divides && all <= books.available() ? errc::limit_reached : errc::out_of_memory;
  }

  /// Tokens of the longest prompt that fits `room`: its last token always needs a block of its own to be computed into.
  [[nodiscard]] std::size_t longest_of(std::size_t room, const Books& books) const noexcept {
    const std::size_t slots = room == 0 ? 0 : (found + room) * books.options().block_tokens;
    return slots > lookahead ? slots - lookahead : 0;
  }

  /// The numbers of now for this request alone, which is refused with `code` or fits.
  TOKENHEAP_COLD admission judge(const Books& books, errc code) const noexcept {
    const pool_stats now = books.stats();
    const std::size_t kept = books.watermark(opens) + hits(books), room = detail::room(books, payer, own);
    admission a{.code = code,
                .pool = books.options().name,
                .need = need + more,
                .found = found,
                .room = room > kept ? room - kept : 0,
                .total = now.total,
                .free = now.free,
                .evictable = now.cached,
                .live = now.live,
                .pinned = now.pinned,
                .in_flight = now.in_flight,
                .reserved = now.reserved,
                .watermark = books.options().watermark};
    a.longest = longest_of(a.room, books);
    if (code == errc::too_large) a.longest = longest_of(now.total - found, books);
    if (a) return a;
    a.fix = "shorten the prompt by the missing blocks, close a sequence, or open a larger pool";
    if (now.in_flight != 0) a.fix = "settle the steps that have ended, or close a sequence";
    if (code == errc::limit_reached) a.fix = "close a sequence of the tenant, give it a larger share, or let others close theirs";
    if (code == errc::unsupported) a.fix = "give the pool CPU-accessible memory, or `copy` in its options";
    return a;
  }

  /// Refuses it: the pool remembers why.
  TOKENHEAP_COLD admission refuse(Books& books, errc code) const noexcept {
    return books.promises().last_refusal = judge(books, code);
  }

  /// Holds what was found. A plan does so for all of its requests before any of them has a part.
  void hold(Books& books) noexcept {
    for (std::size_t at = 0; at < found; ++at) books.hold_found(ids[at]);
    if (opens) books.built(ids, 0, found);
  }
  /// Holds the block that agrees in part, or takes it over; `roomy()` says whether one more may be held, to copy from.
  template <class Roomy>
  void hold_rest(Books& books, Roomy&& roomy) noexcept {
    if (part.tokens == 0 || !detail::hold_part(books, part, roomy())) return;
    ids[from++] = part.block;
    --need;
  }

  void take(Books& books, tenant_id tenant) noexcept {
    used = own < need ? own : need;
    detail::redeem(books, own, payer);
    books.take(ids + from, need, Books::owner::request, tenant, payer);
    detail::promise_again(books, own - used, payer);
    detail::promise(books, keep, payer);
    own += keep - used;
  }

  /// Gives back what growth took; returns the promise, which is whole again.
  std::size_t undo(Books& books) noexcept {
    books.give_chain(ids + from, need);
    detail::promise_again(books, used, payer);
    return own += used;
  }

  /// Without the lock: lets the stream that computes wait for whoever still uses the blocks.
  [[nodiscard]] errc order(Books& books) noexcept {
    if constexpr (Books::orders) {
      auto& fence = books.fence();
      if (const errc no = fence.on_found(ids, found); no != errc::ok) return no;
      // what is copied from is read as well
      const block_id source = part.tokens != 0 && !part.claimed ? part.block : shared ? tail : no_block;
      if (source != no_block) {
        if (const errc no = fence.on_found(&source, 1); no != errc::ok) return no;
      }
      return books.fence().on_take(ids + found, from - found + need);
    }
    return errc::ok;
  }
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
