// What a block looks like outside of memory: a header of 64 bytes and the payload, under one keyed checksum.
#pragma once

#include <cstring>

#include <tokenheap/concepts/tier.hpp>
#include <tokenheap/kv/siphash.hpp>
#include <tokenheap/kv/xxh3.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// What stands over the payload of a record; over that and the header it is always SipHash.
enum class record_sum : std::uint32_t {
  siphash = 0,  ///< nobody without the key can make a record
  xxh3 = 1,     ///< three times as quick: finds damage, and does not stop who wants to deceive
};

/// The 64 bytes before a block in a file or in a store: whose bytes they are, how many, and the checksum over all.
///
/// Little-endian, without padding; `version` changes with any of it. Whoever cannot check it takes the block as a miss.
struct tier_record {
  static constexpr std::uint32_t this_magic = 0x4B424854;  // "THBK"
  static constexpr std::uint16_t this_version = 1;

  std::uint32_t magic = this_magic;
  std::uint16_t version = this_version;
  std::uint16_t header_bytes = 64;
  std::uint64_t key_low = 0;
  std::uint64_t key_high = 0;
  std::uint32_t group = 0;
  record_sum sum = record_sum::siphash;
  std::uint64_t payload_bytes = 0;
  std::uint64_t sequence = 0;  ///< rises with each record of its writer
  std::uint64_t sum_low = 0;
  std::uint64_t sum_high = 0;

  [[nodiscard]] tier_key key() const noexcept { return {key_low, key_high, group}; }
  /// The header alone looks like one of this size; says nothing about the payload.
  [[nodiscard]] bool is_plausible(std::size_t bytes, record_sum with = record_sum::siphash) const noexcept {
    return magic == this_magic && version == this_version && header_bytes == 64 && sum == with && payload_bytes == bytes;
  }
};
static_assert(sizeof(tier_record) == 64 && std::is_trivially_copyable_v<tier_record>);

/// The checksum of a record: over its header without the sum, and its payload, under a key.
///
/// A flipped bit, a torn write or another block's bytes pass with a chance of 2^-128. With `record_sum::siphash` who does
/// not know the key cannot make a record that is taken for one of ours; a reader must name the sum that it expects.
///
/// Cost      0.4 ns a byte with SipHash, 0.15 with XXH3
[[nodiscard]] inline hash128 sum_of(siphash_key key, const tier_record& header, const void* payload) noexcept {
  unsigned char all[48 + 16];
  std::memcpy(all, &header, 48);
  const hash128 digest = header.sum == record_sum::xxh3 ? xxh3(payload, header.payload_bytes, key.low ^ key.high)
                                                        : siphash(key, payload, header.payload_bytes);
  std::memcpy(all + 48, &digest, 16);
  return siphash(key, all, sizeof all);
}

/// The whole header for a payload.
[[nodiscard]] inline tier_record seal(siphash_key key, const tier_key& name, const void* payload, std::size_t bytes,
                                      std::uint64_t sequence, record_sum with = record_sum::siphash) noexcept {
  tier_record made;
  made.sum = with;
  made.key_low = name.low;
  made.key_high = name.high;
  made.group = name.group;
  made.payload_bytes = bytes;
  made.sequence = sequence;
  const hash128 sum = sum_of(key, made, payload);
  made.sum_low = sum.low;
  made.sum_high = sum.high;
  return made;
}

/// True if header and payload are one whole record of this size.
[[nodiscard]] inline bool is_whole(siphash_key key, const tier_record& header, const void* payload,
                                   std::size_t bytes, record_sum with = record_sum::siphash) noexcept {
  if (!header.is_plausible(bytes, with)) return false;
  const hash128 sum = sum_of(key, header, payload);
  return sum.low == header.sum_low && sum.high == header.sum_high;
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
