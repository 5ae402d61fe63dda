// Comparing and mixing the tokens of one block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tokenheap/concepts/kv.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// True if `n` tokens are equal, pair by pair; made for the few dozen tokens of a block.
[[nodiscard]] inline bool equal_tokens(const token* a, const token* b, std::size_t n) noexcept {
  constexpr std::size_t step = 16;
  for (; n >= step; n -= step, a += step, b += step) {
    // a fixed count without a branch inside is what compilers turn into a handful of vector compares
    std::uint64_t different = 0;
    for (std::size_t at = 0; at < step; at += 2) {
      std::uint64_t left;
      std::uint64_t right;
      std::memcpy(&left, a + at, sizeof left);
      std::memcpy(&right, b + at, sizeof right);
      different |= left ^ right;
    }
    if (different != 0) return false;
  }
  for (std::size_t at = 0; at < n; ++at)
    if (a[at] != b[at]) return false;
  return true;
}

/// Copies `n` tokens; made for the few dozen tokens of a block.
inline void copy_tokens(token* to, const token* from, std::size_t n) noexcept {
  constexpr std::size_t step = 16;
  // a copy of a fixed size is four moves, where a copy of any size is a call
  for (; n >= step; n -= step, to += step, from += step) std::memcpy(to, from, step * sizeof(token));
  for (std::size_t at = 0; at < n; ++at) to[at] = from[at];
}

namespace detail {

// 16 tokens, a line of the cache, to where nobody reads soon: by stores that need not fetch the line first
TOKENHEAP_INLINE void copy_line_past_caches(token* to, const token* from) noexcept {
#if TOKENHEAP_GNU && defined(__x86_64__)
  for (int part = 0; part < 8; ++part, to += 2, from += 2) {
    std::uint64_t two;
    std::memcpy(&two, from, sizeof two);
    asm volatile("movnti %1, %0" : "=m"(*reinterpret_cast<token(*)[2]>(to)) : "r"(two));
  }
#else
  std::memcpy(to, from, 16 * sizeof(token));
#endif
}

// such stores are not ordered by a lock that is let go
TOKENHEAP_INLINE void order_copies_past_caches() noexcept {
#if TOKENHEAP_GNU && defined(__x86_64__)
  asm volatile("sfence" ::: "memory");
#endif
}

}  // namespace detail

/// Copies the tokens of `n` whole blocks to where each block keeps its own.
inline void copy_blocks(token* first, std::size_t block_tokens, const block_id* ids, std::size_t n,
                        const token* tokens) noexcept {
  constexpr std::size_t usual = 16;
  constexpr std::size_t ahead = 16 * usual;  // a prompt is read once, from far memory
  if (block_tokens != usual) {
    for (std::size_t at = 0; at < n; ++at, tokens += block_tokens) {
      copy_tokens(first + std::size_t{ids[at]} * block_tokens, tokens, block_tokens);
    }
    return;
  }
  for (std::size_t at = 0; at < n; ++at, tokens += usual) {
    TOKENHEAP_PREFETCH(tokens + ahead);
    std::memcpy(first + ids[at] * usual, tokens, usual * sizeof(token));
  }
}

/// Tells an index of `n` tokens that go into the blocks of a list, from token `at` on.
template <class Index>
void write_tokens(Index& into, const block_id* ids, std::size_t block_tokens, std::size_t at, const token* tokens,
                  std::size_t n) noexcept {
  const block_id* id = ids + at / block_tokens;
  if (at %= block_tokens; at != 0) {
    const std::size_t part = n < block_tokens - at ? n : block_tokens - at;
    into.write(*id++, at, tokens, part);
    tokens += part;
    n -= part;
  }
  const std::size_t whole = n / block_tokens;
  into.write(id, whole, tokens);
  if (n %= block_tokens; n != 0) into.write(id[whole], 0, tokens + whole * block_tokens, n);
}

/// Mixes tokens by 64-bit products folded to half their width; the default of `radix_index`.
///
/// Fast and even, with a seed that outsiders do not know. Not cryptographic and need not be: every hit is compared
/// token by token, so a collision costs one comparison and never a wrong block.
struct mixed_hash {
  [[nodiscard]] std::uint64_t operator()(const token* tokens, std::size_t n, std::uint64_t seed) const noexcept {
    std::uint64_t mixed = fold(seed ^ 0x2d358dccaa6c78a5, n ^ 0x8bb84b93962eacc9);
    for (; n >= 4; n -= 4, tokens += 4) {
      std::uint64_t two[2];
      std::memcpy(two, tokens, sizeof two);
      mixed = fold(two[0] ^ 0x4b33a62ed433d4a3, two[1] ^ mixed);
    }
    for (; n != 0; --n, ++tokens) mixed = fold(*tokens ^ 0x4d5a2da51de1aa47, mixed);
    return fold(mixed, 0xa0761d6478bd642f);
  }

 private:
  [[nodiscard]] static std::uint64_t fold(std::uint64_t a, std::uint64_t b) noexcept {
    std::uint64_t high = 0;
    const std::uint64_t low = multiply_wide(a, b, high);
    return low ^ high;
  }
};

static_assert(token_hash<mixed_hash>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
