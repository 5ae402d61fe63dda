// The blocks of a batch as FlashInfer reads them, and what the tables of all engines have in common.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <tokenheap/core/result.hpp>
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

/// All bits that any of the ids has: none is larger, and without the highest one none is a hole.
[[nodiscard]] inline std::uint32_t bits_of(std::span<const kv::block_id> ids) noexcept {
  std::uint64_t two[2] = {};
  std::size_t at = 0;
  for (; at + 4 <= ids.size(); at += 4) {
    std::uint64_t next[2];
    std::memcpy(next, ids.data() + at, sizeof next);
    two[0] |= next[0], two[1] |= next[1];
  }
  two[0] |= two[1];
  auto bits = static_cast<std::uint32_t>(two[0] | two[0] >> 32);
  for (; at != ids.size(); ++at) bits |= ids[at];
  return bits;
}

/// Divides by the tokens of a block, which are a power of two nearly always. Requires tokens != 0
class block_divider {
 public:
  explicit block_divider(std::size_t tokens) noexcept
      : tokens_(tokens), shift_(is_power_of_two(tokens) ? static_cast<int>(trailing_zeros(tokens)) : -1) {}
  [[nodiscard]] std::size_t down(std::size_t n) const noexcept { return shift_ >= 0 ? n >> shift_ : n / tokens_; }
  [[nodiscard]] std::size_t up(std::size_t n) const noexcept {
    const std::size_t whole = down(n);
    return whole + static_cast<std::size_t>(whole * tokens_ != n);
  }

 private:
  std::size_t tokens_;
  int shift_;
};

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

/// Why rows are none, whatever table they go to, or `errc::ok` and the bits of all their ids.
///
/// `most` is the largest id that the table takes, beside a hole.
[[nodiscard]] inline failure bad_rows(std::span<const kv::table_row> rows, std::size_t block_tokens, std::size_t width,
                                      std::size_t most, std::uint32_t& bits) noexcept {
  if (block_tokens == 0 || block_tokens > kv::max_int32)
    return no_table(errc::invalid_argument, "tokens of a block", block_tokens, kv::max_int32,
                    "give 1 to 2147483647, such as 16");
  const block_divider blocks(block_tokens);
  bits = 0;
  for (const kv::table_row& row : rows) {
    const std::size_t used = blocks.up(row.tokens);
    if (used > row.blocks.size())
      return no_table(errc::invalid_argument, "blocks of a row, for its tokens", used, row.blocks.size(),
                      "grow the sequence first", &row);
    if (row.tokens > kv::max_int32)
      return no_table(errc::size_overflow, "tokens of a row, in int32", row.tokens, kv::max_int32, "split the request",
                      &row);
    if (row.blocks.size() > width)
      return no_table(errc::invalid_argument, "blocks of a row, in the width of the table", row.blocks.size(), width,
                      "give a wider table", &row);
    const std::uint32_t mine = bits_of(row.blocks);
    bits |= mine;
    if (mine <= most) continue;
    for (const kv::block_id id : row.blocks) {
      if (id > most && id != kv::no_block)
        return no_table(errc::size_overflow, "an id of a row, by what int32 takes", id, most,
                        "open several pools, or use larger blocks", &row);
    }
  }
  return {};
}

/// Why a batch is no table of FlashInfer's, in numbers.
TOKENHEAP_COLD inline failure why_no_csr(std::span<const kv::table_row> rows, std::size_t block_tokens,
                                         const kv::csr_table& out) noexcept {
  std::uint32_t bits = 0;
  const failure bad = bad_rows(rows, block_tokens, ~std::size_t{0}, kv::no_block, bits);
  if (bad.code != errc::ok) return bad;
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
        return no_table(errc::size_overflow, "an id of a row, by what int32 takes", id, kv::max_int32,
                        "open several pools", &row);
    }
  }
  if (room.pages > kv::max_int32)
    return no_table(errc::size_overflow, "pages of a batch, in int32", room.pages, kv::max_int32, "split the batch");
  return too_small("places in indices", room.pages, out.indices.size());
}

/// True if a batch and its table are sound.
[[nodiscard]] inline bool fits_csr(std::span<const kv::table_row> rows, std::size_t block_tokens,
                                   const kv::csr_table& out) noexcept {
  if (block_tokens == 0 || block_tokens > kv::max_int32 || out.indptr.size() <= rows.size() ||
      out.last_page_len.size() < rows.size())
    return false;
  const block_divider blocks(block_tokens);
  std::size_t pages = 0;
  std::uint32_t bits = 0;
  for (const kv::table_row& row : rows) {
    const std::size_t used = blocks.up(row.tokens);
    if (used > row.blocks.size() || row.tokens > kv::max_int32) return false;
    bits |= bits_of(row.blocks.first(used));
    pages += used;
  }
  return bits <= kv::max_int32 && pages <= kv::max_int32 && pages <= out.indices.size();
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
/// Cost      O(blocks): a pass to check and one to copy; no memory is asked for
/// Example   examples/kv_engine.cpp
[[nodiscard]] inline failure write_flashinfer(std::span<const kv::table_row> rows, std::size_t block_tokens,
                                              const kv::csr_table& out) noexcept {
  if (!detail::fits_csr(rows, block_tokens, out)) return detail::why_no_csr(rows, block_tokens, out);
  const detail::block_divider blocks(block_tokens);
  std::size_t at = 0;
  out.indptr[0] = 0;
  for (std::size_t r = 0; r != rows.size(); ++r) {
    const std::size_t used = blocks.up(rows[r].tokens);
    // an id and an int32 have the same bytes: they were looked at above
    if (used != 0) std::memcpy(out.indices.data() + at, rows[r].blocks.data(), used * sizeof(std::int32_t));
    at += used;
    out.indptr[r + 1] = static_cast<std::int32_t>(at);
    const std::size_t before = used == 0 ? 0 : (used - 1) * block_tokens;
    out.last_page_len[r] = static_cast<std::int32_t>(rows[r].tokens - before);
  }
  return {};
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
