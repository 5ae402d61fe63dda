// Pictures of KV memory: the blocks of a pool, the pages of a page space.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/kv/page_space.hpp>
#include <tokenheap/observe/viz_snapshot.hpp>

namespace tokenheap {
inline namespace v0 {

/// Where KV memory is shown. A pool that lies inside another allocator's piece needs a device number of its own.
struct viz_room {
  std::uint16_t device = 0;
  std::uint64_t address = 0;      ///< where the first block or page lies; asked only of what knows no addresses itself
  std::uint64_t block_bytes = 0;  ///< of a pool of ids alone; 0: a byte for each token
};

/// Adds the blocks of a KV pool as the pieces of one segment; the number of each is the line of its frame.
///
/// Live blocks are allocated; those that wait for a step are pending; cached ones are inactive, and named.
///
/// Threads   as the pool; its lock is held for one copy
/// Cost      O(blocks)
template <kv::pool_policy Policy>
void collect(viz_snapshot& out, const kv::block_pool<Policy>& from, const viz_room& where = {}) noexcept {
  const bool knows = from.shape().block_stride() != 0;
  const std::uint64_t ids_only = where.block_bytes != 0 ? where.block_bytes : from.block_tokens();
  const std::uint64_t stride = knows ? from.shape().block_stride() : ids_only;
  const std::uint64_t used = knows ? from.shape().block_bytes() : stride;
  const std::uint64_t start = knows ? address_of(from.data(0)) : where.address;
  bool begun = false;
  from.for_each_block([&](kv::block_id id, std::size_t references, bool published, bool in_flight) {
    const std::uint64_t at = start + id * stride;
    if (!begun) {
      out.begin_segment({.device = where.device, .address = at, .frame = {.name = "kv blocks", .filename = from.name()}});
    }
    begun = true;
    const bool is_live = references != 0;
    const char* const name = is_live      ? (published ? "kv block, published" : "kv block")
                             : in_flight  ? "kv block, in flight"
                             : published  ? "kv block, cached"
                                          : "kv block, free";
    out.add(viz_block{.address = at, .size = stride, .requested = used,
                      .state = is_live ? viz_state::allocated : in_flight ? viz_state::pending : viz_state::inactive,
                      .frame = {.name = name, .filename = from.name(), .line = id}});
  });
  out.arrange();
}

/// Adds the pages of a page space as the pieces of one segment; what no page takes up is inactive. Lines are groups.
///
/// Threads   as the space
/// Cost      O(pages)
inline void collect(viz_snapshot& out, const kv::page_space& from, const viz_room& where = {}) noexcept {
  if (from.bytes() == 0) return;
  out.begin_segment({.device = where.device, .address = where.address, .frame = {.name = "pages", .filename = from.name()}});
  std::uint64_t end = 0;
  const auto fill = [&](std::uint64_t until, const char* name) {
    if (until == end) return;
    out.add(viz_block{.address = where.address + end, .size = until - end,
                      .frame = {.name = name, .filename = from.name()}});
    end = until;
  };
  from.for_each_page([&](std::size_t offset, std::size_t bytes, std::size_t group, std::uint32_t, bool is_out) {
    fill(offset, "between pages");
    out.add(viz_block{.address = where.address + offset, .size = bytes, .requested = bytes,
                      .state = is_out ? viz_state::allocated : viz_state::inactive,
                      .frame = {.name = is_out ? "page" : "page, idle", .filename = from.name(), .line = group}});
    end = offset + bytes;
  });
  fill(from.bytes(), "between pages");
  out.arrange();
}

}  // namespace v0
}  // namespace tokenheap
