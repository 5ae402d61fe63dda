// What a hash chain asks of its hash: 128 bits from the parent's 128 bits and the tokens of one block.
//
// The shape of a policy H (`sip128` in siphash.hpp, `xxh3_128` in xxh3.hpp, `sha256_128` in sha256.hpp):
//     using value = hash128;
//     static H open(const void* seed, std::size_t bytes) noexcept            any bytes, any length; 16 random ones are best
//     hash128 root(const void* key, std::size_t bytes) const noexcept        what the first block of a chain has for a parent
//     hash128 operator()(hash128 parent, const token* tokens, std::size_t n) const noexcept
// Equal arguments give equal bits. root and the call never mix: no key of a root looks like a block.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <tokenheap/concepts/kv.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// The name of a prefix: 128 bits that stand for a key and for all tokens up to the end of a block.
struct hash128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  friend constexpr bool operator==(const hash128&, const hash128&) noexcept = default;
};

template <class H>
concept opens_with_a_seed = requires(const void* seed, std::size_t bytes) {
  { H::open(seed, bytes) } noexcept -> std::same_as<H>;
};

template <class H>
concept hashes_roots = requires(const H& h, const void* key, std::size_t bytes) {
  { h.root(key, bytes) } noexcept -> std::same_as<hash128>;
};

template <class H>
concept hashes_blocks = requires(const H& h, hash128 parent, const token* tokens, std::size_t n) {
  { h(parent, tokens, n) } noexcept -> std::same_as<hash128>;
};

template <class H>
concept names_its_value = requires { typename H::value; } && std::same_as<typename H::value, hash128>;

/// Names the blocks of a hash chain; the default is `sip128`, which outsiders cannot make collide.
///
/// A pool that compares tokens on a hit is right with any of them; a key that is secret keeps others from filling one
/// bucket, or from learning by its time that a prompt is there.
template <class H>
concept block_hash = std::is_trivially_copyable_v<H> && names_its_value<H> && opens_with_a_seed<H> && hashes_roots<H> &&
                     hashes_blocks<H>;

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
