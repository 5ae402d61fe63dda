// The blocks of a batch as TensorRT-LLM reads them: offsets of keys and of values in a primary and a secondary pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <tokenheap/adapt/block_tables.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/layout.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

// Read in NVIDIA/TensorRT-LLM: cpp/tensorrt_llm/kernels/kvCacheUtils.h 0ccf903 (KVBlockArray: the row of keys, then that
// of values; address = pool + offset x bytes of a piece), cpp/include/tensorrt_llm/kernels/kvCacheIndex.h 27574b9 (the top
// bit is the secondary pool, all bits are no block), cpp/tensorrt_llm/batch_manager/kvCacheManager.cpp 002ba6a (setOffsets:
// block x layers x 2, and 1 more for values; pointers [pools, 2]; pool and place of each layer [layers, 2]).

/// The bit of an id, in a row, that says: block `id` of the secondary pool, counted from 0 there.
inline constexpr kv::block_id secondary_bit = kv::block_id{1} << 31;

/// A block of the secondary pool, for a row. Requires id < kv::max_blocks
[[nodiscard]] constexpr kv::block_id in_secondary(kv::block_id id) noexcept { return id | secondary_bit; }

/// What stands for a block that is not there: a hole in a row.
inline constexpr std::int32_t trtllm_null_offset = -1;

/// What TensorRT-LLM fills the rest of a row with.
inline constexpr std::int32_t trtllm_padding = 0x7fffffff;

/// How TensorRT-LLM counts in a pool: in pieces, which are the keys or the values of one layer in one block.
///
/// Made by `trtllm_pool_of` from a layout. `primary` and `secondary` are where block 0 starts in each.
struct trtllm_pool {
  void* primary = nullptr;
  void* secondary = nullptr;    ///< host memory of the same layout, or null
  std::size_t piece_bytes = 0;  ///< mBytesPerBlock of a kernel
  std::size_t block_step = 0;   ///< pieces from a block to the next one
  std::size_t value_step = 0;   ///< pieces from keys to values; 0 with one plane
  std::size_t layer_step = 0;   ///< pieces from a layer to the next one
  std::size_t layers = 0;
  std::size_t block_tokens = 0;

  /// The pool pointers that the kernel of one layer gets. Requires layer < layers
  [[nodiscard]] void* primary_of(std::size_t layer) const noexcept { return behind(primary, layer); }
  [[nodiscard]] void* secondary_of(std::size_t layer) const noexcept { return behind(secondary, layer); }

 private:
  [[nodiscard]] void* behind(void* pool, std::size_t layer) const noexcept {
    return pool == nullptr ? nullptr : offset(pool, layer * layer_step * piece_bytes);
  }
};

namespace detail {

[[nodiscard]] constexpr failure no_trtllm(const char* what, std::size_t need, std::size_t available,
                                          const char* fix) noexcept {
  return no_table(errc::unsupported, what, need, available, fix);
}

/// What the kernels demand of a layout beside strides, or `errc::ok`.
[[nodiscard]] constexpr failure bad_for_trtllm(const kv::layout& l) noexcept {
  if (!is_power_of_two(l.block_tokens))
    return no_trtllm("tokens of a block of TensorRT-LLM, a power of two", l.block_tokens, 0, "use 16, 32, 64 or 128");
  if (l.order != kv::axis_order::hnd && l.kv_heads != 1 && l.block_tokens != 1)
    return no_trtllm("order of a plane", 0, 0, "TensorRT-LLM reads heads, then tokens: use axis_order::hnd");
  if (l.tensors() != 1)
    return no_trtllm("tensors of one pool", 1, l.tensors(),
                     "describe each layer as a layout of one layer, and a pool each");
  if (l.planes == 2 && l.plane_bytes(0) != l.plane_bytes(1))
    return no_trtllm("bytes of keys and of values", l.plane_bytes(0), l.plane_bytes(1), "give both heads of one size");
  if (l.scales_in(kv::scale_place::page) || l.scales_in(kv::scale_place::row))
    return no_trtllm("scales in the page", 0, l.plane_scale_bytes(0),
                     "put them beside it: they are a pool of their own");
  return {};
}

}  // namespace detail

/// Counts a layout in TensorRT-LLM's pieces: `[blocks, layers, 2, heads, tokens, head]`, or with layers outermost.
///
/// Fails     an order, strides or a block that its kernels cannot read; says the numbers
/// Threads   safe
[[nodiscard]] inline result<trtllm_pool> trtllm_pool_of(const kv::layout& shape, void* primary,
                                                        void* secondary = nullptr) noexcept {
  if (const failure bad = shape.why_not("block table"); bad.code != errc::ok) return bad;
  if (const failure bad = detail::bad_for_trtllm(shape); bad.code != errc::ok) return bad;
  const std::size_t piece = shape.plane_bytes(0);
  if (piece > kv::max_int32)
    return detail::no_table(errc::size_overflow, "bytes of a piece, in int32", piece, kv::max_int32,
                            "use smaller blocks");
  if (primary == nullptr)
    return detail::no_table(errc::invalid_argument, "memory of the primary pool", 1, 0, "give where block 0 starts");
  const std::size_t steps[] = {shape.block_stride(), shape.planes == 2 ? shape.plane_stride() : 0,
                               shape.layers == 1 ? 0 : shape.layer_stride()};
  for (const std::size_t step : steps) {
    if (step % piece != 0)
      return detail::no_trtllm("bytes from one piece to another, in whole pieces", step, piece,
                               "leave no gaps in the tensor");
  }
  return trtllm_pool{.primary = primary,
                     .secondary = secondary,
                     .piece_bytes = piece,
                     .block_step = steps[0] / piece,
                     .value_step = steps[1] / piece,
                     .layer_step = shape.layers == 1 ? shape.planes : steps[2] / piece,
                     .layers = shape.layers,
                     .block_tokens = shape.block_tokens};
}

/// Where the offsets of a batch go: one row for each beam of each request.
struct trtllm_table {
  std::span<std::int32_t> offsets{};  ///< [rows, 2, width]
  std::size_t width = 0;
  std::int32_t padding = trtllm_padding;
};

namespace detail {

[[nodiscard]] inline failure bad_offsets(std::span<const kv::table_row> rows, const trtllm_pool& pool,
                                         const trtllm_table& out, std::uint32_t& bits) noexcept {
  // ids of both pools are below the bit: the same limit holds for both, and no offset may read as padding or as none
  const std::size_t largest = static_cast<std::size_t>(trtllm_padding) - 1;
  const std::size_t most =
      pool.block_step == 0 || pool.value_step > largest ? 0 : (largest - pool.value_step) / pool.block_step;
  std::size_t places = 0;
  if (pool.block_step == 0 || pool.block_tokens == 0)
    return no_table(errc::invalid_argument, "a pool that was not made", 0, 0, "make it with trtllm_pool_of");
  if (!checked_mul(rows.size(), out.width, places) || !checked_mul(places, 2, places) || places > kv::max_int32)
    return no_table(errc::size_overflow, "offsets of a batch, in int32: rows x 2 x width", rows.size(), kv::max_int32,
                    "split the batch");
  const failure bad = bad_rows(rows, pool.block_tokens, out.width, kv::no_block, bits);
  if (bad.code != errc::ok) return bad;
  for (const kv::table_row& row : bits <= most ? rows.first(0) : rows) {
    for (const kv::block_id id : row.blocks) {
      if (id == kv::no_block) continue;
      if ((id & ~secondary_bit) > most)
        return no_table(errc::size_overflow, "an id of a row, by what its offset takes", id & ~secondary_bit, most,
                        "use larger blocks, or several pools", &row);
      if ((id & secondary_bit) != 0 && pool.secondary == nullptr)
        return no_table(errc::invalid_argument, "a block of a secondary pool that there is not", id & ~secondary_bit, 0,
                        "give the pool its secondary memory", &row);
    }
  }
  return too_small("places for offsets", places, out.offsets.size());
}

/// The offsets of blocks of the primary pool; the three lie apart.
inline void put_pieces(std::span<const kv::block_id> from, std::uint32_t step, std::uint32_t value,
                       std::int32_t* __restrict keys, std::int32_t* __restrict values) noexcept {
  for (std::size_t at = 0; at != from.size(); ++at) {
    const std::uint32_t piece = from[at] * step;
    keys[at] = static_cast<std::int32_t>(piece);
    values[at] = static_cast<std::int32_t>(piece + value);
  }
}

}  // namespace detail

/// Writes a batch as TensorRT-LLM's block offsets of one pool: for each row the keys of its blocks, then their values.
///
/// One table serves all layers of the pool: a kernel adds its layer to the pool's pointer (`primary_of`). With one plane
/// both lines are the same. Lost: sink tokens and cyclic caches, which its kernels lay over the table by themselves.
///
/// Fails     with the room that was needed, and nothing is written
/// Threads   safe: writes into the span alone
/// Cost      O(blocks + padding): a pass to check and one to write; no memory is asked for
/// Example   examples/kv_engine.cpp
[[nodiscard]] inline failure write_trtllm(std::span<const kv::table_row> rows, const trtllm_pool& pool,
                                          const trtllm_table& out) noexcept {
  std::uint32_t bits = 0;
  if (const failure no = detail::bad_offsets(rows, pool, out, bits); no.code != errc::ok) return no;
  const auto step = static_cast<std::uint32_t>(pool.block_step), value = static_cast<std::uint32_t>(pool.value_step);
  const bool plain = (bits & secondary_bit) == 0;
  std::int32_t* keys = out.offsets.data();
  for (const kv::table_row& row : rows) {
    std::int32_t* const values = keys + out.width;
    std::size_t at = 0;
    if (plain) {
      detail::put_pieces(row.blocks, step, value, keys, values);
      at = row.blocks.size();
    }
    for (; at != row.blocks.size(); ++at) {
      const kv::block_id id = row.blocks[at];
      const std::uint32_t piece = (id & ~secondary_bit) * step, bit = id & secondary_bit;
      keys[at] = id == kv::no_block ? trtllm_null_offset : static_cast<std::int32_t>(piece | bit);
      values[at] = id == kv::no_block ? trtllm_null_offset : static_cast<std::int32_t>((piece + value) | bit);
    }
    for (; at != out.width; ++at) keys[at] = values[at] = out.padding;
    keys = values + out.width;
  }
  return {};
}

/// Writes `host_kv_cache_pool_pointers` [pools, 2] and `host_kv_cache_pool_mapping` [layers, 2] of several pools.
///
/// Layers are numbered pool after pool.
///
/// Fails     with the room that was needed, or for a pool whose layers are not side by side; nothing is written
[[nodiscard]] inline failure write_trtllm_pools(std::span<const trtllm_pool> pools, std::span<std::int64_t> pointers,
                                                std::span<std::int32_t> mapping) noexcept {
  std::size_t layers = 0;
  for (const trtllm_pool& pool : pools) {
    const std::size_t side_by_side = pool.value_step == 0 ? 1 : 2;
    if (pool.layer_step != side_by_side)
      return detail::no_trtllm("pieces from a layer to the next one", side_by_side, pool.layer_step,
                               "give each layer a pool of its own");
    if (pool.layers > kv::max_int32 || pools.size() > kv::max_int32)
      return detail::no_table(errc::size_overflow, "layers of a pool, in int32", pool.layers, kv::max_int32,
                              "make it with trtllm_pool_of");
    layers += pool.layers;
  }
  if (const failure no = detail::too_small("places for pool pointers", pools.size() * 2, pointers.size());
      no.code != errc::ok)
    return no;
  if (const failure no = detail::too_small("places for the mapping of layers", layers * 2, mapping.size());
      no.code != errc::ok)
    return no;
  std::size_t layer = 0;
  for (std::size_t p = 0; p != pools.size(); ++p) {
    pointers[p * 2] = static_cast<std::int64_t>(address_of(pools[p].primary));
    pointers[p * 2 + 1] = static_cast<std::int64_t>(address_of(pools[p].secondary));
    for (std::size_t n = 0; n != pools[p].layers; ++n, ++layer) {
      mapping[layer * 2] = static_cast<std::int32_t>(p);
      mapping[layer * 2 + 1] = static_cast<std::int32_t>(n);
    }
  }
  return {};
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
