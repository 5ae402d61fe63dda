// The block that agrees with a prompt for a part of its tokens.
#pragma once

#include <concepts>
#include <cstddef>

#include <tokenheap/concepts/kv.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Where to copy the first tokens of a block from, and how many of them.
struct partial_match {
  block_id block = no_block;
  std::size_t tokens = 0;
  bool claimed = false;  ///< nobody else needs the block: it is the request's own now, and nothing is copied
};

/// An index that can name the blocks which follow a prefix; the radix index can, a table of hashes cannot.
template <class Index>
concept names_children = requires(const Index& i, typename Index::position at) {
  { i.first_below(at) } noexcept -> std::same_as<block_id>;
  { i.next_beside(block_id{}) } noexcept -> std::same_as<block_id>;
  { i.has_children(block_id{}) } noexcept -> std::same_as<bool>;
};

/// Finds the published block behind a prefix that has the most tokens in common with `tokens`.
///
/// `sequence` calls it where `sequence_options::partial` is set. It saves computing the tokens that two prompts share
/// beyond their last whole block, at the price of copying one block.
///
/// Returns   no block if none has the first token; of equal ones, the latest published
/// Cost      one comparison per block that follows the prefix, `most` at the most
template <prefix_index Index>
[[nodiscard]] partial_match match_partial(const Index& index, typename Index::position at, const token* tokens,
                                          std::size_t n, std::size_t most = 64) noexcept {
  partial_match best;
  if constexpr (names_children<Index>) {
    for (block_id id = index.first_below(at); id != no_block && most != 0; id = index.next_beside(id), --most) {
      const token* const kept = index.tokens_of(id);
      std::size_t common = 0;
      while (common < n && kept[common] == tokens[common]) ++common;
      if (common > best.tokens) best = {id, common};
    }
  }
  return best;
}

namespace detail {

// under the lock: holds the block to copy from. Where it has to leave, the request has it for its own; true if so
template <class Books>
[[nodiscard]] bool hold_part(Books& books, partial_match& part, bool roomy) noexcept {
  if constexpr (names_children<typename Books::prefixes>) {
    // a block that was left half full is of use to one request alone; a full one stays for others as long as there is room
    const bool half = books.index().tokens_of(part.block)[books.options().block_tokens - 1] == no_token;
    const bool held = books.references(part.block) != 0;
    if (!held && (half || !roomy) && books.claim(part.block)) return part.claimed = true;
    if (held || roomy) return books.hold(part.block), false;
  }
  part = {};
  return false;
}

// without the lock: the block is published and held, so nobody writes it
template <class Books>
void take_part(Books& books, const partial_match& part, block_id own, const token* tokens) noexcept {
  if (!part.claimed) books.memory().copy(part.block, own);
  books.index().write(own, 0, tokens, part.tokens);
  if (part.claimed) return;
  books.give_back(&part.block, 1);
}

// under the lock, before a chain is given back: its block `at` holds `n` tokens that were written, and others may reuse them
template <class Books>
void leave_part(Books& books, typename Books::position root, const block_id* chain, std::size_t at, std::size_t n) noexcept {
  if constexpr (names_children<typename Books::prefixes>) {
    if (n == 0 || !books.is_writable(chain[at])) return;
    auto& prefixes = books.index();
    const auto parent = at == 0 ? root : prefixes.position_of(chain[at - 1]);
    const token* const tokens = prefixes.tokens_of(chain[at]);
    // another block has them and maybe more: this one would only be a duplicate
    if (match_partial(prefixes, parent, tokens, n).tokens == n) return;
    const std::size_t whole = books.options().block_tokens;
    for (std::size_t rest = n; rest < whole; ++rest) prefixes.write(chain[at], rest, &no_token, 1);
    books.publish(root, chain, at, at + 1);
  }
}

// without the lock: the old block is held, so nobody writes it meanwhile
template <class Books>
void take_copy(Books& books, block_id& place, block_id own, std::size_t tokens) noexcept {
  const block_id old = place;
  books.memory().copy(old, own);
  if (books.options().cache) books.index().write(own, 0, books.index().tokens_of(old), tokens);
  place = own;
  books.give_back(&old, 1);
}

}  // namespace detail

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
