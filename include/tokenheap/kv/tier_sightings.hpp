// How often a name was seen lately: what a store threshold asks.
#pragma once

#include <bit>

#include <tokenheap/concepts/tier.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Counts how often each of the last names was seen, in a fixed table whose oldest names make way.
///
/// Two names share a count only if 55 bits of both are equal; then a block is stored one use too early, and no worse.
///
/// Fails     open returns false and changes nothing
/// Threads   not safe
/// Cost      8 bytes a name; one cache line a call
class tier_sightings {
 public:
  [[nodiscard]] bool open(std::size_t names) noexcept {
    return names != 0 && names < max_allocation / 16 && rows_.open(std::bit_ceil(divide_up(names, ways)) * ways);
  }
  /// Counts one more use of the name and returns how many there were with it, up to 255.
  [[nodiscard]] std::size_t see(const tier_key& key) noexcept {
    const std::uint64_t mixed = (key.high ^ key.group * 0x9E3779B97F4A7C15u) * 0xFF51AFD7ED558CCDu;
    std::uint64_t* const row = rows_.first() + (mixed & (rows_.size() / ways - 1)) * ways;
    const std::uint64_t tag = (mixed ^ key.low) << 8;
    std::size_t at = 0;
    while (at != ways - 1 && row[at] >> 8 != tag >> 8 && row[at] != 0) ++at;
    std::uint64_t found = row[at] >> 8 == tag >> 8 && row[at] != 0 ? row[at] : tag;
    if ((found & 255) != 255) ++found;
    // the newest stands first, so what falls off the end was seen longest ago
    for (; at != 0; --at) row[at] = row[at - 1];
    row[0] = found;
    return found & 255;
  }

 private:
  static constexpr std::size_t ways = 8;
  column<std::uint64_t, 64> rows_;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
