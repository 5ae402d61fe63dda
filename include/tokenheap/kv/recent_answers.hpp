// What a far store said lately about names, so that nobody waits for it.
#pragma once

#include <tokenheap/kv/tier_keys.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// What was last known of a name.
enum class recent_answer : unsigned char {
  unknown,  ///< nothing, or it was too long ago
  absent,
  present,
  asking,   ///< a question is on its way
  removed,  ///< taken away by us; counts as absent, however old it is
};

/// Remembers the last answers for a fixed number of names; the name that was noted first makes way.
///
/// For tiers whose store is far: `lookup` answers out of it at once. It may be wrong for as long as answers are believed,
/// which is a miss too many or a load that fails, and never wrong bytes.
///
/// Fails     open returns false and changes nothing
/// Threads   not safe
/// Cost      56 bytes a name; O(1)
class recent_answers {
 public:
  /// `believed`: how long present and absent count, in the same unit as `now`.
  [[nodiscard]] bool open(std::size_t names, std::uint64_t believed) noexcept {
    column<row> rows;
    tier_keys keys;
    if (!rows.open(names) || !keys.open(names)) return false;
    rows_ = static_cast<column<row>&&>(rows);
    keys_ = static_cast<tier_keys&&>(keys);
    believed_ = believed;
    next_ = 0;
    return true;
  }

  [[nodiscard]] recent_answer of(const tier_key& key, std::uint64_t now) const noexcept {
    const tier_slot slot = keys_.find(key);
    if (slot == no_slot) return recent_answer::unknown;
    const row& r = rows_[slot];
    const bool ages = r.what == recent_answer::present || r.what == recent_answer::absent;
    return ages && now - r.since > believed_ ? recent_answer::unknown : r.what;
  }

  void note(const tier_key& key, recent_answer what, std::uint64_t now) noexcept {
    tier_slot slot = keys_.find(key);
    if (slot == no_slot) {
      if (what == recent_answer::unknown) return;
      slot = static_cast<tier_slot>(next_);
      next_ = next_ + 1 == rows_.size() ? 0 : next_ + 1;
      if (rows_[slot].named) keys_.erase(slot);
      keys_.insert(key, slot);
    }
    rows_[slot] = {now, what, true};
  }

  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t named = 0;
    for (std::size_t k = 0; k != rows_.size(); ++k) named += rows_[k].named;
    return keys_.is_valid() && named == keys_.size() && (next_ == 0 || next_ < rows_.size());
  }

 private:
  struct row {
    std::uint64_t since;
    recent_answer what;
    bool named;
  };
  column<row> rows_;
  tier_keys keys_;
  std::uint64_t believed_ = 0;
  std::size_t next_ = 0;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
