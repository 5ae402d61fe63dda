// The blocks of one request, from its prompt to its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <tokenheap/kv/block_pool.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// What a request wants besides blocks for its prompt.
struct sequence_options {
  prefix_key key{};             ///< salt and adapter: only equal keys share blocks
  bool read_cache = true;       ///< false: find nothing, publish all the same
  bool recompute_last = true;   ///< leave the last prompt token to be computed, as every engine that samples needs
  std::size_t lookahead = 0;    ///< slots beyond the prompt, for drafts
  std::size_t expected_tokens = 0;  ///< room in the block list for a request this long; saves moving it later
};

/// Holds the blocks of one request: opened with its prompt, grown by tokens, forked, closed.
///
/// The engine computes keys and values for prompt tokens from `cached_tokens()` on, says `publish(written)` when they
/// are written, and `append`s each token it decides on. Blocks that others hold are copied before they are written.
/// Only published full blocks can be found by others; nothing is published by itself, so a rejected draft never is.
///
/// Requires  the pool outlives it, or reports `leaked`
/// Fails     open says why; append, grow, publish, rewind return an errc; none of them then changed anything
/// Threads   a sequence is one thread's; its pool is safe as the pool's policy says
/// Cost      O(1) per block; the block list grows by doubling unless `expected_tokens` is given
/// Example   examples/kv_pool.cpp
template <class Pool>
class sequence {
 public:
  using options = sequence_options;

  /// Finds what is cached of the prompt and takes blocks for the rest, at once or not at all.
  [[nodiscard]] static result<sequence> open(Pool& pool, std::span<const token> prompt,
                                             const options& with = {}) noexcept;

  sequence(sequence&& other) noexcept { take_over(other); }
  sequence& operator=(sequence&& other) noexcept {
    if (this != &other) {
      static_cast<void>(close());
      take_over(other);
    }
    return *this;
  }
  ~sequence() { static_cast<void>(close()); }

  /// Makes sure that `n` more tokens have slots that this sequence alone may write.
  [[nodiscard]] errc grow(std::size_t n) noexcept {
    if (books_ == nullptr) return errc::not_open;
    if (n == 0) return errc::ok;
    std::size_t slots = 0;
    if (!checked_add(length_, n, slots)) return errc::size_overflow;
    if (slots <= private_slots_) return errc::ok;
    return grow_to(slots);
  }

  /// Adds tokens that were decided on, with slots for them.
  [[nodiscard]] errc append(std::span<const token> tokens) noexcept {
    if (const errc no = grow(tokens.size()); no != errc::ok) return no;
    keep(tokens.data(), tokens.size());
    return errc::ok;
  }

  /// Says that keys and values of the first `written` tokens are in their slots: full blocks of them can be found.
  [[nodiscard]] errc publish(std::size_t written) noexcept {
    if (books_ == nullptr) return errc::not_open;
    if (written > length_) return errc::invalid_argument;
    const std::size_t full = written / block_tokens_;
    if (full <= published_ || !books_->options().cache) return errc::ok;
    const locked hold(books_->lock());
    books_->publish(root_, ids_.first(), published_, full);
    published_ = full;
    return errc::ok;
  }

  /// Takes back the last `n` tokens and gives back the blocks beyond what is left, drafts' slots included.
  [[nodiscard]] errc rewind(std::size_t n) noexcept;

  /// A second sequence with the same tokens in the same blocks; whoever writes first into a shared block gets a copy.
  [[nodiscard]] result<sequence> fork() noexcept;

  /// Gives all blocks back, the tail first; `not_open` if that was done before.
  errc close() noexcept;

  [[nodiscard]] bool is_open() const noexcept { return books_ != nullptr; }
  /// Tokens of the prompt and those appended since.
  [[nodiscard]] std::size_t length() const noexcept { return length_; }
  /// Prompt tokens whose keys and values were there when it was opened.
  [[nodiscard]] std::size_t cached_tokens() const noexcept { return cached_tokens_; }
  /// Tokens in blocks that others can find.
  [[nodiscard]] std::size_t published_tokens() const noexcept { return published_ * block_tokens_; }
  /// The blocks in the order of their tokens, those for drafts at the end.
  [[nodiscard]] std::span<const block_id> blocks() const noexcept { return {ids_.first(), count_}; }
  [[nodiscard]] std::size_t block_tokens() const noexcept { return block_tokens_; }

 private:
  using state = typename Pool::state;

  sequence() noexcept = default;

  void take_over(sequence& other) noexcept;
  [[nodiscard]] failure start(std::span<const token> prompt, const options& with) noexcept;
  [[nodiscard]] errc take_chain(const token* prompt, std::size_t matchable, failure& why) noexcept;
  TOKENHEAP_NOINLINE errc grow_to(std::size_t slots) noexcept;
  void own_tail(block_id spare) noexcept;
  void keep(const token* tokens, std::size_t n) noexcept;
  void give_tail(std::size_t keep_blocks) noexcept;

  state* books_ = nullptr;
  column<block_id> ids_;
  std::size_t count_ = 0;
  std::size_t length_ = 0;
  std::size_t private_slots_ = 0;  // up to here slots behind length_ are known to be this sequence's own
  std::size_t block_tokens_ = 1;
  std::size_t published_ = 0;
  std::size_t cached_tokens_ = 0;
  typename state::position root_ = 0;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap

#include <tokenheap/kv/sequence_parts.hpp>
