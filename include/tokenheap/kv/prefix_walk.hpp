// How much of a prompt a pool has, without a list of blocks.
#pragma once

#include <cstddef>
#include <span>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/root_table.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// What a walk down a prompt found.
template <class Position>
struct prefix_found {
  std::size_t blocks = 0;
  std::size_t cached = 0;  ///< of these: what nobody holds, and what holding would take out of what is available
  Position end{};          ///< the prefix that the last of them ends
};

/// Follows the whole blocks of a prompt through the books of a pool; nothing changes and nothing is allocated.
///
/// Threads   as the books: the lock is held
/// Cost      as `match` of the index
template <class Books>
[[nodiscard]] prefix_found<typename Books::position> walk_prefix(const Books& books, std::span<const token> prompt,
                                                                 const prefix_key& key) noexcept {
  constexpr std::size_t step = 64;
  block_id ids[step];
  const std::size_t tokens = books.options().block_tokens;
  prefix_found<typename Books::position> found;
  std::size_t left = prompt.size() / tokens;
  auto at = books.index().find_root(key);
  while (at != 0 && left != 0) {
    const std::size_t wanted = left < step ? left : step;
    const std::size_t n = books.index().match(at, prompt.data() + found.blocks * tokens, wanted, ids);
    found.cached += books.count_cached(ids, n);
    found.blocks += n;
    left -= n;
    if (n != 0) found.end = at = books.index().position_of(ids[n - 1]);
    if (n != wanted) break;
  }
  return found;
}

/// Lists the blocks of the prefix that ends with a published block, from its first block to this one.
///
/// Of equal blocks the one that most requests hold is taken. False where there is no memory for the list.
///
/// Threads   as the books: the lock is held
template <class Books>
[[nodiscard]] bool list_prefix(const Books& books, block_id last, column<block_id>& out) noexcept {
  const auto above = [&books](block_id id) {
    block_id up = no_block;
    const auto parent = books.index().parent_of(id);
    if (Books::prefixes::is_root(parent)) return up;
    books.index().each_holder(parent, [&](block_id other) {
      if (up == no_block || books.references(other) > books.references(up)) up = other;
    });
    return up;
  };
  std::size_t depth = 0;
  for (block_id id = last; id != no_block; id = above(id)) ++depth;
  if (!out.open(depth)) return false;
  for (block_id id = last; id != no_block; id = above(id)) out[--depth] = id;
  return true;
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
