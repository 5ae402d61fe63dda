// Which keys of a store are new, and who leaves for them.
#pragma once

#include <cstddef>
#include <span>

#include <tokenheap/adapt/offload_book.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/tier_ref.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// Chooses what a store brings in and makes room for it, so that evictions are known by key; `vllm_offload` stands on it.
///
/// A tier evicts by itself and does not say whom. Where it shows who leaves, they are removed here before it has to.
///
/// Requires  a tier that outlives it and that nobody else stores to
/// Fails     says why, and then nothing has left
/// Threads   not safe
template <kv::tier Tier>
class offload_choice {
 protected:
  offload_choice(const char* name, const kv::siphash_key& secret, Tier& below) noexcept
      : name_(name), secret_(secret), below_(&below) {}

  [[nodiscard]] failure refuse(errc code, const char* what, std::size_t need, std::size_t available,
                               const char* fix) const noexcept {
    return {.code = code, .pool = name_, .what = what, .need = need, .available = available, .fix = fix};
  }
  // answers_ is for whatever batch ends next, so it never shrinks
  [[nodiscard]] bool make_scratch(std::size_t n) noexcept {
    return names_.grow(n + 1) && spans_.grow(2 * n + 1) && slots_.grow(n + 1) && answers_.grow(n + 1) &&
           leavers_.grow(2 * n + 1);
  }
  /// Takes note of a key that is known and no longer there.
  void note(const kv::tier_key& name, kv::tier_answer said) noexcept {
    if (said != kv::tier_answer::miss) return;
    const kv::tier_slot slot = book_.find(name);
    if (slot != kv::no_slot && book_.state_of(slot) == offload_book::state::stored) book_.remove(slot);
  }
  [[nodiscard]] kv::tier_answer ask(const kv::tier_key& name) noexcept {
    kv::tier_answer said = kv::tier_answer::miss;
    below_->lookup(&name, 1, &said);
    return note(name, said), said;
  }

  /// Writes what is not there into the first `count` names, spans and slots, and takes note of what is there.
  [[nodiscard]] failure choose(std::span<const offload_key> keys, std::span<const kv::tier_span> from,
                               std::span<bool> chosen, std::size_t& count) noexcept {
    book_.begin();
    for (std::size_t k = 0; k != keys.size(); ++k) names_[k] = tier_name(keys[k], secret_);
    below_->lookup(names_.first(), keys.size(), answers_.first());
    for (std::size_t k = 0; k != keys.size(); ++k) {
      const kv::tier_key name = names_[k];
      const kv::tier_answer said = answers_[k];
      chosen[k] = false;
      note(name, said);
      kv::tier_slot slot = book_.find(name);
      if (slot != kv::no_slot) book_.touch(slot);  // stored, on its way, or chosen already in this batch
      if (slot != kv::no_slot || said == kv::tier_answer::pending) continue;
      if (said == kv::tier_answer::miss && count == most_)
        return refuse(errc::too_large, "keys of a store, by the blocks of the tier", count + 1, most_,
                      "store fewer at a time");
      slot = book_.add(name, keys[k], offload_book::state::storing);
      if (said == kv::tier_answer::hit) {  // there before we heard of it: from now on it is known
        if (slot != kv::no_slot) book_.mark_stored(slot);
        continue;
      }
      if (slot == kv::no_slot)
        return refuse(errc::limit_reached, "keys on their way in", count + 1, book_.capacity(), "remember more keys");
      chosen[k] = true;
      spans_[count] = from[k];
      names_[count] = name;  // count <= k: what is overwritten was read
      slots_[count++] = slot;
    }
    return {};
  }

  /// Lets others leave for so many stores of a batch of `asked` keys; never one of the batch.
  [[nodiscard]] failure make_room(std::size_t asked, std::size_t stores, std::span<offload_key> evicted,
                                  std::size_t& count) noexcept {
    if constexpr (kv::shows_leavers<Tier>) {
      const std::size_t spare = below_->spare();
      if (stores <= spare) return {};
      const std::size_t want = stores - spare;
      // those of the batch that are there already may stand among them
      const std::size_t found = below_->hold_leavers(leavers_.first(), spans_.first() + stores, want + asked - stores);
      std::size_t can = 0;
      for (std::size_t k = 0; k != found; ++k) {
        const kv::tier_key name = leavers_[k];
        below_->spilled(name, false);
        const kv::tier_slot slot = book_.find(name);
        if (slot == kv::no_slot || !book_.is_touched(slot)) leavers_[can++] = name;
      }
      if (can < want)
        return refuse(errc::out_of_memory, "blocks of a store, and what can leave for them", stores, spare + can,
                      "complete loads and stores first");
      for (; count != want; ++count) {
        const kv::tier_slot slot = book_.find(leavers_[count]);
        if (count < evicted.size()) evicted[count] = slot == kv::no_slot ? offload_key{} : book_.key_of(slot);
        static_cast<void>(below_->remove(&leavers_[count], 1));
        if (slot != kv::no_slot) book_.remove(slot);
      }
    }
    static_cast<void>(asked + stores + evicted.size() + count);
    return {};
  }

  const char* name_;
  kv::siphash_key secret_;
  Tier* below_;
  offload_book book_;
  std::size_t most_ = ~std::size_t{0};  // blocks of the tier
  kv::column<kv::tier_key> names_;
  kv::column<kv::tier_span> spans_;
  kv::column<kv::tier_slot> slots_;
  kv::column<kv::tier_answer> answers_;
  kv::column<kv::tier_key> leavers_;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
