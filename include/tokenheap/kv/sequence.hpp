// The blocks of one request, from its prompt to its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/kv/partial.hpp>
#include <tokenheap/kv/sequence_options.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

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
    if constexpr (state::values) {
      for (std::size_t at = published_; at < full; ++at) {
        books_->value(ids_[at], worth_.of_block(at * block_tokens_, (at + 1) * block_tokens_));
      }
    }
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
  [[nodiscard]] failure make_list(std::size_t prompt_tokens, const options& with) noexcept;
  [[nodiscard]] std::size_t available_now() const noexcept {
    const locked hold(books_->lock());
    return books_->available();
  }
  [[nodiscard]] failure start(std::span<const token> prompt, const options& with) noexcept;
  [[nodiscard]] errc take_chain(const token* prompt, std::size_t matchable, failure& why, partial_match& part) noexcept;
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
  tenant_id tenant_ = 0;
  std::conditional_t<state::values, kept_worth, no_worth> worth_;
};

template <class Pool>
result<sequence<Pool>> sequence<Pool>::open(Pool& pool, std::span<const token> prompt, const options& with) noexcept {
  if (pool.state_ == nullptr) {
    return failure{.code = errc::not_open, .pool = "closed pool", .what = "a sequence", .fix = "open the pool first"};
  }
  sequence made;
  made.books_ = pool.state_;
  made.block_tokens_ = pool.state_->options().block_tokens;
  const failure no = made.start(prompt, with);
  if (no.code != errc::ok) {
    made.books_ = nullptr;
    return no;
  }
  return made;
}

template <class Pool>
failure sequence<Pool>::make_list(std::size_t prompt_tokens, const options& with) noexcept {
  failure why{.code = errc::size_overflow, .pool = books_->options().name, .what = "slots of a prompt, in blocks",
              .limit = books_->total(), .fix = "ask for less look-ahead"};
  std::size_t slots = 0;
  if (!checked_add(prompt_tokens, with.lookahead, slots)) {
    // counted in blocks the sum fits, unless a block is one token
    const std::size_t whole = prompt_tokens / block_tokens_ + with.lookahead / block_tokens_;
    const std::size_t rest = prompt_tokens % block_tokens_ + with.lookahead % block_tokens_;
    why.need = block_tokens_ == 1 ? ~std::size_t{0} : whole + divide_up(rest, block_tokens_);
    return why.available = available_now(), why;
  }
  count_ = divide_up(slots, block_tokens_);
  why.need = count_;
  why.code = errc::too_large;
  why.fix = "shorten the prompt to limit x block_tokens tokens, or open a larger pool";
  // what can never fit is refused before the block list asks for memory
  if (count_ > books_->total()) return why.available = available_now(), why;
  const std::size_t expected = divide_up(with.expected_tokens, block_tokens_);
  const std::size_t room = expected < books_->total() ? expected : books_->total();
  why.code = errc::out_of_memory;
  why.fix = "free some memory: the list of blocks did not fit";
  if (!ids_.grow(room < count_ ? count_ : room)) return why;
  return {};
}

template <class Pool>
failure sequence<Pool>::start(std::span<const token> prompt, const options& with) noexcept {
  if (const failure no = make_list(prompt.size(), with); no.code != errc::ok) return no;
  failure why{.code = errc::out_of_memory, .pool = books_->options().name, .what = "slots of a prompt, in blocks",
              .need = count_, .limit = books_->total(), .fix = "free some memory: the salt did not fit"};
  if (const char* fix = with.why_not(); fix != nullptr) {
    why.code = errc::invalid_argument;
    return why.fix = fix, why;
  }
  tenant_ = with.key.tenant;
  why.fix = "free some memory: the list of retained ranges did not fit";
  if (state::values && !worth_.open(with)) return why;
  why.fix = "free some memory: the salt did not fit";
  const bool cache = books_->options().cache;
  const std::size_t reusable = cache ? with.reusable(prompt.size()) : 0;
  partial_match part;
  {
    const locked hold(books_->lock());
    if (cache && (root_ = books_->index().hold_root(with.shared_key(books_->next_request()))) == 0) return why;
    if (with.partial && books_->can_copy()) part.tokens = reusable;
    if (const errc no = take_chain(prompt.data(), reusable / block_tokens_, why, part); no != errc::ok) {
      if (cache) books_->index().let_go_root(root_);
      return why;
    }
    if (cache && with.read_cache) books_->count_reuse(prompt.size(), cached_tokens_);
    books_->join();
  }
  length_ = cached_tokens_;
  private_slots_ = count_ * block_tokens_;
  if (part.tokens != 0) {
    detail::take_part(*books_, part, ids_[length_ / block_tokens_], prompt.data() + length_ - part.tokens);
  }
  keep(prompt.data() + cached_tokens_, prompt.size() - cached_tokens_);
  return {};
}

// all that is found is held before anything is taken, so that taking never evicts it
template <class Pool>
errc sequence<Pool>::take_chain(const token* prompt, std::size_t matchable, failure& why,
                                partial_match& part) noexcept {
  block_id* const ids = ids_.first();
  const std::size_t found = matchable == 0 ? 0 : books_->index().match(root_, prompt, matchable, ids);
  if (part.tokens != 0) {
    const std::size_t rest = part.tokens - found * block_tokens_;
    const auto at = found == 0 ? root_ : books_->index().position_of(ids[found - 1]);
    part = match_partial(books_->index(), at, prompt + found * block_tokens_, rest < block_tokens_ ? rest : block_tokens_);
  }
  const std::size_t need = count_ - found;
  if (need > books_->free_count()) {
    const std::size_t room = books_->available() - books_->count_cached(ids, found);
    if (need > room) {
      why.need = need;
      why.available = room;
      why.fix = "shorten the prompt by the missing blocks, close a sequence, or open a larger pool";
      return why.code = errc::out_of_memory;
    }
  }
  for (std::size_t at = 0; at < found; ++at) books_->hold_found(ids[at]);
  books_->built(ids, 0, found);
  const std::size_t claimed = part.tokens != 0 && detail::hold_part(*books_, part, need) ? 1 : 0;
  if (claimed != 0) ids[found] = part.block;
  books_->take(ids + found + claimed, need - claimed, state::owner::request, tenant_);
  published_ = found;
  cached_tokens_ = found * block_tokens_ + part.tokens;
  return errc::ok;
}

template <class Pool>
void sequence<Pool>::take_over(sequence& other) noexcept {
  books_ = other.books_;
  ids_ = static_cast<column<block_id>&&>(other.ids_);
  count_ = other.count_;
  length_ = other.length_;
  private_slots_ = other.private_slots_;
  block_tokens_ = other.block_tokens_;
  published_ = other.published_;
  cached_tokens_ = other.cached_tokens_;
  root_ = other.root_;
  tenant_ = other.tenant_;
  worth_ = static_cast<decltype(worth_)&&>(other.worth_);
  other.books_ = nullptr;
  other.count_ = other.length_ = other.private_slots_ = other.published_ = other.cached_tokens_ = 0;
}

template <class Pool>
errc sequence<Pool>::grow_to(std::size_t slots) noexcept {
  const std::size_t wanted = divide_up(slots, block_tokens_);
  const std::size_t more = wanted > count_ ? wanted - count_ : 0;
  if (wanted > books_->total()) return errc::too_large;
  // one place more than wanted: the copy of a shared tail waits there until it is complete
  if (!ids_.grow(count_ + more + 1)) return errc::out_of_memory;
  bool shared = false;
  {
    const locked hold(books_->lock());
    shared = length_ % block_tokens_ != 0 && !books_->is_writable(ids_[length_ / block_tokens_]);
    if (shared && !books_->can_copy()) return errc::unsupported;
    const std::size_t need = more + (shared ? 1 : 0);
    if (need > books_->available()) return errc::out_of_memory;
    books_->take(ids_.first() + count_, need, state::owner::request, tenant_);
  }
  if (shared) own_tail(ids_[count_ + more]);
  count_ += more;
  private_slots_ = count_ * block_tokens_;
  return errc::ok;
}

// the copy runs without the lock: the old block is held, so nobody writes it meanwhile
template <class Pool>
void sequence<Pool>::own_tail(block_id spare) noexcept {
  const std::size_t at = length_ / block_tokens_;
  const block_id old = ids_[at];
  books_->copy(old, spare);
  if (books_->options().cache) {
    books_->index().write(spare, 0, books_->index().tokens_of(old), length_ % block_tokens_);
  }
  const locked hold(books_->lock());
  ids_[at] = spare;
  books_->give_chain(&old, 1);
}

template <class Pool>
void sequence<Pool>::keep(const token* tokens, std::size_t n) noexcept {
  if (!books_->options().cache) {
    length_ += n;
    return;
  }
  const block_id* id = ids_.first() + length_ / block_tokens_;
  const std::size_t at = length_ % block_tokens_;
  length_ += n;
  if (at != 0) {
    const std::size_t part = n < block_tokens_ - at ? n : block_tokens_ - at;
    books_->index().write(*id++, at, tokens, part);
    tokens += part;
    n -= part;
  }
  const std::size_t whole = n / block_tokens_;
  books_->index().write(id, whole, tokens);
  n -= whole * block_tokens_;
  if (n != 0) books_->index().write(id[whole], 0, tokens + whole * block_tokens_, n);
}

template <class Pool>
void sequence<Pool>::give_tail(std::size_t keep_blocks) noexcept {
  if (count_ <= keep_blocks) return;
  const locked hold(books_->lock());
  books_->give_chain(ids_.first() + keep_blocks, count_ - keep_blocks);
  count_ = keep_blocks;
}

template <class Pool>
errc sequence<Pool>::rewind(std::size_t n) noexcept {
  if (books_ == nullptr) return errc::not_open;
  if (n > length_) return errc::invalid_argument;
  length_ -= n;
  const std::size_t keep_blocks = divide_up(length_, block_tokens_);
  if (published_ > length_ / block_tokens_) published_ = length_ / block_tokens_;
  give_tail(keep_blocks);
  // the last block may be published or shared now that it is partial: the next growth looks again
  private_slots_ = length_;
  return errc::ok;
}

template <class Pool>
result<sequence<Pool>> sequence<Pool>::fork() noexcept {
  if (books_ == nullptr) {
    return failure{.code = errc::not_open, .pool = "closed sequence", .what = "a fork", .fix = "fork before close"};
  }
  sequence made;
  const std::size_t shared = divide_up(length_, block_tokens_);
  if (!made.ids_.grow(shared + 1)) {
    return failure{.code = errc::out_of_memory, .pool = books_->options().name, .what = "a list of blocks",
                   .need = shared, .limit = books_->total(), .fix = "free some memory"};
  }
  made.books_ = books_;
  made.count_ = shared;
  made.length_ = made.private_slots_ = length_;
  made.block_tokens_ = block_tokens_;
  made.published_ = published_;
  made.cached_tokens_ = cached_tokens_;
  made.root_ = root_;
  made.tenant_ = tenant_;
  if constexpr (state::values) made.worth_.otherwise = worth_.otherwise;
  private_slots_ = length_;
  const locked hold(books_->lock());
  for (std::size_t at = 0; at < shared; ++at) books_->hold(made.ids_[at] = ids_[at]);
  if (books_->options().cache) books_->index().share_root(root_);
  books_->join();
  return made;
}

template <class Pool>
errc sequence<Pool>::close() noexcept {
  if (books_ == nullptr) return errc::not_open;
  give_tail(0);
  state* const books = books_;
  books_ = nullptr;
  length_ = private_slots_ = published_ = cached_tokens_ = 0;
  if (books->options().cache) {
    const locked hold(books->lock());
    books->index().let_go_root(root_);
  }
  state::leave(books);
  return errc::ok;
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
