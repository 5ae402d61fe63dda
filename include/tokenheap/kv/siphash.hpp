// SipHash-2-4 with 128 bits of output: a keyed hash that is safe against crafted collisions, and quick for short input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/kv/block_hash.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// The secret of a SipHash: 16 bytes, of which an attacker must not know any.
struct siphash_key {
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  /// The key that 16 bytes stand for, as the authors of SipHash read them.
  [[nodiscard]] static siphash_key of(const void* bytes) noexcept {
    siphash_key key;
    std::memcpy(&key.low, bytes, sizeof key.low);
    std::memcpy(&key.high, static_cast<const unsigned char*>(bytes) + sizeof key.low, sizeof key.high);
    return key;
  }
};

namespace detail {

// the four words of SipHash, kept in registers; absorb takes 8 bytes of the message
struct sip_state {
  std::uint64_t v0, v1, v2, v3;

  explicit sip_state(siphash_key key) noexcept
      : v0(key.low ^ 0x736f6d6570736575),
        v1(key.high ^ 0x646f72616e646f6d ^ 0xee),
        v2(key.low ^ 0x6c7967656e657261),
        v3(key.high ^ 0x7465646279746573) {}

  [[nodiscard]] static std::uint64_t rotated(std::uint64_t x, int by) noexcept { return (x << by) | (x >> (64 - by)); }

  TOKENHEAP_INLINE void round() noexcept {
    v0 += v1;
    v2 += v3;
    v1 = rotated(v1, 13) ^ v0;
    v3 = rotated(v3, 16) ^ v2;
    v0 = rotated(v0, 32);
    v2 += v1;
    v0 += v3;
    v1 = rotated(v1, 17) ^ v2;
    v3 = rotated(v3, 21) ^ v0;
    v2 = rotated(v2, 32);
  }

  TOKENHEAP_INLINE void absorb(std::uint64_t word) noexcept {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }

  [[nodiscard]] TOKENHEAP_INLINE hash128 finish() noexcept {
    v2 ^= 0xee;
    for (int at = 0; at < 4; ++at) round();
    const std::uint64_t low = v0 ^ v1 ^ v2 ^ v3;
    v1 ^= 0xdd;
    for (int at = 0; at < 4; ++at) round();
    return {low, v0 ^ v1 ^ v2 ^ v3};
  }
};

}  // namespace detail

/// SipHash-2-4-128 of `n` bytes, exactly as published; `low` is the first half of the 16 bytes, little-endian.
[[nodiscard]] inline hash128 siphash(siphash_key key, const void* bytes, std::size_t n) noexcept {
  detail::sip_state state(key);
  const auto* at = static_cast<const unsigned char*>(bytes);
  const std::uint64_t length = std::uint64_t{n} << 56;
  for (; n >= 8; n -= 8, at += 8) {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    state.absorb(word);
  }
  std::uint64_t last = 0;
  if (n != 0) std::memcpy(&last, at, n);
  state.absorb(last | length);
  return state.finish();
}

/// SipHash-2-4-128 of 16 bytes `parent` and then `n` tokens: the bits that `siphash` has for that one message.
///
/// Cost      11 words for a block of 16 tokens, without a copy
[[nodiscard]] inline hash128 siphash(siphash_key key, hash128 parent, const token* tokens, std::size_t n) noexcept {
  detail::sip_state state(key);
  state.absorb(parent.low);
  state.absorb(parent.high);
  const std::uint64_t length = (std::uint64_t{n} * sizeof(token) + sizeof parent) << 56;
  for (; n >= 2; n -= 2, tokens += 2) {
    std::uint64_t word;
    std::memcpy(&word, tokens, sizeof word);
    state.absorb(word);
  }
  state.absorb(n != 0 ? length | *tokens : length);
  return state.finish();
}

/// Names blocks by SipHash-2-4-128 under a secret key: the default of a hash chain.
///
/// Who does not know the key cannot make two prefixes collide, nor tell from a name what it stands for. Two pools with
/// the same seed give the same names. Not for tiers that strangers write to: use `sha256_128` there.
///
/// Requires  a seed of 16 random bytes; one of another length is digested first, and is as secret as it was
/// Threads   safe: it is two keys and changes nothing
/// Cost      about 2.5 ns per token in blocks of 16
class sip128 {
 public:
  using value = hash128;

  sip128() noexcept = default;

  [[nodiscard]] static sip128 open(const void* seed, std::size_t bytes) noexcept {
    sip128 made;
    if (bytes == sizeof(siphash_key)) {
      made.blocks_ = siphash_key::of(seed);
    } else {
      const hash128 digest = siphash({}, seed, bytes);
      made.blocks_ = {digest.low, digest.high};
    }
    // roots have a key of their own, so that no salt of a tenant can spell the bytes of somebody's block
    const hash128 second = siphash(made.blocks_, "roots", 5);
    made.roots_ = {second.low, second.high};
    return made;
  }

  [[nodiscard]] hash128 root(const void* key, std::size_t bytes) const noexcept { return siphash(roots_, key, bytes); }

  [[nodiscard]] hash128 operator()(hash128 parent, const token* tokens, std::size_t n) const noexcept {
    return siphash(blocks_, parent, tokens, n);
  }

 private:
  siphash_key blocks_;
  siphash_key roots_;
};

static_assert(block_hash<sip128>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
