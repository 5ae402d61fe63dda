// What a chain of tiers does with several of them at once: find, gather a batch, end its parts, save what leaves.
#pragma once

#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/tier_flights.hpp>
#include <tokenheap/kv/tier_ref.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// When the tiers below the first get a block.
enum class tier_write : unsigned char {
  through,      ///< with the first: the block survives at once
  on_eviction,  ///< when it is about to leave the first: fewer writes, later
};

/// How a chain of tiers works.
struct tier_chain_options {
  std::size_t threshold = 1;  ///< a block is stored from this use on
  tier_write write = tier_write::through;
  bool promote = true;            ///< what a lower tier gave is put into the first as well
  std::size_t staging = 16;       ///< blocks of host memory between a device and the lower tiers
  std::size_t batches = 32;       ///< most batches in flight
  std::size_t sightings = 65536;  ///< names that the threshold remembers
  const char* name = "tiers";
};

/// What a chain did beside what each tier counts itself.
struct tier_chain_stats {
  std::uint64_t promoted = 0;  ///< blocks that a load brought into the first tier
  std::uint64_t spilled = 0;   ///< blocks that were saved below before they could leave the first
  std::uint64_t skipped = 0;   ///< stores below the threshold; among `refused` of stats()
};

/// The tiers of a chain, and the rows in which batches for them are put together; `tier_chain` stands on it.
///
/// Threads   not safe
class tier_rows {
 public:
  static constexpr std::size_t max_tiers = 8;

 protected:
  struct item {
    tier_key key{};
    tier_span user{};
    tier_span here{};                     // what the lower tiers read and write: the user's span, or staging memory
    tier_answer answer = tier_answer::miss;
    unsigned char tier = max_tiers;       // where a load comes from
    bool wanted = false;                  // of a store: admitted
    bool staged = false;
    bool below = false;                   // part of the batches of the lower tiers, or of the promotion
  };
  enum class phase : unsigned char { first, second, over };
  struct parts {
    tier_ticket ticket[max_tiers] = {};
    phase at = phase::first;
  };
  using flights = tier_flights<item, parts>;
  using batch = typename flights::batch;

  [[nodiscard]] bool make_scratch(std::size_t n) noexcept {
    return keys_.grow(n) && spans_.grow(n) && answers_.grow(n) && places_.grow(n);
  }

  /// Asks the tiers from above to below, each for what those above it do not have.
  void find_homes(const tier_key* keys, std::size_t n, tier_answer* out, unsigned char* homes = nullptr) noexcept {
    for (std::size_t k = 0; k != n; ++k) out[k] = tier_answer::miss;
    if (!make_scratch(n)) return;
    for (std::size_t t = 0; t != count_; ++t) {
      std::size_t m = 0;
      for (std::size_t k = 0; k != n; ++k) {
        if (out[k] == tier_answer::hit) continue;
        keys_[m] = keys[k];
        places_[m++] = k;
      }
      if (m == 0) return;
      tiers_[t].lookup(keys_.first(), m, answers_.first());
      for (std::size_t j = 0; j != m; ++j) {
        tier_answer& so_far = out[places_[j]];
        const bool better = answers_[j] == tier_answer::hit || so_far == tier_answer::miss || answers_[j] == tier_answer::pending;
        if (better && answers_[j] != tier_answer::miss) so_far = answers_[j];
        if (homes != nullptr && answers_[j] == tier_answer::hit) homes[places_[j]] = static_cast<unsigned char>(t);
      }
    }
  }
  /// Puts keys and spans of some items side by side, and returns how many there are.
  template <class Which>
  [[nodiscard]] std::size_t gather(const batch& b, Which which, bool here) noexcept {
    std::size_t m = 0;
    if (!make_scratch(b.count)) return 0;
    for (std::size_t k = 0; k != b.count; ++k) {
      const item& it = b.items[k];
      if (!which(it)) continue;
      keys_[m] = it.key;
      spans_[m] = here ? it.here : it.user;
      places_[m++] = k;
    }
    return m;
  }

  [[nodiscard]] bool are_over(batch& b) noexcept {
    for (std::size_t t = 0; t != count_; ++t)
      if (b.more.ticket[t] && !tiers_[t].poll(b.more.ticket[t])) return false;
    return true;
  }
  /// Ends the part of a store that one tier has: the best answer of all of them counts.
  void collect(batch& b, std::size_t t, bool keep) noexcept {
    if (!b.more.ticket[t]) return;
    const std::size_t m = gather(b, [t](const item& it) { return t == 0 ? it.wanted : it.below; }, true);
    for (std::size_t j = 0; j != m; ++j) answers_[j] = tier_answer::miss;
    tiers_[t].complete_store(b.more.ticket[t], keep, answers_.first());
    for (std::size_t j = 0; j != m; ++j) {
      tier_answer& so_far = b.items[places_[j]].answer;
      if (so_far == tier_answer::hit || answers_[j] == tier_answer::miss) continue;
      if (answers_[j] == tier_answer::hit || so_far != tier_answer::pending) so_far = answers_[j];
    }
  }

  /// Saves below what would leave the first tier when n blocks come, before they come.
  void spill(std::size_t n) noexcept {
    const std::size_t room = tiers_[0].spare();
    if (room >= n || count_ < 2) return;
    if (!leaving_.grow(n - room) || !lying_.grow(n - room)) return;
    const std::size_t m = tiers_[0].hold_leavers(leaving_.first(), lying_.first(), n - room);
    const tier_ticket made = spills_.start(flights::way::store, m);
    batch* const b = spills_.find(made);
    for (std::size_t k = 0; k != m; ++k) {
      if (b == nullptr) {
        tiers_[0].spilled(leaving_[k], false);
        continue;
      }
      b->items[k] = item{};
      b->items[k].key = leaving_[k];
    }
    if (b == nullptr) return;
    for (std::size_t t = 1; t != count_; ++t) b->more.ticket[t] = tiers_[t].prepare_store(leaving_.first(), lying_.first(), m);
    settle_spills();
  }
  void settle_spills() noexcept {
    if (spills_.size() == 0) return;
    spills_.each([this](batch& b) {
      if (!are_over(b) || !answers_.grow(b.count)) return;
      for (std::size_t k = 0; k != b.count; ++k) b.items[k].wanted = b.items[k].below = true;
      for (std::size_t t = 1; t != count_; ++t) collect(b, t, true);
      for (std::size_t k = 0; k != b.count; ++k) {
        const bool saved = b.items[k].answer == tier_answer::hit;
        tiers_[0].spilled(b.items[k].key, saved);
        own_.spilled += saved;
      }
      spills_.end(b);
    });
  }

  tier_ref tiers_[max_tiers] = {};
  std::size_t count_ = 0;
  flights spills_;
  tier_chain_stats own_;

  // rows for one call, kept so that a busy chain stops asking for memory
  column<tier_key> keys_, leaving_;
  column<tier_span> spans_, lying_;
  column<tier_answer> answers_;
  column<std::size_t> places_;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
