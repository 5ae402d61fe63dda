// Which keys of an engine a tier is known to hold, and what changed since the engine last asked.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/adapt/offload_key.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/tier_keys.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// Something that came into a tier or left it, as vLLM's OffloadingEvent tells it for one key.
struct offload_event {
  offload_key key{};
  bool removed = false;
};

/// Remembers a bounded number of an engine's keys, and keeps the latest events about them; `vllm_offload` stands on it.
///
/// When it is full the key that was looked at longest ago by its hand is forgotten, and told as removed: who follows the
/// events may think that a block is gone, and never that one is there which is not.
///
/// Fails     open returns false and changes nothing; add returns `no_slot` while every key is on its way in
/// Threads   not safe
/// Cost      O(1) a call, but for the hand that looks for something to forget; about 80 bytes a key
class offload_book {
 public:
  /// How far a key is.
  enum class state : unsigned char { empty, storing, stored };

  [[nodiscard]] bool open(std::size_t keys, std::size_t events) noexcept {
    if (events == 0 || !names_.open(keys) || !keys_.open(keys) || !states_.open(keys) || !rounds_.open(keys) ||
        !unused_.open(keys) || !events_.open(events))
      return false;
    for (std::size_t k = 0; k != keys; ++k) unused_[k] = static_cast<kv::tier_slot>(keys - 1 - k);
    spare_ = keys;
    return true;
  }

  [[nodiscard]] kv::tier_slot find(const kv::tier_key& name) const noexcept { return names_.find(name); }
  [[nodiscard]] state state_of(kv::tier_slot slot) const noexcept { return states_[slot]; }
  [[nodiscard]] const kv::tier_key& name_of(kv::tier_slot slot) const noexcept { return names_.key_of(slot); }
  [[nodiscard]] const offload_key& key_of(kv::tier_slot slot) const noexcept { return keys_[slot]; }

  /// Begins a batch: what it `touch`es is not forgotten, and is known by `is_touched`, until the next one begins.
  void begin() noexcept {
    if (++round_ != 0) return;
    for (std::size_t k = 0; k != rounds_.size(); ++k) rounds_[k] = 0;
    round_ = 1;
  }
  void touch(kv::tier_slot slot) noexcept { rounds_[slot] = round_; }
  [[nodiscard]] bool is_touched(kv::tier_slot slot) const noexcept { return rounds_[slot] == round_; }

  /// Requires that the name is not there.
  [[nodiscard]] kv::tier_slot add(const kv::tier_key& name, const offload_key& key, state as) noexcept {
    if (spare_ == 0) forget_one();
    if (spare_ == 0) return kv::no_slot;
    const kv::tier_slot slot = unused_[--spare_];
    names_.insert(name, slot);
    keys_[slot] = key;
    states_[slot] = as;
    touch(slot);
    return slot;
  }
  void mark_stored(kv::tier_slot slot) noexcept {
    states_[slot] = state::stored;
    tell(keys_[slot], false);
  }
  /// Forgets a key without a word.
  void drop(kv::tier_slot slot) noexcept {
    names_.erase(slot);
    states_[slot] = state::empty;
    unused_[spare_++] = slot;
  }
  /// Forgets a key that is gone from its tier.
  void remove(kv::tier_slot slot) noexcept {
    tell(keys_[slot], true);
    drop(slot);
  }

  /// Calls `see` with each event since the last time, the oldest first; returns how many were lost before them.
  template <class See>
  std::size_t take_events(See&& see) noexcept {
    const std::size_t gap = lost_;
    lost_ = 0;
    while (told_ != 0) {
      const offload_event next = events_[first_];
      first_ = first_ + 1 == events_.size() ? 0 : first_ + 1;
      --told_;
      see(next);
    }
    return gap;
  }

  template <class See>
  void each_stored(See&& see) const noexcept {
    for (std::size_t k = 0; k != states_.size(); ++k)
      if (states_[k] == state::stored) see(static_cast<kv::tier_slot>(k));
  }
  [[nodiscard]] std::size_t size() const noexcept { return names_.size(); }
  [[nodiscard]] std::size_t capacity() const noexcept { return states_.size(); }

  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t named = 0;
    for (std::size_t k = 0; k != states_.size(); ++k) {
      if (states_[k] == state::empty) continue;
      ++named;
      if (!keys_[k] || names_.find(names_.key_of(static_cast<kv::tier_slot>(k))) != k) return false;
    }
    return names_.is_valid() && named == names_.size() && named + spare_ == states_.size();
  }

 private:
  void tell(const offload_key& key, bool removed) noexcept {
    if (told_ == events_.size()) {
      first_ = first_ + 1 == events_.size() ? 0 : first_ + 1;
      --told_, ++lost_;
    }
    events_[(first_ + told_++) % events_.size()] = {key, removed};
  }
  void forget_one() noexcept {
    for (std::size_t left = states_.size(); left != 0; --left) {
      const auto slot = static_cast<kv::tier_slot>(hand_);
      hand_ = hand_ + 1 == states_.size() ? 0 : hand_ + 1;
      if (states_[slot] == state::stored && !is_touched(slot)) return remove(slot);
    }
  }

  kv::tier_keys names_;
  kv::column<offload_key> keys_;
  kv::column<state> states_;
  kv::column<std::uint32_t> rounds_;
  kv::column<kv::tier_slot> unused_;
  kv::column<offload_event> events_;
  std::size_t spare_ = 0, hand_ = 0, first_ = 0, told_ = 0, lost_ = 0;
  std::uint32_t round_ = 0;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
