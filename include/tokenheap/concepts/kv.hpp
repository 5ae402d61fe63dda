// Questions that the parts of a KV pool can answer, and the three numbers that all of them speak in.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/policy.hpp>
#include <tokenheap/core/result.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// A token as the engine numbers it; its value means nothing to the library.
using token = std::uint32_t;

/// The number of a block in its pool.
using block_id = std::uint32_t;

/// The id that no block has.
inline constexpr block_id no_block = ~block_id{0};

/// The most blocks that one pool takes: two bits of an id are the library's own.
inline constexpr std::size_t max_blocks = (std::size_t{1} << 30) - 2;

/// The most tokens that one block takes.
inline constexpr std::size_t max_block_tokens = std::size_t{1} << 20;

template <class E>
concept can_size_an_order = requires(E& e, std::size_t n) {
  { e.open(n) } noexcept -> std::same_as<bool>;
};

template <class E>
concept can_push = requires(E& e, block_id id) {
  { e.push(id) } noexcept -> std::same_as<void>;
};

template <class E>
concept can_remove = requires(E& e, block_id id) {
  { e.remove(id) } noexcept -> std::same_as<bool>;
};

template <class E>
concept names_a_victim = requires(const E& e) {
  { e.victim() } noexcept -> std::same_as<block_id>;
};

template <class E>
concept counts_itself = requires(const E& e) {
  { e.size() } noexcept -> std::same_as<std::size_t>;
};

template <class E>
concept knows_members = requires(const E& e, block_id id) {
  { e.contains(id) } noexcept -> std::same_as<bool>;
};

/// Says who leaves first: `push(id)` when a cached block is let go, `remove(id)` when it is wanted again, `victim()`.
///
/// A block that was pushed later never leaves before one that was pushed earlier with the same worth: the pool pushes
/// the tail of a chain first and relies on it.
template <class E>
concept eviction_order = can_size_an_order<E> && can_push<E> && can_remove<E> && names_a_victim<E> && counts_itself<E> &&
                         knows_members<E>;

/// Mixes the tokens of one block into 64 bits, of which the upper half counts; equal tokens give equal bits.
template <class H>
concept token_hash = requires(const H& h, const token* tokens, std::size_t n, std::uint64_t seed) {
  { h(tokens, n, seed) } noexcept -> std::same_as<std::uint64_t>;
};

template <class Index>
concept names_positions = requires { typename Index::position; };

template <class Index>
concept can_match = requires(const Index& i, typename Index::position at, const token* tokens, std::size_t n,
                             block_id* out) {
  { i.match(at, tokens, n, out) } noexcept -> std::same_as<std::size_t>;
};

template <class Index>
concept can_publish = requires(Index& i, typename Index::position at, block_id id) {
  { i.publish(at, id) } noexcept -> std::same_as<typename Index::position>;
};

template <class Index>
concept can_forget = requires(Index& i, block_id id) {
  { i.remove(id) } noexcept -> std::same_as<void>;
};

template <class Index>
concept can_keep_tokens = requires(Index& i, block_id id, std::size_t at, const token* tokens, std::size_t n) {
  { i.write(id, at, tokens, n) } noexcept -> std::same_as<void>;
};

/// Knows which block holds which prefix: `match` walks, `publish` adds below a position, `remove` forgets one block.
///
/// Positions stand for prefixes. match and publish compare tokens, so that a wrong hit is impossible, and none of the
/// three allocates.
template <class Index>
concept prefix_index = names_positions<Index> && can_match<Index> && can_publish<Index> && can_forget<Index> &&
                       can_keep_tokens<Index>;

template <class E>
concept hears_of_clearing = requires(E& e) {
  { e.on_all_cleared() } noexcept -> std::same_as<void>;
};

template <class P>
concept names_an_index = requires { typename P::prefixes; } && prefix_index<typename P::prefixes>;
template <class P>
concept names_an_order = requires { typename P::evict; } && eviction_order<typename P::evict>;
template <class P>
concept names_events = requires { typename P::events; } && hears_of_clearing<typename P::events>;

/// The bundle of choices for a block pool: lock, guard, prefixes, evict, events. Inherit `kv::default_policy`.
template <class P>
concept pool_policy = names_a_lock<P> && names_a_guard<P> && names_an_index<P> && names_an_order<P> && names_events<P>;

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
