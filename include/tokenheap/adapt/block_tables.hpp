// The blocks of a batch as FlashInfer, vLLM and TensorRT-LLM read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/layout.hpp>
#include <tokenheap/kv/page_table.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

// A row may list `kv::no_block` for a block that was let go, such as one behind a window. vLLM gets its null block
// there, TensorRT-LLM its null index; FlashInfer has no such thing, so its rows begin at the window.

/// What the tables of a batch need room for.
struct table_room {
  std::size_t rows = 0;
  std::size_t pages = 0;   ///< blocks that hold tokens: FlashInfer's indices
  std::size_t widest = 0;  ///< most blocks in one row, those for drafts too: the width of a dense table
};

[[nodiscard]] inline table_room room_of(std::span<const kv::table_row> rows, std::size_t block_tokens) noexcept {
  table_room made{.rows = rows.size()};
  for (const kv::table_row& row : rows) {
    made.pages += block_tokens == 0 ? 0 : divide_up(row.tokens, block_tokens);
    if (row.blocks.size() > made.widest) made.widest = row.blocks.size();
  }
  return made;
}

namespace detail {

[[nodiscard]] constexpr failure no_table(errc code, const char* what, std::size_t need, std::size_t available,
                                         const char* fix, const void* at = nullptr) noexcept {
  return {.code = code,
          .pool = "block table",
          .what = what,
          .need = need,
          .available = available,
          .address = at,
          .fix = fix};
}

/// Why a table of so many places does not fit, or `errc::ok`.
[[nodiscard]] constexpr failure too_small(const char* what, std::size_t need, std::size_t available) noexcept {
  if (need <= available) return {};
  return no_table(errc::invalid_argument, what, need, available, "give room for that many numbers");
}

/// Why rows are none, whatever table they go to, or `errc::ok`. `most` is the largest id that the table takes.
[[nodiscard]] inline failure bad_rows(std::span<const kv::table_row> rows, std::size_t block_tokens, std::size_t width,
                                      std::size_t most) noexcept {
  if (block_tokens == 0 || block_tokens > kv::max_int32)
    return no_table(errc::invalid_argument, "tokens of a block", block_tokens, kv::max_int32,
                    "give 1 to 2147483647, such as 16");
  for (const kv::table_row& row : rows) {
    const std::size_t used = divide_up(row.tokens, block_tokens);
    if (used > row.blocks.size())
      return no_table(errc::invalid_argument, "blocks of a row, for its tokens", used, row.blocks.size(),
                      "grow the sequence first", &row);
    if (row.tokens > kv::max_int32)
      return no_table(errc::size_overflow, "tokens of a row, in int32", row.tokens, kv::max_int32, "split the request",
                      &row);
    if (row.blocks.size() > width)
      return no_table(errc::invalid_argument, "blocks of a row, in the width of the table", row.blocks.size(), width,
                      "give a wider table", &row);
    std::size_t above = 0;  // one more than the largest id; a hole wraps to 0
    for (const kv::block_id id : row.blocks) {
      const std::uint32_t next = id + 1;
      if (next > above) above = next;
    }
    if (above > most + 1)
      return no_table(errc::size_overflow, "the largest id of a row, by what int32 takes", above - 1, most,
                      "open several pools, or use larger blocks", &row);
  }
  return {};
}

/// What `kv::write_csr` refused, in numbers.
TOKENHEAP_COLD inline failure why_no_csr(std::span<const kv::table_row> rows, std::size_t block_tokens,
                                         const kv::csr_table& out) noexcept {
  if (const failure no = bad_rows(rows, block_tokens, ~std::size_t{0}, ~std::size_t{0} - 1); no.code != errc::ok)
    return no;
  const table_room room = room_of(rows, block_tokens);
  if (const failure no = too_small("places in indptr", room.rows + 1, out.indptr.size()); no.code != errc::ok)
    return no;
  if (const failure no = too_small("places in last_page_len", room.rows, out.last_page_len.size()); no.code != errc::ok)
    return no;
  for (const kv::table_row& row : rows) {
    for (const kv::block_id id : row.blocks.first(divide_up(row.tokens, block_tokens))) {
      if (id == kv::no_block)
        return no_table(errc::unsupported, "a hole in a row of FlashInfer's", 1, 0, "begin the row at its window",
                        &row);
      if (id > kv::max_int32)
        return no_table(errc::size_overflow, "an id, by what int32 takes", id, kv::max_int32, "open several pools",
                        &row);
    }
  }
  if (room.pages > kv::max_int32)
    return no_table(errc::size_overflow, "pages of a batch, in int32", room.pages, kv::max_int32, "split the batch");
  return too_small("places in indices", room.pages, out.indices.size());
}

}  // namespace detail

/// Writes a batch as FlashInfer's page table: `indptr` [rows + 1], `indices` [pages], `last_page_len` [rows], all int32.
///
/// A row without tokens has no pages and a last length of 0, which both of FlashInfer's formulas read as no tokens
/// (include/flashinfer/page.cuh 0006e88, paged_kv_t::get_length; flashinfer/page.py d609356, get_seq_lens). Fill a batch
/// up with such rows for a captured graph. Blocks for drafts are left out.
///
/// Fails     with the room that was needed, and nothing is written
/// Threads   safe: writes into the spans alone
/// Cost      two passes over the blocks; no memory is asked for
/// Example   examples/kv_engine.cpp
[[nodiscard]] inline failure write_flashinfer(std::span<const kv::table_row> rows, std::size_t block_tokens,
                                              const kv::csr_table& out) noexcept {
  if (kv::write_csr(rows, block_tokens, out) == errc::ok) return {};
  return detail::why_no_csr(rows, block_tokens, out);
}

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

/// Writes a batch as vLLM's block table (vllm/v1/worker/block_table.py 01edfd0), blocks for drafts too, and its lengths.
///
/// Fails     with the room that was needed, and nothing is written
/// Threads   safe: writes into the spans alone
/// Cost      two passes over the blocks and one over the padding; no memory is asked for
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
  if (const failure no = detail::bad_rows(rows, block_tokens, out.width / out.parts, most); no.code != errc::ok)
    return no;
  if (const failure no = detail::too_small("places in a block table", places, out.blocks.size()); no.code != errc::ok)
    return no;
  if (!out.seq_lens.empty()) {
    const failure no = detail::too_small("places in seq_lens", rows.size(), out.seq_lens.size());
    if (no.code != errc::ok) return no;
  }
  const auto parts = static_cast<std::uint32_t>(out.parts);
  std::int32_t* to = out.blocks.data();
  for (const kv::table_row& row : rows) {
    std::int32_t* const end = to + out.width;
    for (const kv::block_id id : row.blocks) {
      for (std::uint32_t part = 0; part != parts; ++part)
        *to++ = id == kv::no_block ? out.padding : static_cast<std::int32_t>(id * parts + part);
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
  if (block_tokens == 0 || block_tokens > kv::max_int32)
    return detail::no_table(errc::invalid_argument, "tokens of a block", block_tokens, kv::max_int32,
                            "give 1 to 2147483647, such as 16");
  std::size_t total = 0;
  for (const query_row& row : rows) {
    std::size_t end = 0, slots = 0;
    if (!checked_add(row.first, row.count, end) || !checked_add(total, row.count, total) || total > kv::max_int32)
      return detail::no_table(errc::size_overflow, "tokens of a step, in int32", row.count, kv::max_int32,
                              "split the batch", &row);
    if (!checked_mul(row.blocks.size(), block_tokens, slots) || end > slots)
      return detail::no_table(errc::invalid_argument, "slots of a row", end, slots, "grow the sequence first", &row);
    for (std::size_t at = row.first / block_tokens; row.count != 0 && at <= (end - 1) / block_tokens; ++at) {
      if (row.blocks[at] == kv::no_block)
        return detail::no_table(errc::invalid_argument, "a token to be written into a hole, by block of its row", at, 0,
                                "write behind the window alone", &row);
    }
  }
  if (const failure no = detail::too_small("places in slot_mapping", total, out.size()); no.code != errc::ok) return no;
  if (!starts.empty()) {
    const failure no = detail::too_small("places in query_start_loc", rows.size() + 1, starts.size());
    if (no.code != errc::ok) return no;
    starts[0] = 0;
  }
  std::int64_t* to = out.data();
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const query_row& row = rows[r];
    std::size_t place = row.first % block_tokens;
    for (std::size_t left = row.count, at = row.first / block_tokens; left != 0; ++at, place = 0) {
      const std::size_t run = block_tokens - place < left ? block_tokens - place : left;
      auto slot = static_cast<std::int64_t>(row.blocks[at]) * static_cast<std::int64_t>(block_tokens) +
                  static_cast<std::int64_t>(place);
      for (std::size_t n = 0; n != run; ++n) *to++ = slot++;
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
