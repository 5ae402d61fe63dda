// The blocks of one request, from its prompt to its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

#include <tokenheap/kv/block_demand.hpp>
#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/kv/sequence_options.hpp>
#include <tokenheap/kv/tokens.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

template <class Pool>
class plan;

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
    if (written > written_) written_ = written;
    const std::size_t full = written / block_tokens_;
    if (full <= published_ || !books_->options().cache) return errc::ok;
    const locked hold(books_->lock());
    if constexpr (state::values) {
      for (std::size_t at = published_; at < full; ++at) {
        books_->value(ids_[at], worth_.of_block(at * block_tokens_));
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
  /// Where to write the `at`-th block, below blocks().size(); null, and reported, for one that others can find or hold.
  [[nodiscard]] void* data(std::size_t at) noexcept {
    if (books_ == nullptr) return nullptr;
    {
      const locked hold(books_->lock());
      if (books_->is_writable(ids_[at])) return books_->memory().address(ids_[at]);
    }
    books_->report(errc::in_use, "a block to be written that others hold or can find, by id", ids_[at], "write before you publish");
    return nullptr;
  }

 private:
  using state = typename Pool::state;
  using demand = block_demand<state>;
  friend class plan<Pool>;

  sequence() noexcept = default;

  void take_over(sequence& other) noexcept;
  [[nodiscard]] failure prepare(std::span<const token> prompt, const options& with) noexcept;
  [[nodiscard]] failure look(std::span<const token> prompt, const options& with, demand& d) noexcept;
  void take(demand& d) noexcept;
  [[nodiscard]] failure begin(std::span<const token> prompt, demand& d) noexcept;
  [[nodiscard]] failure start(std::span<const token> prompt, const options& with) noexcept;
  [[nodiscard]] errc look_at_growth(std::size_t slots, demand& d) noexcept;
  [[nodiscard]] errc end_growth(demand& d) noexcept;
  void drop_growth(demand& d) noexcept {
    const locked hold(books_->lock());
    reserved_ = d.undo(*books_);
  }
  void shrink(std::size_t keep_blocks) noexcept {
    give_tail(keep_blocks);
    private_slots_ = length_;  // the last block may be published or shared, now that it is partial: growth looks again
  }
  TOKENHEAP_NOINLINE errc grow_to(std::size_t slots) noexcept;
  void keep(const token* tokens, std::size_t n) noexcept {
    if (books_->options().cache) write_tokens(books_->index(), ids_.first(), block_tokens_, length_, tokens, n);
    length_ += n;
  }
  void give_tail(std::size_t keep_blocks) noexcept;
  void let_go() noexcept;

  state* books_ = nullptr;
  column<block_id> ids_;
  std::size_t count_ = 0, length_ = 0, block_tokens_ = 1;
  std::size_t private_slots_ = 0;  // up to here slots behind length_ are known to be this sequence's own
  std::size_t published_ = 0;      // blocks
  std::size_t written_ = 0;        // tokens whose keys and values are in place, as far as it was said
  std::size_t cached_tokens_ = 0;
  std::size_t reserved_ = 0;       // blocks of the pool that are set aside for it
  std::size_t promised_ = 0;       // blocks that it was promised in all
  bool planned_ = false, partial_ = false;  // a plan names it; it leaves its last block for others
  typename state::position root_ = 0;
  tenant_id tenant_ = 0, payer_ = 0;  // whose blocks they are; for whom they count
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
  if (no.code != errc::ok) return no;
  return made;
}

// without the lock: all memory that the request asks for, and what makes no sense whatever is free
template <class Pool>
failure sequence<Pool>::prepare(std::span<const token> prompt, const options& with) noexcept {
  const pool_options& pool = books_->options();
  // what can never fit is refused before the block list asks for memory
  failure why = with.count_blocks(prompt.size(), pool, count_);
  if (why.code != errc::ok) {
    const locked hold(books_->lock());
    return why.available = books_->available(), why;
  }
  const std::size_t expected = divide_up(with.expected_tokens, block_tokens_);
  const std::size_t room = expected < pool.blocks ? expected : pool.blocks;
  why = {.code = errc::out_of_memory, .pool = pool.name, .what = "slots of a prompt, in blocks", .need = count_,
         .limit = pool.blocks, .fix = "free some memory: the list of blocks did not fit"};
  if (!ids_.grow(room < count_ ? count_ : room)) return why;
  why.fix = "free some memory: the list of retained ranges did not fit";
  if (state::values && !worth_.open(with)) return why;
  why.fix = with.why_not();
  if (why.fix != nullptr) return why.code = errc::invalid_argument, why;
  tenant_ = with.key.tenant, payer_ = with.shared_key(0).tenant;
  partial_ = with.partial && pool.cache;
  return {};
}

// under the lock: finds what is cached; the root is held when there is no failure
template <class Pool>
failure sequence<Pool>::look(std::span<const token> prompt, const options& with, demand& d) noexcept {
  const bool cache = books_->options().cache;
  if (cache && (root_ = books_->index().hold_root(with.shared_key(books_->next_request()))) == 0) {
    return {.code = errc::out_of_memory, .pool = books_->options().name, .what = "slots of a prompt, in blocks",
            .need = count_, .limit = books_->total(), .fix = "free some memory: the salt did not fit"};
  }
  const std::size_t reusable = cache ? with.reusable(prompt.size()) : 0;
  d.ids = ids_.first(), d.payer = payer_, d.lookahead = with.lookahead;
  d.asked = cache && with.read_cache ? prompt.size() : 0;
  if (with.partial && books_->memory().can_copy()) d.part.tokens = reusable;
  d.look(*books_, root_, prompt.data(), reusable / block_tokens_, count_);
  if (with.fit != admit::prompt) d.more = with.blocks_beyond(count_, block_tokens_);
  if (with.fit == admit::reserved) d.keep = d.more;
  return {};
}

// under the lock: nothing fails from here on but the device
template <class Pool>
void sequence<Pool>::take(demand& d) noexcept {
  d.take(*books_, tenant_);
  reserved_ = d.own;
  if (!d.opens) return;
  promised_ = d.keep != 0 ? count_ + d.keep : 0;
  books_->join();
  published_ = d.found;
  written_ = d.found * block_tokens_ + d.part.tokens;
  cached_tokens_ = d.found * block_tokens_ + d.part.tokens;
  if (d.asked != 0) books_->count_reuse(d.asked, cached_tokens_);
}

// without the lock: the device is told, parts of blocks are copied, tokens are kept
template <class Pool>
failure sequence<Pool>::begin(std::span<const token> prompt, demand& d) noexcept {
  if (const errc no = d.order(*books_); no != errc::ok) {
    if (d.part.tokens != 0 && !d.part.claimed) books_->give_back(&d.part.block, 1);
    if (!d.part.claimed) written_ = published_ * block_tokens_;  // nothing was copied
    const failure why = detail::refuse(no, books_->options(), "a wait for the copies of a block, in blocks", count_,
                                       books_->total(), "look at the device: its streams are refused");
    return static_cast<void>(close()), why;
  }
  length_ = cached_tokens_;
  private_slots_ = count_ * block_tokens_;
  if (d.part.tokens != 0) {
    detail::take_part(*books_, d.part, ids_[length_ / block_tokens_], prompt.data() + length_ - d.part.tokens);
  }
  keep(prompt.data() + cached_tokens_, prompt.size() - cached_tokens_);
  return {};
}

template <class Pool>
failure sequence<Pool>::start(std::span<const token> prompt, const options& with) noexcept {
  failure why = prepare(prompt, with);
  if (why.code != errc::ok) return books_ = nullptr, why;
  demand d;
  {
    const locked hold(books_->lock());
    why = look(prompt, with, d);
    if (why.code == errc::ok && !d.fits(*books_)) {
      why = d.refuse(*books_, d.shortage(*books_)).why();
      if (books_->options().cache) books_->index().let_go_root(root_);
    }
    if (why.code == errc::ok) {
      d.hold(*books_);
      d.hold_rest(*books_, [&] { return d.fits(*books_, 1); });
      take(d);
    }
  }
  if (why.code != errc::ok) return books_ = nullptr, why;
  return begin(prompt, d);
}

template <class Pool>
void sequence<Pool>::take_over(sequence& other) noexcept {
  books_ = other.books_;
  ids_ = static_cast<column<block_id>&&>(other.ids_);
  count_ = other.count_, length_ = other.length_, block_tokens_ = other.block_tokens_;
  private_slots_ = other.private_slots_, published_ = other.published_;
  written_ = other.written_, cached_tokens_ = other.cached_tokens_;
  reserved_ = other.reserved_, promised_ = other.promised_, partial_ = other.partial_;
  root_ = other.root_, tenant_ = other.tenant_, payer_ = other.payer_;
  worth_ = std::move(other.worth_);  // not a cast: nvcc 13 takes that for a copy
  other.books_ = nullptr;
  other.count_ = other.length_ = other.private_slots_ = 0;
  other.published_ = other.written_ = other.cached_tokens_ = other.reserved_ = 0;
}

template <class Pool>
errc sequence<Pool>::look_at_growth(std::size_t slots, demand& d) noexcept {
  const bool partial = length_ % block_tokens_ != 0;
  d.ids = ids_.first(), d.payer = payer_, d.own = reserved_;
  return d.look_growth(*books_, count_, divide_up(slots, block_tokens_), partial ? ids_[length_ / block_tokens_] : no_block);
}

template <class Pool>
errc sequence<Pool>::grow_to(std::size_t slots) noexcept {
  const std::size_t wanted = divide_up(slots, block_tokens_);
  if (wanted > books_->total()) return errc::too_large;
  // one place more than wanted: the copy of a shared tail waits there until it is complete
  if (!ids_.grow((wanted > count_ ? wanted : count_) + 1)) return errc::out_of_memory;
  demand d;
  {
    const locked hold(books_->lock());
    errc no = look_at_growth(slots, d);
    if (no == errc::ok && !d.fits(*books_)) no = d.shortage(*books_);
    if (no != errc::ok) return static_cast<void>(d.refuse(*books_, no)), no;
    take(d);
  }
  return end_growth(d);
}

// without the lock
template <class Pool>
errc sequence<Pool>::end_growth(demand& d) noexcept {
  if (const errc no = d.order(*books_); no != errc::ok) return drop_growth(d), no;
  count_ += d.need - (d.shared ? 1 : 0);
  if (d.shared) detail::take_copy(*books_, ids_[length_ / block_tokens_], ids_[count_], length_ % block_tokens_);
  private_slots_ = count_ * block_tokens_;
  return errc::ok;
}

template <class Pool>
void sequence<Pool>::give_tail(std::size_t keep_blocks) noexcept {
  if (count_ <= keep_blocks && promised_ == 0) return;
  const locked hold(books_->lock());
  books_->give_chain(ids_.first() + keep_blocks, count_ - keep_blocks);
  count_ = keep_blocks;
  // a tail that others can find or hold is copied before it is written again
  const bool copies = length_ % block_tokens_ != 0 && !books_->is_writable(ids_[count_ - 1]);
  const std::size_t want = promised_ == 0 ? 0 : promised_ + (copies ? 1 : 0), have = count_ + reserved_;
  if (have < want) reserved_ += detail::set_aside(*books_, want - have, payer_);
}

template <class Pool>
errc sequence<Pool>::rewind(std::size_t n) noexcept {
  if (books_ == nullptr) return errc::not_open;
  if (n > length_) return errc::invalid_argument;
  length_ -= n;
  if (written_ > length_) written_ = length_;
  const std::size_t keep_blocks = divide_up(length_, block_tokens_);
  if (published_ > length_ / block_tokens_) published_ = length_ / block_tokens_;
  shrink(keep_blocks);
  return errc::ok;
}

template <class Pool>
result<sequence<Pool>> sequence<Pool>::fork() noexcept {
  if (books_ == nullptr) return failure{.code = errc::not_open, .pool = "closed sequence", .fix = "fork before close"};
  sequence made;
  const std::size_t shared = divide_up(length_, block_tokens_);
  failure why = detail::refuse(errc::out_of_memory, books_->options(), "a fork, in blocks", shared, books_->total(),
                               "free some memory, or wait until a block more can be promised");
  if (!made.ids_.grow(shared + 1)) return why;
  const locked hold(books_->lock());
  // whoever writes first into the shared tail takes a copy: room that was promised is not for that
  if (promised_ != 0 && length_ % block_tokens_ != 0 && books_->is_writable(ids_[shared - 1])) {
    if (detail::set_aside(*books_, 1, payer_) == 0) return why;
    ++reserved_;
  }
  made.books_ = books_, made.count_ = shared, made.block_tokens_ = block_tokens_;
  made.length_ = made.private_slots_ = private_slots_ = length_;
  made.published_ = published_, made.cached_tokens_ = cached_tokens_, made.written_ = written_, made.partial_ = partial_;
  made.root_ = root_, made.tenant_ = tenant_, made.payer_ = payer_;
  if constexpr (state::values) made.worth_.otherwise = worth_.otherwise;
  for (std::size_t at = 0; at < shared; ++at) books_->hold(made.ids_[at] = ids_[at]);
  if (books_->options().cache) books_->index().share_root(root_);
  books_->join();
  return made;
}

// under the lock
template <class Pool>
void sequence<Pool>::let_go() noexcept {
  if (partial_ && written_ / block_tokens_ == published_ && written_ % block_tokens_ != 0) {
    if constexpr (state::values) books_->value(ids_[published_], worth_.of_block(published_ * block_tokens_));
    detail::leave_part(*books_, root_, ids_.first(), published_, written_ % block_tokens_);
  }
  books_->give_chain(ids_.first(), count_);
  detail::redeem(*books_, reserved_, payer_);
  if (books_->options().cache) books_->index().let_go_root(root_);
  count_ = length_ = private_slots_ = published_ = written_ = cached_tokens_ = reserved_ = 0;
}

template <class Pool>
errc sequence<Pool>::close() noexcept {
  if (books_ == nullptr) return errc::not_open;
  state* const books = books_;
  {
    const locked hold(books->lock());
    let_go();
  }
  books_ = nullptr;
  state::leave(books);
  return errc::ok;
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
