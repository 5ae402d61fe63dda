// The amounts of a page space: sizes of pages, the chunk that suits them, and what is refused.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// The most groups that one page space takes.
inline constexpr std::size_t max_page_groups = 64;

/// Where the pages of a group lie inside a chunk.
enum class page_placement : std::uint8_t {
  numbered,  ///< at multiples of the page from the start of the room, so that a group's view is one plain tensor
  packed,    ///< one behind the other from the start of the chunk: less waste, reached by offset
};

/// What a page space is made of.
struct page_space_options {
  const char* name = "pages";
  std::size_t bytes = 0;                     ///< the whole room
  const std::size_t* page_bytes = nullptr;   ///< one size for each group
  std::size_t groups = 0;
  page_placement placement = page_placement::numbered;
  std::size_t chunk_bytes = 0;               ///< 0: `best_chunk` of the sizes
};

/// One page in the hands of its owner: give it back as it came.
struct page_key {
  std::uint32_t group = 0;
  std::uint32_t number = 0;      ///< numbered: offset / page bytes; packed: counts slot by slot through the chunks
  std::uint32_t generation = 0;  ///< odd while the page is out; 0 is no page
  friend constexpr bool operator==(const page_key&, const page_key&) = default;
};

/// Where every byte of a page space is; `used + idle + tails + empty + remainder == bytes`, always.
struct page_space_stats {
  std::size_t bytes = 0;
  std::size_t used = 0;       ///< in pages that are out
  std::size_t idle = 0;       ///< in pages that only their own group can take
  std::size_t tails = 0;      ///< between the pages of chunks that belong to a group: the padding
  std::size_t empty = 0;      ///< in chunks that any group can take
  std::size_t remainder = 0;  ///< behind the last chunk
  std::size_t takes = 0, gives = 0;
  std::size_t moves = 0;      ///< pages that `vacate` moved, among the takes and gives
};

/// How many pages of `page` bytes every chunk of `chunk` bytes holds, wherever the chunk starts.
[[nodiscard]] constexpr std::size_t pages_in_chunk(std::size_t chunk, std::size_t page, page_placement how) noexcept {
  const std::size_t whole = chunk / page;
  return how == page_placement::packed || chunk % page == 0 || whole == 0 ? whole : whole - 1;
}

/// The chunk with which a room of `bytes` bytes loses least: to the ends of chunks in the worst group, to half a chunk of
/// each group that is not full, and behind the last chunk; 0: no page fits.
///
/// Only multiples of the largest page are looked at, 256 at the most.
[[nodiscard]] constexpr std::size_t best_chunk(const std::size_t* page_bytes, std::size_t groups, std::size_t bytes,
                                               page_placement how) noexcept {
  std::size_t largest = 0;
  for (std::size_t g = 0; g < groups; ++g) largest = page_bytes[g] > largest ? page_bytes[g] : largest;
  std::size_t best = 0;
  double least = 0;
  for (std::size_t k = 1; largest != 0 && k <= 256 && k <= bytes / largest; ++k) {
    const std::size_t chunk = k * largest;
    double worst = 0;
    for (std::size_t g = 0; g < groups; ++g) {
      const std::size_t lost = chunk - pages_in_chunk(chunk, page_bytes[g], how) * page_bytes[g];
      const double share = static_cast<double>(lost) / static_cast<double>(chunk);
      worst = share > worst ? share : worst;
    }
    const double halves = static_cast<double>(groups) / 2 * static_cast<double>(chunk);
    const double loss = worst * static_cast<double>(bytes) + halves + static_cast<double>(bytes % chunk);
    if (best == 0 || loss < least) least = loss, best = chunk;
  }
  return best;
}

/// Why no page space can be opened with these amounts, or `errc::ok`.
[[nodiscard]] inline failure why_not(const page_space_options& with) noexcept {
  const auto bad = [&](errc code, const char* what, std::size_t need, std::size_t limit, const char* fix) {
    return failure{.code = code, .pool = with.name, .what = what, .need = need, .limit = limit, .fix = fix};
  };
  if (with.groups == 0 || with.groups > max_page_groups || with.page_bytes == nullptr) {
    return bad(errc::invalid_argument, "groups of a page space", with.groups, max_page_groups, "give 1 to 64 groups");
  }
  if (with.bytes > max_allocation) return bad(errc::size_overflow, "bytes of a page space", with.bytes, max_allocation, "");
  std::size_t least = ~std::size_t{0};
  const std::size_t chunk = with.chunk_bytes != 0 ? with.chunk_bytes : with.bytes;
  for (std::size_t g = 0; g < with.groups; ++g) {
    const std::size_t page = with.page_bytes[g];
    if (page == 0) return bad(errc::invalid_argument, "bytes of a group's page", 0, 0, "give at least 1");
    if (page > with.bytes || pages_in_chunk(chunk, page, with.placement) == 0) {
      return bad(errc::too_large, "bytes of a group's page", page, chunk, "use a larger room or chunk");
    }
    least = page < least ? page : least;
  }
  const std::size_t cut = with.chunk_bytes != 0 ? with.chunk_bytes
                                                : best_chunk(with.page_bytes, with.groups, with.bytes, with.placement);
  if (cut == 0 || cut > with.bytes || with.bytes / least > max_blocks || with.bytes / cut > max_blocks / 2) {
    return bad(errc::too_large, "pages of a page space", with.bytes / least, max_blocks, "use larger pages");
  }
  for (std::size_t g = 0; g < with.groups; ++g) {
    if (pages_in_chunk(cut, with.page_bytes[g], with.placement) == 0) {
      return bad(errc::too_large, "bytes of a group's page", with.page_bytes[g], cut, "name a chunk of several pages");
    }
  }
  return {};
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
