// Questions that the parts of a KV pool can answer, and the three numbers that all of them speak in.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/policy.hpp>
#include <tokenheap/concepts/source.hpp>
#include <tokenheap/core/result.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// A token as the engine numbers it; its value means nothing to the library.
using token = std::uint32_t;

/// The token that no prompt has: it fills up blocks that are findable by their first tokens alone.
inline constexpr token no_token = ~token{0};

/// The number of a block in its pool.
using block_id = std::uint32_t;

/// The id that no block has.
inline constexpr block_id no_block = ~block_id{0};

/// Who a block belongs to, as the engine numbers its tenants; 0 is everybody who says nothing.
using tenant_id = std::uint32_t;

/// The highest number that a tenant can have.
inline constexpr tenant_id max_tenant = ~tenant_id{0} - 1;

/// The most blocks that one pool takes: two bits of an id are the library's own.
inline constexpr std::size_t max_blocks = (std::size_t{1} << 30) - 2;

/// The most tokens that one block takes.
inline constexpr std::size_t max_block_tokens = std::size_t{1} << 20;

/// What a block is worth to the cache, as the request said that filled it.
///
/// Good for a front end that knows more than the cache can see: how dear a prompt is, for how long, and whether the
/// conversation goes on. `lru` does not look at it; `hinted` does.
struct worth {
  std::uint8_t priority = 35;  ///< 0 to 100: a lower one leaves first
  std::uint8_t later = 35;     ///< the priority from tick `until` on
  bool again = true;           ///< false: what this request adds will not be used again
  std::uint64_t until = 0;     ///< a tick of the pool's clock; 0: the priority stays
};

/// Why a published block is forgotten.
enum class removal : std::uint8_t {
  evicted,  ///< its room was needed
  asked,    ///< somebody called evict
  cleared,  ///< the whole pool was reset
};

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

/// Stands for what an order calls with each block that it gives up, and an index with each one that it names.
struct block_visitor {
  void operator()(block_id) const noexcept {}
};

template <class E>
concept can_pop = requires(E& e, block_id* out, std::size_t n, const block_visitor& seen) {
  { e.pop(out, n, seen) } noexcept -> std::same_as<void>;
};

template <class T>
concept counts_its_bytes = requires(const T& t) {
  { t.bytes() } noexcept -> std::same_as<std::size_t>;
};

/// Says who leaves first: `push(id)` when a cached block is let go, `remove(id)` when it is wanted again, `victim()`.
///
/// `pop` takes out the next n, in their order. A block that was pushed later never leaves before one that was pushed
/// earlier with the same worth: the pool pushes the tail of a chain first and relies on it. `push_chain` is called in
/// place of a push per block where it is there; `after(id)` lets `is_valid` of the pool check the order as well. An
/// order may have `value(id, worth)`, said of a block when it is published, `reuse(id)`, said when a later request
/// finds it, before `remove`, and `advance(tick)`.
template <class E>
concept eviction_order = std::default_initializable<E> && can_size_an_order<E> && can_push<E> && can_remove<E> &&
                         can_pop<E> && names_a_victim<E> && counts_itself<E> && knows_members<E> &&
                         counts_its_bytes<E> && self_checking<E>;

/// Mixes the tokens of one block into 64 bits, of which the upper half counts; equal tokens give equal bits.
template <class H>
concept token_hash = requires(const H& h, const token* tokens, std::size_t n, std::uint64_t seed) {
  { h(tokens, n, seed) } noexcept -> std::same_as<std::uint64_t>;
};

/// Salt and adapter of a request; `kv/root_table.hpp` has it.
struct prefix_key;

template <class Index>
concept names_positions = requires { typename Index::position; };

template <class Index>
concept can_open_an_index = requires(typename Index::options& with, std::size_t n, std::uint64_t seed, const char* name) {
  with.blocks = n;
  with.block_tokens = n;
  with.seed = seed;
  with.name = name;
  { Index::open(with) } noexcept -> std::same_as<result<Index>>;
};

template <class Index>
concept can_match = requires(const Index& i, typename Index::position at, const token* tokens, std::size_t n,
                             block_id* out) {
  { i.match(at, tokens, n, out) } noexcept -> std::same_as<std::size_t>;
};

template <class Index>
concept can_publish = requires(Index& i, typename Index::position at, const block_id* run, std::size_t n) {
  { i.publish(at, run, n) } noexcept -> std::same_as<void>;
};

template <class Index>
concept can_forget = requires(Index& i, const block_id* ids, std::size_t n) {
  { i.remove(ids, n) } noexcept -> std::same_as<void>;
};

template <class Index>
concept can_expect_removal = requires(const Index& i, block_id id) {
  { i.prefetch(id) } noexcept -> std::same_as<void>;
};

template <class Index>
concept can_keep_tokens = requires(Index& i, block_id id, std::size_t at, const token* tokens, std::size_t n) {
  { i.write(id, at, tokens, n) } noexcept -> std::same_as<void>;
};

template <class Index>
concept can_keep_blocks = requires(Index& i, const block_id* ids, std::size_t n, const token* tokens) {
  { i.write(ids, n, tokens) } noexcept -> std::same_as<void>;
};

template <class Index>
concept shows_tokens = requires(const Index& i, block_id id) {
  { i.tokens_of(id) } noexcept -> std::same_as<const token*>;
};

template <class Index>
concept can_hold_roots = requires(Index& i, const prefix_key& key) {
  { i.hold_root(key) } noexcept -> std::same_as<typename Index::position>;
};

template <class Index>
concept can_share_roots = requires(Index& i, typename Index::position root) {
  { i.share_root(root) } noexcept -> std::same_as<void>;
};

template <class Index>
concept can_let_roots_go = requires(Index& i, typename Index::position root) {
  { i.let_go_root(root) } noexcept -> std::same_as<void>;
};

template <class Index>
concept can_find_roots = requires(const Index& i, const prefix_key& key) {
  { i.find_root(key) } noexcept -> std::same_as<typename Index::position>;
};

template <class Index>
concept knows_roots = requires(typename Index::position at) {
  { Index::is_root(at) } noexcept -> std::same_as<bool>;
};

template <class Index>
concept knows_positions = requires(const Index& i, block_id id) {
  { i.position_of(id) } noexcept -> std::same_as<typename Index::position>;
};

template <class Index>
concept knows_parents = requires(const Index& i, block_id id) {
  { i.parent_of(id) } noexcept -> std::same_as<typename Index::position>;
};

template <class Index>
concept names_holders = requires(const Index& i, typename Index::position at, const block_visitor& see) {
  { i.each_holder(at, see) } noexcept -> std::same_as<void>;
};

template <class Index>
concept knows_published = requires(const Index& i, block_id id) {
  { i.is_published(id) } noexcept -> std::same_as<bool>;
};

/// Keeps what requests under one key may share apart from all others: a position for each key in use.
template <class Index>
concept has_roots = can_hold_roots<Index> && can_share_roots<Index> && can_let_roots_go<Index> &&
                    can_find_roots<Index> && knows_roots<Index>;

/// Knows which block holds which prefix: `match` walks, `publish` adds a run below a position, `remove` forgets blocks.
///
/// Positions stand for prefixes, and 0 for nowhere. match and publish compare tokens, so that a wrong hit is
/// impossible, and none of the three allocates. `open` takes `options`, an aggregate with blocks, block_tokens, seed and name.
template <class Index>
concept prefix_index = std::default_initializable<Index> && std::movable<Index> && names_positions<Index> &&
                       can_open_an_index<Index> && can_match<Index> && can_publish<Index> && can_forget<Index> &&
                       can_expect_removal<Index> && can_keep_tokens<Index> && can_keep_blocks<Index> &&
                       shows_tokens<Index> && has_roots<Index> && knows_positions<Index> && knows_parents<Index> &&
                       names_holders<Index> && knows_published<Index> && counts_itself<Index> &&
                       counts_its_bytes<Index> && self_checking<Index>;

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

template <class S>
concept says_whether_it_scrubs = requires(S& s, std::size_t blocks) {
  { S::enabled } -> std::convertible_to<bool>;
  { s.open(blocks) } noexcept -> std::same_as<bool>;
  { s.count() } noexcept -> std::same_as<std::size_t>;
};
template <class P>
concept names_a_scrub = requires { typename P::scrub; } && says_whether_it_scrubs<typename P::scrub>;

/// An order that wants to hear what blocks are worth.
template <class E>
concept knows_worth = requires(E& e, block_id id, const worth& of) {
  { e.value(id, of) } noexcept -> std::same_as<void>;
};
template <class E>
concept hears_of_reuse = requires(E& e, block_id id) {
  { e.reuse(id) } noexcept -> std::same_as<void>;
};
template <class E>
concept hears_of_chains = requires(E& e, const block_id* chain, std::size_t n) {
  { e.built(chain, n, n) } noexcept -> std::same_as<void>;
};
template <class E>
concept looks_ahead = requires(E& e, const block_id* chain, std::size_t n) {
  { e.look_ahead() } noexcept -> std::same_as<void>;
  { e.expect(chain, n, n) } noexcept -> std::same_as<void>;
};
/// An order that lets each tenant have so much: it hears who took what, and who takes next.
template <class E>
concept divides_blocks = requires(E& e, block_id* out, const block_id* ids, std::size_t n, tenant_id tenant,
                                  const block_visitor& seen) {
  { e.account(tenant).room(n, e.over()) } noexcept -> std::same_as<std::size_t>;
  { e.tenant_of(n) } noexcept -> std::same_as<tenant_id>;
  { e.charge(ids, n, tenant) } noexcept -> std::same_as<void>;
  { e.leave(ids, n) } noexcept -> std::same_as<void>;
  { e.promise(tenant, n) } noexcept -> std::same_as<void>;
  { e.redeem(tenant, n) } noexcept -> std::same_as<void>;
  { e.pop_for(tenant, out, n, seen) } noexcept -> std::same_as<void>;
};
template <class E>
concept has_a_clock = requires(E& e, std::uint64_t tick) {
  { e.advance(tick) } noexcept -> std::same_as<void>;
};

/// Events that want to hear which blocks can be found; called under the pool's lock.
template <class E, class Index>
concept hears_of_publishing = requires(E& e, const Index& i, typename Index::position at, const block_id* ids, std::size_t n) {
  { e.on_stored(i, at, ids, n, n) } noexcept -> std::same_as<void>;
  { e.on_removed(i, ids, n, removal::evicted) } noexcept -> std::same_as<void>;
};
template <class E>
concept keeps_rows_of_blocks = requires(E& e, std::size_t n, std::uint64_t seed) {
  { e.open(n, n, seed) } noexcept -> std::same_as<bool>;
};

/// Says when a block that was given back may be used again. `no_fence` and `stream_fence` let the pool hand it out at
/// once; one that `holds_blocks_back` keeps it until its work is done, in the order in which blocks were given back.
template <class F>
concept block_fence = std::default_initializable<F> && counts_its_bytes<F> && requires(F& f, std::size_t blocks) {
  { f.open(blocks) } noexcept -> std::same_as<bool>;
};
template <class F>
concept holds_blocks_back = block_fence<F> && self_checking<F> && counts_itself<F> && knows_members<F> &&
                            requires(F& f, block_id id, std::uint64_t step) {
                              { f.begin() } noexcept -> std::same_as<std::uint64_t>;
                              { f.settle(step) } noexcept -> std::same_as<bool>;
                              { f.busy() } noexcept -> std::same_as<bool>;
                              { f.add(id) } noexcept -> std::same_as<void>;
                              { f.remove(id) } noexcept -> std::same_as<void>;
                              { f.pop() } noexcept -> std::same_as<block_id>;
                            };
template <class P>
concept names_a_fence = requires { typename P::fence; } && block_fence<typename P::fence>;

/// The bundle of choices for a block pool: lock, guard, prefixes, evict, events, scrub, fence.
///
/// Inherit `kv::default_policy` and override by name.
template <class P>
concept pool_policy = names_a_lock<P> && names_a_guard<P> && names_an_index<P> && names_an_order<P> &&
                      names_events<P> && names_a_scrub<P> && names_a_fence<P>;

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
