// What a block looks like outside of memory: a header of 64 bytes and the payload, under one keyed checksum.
#pragma once

#include <cstring>

#include <tokenheap/concepts/tier.hpp>
#include <tokenheap/kv/siphash.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

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
  std::uint32_t zero = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t sequence = 0;  ///< rises with each record of its writer
  std::uint64_t sum_low = 0;
  std::uint64_t sum_high = 0;

  [[nodiscard]] tier_key key() const noexcept { return {key_low, key_high, group}; }
  /// The header alone looks like one of this size; says nothing about the payload.
  [[nodiscard]] bool is_plausible(std::size_t bytes) const noexcept {
    return magic == this_magic && version == this_version && header_bytes == 64 && zero == 0 && payload_bytes == bytes;
  }
};
static_assert(sizeof(tier_record) == 64 && std::is_trivially_copyable_v<tier_record>);

/// SipHash-2-4-128 over a payload in four lanes, which the CPU works on side by side.
///
/// Lane k takes each fourth word from word k on, under a key of its own; what is left over goes into the header's sum.
///
/// Cost      about 0.3 ns a byte
[[nodiscard]] inline hash128 lane_digest(siphash_key key, const void* bytes, std::size_t n) noexcept {
  detail::sip_state lanes[4] = {detail::sip_state({key.low ^ 1, key.high}), detail::sip_state({key.low ^ 2, key.high}),
                                detail::sip_state({key.low ^ 3, key.high}), detail::sip_state({key.low ^ 4, key.high})};
  const auto* at = static_cast<const unsigned char*>(bytes);
  std::size_t left = n;
  for (; left >= 32; left -= 32, at += 32) {
    std::uint64_t words[4];
    std::memcpy(words, at, sizeof words);
    for (int k = 0; k != 4; ++k) lanes[k].absorb(words[k]);
  }
  hash128 sums[5];
  for (int k = 0; k != 4; ++k) sums[k] = lanes[k].finish();
  sums[4] = siphash(key, at, left);
  return siphash(key, sums, sizeof sums);
}

/// The checksum of a record: over its header without the sum, and its payload, under a key.
///
/// Who does not know the key cannot make a record that is taken for one of ours. A flipped bit, a torn write or another
/// block's bytes pass with a chance of 2^-128.
[[nodiscard]] inline hash128 sum_of(siphash_key key, const tier_record& header, const void* payload) noexcept {
  unsigned char all[48 + 16];
  std::memcpy(all, &header, 48);
  const hash128 digest = lane_digest(key, payload, header.payload_bytes);
  std::memcpy(all + 48, &digest, 16);
  return siphash(key, all, sizeof all);
}

/// The whole header for a payload.
[[nodiscard]] inline tier_record seal(siphash_key key, const tier_key& name, const void* payload, std::size_t bytes,
                                      std::uint64_t sequence) noexcept {
  tier_record made;
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
                                   std::size_t bytes) noexcept {
  if (!header.is_plausible(bytes)) return false;
  const hash128 sum = sum_of(key, header, payload);
  return sum.low == header.sum_low && sum.high == header.sum_high;
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
