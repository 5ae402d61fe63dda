// What a pool of any kind says about itself at one moment: the one form that metrics and reports are made of.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <tokenheap/observe/latency_histogram.hpp>

namespace tokenheap {
inline namespace v0 {

/// A number that a pool does not count; it stays out of what is written.
inline constexpr std::uint64_t not_counted = ~std::uint64_t{0};

/// Where the bytes, or the blocks, of a pool are.
///
/// The first four never overlap: together they are what the pool has. The others lie within them.
struct state_amounts {
  std::uint64_t live = not_counted;       ///< in the hands of callers
  std::uint64_t pending = not_counted;    ///< given back, but a stream, a step or a copy may still use it
  std::uint64_t cached = not_counted;     ///< kept because somebody may want it again
  std::uint64_t free = not_counted;       ///< holds nothing
  std::uint64_t evictable = not_counted;  ///< of the cached: can be had for something else now
  std::uint64_t pinned = not_counted;     ///< held in place by handles
  std::uint64_t reserved = not_counted;   ///< of the cached and the free: promised
  std::uint64_t limit = not_counted;      ///< most that the pool may have
  std::uint64_t peak = not_counted;       ///< most that was live

  /// What the pool has: the sum of the first four; `not_counted` if it counts none of them.
  [[nodiscard]] constexpr std::uint64_t capacity() const noexcept {
    std::uint64_t sum = 0;
    bool any = false;
    for (const std::uint64_t n : {live, pending, cached, free}) {
      if (n == not_counted) continue;
      any = true;
      sum += n;
    }
    return any ? sum : not_counted;
  }
  friend constexpr bool operator==(const state_amounts&, const state_amounts&) = default;
};

/// A few numbers, each with the value of a label: failures by reason, waste by cause.
///
/// Requires  labels that are literals, or outlive the list
class labelled_counts {
 public:
  /// One label and its number.
  struct row {
    const char* label;
    std::uint64_t count;
  };
  static constexpr std::size_t most = 24;

  /// Adds to the row of this label, and makes it if there is none; beyond `most` labels nothing happens.
  constexpr void add(const char* label, std::uint64_t count) noexcept {
    for (std::size_t k = 0; k != size_; ++k) {
      if (!equal(rows_[k].label, label)) continue;
      rows_[k].count += count;
      return;
    }
    if (size_ != most) rows_[size_++] = {label, count};
  }
  /// Returns   the number of a label; `not_counted` if it is not here
  [[nodiscard]] constexpr std::uint64_t of(const char* label) const noexcept {
    for (const row& r : *this)
      if (equal(r.label, label)) return r.count;
    return not_counted;
  }
  [[nodiscard]] constexpr const row* begin() const noexcept { return rows_.data(); }
  [[nodiscard]] constexpr const row* end() const noexcept { return rows_.data() + size_; }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }

 private:
  [[nodiscard]] static constexpr bool equal(const char* a, const char* b) noexcept {
    while (*a != '\0' && *a == *b) ++a, ++b;
    return *a == *b;
  }

  std::array<row, most> rows_{};
  std::size_t size_ = 0;
};

/// What one owner has of a pool.
struct owner_reading {
  std::string owner;
  std::uint64_t bytes = 0;
  std::uint64_t peak_bytes = 0;
};

/// How long one kind of call took.
struct latency_reading {
  std::string op;
  latency_counts counts;
};

/// What a pool says at one moment. It copies all texts but those of `labelled_counts`, and outlives the pool.
///
/// A type of your own becomes readable by a function beside it, `void read_pool(my_pool&, pool_reading&) noexcept`, that
/// fills what it knows; the labels are filled already.
struct pool_reading {
  std::string pool, owner, space, device;  ///< labels; an empty one is left out
  const char* kind = "";                   ///< what sort of pool it is: `block_pool`, `caching_allocator`, ...

  state_amounts bytes;
  state_amounts blocks;                       ///< of KV: blocks, of nothing else
  std::uint64_t pieces = not_counted;         ///< allocations that are out
  std::uint64_t pending_pieces = not_counted;
  std::uint64_t block_bytes = not_counted;
  std::uint64_t block_tokens = not_counted;
  std::uint64_t soft_limit = not_counted;     ///< bytes from which on somebody is told
  std::uint64_t largest_free = not_counted;   ///< bytes of the largest piece that could be handed out
  std::uint64_t bookkeeping = not_counted;    ///< bytes that the pool itself needs

  std::uint64_t allocations = not_counted;
  std::uint64_t deallocations = not_counted;
  std::uint64_t allocated_bytes = not_counted;  ///< the sum of all that was ever handed out
  std::uint64_t queried_tokens = not_counted;   ///< prompt tokens that were looked up in the cache
  std::uint64_t hit_tokens = not_counted;       ///< those of them that were found
  std::uint64_t scrubbed = not_counted;         ///< blocks that were wiped

  labelled_counts failures;      ///< by reason
  labelled_counts evictions;     ///< blocks, by cause
  labelled_counts waste;         ///< bytes that nobody can use, by cause
  labelled_counts device_calls;  ///< by call
  labelled_counts lookups;       ///< of a tier, in blocks, by result
  labelled_counts stores;
  labelled_counts loads;
  labelled_counts moves;         ///< blocks or pages that were copied, by reason
  labelled_counts wire;          ///< what connections went through, by event

  std::vector<owner_reading> owners;
  std::vector<latency_reading> latencies;

  /// The share of what could be handed out that one request for the largest piece could not have: 0 none, 1 all.
  ///
  /// Returns   a number below 0 if the pool does not count it
  [[nodiscard]] double fragmentation() const noexcept {
    if (largest_free == not_counted) return -1;
    std::uint64_t room = bytes.free == not_counted ? 0 : bytes.free;
    if (bytes.cached != not_counted) room += bytes.cached;
    // the two may be of two moments
    if (room == 0 || largest_free >= room) return 0;
    return 1.0 - static_cast<double>(largest_free) / static_cast<double>(room);
  }
};

}  // namespace v0
}  // namespace tokenheap
