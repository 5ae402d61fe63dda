// Who leaves a tier first: least recently used, or ARC, which keeps what was used twice apart from what was seen once.
#pragma once

#include <tokenheap/kv/tier_keys.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// A few doubly linked lists over one row of slots, oldest first; a slot is in one list or in none.
///
/// Requires  a slot that is in no list for append, and in one for take
/// Threads   not safe
/// Cost      9 bytes a slot
class slot_lists {
 public:
  [[nodiscard]] bool open(std::size_t slots, std::size_t lists) noexcept {
    if (!next_.open(slots + lists) || !before_.open(slots + lists) || !list_.open(slots) || !sizes_.open(lists)) return false;
    slots_ = slots;
    for (std::size_t k = 0; k != lists; ++k) next_[slots + k] = before_[slots + k] = static_cast<tier_slot>(slots + k);
    return true;
  }
  void append(std::size_t list, tier_slot slot) noexcept {
    const tier_slot head = static_cast<tier_slot>(slots_ + list);
    next_[slot] = head;
    before_[slot] = before_[head];
    next_[before_[slot]] = slot;
    before_[head] = slot;
    list_[slot] = static_cast<unsigned char>(list + 1);
    ++sizes_[list];
  }
  void take(tier_slot slot) noexcept {
    next_[before_[slot]] = next_[slot];
    before_[next_[slot]] = before_[slot];
    --sizes_[list_[slot] - 1u];
    list_[slot] = 0;
  }
  /// The oldest of a list, or the one after it; `no_slot` at the end.
  [[nodiscard]] tier_slot first(std::size_t list) const noexcept { return shown(next_[slots_ + list]); }
  [[nodiscard]] tier_slot after(tier_slot slot) const noexcept { return shown(next_[slot]); }
  [[nodiscard]] bool is_in(std::size_t list, tier_slot slot) const noexcept { return list_[slot] == list + 1; }
  [[nodiscard]] bool is_in_any(tier_slot slot) const noexcept { return list_[slot] != 0; }
  [[nodiscard]] std::size_t size(std::size_t list) const noexcept { return sizes_[list]; }
  [[nodiscard]] bool is_valid() const noexcept {
    for (std::size_t list = 0; list != sizes_.size(); ++list) {
      std::size_t n = 0;
      for (tier_slot s = first(list); s != no_slot; s = after(s))
        if (!is_in(list, s) || before_[next_[s]] != s || n++ == slots_) return false;
      if (n != sizes_[list]) return false;
    }
    return true;
  }

 private:
  [[nodiscard]] tier_slot shown(tier_slot s) const noexcept { return s < slots_ ? s : no_slot; }

  column<tier_slot> next_;
  column<tier_slot> before_;
  column<unsigned char> list_;
  column<std::size_t> sizes_;
  std::size_t slots_ = 0;
};

/// Stands for the question whether a slot may not leave now.
struct slot_question {
  bool operator()(tier_slot) const noexcept { return false; }
};

/// Says which block of a tier leaves first: `add`, `use`, `drop` and `victim(is_held)`.
///
/// `drop` takes a slot out; `evicted` tells a victim from one that was removed or lost. `victim` names one for which
/// is_held says no, `after` one earlier answer of it or `no_slot` for the first, or returns `no_slot`.
template <class O>
concept tier_order = requires(O& o, const O& seen, std::size_t n, tier_slot s, const tier_key& key, bool evicted) {
  { o.open(n) } noexcept -> std::same_as<bool>;
  { o.add(s, key) } noexcept -> std::same_as<void>;
  { o.use(s) } noexcept -> std::same_as<void>;
  { o.drop(s, key, evicted) } noexcept -> std::same_as<void>;
  { seen.victim(slot_question{}, s) } noexcept -> std::same_as<tier_slot>;
  { seen.is_valid() } noexcept -> std::same_as<bool>;
};

/// Least recently used leaves first.
///
/// Threads   not safe
/// Cost      O(1), and one step for each held block at the old end; 9 bytes a block
class tier_lru {
 public:
  [[nodiscard]] bool open(std::size_t slots) noexcept { return lists_.open(slots, 1); }
  void add(tier_slot slot, const tier_key&) noexcept { lists_.append(0, slot); }
  void use(tier_slot slot) noexcept { lists_.take(slot), lists_.append(0, slot); }
  void drop(tier_slot slot, const tier_key&, bool) noexcept { lists_.take(slot); }
  template <class Held>
  [[nodiscard]] tier_slot victim(const Held& is_held, tier_slot after) const noexcept {
    tier_slot s = after == no_slot ? lists_.first(0) : lists_.after(after);
    while (s != no_slot && is_held(s)) s = lists_.after(s);
    return s;
  }
  [[nodiscard]] bool is_valid() const noexcept { return lists_.is_valid(); }

 private:
  slot_lists lists_;
};

/// ARC: what was used once and what was used again have a list each, and misses move the border between them.
///
/// Take it where long scans of new prompts pass through a tier: they do not push out what comes back. It remembers the
/// names of as many blocks as the tier has that left it, and gives the list room whose leavers are asked for again.
///
/// Threads   not safe
/// Cost      O(1), and one step for each held block at the old end; 50 bytes a block
class tier_arc {
 public:
  [[nodiscard]] bool open(std::size_t slots) noexcept {
    if (!lists_.open(slots, 2) || !ghosts_.open(slots, 3) || !gone_.open(slots)) return false;
    for (std::size_t k = 0; k != slots; ++k) ghosts_.append(idle, static_cast<tier_slot>(k));
    slots_ = slots;
    target_ = 0;
    return true;
  }
  void add(tier_slot slot, const tier_key& key) noexcept {
    const tier_slot ghost = gone_.find(key);
    if (ghost == no_slot) return lists_.append(once, slot);
    const std::size_t b1 = ghosts_.size(once);
    const std::size_t b2 = ghosts_.size(again);
    if (ghosts_.is_in(once, ghost)) {
      const std::size_t step = b2 > b1 ? b2 / b1 : 1;
      target_ = target_ + step < slots_ ? target_ + step : slots_;
    } else {
      const std::size_t step = b1 > b2 ? b1 / b2 : 1;
      target_ = target_ > step ? target_ - step : 0;
    }
    forget(ghost);
    lists_.append(again, slot);
  }
  void use(tier_slot slot) noexcept { lists_.take(slot), lists_.append(again, slot); }
  void drop(tier_slot slot, const tier_key& key, bool evicted) noexcept {
    const std::size_t list = lists_.is_in(once, slot) ? once : again;
    lists_.take(slot);
    if (!evicted) return;
    if (ghosts_.size(idle) == 0) forget(ghosts_.first(fuller()));
    const tier_slot ghost = ghosts_.first(idle);
    ghosts_.take(ghost);
    ghosts_.append(list, ghost);
    gone_.insert(key, ghost);
  }
  template <class Held>
  [[nodiscard]] tier_slot victim(const Held& is_held, tier_slot after) const noexcept {
    const std::size_t first = lists_.size(once) > target_ || lists_.size(again) == 0 ? once : again;
    const bool in_second = after != no_slot && !lists_.is_in(first, after);
    tier_slot s = after == no_slot ? lists_.first(first) : lists_.after(after);
    while (s != no_slot && is_held(s)) s = lists_.after(s);
    if (s != no_slot || in_second) return s;
    s = lists_.first(first == once ? again : once);
    while (s != no_slot && is_held(s)) s = lists_.after(s);
    return s;
  }
  [[nodiscard]] bool is_valid() const noexcept {
    return lists_.is_valid() && ghosts_.is_valid() && gone_.is_valid() && target_ <= slots_ &&
           gone_.size() == ghosts_.size(once) + ghosts_.size(again) && gone_.size() + ghosts_.size(idle) == slots_;
  }
  /// How many blocks the list of what was used once may have before it gives blocks up.
  [[nodiscard]] std::size_t target() const noexcept { return target_; }

 private:
  static constexpr std::size_t once = 0;
  static constexpr std::size_t again = 1;
  static constexpr std::size_t idle = 2;

  // which list of leavers forgets first: the one that with its residents has more than its share
  [[nodiscard]] std::size_t fuller() const noexcept {
    const bool of_once = lists_.size(once) + ghosts_.size(once) >= slots_ || ghosts_.size(again) == 0;
    return of_once && ghosts_.size(once) != 0 ? once : again;
  }
  void forget(tier_slot ghost) noexcept {
    gone_.erase(ghost);
    ghosts_.take(ghost);
    ghosts_.append(idle, ghost);
  }

  slot_lists lists_;
  slot_lists ghosts_;
  tier_keys gone_;
  std::size_t slots_ = 0;
  std::size_t target_ = 0;
};

static_assert(tier_order<tier_lru> && tier_order<tier_arc>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
