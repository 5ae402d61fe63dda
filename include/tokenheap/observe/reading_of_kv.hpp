// How pools of KV blocks, page spaces and tiers are read.
#pragma once

#include <concepts>
#include <type_traits>

#include <tokenheap/concepts/tier.hpp>
#include <tokenheap/kv/page_sizes.hpp>
#include <tokenheap/kv/pool_options.hpp>
#include <tokenheap/observe/registry.hpp>

namespace tokenheap {
inline namespace v0 {

/// Answers `stats()` with `kv::pool_stats`: a `block_pool`.
template <class T>
concept counts_blocks = requires(const T& pool) {
  { pool.stats() } noexcept -> std::same_as<kv::pool_stats>;
};
/// Holds such a pool, and has no memory behind some of its blocks: an `elastic_pool`.
template <class T>
concept parks_blocks = requires(const T& pool) {
  requires counts_blocks<std::remove_cvref_t<decltype(pool.pool())>>;
  { pool.stats().parked } -> std::convertible_to<std::size_t>;
};
/// Answers `stats()` with `kv::page_space_stats`: a `page_space`.
template <class T>
concept counts_pages = requires(const T& pages) {
  { pages.stats() } noexcept -> std::same_as<kv::page_space_stats>;
};

template <counts_blocks T>
inline constexpr bool reads_alone<T> = std::same_as<typename T::policy::lock, no_lock>;
template <parks_blocks T>
inline constexpr bool reads_alone<T> = true;
template <counts_pages T>
inline constexpr bool reads_alone<T> = true;
template <kv::tier T>
inline constexpr bool reads_alone<T> = true;

/// Fills in the bytes of blocks that are counted already: all blocks have one size.
inline void read_bytes_of_blocks(std::uint64_t block_bytes, pool_reading& into) noexcept {
  if (block_bytes == 0) return;
  into.block_bytes = block_bytes;
  const auto bytes = [&](std::uint64_t blocks) noexcept { return blocks == not_counted ? blocks : blocks * block_bytes; };
  const state_amounts& of = into.blocks;
  into.bytes = {.live = bytes(of.live), .pending = bytes(of.pending), .cached = bytes(of.cached), .free = bytes(of.free),
                .evictable = bytes(of.evictable), .pinned = bytes(of.pinned), .reserved = bytes(of.reserved),
                .limit = bytes(of.limit), .peak = bytes(of.peak)};
}

/// Fills in what a pool of blocks says, in blocks and tokens.
inline void read_stats(const kv::pool_stats& now, pool_reading& into) noexcept {
  state_amounts& blocks = into.blocks;
  blocks = {.live = now.live, .pending = now.in_flight, .cached = now.cached, .free = now.free, .pinned = now.pinned,
            .reserved = now.reserved, .limit = now.total, .peak = now.peak_live};
  // promises are kept out of the free blocks first, then out of the cached ones
  const std::size_t room = now.available() > now.reserved ? now.available() - now.reserved : 0;
  blocks.evictable = now.cached < room ? now.cached : room;
  into.bookkeeping = now.bookkeeping_bytes;
  into.queried_tokens = now.asked_tokens;
  into.hit_tokens = now.reused_tokens;
  into.scrubbed = now.scrubbed;
  into.evictions.add("pool", now.evictions);
}

namespace detail {

template <counts_blocks T>
void read_shape(const T& pool, pool_reading& into) noexcept {
  into.block_tokens = pool.block_tokens();
  const kv::layout& shape = pool.shape();
  if (shape.block_tokens == 0 || shape.layers == 0) return;
  read_bytes_of_blocks(shape.block_bytes() + shape.beside_bytes(), into);
}

}  // namespace detail

/// Without a layout a pool knows blocks alone, and no bytes.
template <counts_blocks T>
void read_pool(T& pool, pool_reading& into) noexcept {
  into.kind = "block_pool";
  read_stats(pool.stats(), into);
  detail::read_shape(pool, into);
  if (into.block_bytes != not_counted) {
    into.waste.add("alignment", pool.shape().padding_bytes() * into.blocks.limit);
  }
}

/// Parked blocks have no memory: they count for the limit, and for no state.
template <parks_blocks T>
void read_pool(T& pool, pool_reading& into) noexcept {
  into.kind = "elastic_pool";
  read_stats(pool.pool().stats(), into);
  const auto now = pool.stats();
  into.blocks.live -= now.parked;
  into.blocks.peak = not_counted;  // the pool counts parked blocks as live
  detail::read_shape(pool.pool(), into);
  into.waste.add("stuck", now.stuck);
  const std::uint64_t used = into.bytes.capacity();
  // of granules that hold blocks in part
  if (used != not_counted) into.waste.add("granule", now.mapped > used + now.stuck ? now.mapped - used - now.stuck : 0);
}

/// Fills in what a page space says; `idle` pages are free, but for one group alone.
inline void read_stats(const kv::page_space_stats& now, pool_reading& into) noexcept {
  into.bytes.live = now.used;
  into.bytes.free = now.idle + now.empty;
  into.bytes.limit = now.bytes;
  into.pieces = now.takes - now.gives;
  into.allocations = now.takes;
  into.deallocations = now.gives;
  into.moves.add("vacated", now.moves);
  into.waste.add("tails", now.tails);
  into.waste.add("idle", now.idle);
  into.waste.add("remainder", now.remainder);
}

template <counts_pages T>
void read_pool(T& pages, pool_reading& into) noexcept {
  into.kind = "page_space";
  read_stats(pages.stats(), into);
}

/// Fills in what a tier says, in blocks.
inline void read_stats(const kv::tier_stats& now, pool_reading& into) noexcept {
  into.blocks.cached = now.blocks;
  into.blocks.pending = now.storing;
  if (now.capacity != 0) {
    into.blocks.limit = now.capacity;
    const std::uint64_t used = now.blocks + now.storing;
    into.blocks.free = now.capacity > used ? now.capacity - used : 0;
  }
  into.lookups.add("hit", now.hits);
  into.lookups.add("miss", now.misses);
  into.lookups.add("pending", now.pending);
  into.lookups.add("retry", now.retries);
  into.stores.add("stored", now.stored);
  into.stores.add("present", now.present);
  into.stores.add("refused", now.refused);
  into.loads.add("loaded", now.loaded);
  into.loads.add("failed", now.load_failures);
  into.evictions.add("capacity", now.evicted);
  into.evictions.add("removed", now.removed);
  into.evictions.add("lost", now.lost);
}

/// A chain of tiers is one pool, each tier of it another: register both, and do not add them up.
template <kv::tier T>
void read_pool(T& tier, pool_reading& into) noexcept {
  into.kind = "tier";
  kv::tier_stats now = tier.stats();
  if constexpr (requires { tier.chain_stats().promoted; }) {
    into.kind = "tier_chain";
    const auto own = tier.chain_stats();
    now.refused -= own.skipped;
    into.stores.add("skipped", own.skipped);
    into.moves.add("promoted", own.promoted);
    into.moves.add("spilled", own.spilled);
    read_stats(now, into);
    // blocks and their ends are its tiers'
    into.blocks = {};
    into.evictions = {};
  } else {
    read_stats(now, into);
  }
  read_bytes_of_blocks(tier.block_bytes(), into);
  if constexpr (requires { tier.wire_stats().redirected; }) {
    const auto& wire = tier.wire_stats();
    into.wire.add("connect", wire.connects);
    into.wire.add("cut", wire.cut);
    into.wire.add("late", wire.late);
    into.wire.add("garbage", wire.garbage);
    into.wire.add("redirected", wire.redirected);
    into.wire.add("refreshed", wire.refreshed);
    into.wire.add("damaged", wire.damaged);
  }
}

}  // namespace v0
}  // namespace tokenheap
