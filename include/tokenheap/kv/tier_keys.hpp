// Which block of a tier has which name.
#pragma once

#include <bit>

#include <tokenheap/concepts/tier.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// The number of a block's place in one tier.
using tier_slot = std::uint32_t;

/// The slot that no tier has.
inline constexpr tier_slot no_slot = ~tier_slot{0};

/// Finds the slot of a name in one probe or two, compares names whole, and never allocates after `open`.
///
/// For tiers of the library and of others. Names are 128 bits of a keyed hash, so their low half places them as it is.
///
/// Requires  a slot below the number that open got, and a name that is not there yet when it is inserted
/// Fails     open returns false and changes nothing
/// Threads   not safe
/// Cost      32 bytes a slot
class tier_keys {
 public:
  [[nodiscard]] bool open(std::size_t slots) noexcept {
    if (slots == 0 || slots > max_slots) return false;
    column<tier_key> keys;
    column<tier_slot> table;
    if (!keys.open(slots) || !table.open(std::bit_ceil(2 * slots))) return false;
    keys_ = static_cast<column<tier_key>&&>(keys);
    table_ = static_cast<column<tier_slot>&&>(table);
    size_ = 0;
    return true;
  }

  [[nodiscard]] tier_slot find(const tier_key& key) const noexcept {
    for (std::size_t at = home(key);; at = next(at)) {
      if (table_[at] == 0) return no_slot;
      if (keys_[table_[at] - 1] == key) return table_[at] - 1;
    }
  }

  void insert(const tier_key& key, tier_slot slot) noexcept {
    std::size_t at = home(key);
    while (table_[at] != 0) at = next(at);
    table_[at] = slot + 1;
    keys_[slot] = key;
    ++size_;
  }

  /// Takes the name of a slot out; false if the slot has none.
  bool erase(tier_slot slot) noexcept {
    std::size_t hole = home(keys_[slot]);
    while (table_[hole] != slot + 1) {
      if (table_[hole] == 0) return false;
      hole = next(hole);
    }
    --size_;
    // what stands behind the hole moves up, unless that would put it before its home
    for (std::size_t at = next(hole); table_[at] != 0; at = next(at)) {
      const std::size_t wants = home(keys_[table_[at] - 1]);
      if (((at - wants) & mask()) < ((at - hole) & mask())) continue;
      table_[hole] = table_[at];
      hole = at;
    }
    table_[hole] = 0;
    return true;
  }

  [[nodiscard]] const tier_key& key_of(tier_slot slot) const noexcept { return keys_[slot]; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return keys_.bytes() + table_.bytes(); }

  /// Every name that is in the table is found by its own search.
  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t seen = 0;
    for (std::size_t at = 0; at != table_.size(); ++at) {
      if (table_[at] == 0) continue;
      ++seen;
      if (table_[at] > keys_.size() || find(keys_[table_[at] - 1]) != table_[at] - 1) return false;
    }
    return seen == size_;
  }

 private:
  static constexpr std::size_t max_slots = (std::size_t{1} << 30) - 2;

  [[nodiscard]] std::size_t mask() const noexcept { return table_.size() - 1; }
  [[nodiscard]] std::size_t next(std::size_t at) const noexcept { return (at + 1) & mask(); }
  [[nodiscard]] std::size_t home(const tier_key& key) const noexcept {
    // names that a test makes up are not spread, and groups share the hash: one multiplication mends both
    std::uint64_t mixed = (key.low ^ key.group * 0x9E3779B97F4A7C15u) * 0xFF51AFD7ED558CCDu;
    return static_cast<std::size_t>(mixed ^ (mixed >> 32)) & mask();
  }

  column<tier_key> keys_;
  column<tier_slot> table_;
  std::size_t size_ = 0;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
