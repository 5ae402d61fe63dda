// The words of vLLM's offloading: keys of blocks, the names that tiers know them by, and answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <tokenheap/concepts/tier.hpp>
#include <tokenheap/kv/siphash.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// vLLM's OffloadKey: the hash of a block, and the index of its cache group in 4 bytes, the highest first.
///
/// As in vllm/v1/kv_offload/base.py 0105e23 (make_offload_key). Holds a hash of up to 32 bytes: sha256 has 32, xxhash 16.
struct offload_key {
  static constexpr std::size_t max_hash = 32;
  static constexpr std::size_t group_bytes = 4;

  std::uint8_t size = 0;  ///< of the whole; 0 is no key
  unsigned char bytes[max_hash + group_bytes] = {};

  /// Puts a key together; no key for a hash of no bytes, or of more than 32.
  [[nodiscard]] static offload_key of(std::span<const unsigned char> hash, std::uint32_t group) noexcept {
    offload_key made;
    if (hash.empty() || hash.size() > max_hash) return made;
    std::memcpy(made.bytes, hash.data(), hash.size());
    for (std::size_t at = 0; at != group_bytes; ++at)
      made.bytes[hash.size() + at] = static_cast<unsigned char>(group >> (8 * (group_bytes - 1 - at)));
    made.size = static_cast<std::uint8_t>(hash.size() + group_bytes);
    return made;
  }
  /// Takes a key as vLLM hands it over, hash and group in one; no key for any other length.
  [[nodiscard]] static offload_key from(std::span<const unsigned char> whole) noexcept {
    offload_key made;
    if (whole.size() <= group_bytes || whole.size() > sizeof made.bytes) return made;
    std::memcpy(made.bytes, whole.data(), whole.size());
    made.size = static_cast<std::uint8_t>(whole.size());
    return made;
  }

  explicit operator bool() const noexcept { return size != 0; }
  /// Both require a key that is one.
  [[nodiscard]] std::span<const unsigned char> hash() const noexcept { return {bytes, size - group_bytes}; }
  [[nodiscard]] std::uint32_t group() const noexcept {
    std::uint32_t made = 0;
    for (std::size_t at = size - group_bytes; at != size; ++at) made = made << 8 | bytes[at];
    return made;
  }
  friend bool operator==(const offload_key& a, const offload_key& b) noexcept {
    return a.size == b.size && std::memcmp(a.bytes, b.bytes, a.size) == 0;
  }
};

/// The name of a text that an engine calls a block by, such as LMCache's `model@rank@group@hash`, in a cache group.
///
/// SipHash under `secret`: nobody who does not know it can make two texts meet. All who share a tier need one secret.
[[nodiscard]] inline kv::tier_key tier_name(const void* text, std::size_t bytes, const kv::siphash_key& secret,
                                            std::uint32_t group = 0) noexcept {
  const kv::hash128 name = kv::siphash(secret, text, bytes);
  return {name.low, name.high, group};
}

/// The name of a key of vLLM's: a hash of 16 bytes as it is, any other one by SipHash. Requires a key that is one.
[[nodiscard]] inline kv::tier_key tier_name(const offload_key& key, const kv::siphash_key& secret) noexcept {
  const auto hash = key.hash();
  if (hash.size() != sizeof(kv::hash128)) return tier_name(hash.data(), hash.size(), secret, key.group());
  kv::tier_key made{.group = key.group()};
  std::memcpy(&made.low, hash.data(), sizeof made.low);
  std::memcpy(&made.high, hash.data() + sizeof made.low, sizeof made.high);
  return made;
}

/// vLLM's LookupResult, by its numbers (vllm/v1/kv_offload/base.py 0105e23).
enum class lookup_result : std::uint8_t { miss = 1, hit = 2, hit_pending = 3, retry = 4 };

[[nodiscard]] constexpr lookup_result lookup_result_of(kv::tier_answer said) noexcept {
  switch (said) {
    case kv::tier_answer::hit:
      return lookup_result::hit;
    case kv::tier_answer::pending:
      return lookup_result::hit_pending;
    case kv::tier_answer::retry:
      return lookup_result::retry;
    case kv::tier_answer::miss:
      break;
  }
  return lookup_result::miss;
}

/// What a store that was prepared does.
struct store_plan {
  kv::tier_ticket ticket{};  ///< zero if there is nothing to store
  std::size_t stores = 0;    ///< keys_to_store: how many were chosen
  std::size_t evicted = 0;   ///< evicted_keys: how many left for them
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
