// Questions that a tier can answer: a place below the device where blocks of a KV cache wait until they are wanted again.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/source.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// The name of a block's bytes in every tier: 128 bits over all that went into them, and the cache group.
struct tier_key {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  std::uint32_t group = 0;
  friend constexpr bool operator==(const tier_key&, const tier_key&) = default;
};

/// The bytes of one block: where they are, and how many; `bytes` is the tier's `block_bytes()`.
struct tier_span {
  void* address = nullptr;
  std::size_t bytes = 0;
};

/// What a tier says about one key.
enum class tier_answer : std::uint8_t {
  miss,     ///< not there, refused, or lost: the engine computes it
  hit,      ///< there; of a load: the bytes have arrived; of a store: the tier has them now
  pending,  ///< on its way in: a store is in flight
  retry,    ///< cannot say now: a breaker is open, or all room is held; ask again later or take it as a miss
};

/// A batch in flight; the zero ticket stands for one that the tier refused whole.
struct tier_ticket {
  std::uint64_t id = 0;
  constexpr explicit operator bool() const noexcept { return id != 0; }
  friend constexpr bool operator==(const tier_ticket&, const tier_ticket&) = default;
};

/// What a tier has counted. Each key of a batch ends in exactly one number of its row.
///
///   lookups  == hits + misses + pending + retries
///   stores   == stored + present + refused + storing             (present: it had the key already)
///   loads    == loaded + load_failures + loading
///   stored + recovered == blocks + evicted + removed + lost      (lost: found damaged or gone; a miss since then)
struct tier_stats {
  std::uint64_t lookups = 0, hits = 0, misses = 0, pending = 0, retries = 0;
  std::uint64_t stores = 0, stored = 0, present = 0, refused = 0, storing = 0;
  std::uint64_t loads = 0, loaded = 0, load_failures = 0, loading = 0;
  std::uint64_t recovered = 0, blocks = 0, evicted = 0, removed = 0, lost = 0;
  std::uint64_t capacity = 0;  ///< most blocks at a time; 0: somebody else's limit

  /// True if the four rows add up. A tier that other processes share cannot know the last row: it leaves it out.
  [[nodiscard]] constexpr bool adds_up(bool shared = false) const noexcept {
    return lookups == hits + misses + pending + retries && stores == stored + present + refused + storing &&
           loads == loaded + load_failures + loading && (shared || stored + recovered == blocks + evicted + removed + lost);
  }
};

template <class T>
concept has_a_block_size = requires(const T& t) {
  { t.block_bytes() } noexcept -> std::same_as<std::size_t>;
};

template <class T>
concept answers_lookups = requires(T& t, const tier_key* keys, std::size_t n, tier_answer* out) {
  { t.lookup(keys, n, out) } noexcept -> std::same_as<std::size_t>;
};

template <class T>
concept starts_loads = requires(T& t, const tier_key* keys, const tier_span* to, std::size_t n) {
  { t.prepare_load(keys, to, n) } noexcept -> std::same_as<tier_ticket>;
};

template <class T>
concept ends_loads = requires(T& t, tier_ticket which, tier_answer* out) {
  { t.complete_load(which, out) } noexcept -> std::same_as<std::size_t>;
};

template <class T>
concept starts_stores = requires(T& t, const tier_key* keys, const tier_span* from, std::size_t n) {
  { t.prepare_store(keys, from, n) } noexcept -> std::same_as<tier_ticket>;
};

template <class T>
concept ends_stores = requires(T& t, tier_ticket which, bool keep, tier_answer* out) {
  { t.complete_store(which, keep, out) } noexcept -> std::same_as<std::size_t>;
};

template <class T>
concept can_be_polled = requires(T& t, tier_ticket which) {
  { t.poll(which) } noexcept -> std::same_as<bool>;
};

template <class T>
concept can_remove_keys = requires(T& t, const tier_key* keys, std::size_t n) {
  { t.remove(keys, n) } noexcept -> std::same_as<std::size_t>;
};

template <class T>
concept counts_as_a_tier = requires(const T& t) {
  { t.stats() } noexcept -> std::same_as<tier_stats>;
};

/// Keeps blocks by name and gives their bytes back: never wrong bytes, never a wait, and any trouble is a miss.
///
/// `lookup` answers each key and returns the number of hits. `prepare_load` and `prepare_store` start a batch and return
/// at once; `poll` is true when the batch is over; `complete_...` then writes one answer per key, returns the hits, and
/// ends the ticket. Until then the tier may touch the spans, what is being loaded stays, and what is being stored is
/// pending. Before `poll` is true, and for a ticket that is not in flight, complete returns 0 and changes nothing.
/// `complete_store` with `keep` false, and a store that fails, leave no trace. A span of another size than
/// `block_bytes()` is refused with its key. A batch never pushes its own keys out; of equal keys in it the first counts.
/// `remove` forgets keys that nothing in flight touches and returns how many. A tier that works at once has done all of it
/// when prepare returns, and its `poll` is always true. `docs/writing-a-tier.md` tells more.
///
/// Requires  spans that live, and bytes of a store that do not change, until poll was true
/// Fails     never loudly: a refused batch is the zero ticket, a refused or lost key is `miss`
/// Threads   not safe unless the tier says so
template <class T>
concept tier = has_a_block_size<T> && answers_lookups<T> && starts_loads<T> && ends_loads<T> && starts_stores<T> &&
               ends_stores<T> && can_be_polled<T> && can_remove_keys<T> && counts_as_a_tier<T> && named<T> &&
               self_checking<T>;

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
