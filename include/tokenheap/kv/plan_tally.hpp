// What the requests of one plan come to in a pool.
#pragma once

#include <cstddef>

#include <tokenheap/concepts/kv.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Adds up what a plan takes from one pool, for one payer where tenants have shares; part of `plan`.
///
/// Tallies of one pool stand side by side. With shares the answer for several tenants is on the safe side: each is asked
/// what is left if the others take all they want of what both could have.
///
/// Requires  the pool's lock held
/// Cost      O(1) per tally
template <class Books>
struct plan_tally {
  Books* books = nullptr;
  tenant_id payer = 0;
  std::size_t taken = 0;     ///< to be taken, and to be there besides
  std::size_t hits = 0;      ///< found and held by nobody: available no more
  std::size_t drawn = 0;     ///< from promises, by requests that grow
  std::size_t gained = 0;    ///< by sequences that end: free from then on
  std::size_t kept = 0;      ///< by them: cached from then on
  std::size_t redeemed = 0;  ///< of promises, by them
  std::size_t released = 0;  ///< live no more by them
  bool opens = false;

  /// What can be had, and what of it the requests of the plan may not take.
  struct balance {
    std::size_t have = 0;
    std::size_t besides = 0;
    [[nodiscard]] constexpr std::size_t room() const noexcept { return have > besides ? have - besides : 0; }
  };

  /// What all `n` tallies of the pool come to.
  [[nodiscard]] static plan_tally sum(const plan_tally* all, std::size_t n) noexcept {
    plan_tally s{.books = all->books};
    for (std::size_t at = 0; at < n; ++at) {
      s.taken += all[at].taken, s.hits += all[at].hits, s.drawn += all[at].drawn, s.gained += all[at].gained;
      s.kept += all[at].kept, s.redeemed += all[at].redeemed, s.released += all[at].released;
      s.opens = s.opens || all[at].opens;
    }
    return s;
  }

  /// Of a sum: what the pool has, whoever takes it.
  [[nodiscard]] balance of_pool() const noexcept {
    return {books->available() + gained + kept,
            hits + books->promises().reserved - drawn - redeemed + mark(released)};
  }

  /// What this tally's payer can have beside the others; `all` is the sum, `over` what `over_after` says.
  [[nodiscard]] balance of_payer(const plan_tally& all, std::size_t over) const noexcept
    requires Books::divides
  {
    const std::size_t others = all.taken - all.drawn - (taken - drawn);
    auto mine = after();
    const std::size_t beyond = mine.over();
    const std::size_t known = mine.cached;
    // others may take what is beyond its share, and what is free, and what is beyond the shares of third ones
    mine.cached -= others < beyond ? others : beyond;
    mine.used -= drawn;
    const std::size_t free = books->free_count() + all.gained;
    const std::size_t less = books->promises().reserved - all.redeemed - drawn + others;
    const std::size_t third = over - beyond > others ? over - beyond - others : 0;
    const std::size_t cached = books->order().account(payer).cached + kept;
    const std::size_t missing = hits + known > cached ? hits + known - cached : 0;
    return {mine.room(free > less ? free - less : 0, third), missing + mark(all.released)};
  }

  /// Blocks beyond the shares of all tenants once those that end have ended and what was found is held.
  [[nodiscard]] static std::size_t over_after(const plan_tally* all, std::size_t n) noexcept
    requires Books::divides
  {
    std::size_t over = all->books->order().over();
    for (std::size_t at = 0; at < n; ++at) over += all[at].after().over() - all->books->order().account(all[at].payer).over();
    return over;
  }

  /// The first of `n` tallies of one pool that cannot have what it takes, or `n`.
  [[nodiscard]] static std::size_t first_short(const plan_tally* all, std::size_t n) noexcept {
    const plan_tally s = sum(all, n);
    if (const balance b = s.of_pool(); s.taken + b.besides > b.have) return 0;
    if constexpr (Books::divides) {
      const std::size_t over = over_after(all, n);
      for (std::size_t at = 0; at < n; ++at) {
        const balance b = all[at].of_payer(s, over);
        if (all[at].taken + b.besides > b.have) return at;
      }
    }
    return n;
  }

  /// What can be taken by the payer of tally `which`.
  [[nodiscard]] static std::size_t room(const plan_tally* all, std::size_t n, std::size_t which) noexcept {
    const plan_tally s = sum(all, n);
    const std::size_t whole = s.of_pool().room();
    if constexpr (Books::divides) {
      const std::size_t own = all[which].of_payer(s, over_after(all, n)).room();
      return own < whole ? own : whole;
    }
    return static_cast<void>(which), whole;
  }

 private:
  [[nodiscard]] std::size_t mark(std::size_t gone) const noexcept {
    return opens && books->live() != gone ? books->options().watermark : 0;
  }
  // the account of the payer then; what is found may wait for a fence, and then it is not among the cached ones
  [[nodiscard]] auto after() const noexcept {
    auto mine = books->order().account(payer);
    mine.cached += kept;
    mine.cached -= hits < mine.cached ? hits : mine.cached;
    mine.used -= gained + redeemed;
    return mine;
  }
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
