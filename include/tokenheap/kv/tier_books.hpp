// What a tier with slots of its own knows about them: names, states, who leaves, and the numbers.
#pragma once

#include <tokenheap/kv/tier_flights.hpp>
#include <tokenheap/kv/tier_order.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// How many blocks a tier keeps: eviction begins when more than `high` are there, and stops at `low`.
struct tier_room {
  std::size_t blocks = 0;  ///< slots of the tier
  std::size_t high = 0;    ///< 0: all of them
  std::size_t low = 0;     ///< 0: as `high`
};

/// Keeps the names, states and numbers of a tier's slots; the bytes are the tier's business.
///
/// For who writes a tier with a fixed number of equal slots: `tier_host.hpp` and `tier_file.hpp` stand on it. A slot is
/// free, storing, ready, or doomed: lost while a load still holds it. Only a ready slot that nothing holds can leave.
///
/// Fails     open returns false; begin calls answer `no_slot` and say which way the key ends
/// Threads   not safe
/// Cost      O(1) a call, and one step for each held block at the old end
template <tier_order Order>
class tier_books {
 public:
  /// What stands in a place.
  enum class state : unsigned char { empty, storing, ready, doomed };

  [[nodiscard]] bool open(const tier_room& room) noexcept {
    const std::size_t n = room.blocks;
    high_ = room.high == 0 || room.high > n ? n : room.high;
    low_ = room.low == 0 || room.low > high_ ? high_ : room.low;
    if (!keys_.open(n) || !order_.open(n) || !states_.open(n) || !holds_.open(n) || !clean_.open(n) || !unused_.open(n))
      return false;
    for (std::size_t k = 0; k != n; ++k) unused_[k] = static_cast<tier_slot>(n - 1 - k);
    spare_ = n;
    stats_ = {};
    stats_.capacity = n;
    return true;
  }

  [[nodiscard]] tier_answer lookup(const tier_key& key) noexcept {
    const tier_slot slot = keys_.find(key);
    ++stats_.lookups;
    if (slot == no_slot) return ++stats_.misses, tier_answer::miss;
    if (states_[slot] == state::storing) return ++stats_.pending, tier_answer::pending;
    order_.use(slot);
    return ++stats_.hits, tier_answer::hit;
  }

  /// The slot of a ready block, held until `end_load`.
  [[nodiscard]] tier_slot begin_load(const tier_key& key) noexcept {
    const tier_slot slot = keys_.find(key);
    ++stats_.loads;
    if (slot == no_slot || states_[slot] != state::ready) return ++stats_.load_failures, no_slot;
    ++stats_.loading;
    ++holds_[slot];
    order_.use(slot);
    return slot;
  }
  /// Ends a load; `intact` false: the bytes in the slot are not those of the name.
  void end_load(tier_slot slot, bool loaded, bool intact) noexcept {
    --stats_.loading;
    ++(loaded && intact ? stats_.loaded : stats_.load_failures);
    if (!intact && states_[slot] == state::ready) lose(slot);
    let_go(slot);
  }

  /// A slot to write a block of this name to, pending until `end_store`; or none, and why: hit (it is here already),
  /// pending (somebody stores it), retry (all room is held).
  [[nodiscard]] tier_slot begin_store(const tier_key& key, tier_answer& why) noexcept {
    ++stats_.stores;
    const tier_slot there = keys_.find(key);
    if (there != no_slot) {
      const bool ready = states_[there] == state::ready;
      if (ready) order_.use(there);
      why = ready ? tier_answer::hit : tier_answer::pending;
      return ++stats_.present, no_slot;
    }
    if (used() >= high_) make_room();
    if (spare_ == 0 || used() >= high_) return why = tier_answer::retry, ++stats_.refused, no_slot;
    const tier_slot slot = unused_[--spare_];
    keys_.insert(key, slot);
    states_[slot] = state::storing;
    ++stats_.storing;
    return slot;
  }
  void end_store(tier_slot slot, bool stored) noexcept {
    --stats_.storing;
    if (!stored) {
      ++stats_.refused;
      keys_.erase(slot);
      return make_spare(slot);
    }
    ++stats_.stored;
    make_ready(slot);
  }
  /// Refuses a key that never came as far as a slot.
  void refuse_store() noexcept { ++stats_.stores, ++stats_.refused; }
  void refuse_load() noexcept { ++stats_.loads, ++stats_.load_failures; }

  /// Takes in what was there before the tier was opened, oldest first, between `begin_recovery` and `settle`. Of two
  /// slots with one name the later stays; `displaced` gets the slot of the other, or `no_slot`.
  void begin_recovery() noexcept { spare_ = 0; }
  void recover(tier_slot slot, const tier_key& key, tier_slot& displaced) noexcept {
    displaced = remove(key);
    keys_.insert(key, slot);
    ++stats_.recovered;
    make_ready(slot);
  }
  void settle() noexcept {
    spare_ = 0;
    for (std::size_t k = states_.size(); k-- != 0;)
      if (states_[k] == state::empty) unused_[spare_++] = static_cast<tier_slot>(k);
    if (used() > high_) make_room();
  }

  /// Forgets a block that nothing in flight touches, and returns the slot where it was.
  [[nodiscard]] tier_slot remove(const tier_key& key) noexcept {
    const tier_slot slot = keys_.find(key);
    if (slot == no_slot || states_[slot] != state::ready || holds_[slot] != 0) return no_slot;
    ++stats_.removed;
    forget(slot, false);
    make_spare(slot);
    return slot;
  }

  /// The first, or the next, that would leave and was not marked clean; `no_slot` if all are clean or held.
  [[nodiscard]] tier_slot next_to_leave(tier_slot after) const noexcept {
    return order_.victim([this](tier_slot s) { return holds_[s] != 0 || clean_[s] != 0; }, after);
  }
  [[nodiscard]] bool hold(tier_slot slot) noexcept {
    if (states_[slot] != state::ready) return false;
    return ++holds_[slot], true;
  }
  void let_go(tier_slot slot) noexcept {
    if (--holds_[slot] == 0 && states_[slot] == state::doomed) make_spare(slot);
  }
  /// A copy of this block is below: it need not be saved before it leaves.
  void mark_clean(tier_slot slot) noexcept { clean_[slot] = 1; }

  [[nodiscard]] const tier_key& key_of(tier_slot slot) const noexcept { return keys_.key_of(slot); }
  [[nodiscard]] tier_slot find(const tier_key& key) const noexcept { return keys_.find(key); }
  [[nodiscard]] const tier_stats& stats() const noexcept { return stats_; }
  /// How many more stores fit before one must leave.
  [[nodiscard]] std::size_t spare() const noexcept { return high_ > used() ? high_ - used() : 0; }

  [[nodiscard]] bool is_valid() const noexcept {
    if (!keys_.is_valid() || !order_.is_valid() || !stats_.adds_up() || used() > high_) return false;
    std::size_t count[4] = {};
    for (std::size_t s = 0; s != states_.size(); ++s) {
      const state is = states_[s];
      ++count[static_cast<std::size_t>(is)];
      const bool named = is == state::storing || is == state::ready;
      if (named && keys_.find(keys_.key_of(static_cast<tier_slot>(s))) != s) return false;
      if (holds_[s] != 0 && is != state::ready && is != state::doomed) return false;
    }
    return count[0] == spare_ && count[1] == stats_.storing && count[2] == stats_.blocks &&
           count[1] + count[2] == keys_.size();
  }

 private:
  [[nodiscard]] std::size_t used() const noexcept { return states_.size() - spare_; }

  void make_ready(tier_slot slot) noexcept {
    states_[slot] = state::ready;
    clean_[slot] = 0;
    order_.add(slot, keys_.key_of(slot));
    ++stats_.blocks;
  }
  void make_spare(tier_slot slot) noexcept {
    states_[slot] = state::empty;
    unused_[spare_++] = slot;
  }
  void forget(tier_slot slot, bool evicted) noexcept {
    order_.drop(slot, keys_.key_of(slot), evicted);
    keys_.erase(slot);
    --stats_.blocks;
  }
  void lose(tier_slot slot) noexcept {
    ++stats_.lost;
    forget(slot, false);
    states_[slot] = state::doomed;
  }
  void make_room() noexcept {
    const std::size_t aim = low_ < high_ ? low_ : high_ - 1;
    while (used() > aim) {
      const tier_slot slot = order_.victim([this](tier_slot s) { return holds_[s] != 0; }, no_slot);
      if (slot == no_slot) return;
      ++stats_.evicted;
      forget(slot, true);
      make_spare(slot);
    }
  }

  tier_keys keys_;
  Order order_;
  column<state> states_;
  column<std::uint32_t> holds_;
  column<unsigned char> clean_;
  column<tier_slot> unused_;
  std::size_t spare_ = 0;
  std::size_t high_ = 0;
  std::size_t low_ = 0;
  tier_stats stats_;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
