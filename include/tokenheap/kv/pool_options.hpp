// The amounts of a block pool, what it reports, and what it refuses.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/layout.hpp>
#include <tokenheap/kv/scrub.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Copies the keys and values of one block over another, for memory that the CPU cannot touch; runs under no lock.
struct block_copy {
  void (*run)(void* user, block_id from, block_id to) noexcept = nullptr;
  void* user = nullptr;
};

/// The amounts of a pool.
struct pool_options {
  std::size_t blocks = 0;         ///< usable blocks; a null block is one more
  std::size_t block_tokens = 16;
  bool null_block = false;        ///< keep id 0 back, for the padding of page tables
  bool cache = true;              ///< keep published blocks findable after they are let go
  std::size_t watermark = 0;      ///< blocks that a request which begins leaves for those that run
  const char* name = "kv";
  std::uint64_t seed = 0;         ///< of the prefix index's hash
  block_copy copy{};
  block_fill wipe{};              ///< for a policy that scrubs, where the CPU cannot touch the memory
};

/// What a pool holds at one moment. free + cached + live + in_flight == total, always.
struct pool_stats {
  std::size_t total = 0;      ///< usable blocks
  std::size_t free = 0;       ///< hold nothing
  std::size_t cached = 0;     ///< hold a published prefix and can be evicted at any time
  std::size_t live = 0;       ///< referenced
  std::size_t in_flight = 0;  ///< given back, but the fence of their last use has not passed
  std::size_t reserved = 0;   ///< of free and cached: promised to running requests
  std::size_t pinned = 0;     ///< references that handles of published blocks hold
  std::size_t published = 0;  ///< cached blocks, and the live ones that can be found
  std::size_t peak_live = 0;
  std::size_t evictions = 0;
  std::size_t asked_tokens = 0;   ///< prompt tokens of all sequences that were opened with the cache
  std::size_t reused_tokens = 0;  ///< those of them that were found
  std::size_t scrubbed = 0;       ///< blocks that were wiped
  std::size_t bookkeeping_bytes = 0;

  /// What can be had at once.
  [[nodiscard]] std::size_t available() const noexcept { return free + cached; }
};

/// A block at one time of its life: the same id with another generation is another block.
struct block_key {
  block_id id = no_block;
  std::uint32_t generation = 0;
  friend constexpr bool operator==(const block_key&, const block_key&) = default;
};

/// Where the keys and values lie, if the pool knows.
struct pool_memory {
  void* data = nullptr;
  std::size_t bytes = 0;
  bool cpu_accessible = false;
  layout shape{};
  void* below = nullptr;
  void (*give_back)(void* below, allocation memory) noexcept = nullptr;
};

/// Memory that an engine already has for all blocks of a pool; block `id` starts at `id` times `shape.block_stride()`.
struct tensor {
  void* data = nullptr;
  std::size_t bytes = 0;
  layout shape{};
  bool cpu_accessible = false;
};

/// What the memory of a pool is aligned to, whoever gives it.
inline constexpr std::size_t block_alignment = 256;

namespace detail {

[[nodiscard]] inline failure refuse(errc code, const pool_options& with, const char* what, std::size_t need,
                                    std::size_t limit, const char* fix) noexcept {
  return {.code = code, .pool = with.name, .what = what, .need = need, .limit = limit, .fix = fix};
}

}  // namespace detail

/// Why no pool can be opened with these amounts, or `errc::ok`.
[[nodiscard]] inline failure why_not(const pool_options& with) noexcept {
  if (with.name == nullptr) {
    pool_options named = with;
    named.name = "kv";
    return detail::refuse(errc::invalid_argument, named, "name of a pool", 0, 0, "give a text, or leave the default");
  }
  if (with.blocks == 0) {
    return detail::refuse(errc::invalid_argument, with, "blocks of a pool", 0, max_blocks, "give at least 1");
  }
  if (with.blocks > max_blocks) {
    return detail::refuse(errc::too_large, with, "blocks of a pool", with.blocks, max_blocks, "open several pools");
  }
  if (with.watermark >= with.blocks) {
    return detail::refuse(errc::invalid_argument, with, "watermark of a pool, in blocks", with.watermark, with.blocks - 1,
                          "leave blocks for requests to begin with, such as 1 in 100");
  }
  if (with.block_tokens == 0 || with.block_tokens > max_block_tokens) {
    return detail::refuse(errc::invalid_argument, with, "tokens of a block", with.block_tokens, max_block_tokens,
                          "give 1 to 1048576, such as 16");
  }
  return {};
}

/// Why no pool with these amounts can lie in blocks of this layout, or `errc::ok` and the bytes of all blocks.
[[nodiscard]] inline failure why_not(const pool_options& with, const layout& shape, std::size_t& bytes) noexcept {
  if (const failure wrong = why_not(with); wrong.code != errc::ok) return wrong;
  if (const failure wrong = shape.why_not(with.name); wrong.code != errc::ok) return wrong;
  if (shape.block_tokens != with.block_tokens) {
    return detail::refuse(errc::invalid_argument, with, "tokens of a block, in the layout and in the pool",
                          shape.block_tokens, with.block_tokens, "give both the same number");
  }
  const std::size_t blocks = with.blocks + (with.null_block ? 1 : 0);
  if (!shape.is_one_piece()) {
    return detail::refuse(errc::unsupported, with, "blocks of several pieces, in memory of the pool", shape.tensors(), 1,
                          "open the pool without memory, and copy over kv::for_each_piece");
  }
  if (!checked_mul(blocks, shape.block_stride(), bytes) || bytes > max_allocation) {
    return detail::refuse(errc::size_overflow, with, "bytes for all blocks, in blocks", blocks,
                          max_allocation / shape.block_stride(), "use fewer or smaller blocks");
  }
  if (const failure wrong = shape.why_not(blocks, with.name); wrong.code != errc::ok) return wrong;
  bytes = shape.tensor_bytes(blocks);
  return {};
}

/// Why these blocks cannot lie in an engine's tensor, or `errc::ok`.
[[nodiscard]] inline failure why_not(const pool_options& with, const tensor& memory) noexcept {
  std::size_t bytes = 0;
  if (const failure wrong = why_not(with, memory.shape, bytes); wrong.code != errc::ok) return wrong;
  if (memory.data == nullptr || address_of(memory.data) % block_alignment != 0) {
    failure wrong = detail::refuse(errc::invalid_argument, with, "alignment of the tensor, in bytes",
                                   block_alignment, 0, "give a tensor that starts at a multiple of 256 bytes");
    return wrong.address = memory.data, wrong;
  }
  if (memory.bytes < bytes) {
    failure wrong = detail::refuse(errc::too_large, with, "bytes of the tensor", bytes, memory.bytes,
                                   "use fewer blocks or give a larger tensor");
    return wrong.available = memory.bytes, wrong;
  }
  return {};
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
