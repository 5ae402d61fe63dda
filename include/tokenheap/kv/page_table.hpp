// The blocks of a batch in the shapes that attention kernels read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// One request of a batch: its blocks and how many tokens of them count.
struct table_row {
  std::span<const block_id> blocks{};
  std::size_t tokens = 0;
};

/// The row of an open sequence, with all its tokens. Requires that the sequence stays as it is while the row is used.
template <class Sequence>
[[nodiscard]] table_row row_of(const Sequence& s) noexcept {
  return {s.blocks(), s.length()};
}

/// Where FlashInfer's three arrays go. indptr has one place more than there are requests.
struct csr_table {
  std::span<std::int32_t> indptr{};
  std::span<std::int32_t> indices{};
  std::span<std::int32_t> last_page_len{};
};

inline constexpr std::size_t max_int32 = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());

/// Blocks that `tokens` tokens reach into, or more than any table takes if `row` has too few.
[[nodiscard]] inline std::size_t used_blocks(const table_row& row, std::size_t block_tokens) noexcept {
  const std::size_t used = divide_up(row.tokens, block_tokens);
  return used <= row.blocks.size() ? used : ~std::size_t{0};
}

/// Writes a batch as FlashInfer's CSR: blocks that hold tokens, and 1..block_tokens tokens in the last one.
///
/// A request without tokens has no blocks and a last length of 0. Blocks kept for drafts are left out.
///
/// Returns   `invalid_argument` for a span too small, or a row with more tokens than its blocks hold;
///           `size_overflow` where int32 does not reach; nothing is written then
/// Cost      two passes over the rows, one over the blocks
[[nodiscard]] inline errc write_csr(std::span<const table_row> rows, std::size_t block_tokens,
                                    const csr_table& out) noexcept {
  if (block_tokens == 0 || out.indptr.size() < rows.size() + 1 || out.last_page_len.size() < rows.size()) {
    return errc::invalid_argument;
  }
  if (block_tokens > max_int32) return errc::size_overflow;
  std::size_t total = 0;
  for (const table_row& row : rows) {
    const std::size_t used = used_blocks(row, block_tokens);
    if (used == ~std::size_t{0}) return errc::invalid_argument;
    if (!checked_add(total, used, total) || total > max_int32) return errc::size_overflow;
    for (const block_id id : row.blocks.first(used)) {
      if (id > max_int32) return errc::size_overflow;
    }
  }
  if (out.indices.size() < total) return errc::invalid_argument;
  std::size_t at = 0;
  out.indptr[0] = 0;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const std::size_t used = divide_up(rows[r].tokens, block_tokens);
    for (const block_id id : rows[r].blocks.first(used)) out.indices[at++] = static_cast<std::int32_t>(id);
    out.indptr[r + 1] = static_cast<std::int32_t>(at);
    const std::size_t before = used == 0 ? 0 : (used - 1) * block_tokens;
    out.last_page_len[r] = static_cast<std::int32_t>(rows[r].tokens - before);
  }
  return errc::ok;
}

/// Writes a batch as a dense table of `width` ids per request, filled up with `padding`.
///
/// All blocks of a row are written, those for drafts too.
///
/// Returns   `invalid_argument` for a table too small or a row wider than `width`, `size_overflow` where int32 does
///           not reach; nothing is written then
[[nodiscard]] inline errc write_dense(std::span<const table_row> rows, std::size_t width, std::int32_t padding,
                                      std::span<std::int32_t> out) noexcept {
  std::size_t places = 0;
  if (!checked_mul(rows.size(), width, places)) return errc::size_overflow;
  if (out.size() < places) return errc::invalid_argument;
  for (const table_row& row : rows) {
    if (row.blocks.size() > width) return errc::invalid_argument;
    for (const block_id id : row.blocks)
      if (id > max_int32) return errc::size_overflow;
  }
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto line = out.subspan(r * width, width);
    const auto& blocks = rows[r].blocks;
    for (std::size_t at = 0; at < width; ++at) {
      line[at] = at < blocks.size() ? static_cast<std::int32_t>(blocks[at]) : padding;
    }
  }
  return errc::ok;
}

/// Writes the slots of the tokens `first` up to `first + out.size()` of one request: block x block_tokens + place.
///
/// Returns   `invalid_argument` if the blocks do not reach that far; nothing is written then
[[nodiscard]] inline errc write_slots(std::span<const block_id> blocks, std::size_t block_tokens, std::size_t first,
                                      std::span<std::int64_t> out) noexcept {
  std::size_t slots = 0;
  std::size_t end = 0;
  if (block_tokens == 0 || block_tokens > max_int32) return errc::invalid_argument;
  if (!checked_mul(blocks.size(), block_tokens, slots) || !checked_add(first, out.size(), end)) {
    return errc::size_overflow;
  }
  if (end > slots) return errc::invalid_argument;
  for (std::size_t at = 0; at < out.size(); ++at) {
    const std::size_t token_at = first + at;
    out[at] = static_cast<std::int64_t>(blocks[token_at / block_tokens] * block_tokens + token_at % block_tokens);
  }
  return errc::ok;
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
