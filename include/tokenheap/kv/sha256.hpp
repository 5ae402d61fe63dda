// SHA-256, and names of blocks by it: for tiers that several machines share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/kv/block_hash.hpp>

#if TOKENHEAP_GNU && defined(__x86_64__)
#include <smmintrin.h>
#endif

namespace tokenheap {
inline namespace v0 {
namespace kv {

namespace detail {

struct sha_state {
  std::uint32_t word[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
};

alignas(16) inline constexpr std::uint32_t sha_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

[[nodiscard]] constexpr std::uint32_t sha_rotated(std::uint32_t x, int by) noexcept { return (x >> by) | (x << (32 - by)); }

inline void sha_round(std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t& d, std::uint32_t e,
                      std::uint32_t f, std::uint32_t g, std::uint32_t& h, std::uint32_t added) noexcept {
  const std::uint32_t turned = sha_rotated(e, 6) ^ sha_rotated(e, 11) ^ sha_rotated(e, 25);
  const std::uint32_t spun = sha_rotated(a, 2) ^ sha_rotated(a, 13) ^ sha_rotated(a, 22);
  h += turned + ((e & f) ^ (~e & g)) + added;
  d += h;
  h += spun + ((a & b) ^ (a & c) ^ (b & c));
}

inline void sha_portable(sha_state& state, const unsigned char* at, std::size_t blocks) noexcept {
  for (; blocks != 0; --blocks, at += 64) {
    std::uint32_t w[64];
    std::memcpy(w, at, 64);
    for (int t = 0; t < 16; ++t) w[t] = byte_swapped(w[t]);
    for (int t = 16; t < 64; ++t) {
      const std::uint32_t late = sha_rotated(w[t - 2], 17) ^ sha_rotated(w[t - 2], 19) ^ (w[t - 2] >> 10);
      const std::uint32_t early = sha_rotated(w[t - 15], 7) ^ sha_rotated(w[t - 15], 18) ^ (w[t - 15] >> 3);
      w[t] = late + w[t - 7] + early + w[t - 16];
    }
    std::uint32_t v[8];
    std::memcpy(v, state.word, sizeof v);
    for (int t = 0; t < 64; t += 8) {
      // the names turn instead of the words: after eight rounds each is back in its place
      sha_round(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], sha_constants[t] + w[t]);
      sha_round(v[7], v[0], v[1], v[2], v[3], v[4], v[5], v[6], sha_constants[t + 1] + w[t + 1]);
      sha_round(v[6], v[7], v[0], v[1], v[2], v[3], v[4], v[5], sha_constants[t + 2] + w[t + 2]);
      sha_round(v[5], v[6], v[7], v[0], v[1], v[2], v[3], v[4], sha_constants[t + 3] + w[t + 3]);
      sha_round(v[4], v[5], v[6], v[7], v[0], v[1], v[2], v[3], sha_constants[t + 4] + w[t + 4]);
      sha_round(v[3], v[4], v[5], v[6], v[7], v[0], v[1], v[2], sha_constants[t + 5] + w[t + 5]);
      sha_round(v[2], v[3], v[4], v[5], v[6], v[7], v[0], v[1], sha_constants[t + 6] + w[t + 6]);
      sha_round(v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[0], sha_constants[t + 7] + w[t + 7]);
    }
    for (int n = 0; n < 8; ++n) state.word[n] += v[n];
  }
}

#if TOKENHEAP_GNU && defined(__x86_64__)

using sha_words = int __attribute__((vector_size(16)));

// the compilers' own names: the header that has the others is as large as the rest of the library
__attribute__((target("sha,sse4.1"))) inline __m128i sha_two_rounds(__m128i a, __m128i b, __m128i sum) noexcept {
  return reinterpret_cast<__m128i>(__builtin_ia32_sha256rnds2(reinterpret_cast<sha_words>(a), reinterpret_cast<sha_words>(b),
                                                              reinterpret_cast<sha_words>(sum)));
}
__attribute__((target("sha,sse4.1"))) inline __m128i sha_next_words(__m128i a, __m128i b) noexcept {
  return reinterpret_cast<__m128i>(__builtin_ia32_sha256msg1(reinterpret_cast<sha_words>(a), reinterpret_cast<sha_words>(b)));
}
__attribute__((target("sha,sse4.1"))) inline __m128i sha_last_words(__m128i a, __m128i b) noexcept {
  return reinterpret_cast<__m128i>(__builtin_ia32_sha256msg2(reinterpret_cast<sha_words>(a), reinterpret_cast<sha_words>(b)));
}

// four rounds at a time by the instructions made for it; the words lie as ABEF and CDGH, as they want
__attribute__((target("sha,sse4.1,ssse3"))) inline void sha_by_cpu(sha_state& state, const unsigned char* at,
                                                                   std::size_t blocks) noexcept {
  const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  auto* const words = reinterpret_cast<__m128i*>(state.word);
  const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(words), 0xb1);
  const __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(words + 1), 0x1b);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
  __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
  for (; blocks != 0; --blocks, at += 64) {
    const __m128i abef_before = abef;
    const __m128i cdgh_before = cdgh;
    __m128i w[4];
    for (int n = 0; n < 4; ++n) {
      w[n] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at) + n), order);
    }
    for (int n = 0; n < 16; ++n) {
      __m128i& now = w[n & 3];
      const auto* constants = reinterpret_cast<const __m128i*>(sha_constants) + n;
      const __m128i sum = _mm_add_epi32(now, _mm_load_si128(constants));
      cdgh = sha_two_rounds(cdgh, abef, sum);
      abef = sha_two_rounds(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
      if (n >= 12) continue;
      const __m128i seven_back = _mm_alignr_epi8(w[(n + 3) & 3], w[(n + 2) & 3], 4);
      now = _mm_add_epi32(sha_next_words(now, w[(n + 1) & 3]), seven_back);
      now = sha_last_words(now, w[(n + 3) & 3]);
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  const __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(words, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(words + 1, _mm_alignr_epi8(dchg, feba, 8));
}

[[nodiscard]] inline bool cpu_has_sha() noexcept {
  const auto ask = [](unsigned leaf, unsigned& b, unsigned& c) noexcept {
    unsigned a = leaf;
    c = 0;
    __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c) : : "edx");
    return a;
  };
  unsigned b = 0;
  unsigned c = 0;
  if (ask(0, b, c) < 7) return false;
  (void)ask(1, b, c);
  const bool shuffles = (c >> 9 & 1) != 0 && (c >> 19 & 1) != 0;
  (void)ask(7, b, c);
  return shuffles && (b >> 29 & 1) != 0;
}

inline const bool sha_instructions = cpu_has_sha();

inline void sha_compress(sha_state& state, const unsigned char* at, std::size_t blocks) noexcept {
  sha_instructions ? sha_by_cpu(state, at, blocks) : sha_portable(state, at, blocks);
}

#else

inline constexpr bool sha_instructions = false;

inline void sha_compress(sha_state& state, const unsigned char* at, std::size_t blocks) noexcept {
  sha_portable(state, at, blocks);
}

#endif

}  // namespace detail

/// SHA-256 of bytes that come in pieces: `add` each of them, then `finish` once.
///
/// By the instructions of the CPU where it has them. For names that must mean the same on every machine; `siphash` is
/// for tables inside one process.
///
/// Threads   not safe
/// Cost      about 0.75 ns per byte with the instructions, 4 without
class sha256 {
 public:
  static constexpr std::size_t digest_bytes = 32;

  void add(const void* bytes, std::size_t n) noexcept {
    const auto* at = static_cast<const unsigned char*>(bytes);
    total_ += n;
    if (held_ != 0) {
      const std::size_t room = sizeof block_ - held_;
      const std::size_t taken = n < room ? n : room;
      if (taken != 0) std::memcpy(block_ + held_, at, taken);
      held_ += taken;
      at += taken;
      n -= taken;
      if (held_ < sizeof block_) return;
      detail::sha_compress(state_, block_, 1);
      held_ = 0;
    }
    detail::sha_compress(state_, at, n / sizeof block_);
    held_ = n % sizeof block_;
    if (held_ != 0) std::memcpy(block_, at + (n - held_), held_);
  }

  /// Writes the 32 bytes of the digest; the object is used up.
  void finish(unsigned char* out) noexcept {
    const std::uint64_t bits = byte_swapped(total_ * 8);
    block_[held_++] = 0x80;
    if (held_ > sizeof block_ - sizeof bits) {
      std::memset(block_ + held_, 0, sizeof block_ - held_);
      detail::sha_compress(state_, block_, 1);
      held_ = 0;
    }
    std::memset(block_ + held_, 0, sizeof block_ - sizeof bits - held_);
    std::memcpy(block_ + sizeof block_ - sizeof bits, &bits, sizeof bits);
    detail::sha_compress(state_, block_, 1);
    for (std::size_t n = 0; n < 8; ++n) {
      const std::uint32_t word = byte_swapped(state_.word[n]);
      std::memcpy(out + 4 * n, &word, sizeof word);
    }
  }

 private:
  detail::sha_state state_{};
  std::uint64_t total_ = 0;
  std::size_t held_ = 0;
  unsigned char block_[64] = {};
};

/// Names blocks by the first 16 bytes of a SHA-256: for a store that several machines write and read.
///
/// What is digested: 32 bytes that say "tokenheap block" or "tokenheap root" and zeros, the SHA-256 of the seed, then the
/// parent's 16 bytes and the tokens, little-endian; or the bytes of the root's key. Anybody who knows the seed gets the
/// same names. To find two equal ones takes 2^64 tries, to hit a given one 2^128. `sip128` is faster in one process.
///
/// Threads   safe: it changes nothing
/// Cost      two compressions per block of 16 tokens, about 10 ns per token
class sha256_128 {
 public:
  using value = hash128;

  sha256_128() noexcept : sha256_128("", 0) {}

  [[nodiscard]] static sha256_128 open(const void* seed, std::size_t bytes) noexcept { return {seed, bytes}; }

  [[nodiscard]] hash128 root(const void* key, std::size_t bytes) const noexcept {
    sha256 digest = roots_;
    digest.add(key, bytes);
    return shortened(digest);
  }

  [[nodiscard]] hash128 operator()(hash128 parent, const token* tokens, std::size_t n) const noexcept {
    sha256 digest = blocks_;
    digest.add(&parent, sizeof parent);
    digest.add(tokens, n * sizeof(token));
    return shortened(digest);
  }

 private:
  sha256_128(const void* seed, std::size_t bytes) noexcept {
    unsigned char digested[sha256::digest_bytes];
    sha256 of_seed;
    of_seed.add(seed, bytes);
    of_seed.finish(digested);
    constexpr char block_text[32] = "tokenheap block";
    constexpr char root_text[32] = "tokenheap root";
    blocks_.add(block_text, sizeof block_text);
    blocks_.add(digested, sizeof digested);
    roots_.add(root_text, sizeof root_text);
    roots_.add(digested, sizeof digested);
  }

  [[nodiscard]] static hash128 shortened(sha256& digest) noexcept {
    unsigned char bytes[sha256::digest_bytes];
    digest.finish(bytes);
    hash128 out;
    std::memcpy(&out.low, bytes, sizeof out.low);
    std::memcpy(&out.high, bytes + sizeof out.low, sizeof out.high);
    return out;
  }

  sha256 blocks_{};
  sha256 roots_{};
};

static_assert(block_hash<sha256_128>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
