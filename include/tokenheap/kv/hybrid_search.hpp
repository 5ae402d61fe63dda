// The longest prefix that all groups of a model can start from.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// What one group asks of a prefix before a request may start behind it.
struct search_group {
  std::size_t block_tokens = 16;
  std::size_t last_blocks = 0;  ///< 0: every block; else this many at the end: `window_blocks`, or 1 for a state
  bool drop_last = false;       ///< the last block found must be computed again, as draft layers want it
};

/// How many blocks at the end of a prefix a window of `window` tokens looks at.
[[nodiscard]] constexpr std::size_t window_blocks(std::size_t window, std::size_t block_tokens) noexcept {
  return window <= 1 ? 1 : (window - 2) / block_tokens + 1;
}

/// Says whether block `at` of group `group` can be found for the request.
template <class F>
concept finds_blocks = requires(F& f, std::size_t group, std::size_t at) {
  { f(group, at) } noexcept -> std::same_as<bool>;
};

/// The longest prefix of at most `blocks` blocks that one group accepts by itself.
template <finds_blocks Found>
[[nodiscard]] std::size_t longest_hit(const search_group& of, std::size_t group, std::size_t blocks, Found& found) noexcept {
  if (of.last_blocks == 0) {
    std::size_t n = 0;
    while (n < blocks && found(group, n)) ++n;
    return n;
  }
  // from the right: `run` blocks in a row are there, and the shortest prefix is shorter than a whole window
  std::size_t run = 0;
  for (std::size_t at = blocks; at > 0; --at) {
    run = found(group, at - 1) ? run + 1 : 0;
    if (run == of.last_blocks) return at - 1 + run;
  }
  return run;
}

/// The longest prefix of `tokens` tokens, in tokens, that every group accepts; 0 if there is none.
///
/// Each group shortens what the others left, until nobody does. A group with `drop_last` matches one block more than it
/// gives, and that once, however many groups ask for it and however often the search goes round. `found` is asked only
/// about whole blocks; groups may have blocks of different sizes.
///
/// Requires  block_tokens of at least 1
/// Threads   as `found`
/// Cost      one look per block for each group and round; the length only falls
template <finds_blocks Found>
[[nodiscard]] std::size_t hybrid_prefix(const search_group* groups, std::size_t n, std::size_t tokens, Found&& found) noexcept {
  std::size_t length = tokens;
  for (std::size_t agreed = 0, g = 0; n != 0 && agreed < n && length != 0; g = (g + 1) % n) {
    const search_group& of = groups[g];
    std::size_t blocks = length / of.block_tokens;
    if (of.drop_last) {
      const std::size_t most = tokens / of.block_tokens;
      search_group longer = of;
      if (of.last_blocks != 0) ++longer.last_blocks;  // the window before the dropped block has to be there as well
      const std::size_t hit = longest_hit(longer, g, blocks + 1 < most ? blocks + 1 : most, found);
      blocks = hit == 0 ? 0 : hit - 1;
    } else {
      blocks = longest_hit(of, g, blocks, found);
    }
    agreed = blocks * of.block_tokens == length ? agreed + 1 : 1;
    length = blocks * of.block_tokens;
  }
  return n == 0 ? 0 : length;
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
