// The words of a range map: what it is made of, what it hands out, what it counts.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tokenheap {
inline namespace v0 {

/// What a `range_map` is made of: the unit of its sizes, and how finely it sorts free ranges.
struct range_shape {
  std::size_t granularity = 256;  ///< every offset and size is a multiple of this power of two
  std::size_t subclasses = 64;    ///< classes per doubling of the size: 8, 16, 32 or 64
  std::size_t scan = 16;          ///< ranges of one class that are looked at for the best fit
  bool by_offset = false;         ///< keeps a table, so that a range can be given back by its offset alone
};

/// The span that a `range_map` starts with, and how many ranges it has room for before it asks for memory.
struct range_options {
  std::size_t size = 0;     ///< the span is [0, size), rounded down to the granularity; 0 starts empty
  std::size_t reserve = 0;  ///< ranges, free and out together, that never need more bookkeeping memory
  const char* name = "ranges";
};

/// One range that is out: where it starts, and the handle that gives it back in O(1).
struct range {
  std::size_t offset = 0;
  std::uint32_t node = 0;
  std::uint32_t generation = 0;

  constexpr explicit operator bool() const noexcept { return node != 0; }
  friend constexpr bool operator==(const range&, const range&) = default;
};

/// A stretch of an address space that a `range_map` cares for, and whether all of it is free.
struct range_span {
  std::size_t offset = 0;
  std::size_t size = 0;
  bool idle = false;
};

/// What a `range_map` holds at one moment. Always: out + available == capacity.
struct range_stats {
  std::size_t capacity = 0;
  std::size_t out = 0;           ///< bytes that are handed out, rounded up to the granularity
  std::size_t available = 0;     ///< bytes that are free
  std::size_t largest_free = 0;  ///< bytes of the largest free range
  std::size_t live_ranges = 0;
  std::size_t free_ranges = 0;
  std::size_t spans = 0;

  /// The share of the free bytes that one request for the largest free range could not have: 0 is none, 1 is all.
  [[nodiscard]] double fragmentation() const noexcept {
    return available == 0 ? 0.0 : 1.0 - static_cast<double>(largest_free) / static_cast<double>(available);
  }
};

}  // namespace v0
}  // namespace tokenheap
