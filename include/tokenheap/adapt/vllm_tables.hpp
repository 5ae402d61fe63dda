// The blocks of a batch as vLLM reads them: a dense table, and the slots of the tokens that a step computes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <tokenheap/adapt/block_tables.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/page_table.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// Where vLLM's dense table goes, and how its kernels cut blocks.
struct vllm_table {
  std::span<std::int32_t> blocks{};    ///< [rows, width]
  std::size_t width = 0;               ///< in blocks of the kernel
  std::span<std::int32_t> seq_lens{};  ///< [rows]; or none, and then they are not written
  std::size_t parts = 1;     ///< blocks of the kernel in one of the pool: b becomes b * parts, b * parts + 1, ...
  std::int32_t padding = 0;  ///< behind a row and in its holes: vLLM's null block
};

/// The width that vLLM gives a table: rounded up so that a row is a multiple of 128 tokens (block_table.py 01edfd0).
[[nodiscard]] constexpr std::size_t vllm_width(std::size_t blocks, std::size_t block_tokens) noexcept {
  const std::size_t step = block_tokens == 0 || block_tokens > 128 ? 1 : 128 / block_tokens;
  return divide_up(blocks, step) * step;
}

namespace detail {

/// The blocks of the kernel that a row's blocks are cut into, and padding for holes; returns the place behind them.
inline std::int32_t* put_parts(std::span<const kv::block_id> blocks, std::uint32_t parts, std::int32_t padding,
                               std::int32_t* to) noexcept {
  for (const kv::block_id id : blocks) {
    for (std::uint32_t part = 0; part != parts; ++part)
      *to++ = id == kv::no_block ? padding : static_cast<std::int32_t>(id * parts + part);
  }
  return to;
}

}  // namespace detail

/// Writes a batch as vLLM's block table (vllm/v1/worker/block_table.py 01edfd0), blocks for drafts too, and its lengths.
///
/// Fails     with the room that was needed, and nothing is written
/// Threads   safe: writes into the spans alone
/// Cost      O(blocks + padding): a pass to check and one to write; no memory is asked for
/// Example   examples/kv_engine.cpp
[[nodiscard]] inline failure write_vllm(std::span<const kv::table_row> rows, std::size_t block_tokens,
                                        const vllm_table& out) noexcept {
  std::size_t places = 0;
  if (out.parts == 0 || block_tokens % out.parts != 0)
    return detail::no_table(errc::invalid_argument, "tokens of a block, in blocks of the kernel", block_tokens,
                            out.parts, "let the kernel's block divide the pool's");
  if (!checked_mul(rows.size(), out.width, places))
    return detail::no_table(errc::size_overflow, "rows of a table, by its width", rows.size(), out.width,
                            "split the batch");
  const std::size_t most = (kv::max_int32 - (out.parts - 1)) / out.parts;
  std::uint32_t bits = 0;
  const failure bad = detail::bad_rows(rows, block_tokens, out.width / out.parts, most, bits);
  if (bad.code != errc::ok) return bad;
  if (const failure no = detail::too_small("places in a block table", places, out.blocks.size()); no.code != errc::ok)
    return no;
  if (!out.seq_lens.empty()) {
    const failure no = detail::too_small("places in seq_lens", rows.size(), out.seq_lens.size());
    if (no.code != errc::ok) return no;
  }
  const bool plain = out.parts == 1 && bits <= kv::max_int32;
  std::int32_t* to = out.blocks.data();
  for (const kv::table_row& row : rows) {
    std::int32_t* const end = to + out.width;
    if (plain && !row.blocks.empty()) {
      // an id and an int32 have the same bytes: they were looked at above
      std::memcpy(to, row.blocks.data(), row.blocks.size() * sizeof(std::int32_t));
      to += row.blocks.size();
    } else {
      to = detail::put_parts(row.blocks, static_cast<std::uint32_t>(out.parts), out.padding, to);
    }
    while (to != end) *to++ = out.padding;
  }
  for (std::size_t r = 0; r < (out.seq_lens.empty() ? 0 : rows.size()); ++r)
    out.seq_lens[r] = static_cast<std::int32_t>(rows[r].tokens);
  return {};
}

/// The tokens [first, first + count) of one request that a step computes.
struct query_row {
  std::span<const kv::block_id> blocks{};
  std::size_t first = 0;
  std::size_t count = 0;
};

/// What vLLM's kernels skip (PAD_SLOT_ID of vllm/v1/attention/backends/utils.py).
inline constexpr std::int64_t vllm_pad_slot = -1;

namespace detail {

/// Why the tokens of a step have no slots, or `errc::ok` and how many there are.
[[nodiscard]] inline failure bad_queries(std::span<const query_row> rows, std::size_t block_tokens,
                                         std::size_t& total) noexcept {
  if (block_tokens == 0 || block_tokens > kv::max_int32)
    return no_table(errc::invalid_argument, "tokens of a block", block_tokens, kv::max_int32,
                    "give 1 to 2147483647, such as 16");
  const block_divider blocks(block_tokens);
  for (const query_row& row : rows) {
    std::size_t end = 0, slots = 0;
    if (!checked_add(row.first, row.count, end) || !checked_add(total, row.count, total) || total > kv::max_int32)
      return no_table(errc::size_overflow, "tokens of a step, in int32", row.count, kv::max_int32, "split the batch",
                      &row);
    if (!checked_mul(row.blocks.size(), block_tokens, slots) || end > slots)
      return no_table(errc::invalid_argument, "slots of a row", end, slots, "grow the sequence first", &row);
    for (std::size_t at = blocks.down(row.first); row.count != 0 && at <= blocks.down(end - 1); ++at) {
      if (row.blocks[at] == kv::no_block)
        return no_table(errc::invalid_argument, "a token to be written into a hole, by block of its row", at, 0,
                        "write behind the window alone", &row);
    }
  }
  return {};
}

}  // namespace detail

/// Writes vLLM's `slot_mapping`: block x block_tokens + place for each token of the step, and -1 behind the last one.
///
/// `starts`, if given, becomes `query_start_loc` [rows + 1]. Slots count in blocks of the pool; where the kernel cuts
/// blocks they are the same numbers. Lost: slots of context parallel ranks.
///
/// Fails     with the room that was needed, and nothing is written
/// Threads   safe: writes into the spans alone
/// Cost      a pass over the tokens of the step
[[nodiscard]] inline failure write_vllm_slots(std::span<const query_row> rows, std::size_t block_tokens,
                                              std::span<std::int64_t> out,
                                              std::span<std::int32_t> starts = {}) noexcept {
  std::size_t total = 0;
  if (const failure no = detail::bad_queries(rows, block_tokens, total); no.code != errc::ok) return no;
  if (const failure no = detail::too_small("places in slot_mapping", total, out.size()); no.code != errc::ok) return no;
  if (!starts.empty()) {
    const failure no = detail::too_small("places in query_start_loc", rows.size() + 1, starts.size());
    if (no.code != errc::ok) return no;
    starts[0] = 0;
  }
  const detail::block_divider blocks(block_tokens);
  std::int64_t* to = out.data();
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const query_row& row = rows[r];
    const std::size_t from = blocks.down(row.first);
    std::size_t place = row.first - from * block_tokens;
    for (std::size_t left = row.count, at = from; left != 0; ++at, place = 0) {
      const std::size_t run = block_tokens - place < left ? block_tokens - place : left;
      const std::int64_t slot = static_cast<std::int64_t>(row.blocks[at]) * static_cast<std::int64_t>(block_tokens) +
                                static_cast<std::int64_t>(place);
      for (std::size_t n = 0; n != run; ++n) to[n] = slot + static_cast<std::int64_t>(n);
      to += run;
      left -= run;
    }
    if (!starts.empty()) starts[r + 1] = static_cast<std::int32_t>(to - out.data());
  }
  for (std::int64_t* const end = out.data() + out.size(); to != end; ++to) *to = vllm_pad_slot;
  return {};
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
