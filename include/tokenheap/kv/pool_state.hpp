// The books of a block pool: who is free, cached or live, and the order in which blocks are handed out.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/admission.hpp>
#include <tokenheap/kv/block_memory.hpp>
#include <tokenheap/kv/block_states.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/pool_audit.hpp>
#include <tokenheap/kv/pool_options.hpp>
#include <tokenheap/kv/pool_policy.hpp>
#include <tokenheap/kv/stream_fence.hpp>
#include <tokenheap/policy/lock.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Keeps the books of one `block_pool`; sequences share it with the pool and outlive it safely.
///
/// Made by `block_pool::open` and not for use alone. A block is live while it is referenced. Then it may wait for its
/// fence; after that a published one is cached, and any other is free. Handed out are first the free ones, the latest
/// released first, then those never used, by id, then the cached ones in the order of the policy.
///
/// Requires  the lock held, except for open and copy
/// Threads   not safe; `lock()` is there for its users
/// Cost      O(1) per block, no memory after open
template <pool_policy Policy>
class pool_state : public block_states {
 public:
  using prefixes = typename Policy::prefixes;
  using position = typename prefixes::position;
  static constexpr bool scrubs = Policy::scrub::enabled;
  static constexpr bool hears = hears_of_publishing<typename Policy::events, prefixes>;
  static constexpr bool values = knows_worth<typename Policy::evict>;
  static constexpr bool divides = divides_blocks<typename Policy::evict>;
  static constexpr bool holds_back = holds_blocks_back<typename Policy::fence>;
  static constexpr bool orders = orders_streams_of_blocks<typename Policy::fence>;

  [[nodiscard]] failure open(const pool_options& with) noexcept {
    options_ = with;
    memory_.open(with);
    first_ = with.null_block ? 1 : 0;
    end_ = static_cast<block_id>(with.blocks + first_);
    fresh_ = first_;
    bool room = states_.open(end_) && stack_.open(end_) && order_.open(with.cache || divides ? end_ : 0) && scrub_.open(end_) &&
                fence_.open(end_);
    if constexpr (keeps_rows_of_blocks<typename Policy::events>) {
      room = room && events_.open(end_, with.block_tokens, with.seed);
    }
    if (!room) {
      return detail::refuse(errc::out_of_memory, with, "rows of a block pool, in blocks", with.blocks, max_blocks,
                            "use fewer blocks");
    }
    if (!with.cache) return {};
    result<prefixes> made = prefixes::open(
        {.blocks = end_, .block_tokens = with.block_tokens, .seed = with.seed, .name = with.name});
    if (!made) return made.why();
    index_ = static_cast<prefixes&&>(*made);
    return {};
  }

  [[nodiscard]] std::size_t free_count() const noexcept { return top_ + (end_ - fresh_); }
  [[nodiscard]] std::size_t available() const noexcept { return free_count() + order_.size(); }
  [[nodiscard]] std::size_t total() const noexcept { return options_.blocks; }
  [[nodiscard]] std::size_t live() const noexcept { return live_; }
  [[nodiscard]] std::size_t in_flight() const noexcept {
    if constexpr (holds_back) return fence_.size();
    return 0;
  }
  /// True while what is given back has to wait.
  [[nodiscard]] bool busy() const noexcept {
    if constexpr (holds_back) return fence_.busy();
    return false;
  }
  [[nodiscard]] bool is_block(block_id id) const noexcept { return id >= first_ && id < end_; }

  [[nodiscard]] pool_promises& promises() noexcept { return promises_; }
  [[nodiscard]] const pool_promises& promises() const noexcept { return promises_; }
  /// Blocks that a request which begins leaves to those that run.
  [[nodiscard]] std::size_t watermark(bool opens) const noexcept { return opens && live_ != 0 ? options_.watermark : 0; }

  /// Makes `n` cached blocks free for a tenant. Requires that its account has room for them.
  void clear(std::size_t n, tenant_id payer) noexcept { make_room(stack_.first() + top_, n, 0, payer), top_ += n; }

  /// Who may give a block back: those of a sequence only leave in the order that keeps its prefix whole.
  enum class owner : bool { alone, request };

  /// Hands out `n` blocks with one reference each, wiped if the policy says so. Requires room for them.
  void take(block_id* out, std::size_t n, owner whose, tenant_id tenant = 0, tenant_id payer = 0) noexcept {
    const std::uint32_t references = whose == owner::request ? 1 | sequence_bit : 1;
    std::size_t taken = 0, most = n;
    if constexpr (divides) {
      // what is free may be promised to others
      const std::size_t left = free_count() > promises_.reserved ? free_count() - promises_.reserved : 0;
      most = n < left ? n : left;
    }
    for (; taken < most && top_ != 0; ++taken) states_[out[taken] = stack_[--top_]].references = references;
    for (; taken < most && fresh_ != end_; ++taken) states_[out[taken] = fresh_++].references = references;
    if constexpr (divides) order_.charge(out, taken, payer);
    if (taken < n) make_room(out + taken, n - taken, references, payer);
    if constexpr (divides) order_.charge(out + taken, n - taken, payer);
    live_ += n;
    if (live_ > peak_live_) peak_live_ = live_;
    if constexpr (scrubs) {
      scrub_.on_take(out, n, tenant, [this](const block_id* ids, std::size_t count) { memory_.wipe(ids, count); });
    }
  }

  /// Drops one reference of a block that stands alone; the last one makes it free.
  [[nodiscard]] errc give(block_id id) noexcept {
    if (!is_block(id)) return errc::invalid_argument;
    row& at = states_[id];
    // one test for all that is wrong: no reference at all, or a block that sequences or the cache hold
    if (at.references - 1 >= sequence_bit - 1) {
      return (at.references & count_mask) == 0 ? errc::double_free : errc::in_use;
    }
    if (--at.references != 0) return errc::ok;
    ++at.generation, --live_;
    return let_go(id), errc::ok;
  }

  /// Drops one reference of each block, the last one first; returns the last misuse met and the id concerned.
  [[nodiscard]] errc give(const block_id* ids, std::size_t n, block_id& which) noexcept {
    errc worst = errc::ok;
    const block_id count = busy() ? 0 : end_ - first_;  // one by one where each may have to wait
    std::size_t top = top_;
    while (n-- != 0) {
      const block_id id = ids[n];
      if (id - first_ < count && states_[id].references == 1) {
        states_[id] = {0, states_[id].generation + 1};
        stack_[top++] = id;
        freed(&id, 1);
      } else if (const errc wrong = give(id); wrong != errc::ok) {
        worst = wrong;
        which = id;
      }
    }
    live_ -= top - top_;
    top_ = top;
    return worst;
  }

  /// Drops one reference of each block of a chain, the tail first; the last one makes a block cached or free.
  void give_chain(const block_id* chain, std::size_t n) noexcept {
    std::size_t end = n;  // [n, end) are to be cached, in one piece
    while (n-- != 0) {
      const block_id id = chain[n];
      const block_id soon = chain[n < ahead ? 0 : n - ahead];
      TOKENHEAP_PREFETCH_TO_WRITE(&states_[soon]);
      row& at = states_[id];
      const std::uint32_t left = at.references - 1;
      if (left == (published_bit | sequence_bit)) {
        at.references = left;
        continue;
      }
      cache(chain + n + 1, end - n - 1);
      end = n;
      at.references = left;
      if ((left & count_mask) != 0) continue;
      at = {0, at.generation + 1};
      --live_, let_go(id);
    }
    cache(chain, end);
  }

  /// `give_chain` for those who do not hold the lock.
  void give_back(const block_id* chain, std::size_t n) noexcept {
    const locked hold(lock_);
    give_chain(chain, n);
  }

  /// The step `step` and all before it have ended: what waited for them is free or cached. False if there is no such step.
  [[nodiscard]] bool settle(std::uint64_t step) noexcept
    requires holds_back
  {
    if (!fence_.settle(step)) return false;
    for (block_id id = fence_.pop(); id != no_block; id = fence_.pop()) is_published(id) ? order_.push(id) : stack(id);
    return true;
  }

  /// Adds a reference to a live or cached block.
  void hold(block_id id) noexcept {
    row& at = states_[id];
    if ((at.references & count_mask) == 0) {
      if (!order_.remove(id)) {
        if constexpr (holds_back) fence_.remove(id);
      }
      ++live_;
    }
    ++at.references;
  }

  /// Makes a cached block that nothing follows a request's own, with its contents; false if it is none.
  [[nodiscard]] bool claim(block_id id) noexcept {
    if (references(id) != 0 || index_.has_children(id) || !order_.remove(id)) return false;
    forget(&id, 1, removal::evicted);
    states_[id] = {1 | sequence_bit, states_[id].generation + 1};
    return ++live_, ++evictions_, true;
  }

  /// How many of `ids` are cached: held, they are available no more.
  [[nodiscard]] std::size_t count_cached(const block_id* ids, std::size_t n) const noexcept {
    std::size_t cached = 0;
    // while steps run, what nobody holds may wait for them, or be about to: only what can leave counts
    const bool all = !busy();
    for (std::size_t at = 0; at < n; ++at) cached += references(ids[at]) == 0 && (all || order_.contains(ids[at]));
    return cached;
  }

  /// Says what a block is worth that is about to be published; once it is, the first word counts.
  void value(block_id id, const worth& of) noexcept {
    if constexpr (values) {
      if (!is_published(id)) order_.value(id, of);
    }
  }
  /// Holds a block that a request found.
  void hold_found(block_id id) noexcept {
    if constexpr (hears_of_reuse<typename Policy::evict>) order_.reuse(id);
    hold(id);
  }

  /// A live chain was found, or its blocks from `from` on were published: the order may want no parent below its child.
  void built(const block_id* chain, std::size_t from, std::size_t to) noexcept {
    if constexpr (hears_of_chains<typename Policy::evict>) order_.built(chain, from, to);
  }

  /// Makes the blocks `from` to `to` of a chain findable; those before `from` are.
  void publish(position root, const block_id* chain, std::size_t from, std::size_t to) noexcept {
    // a fork may have published the first of them
    while (from < to && is_published(chain[from])) ++from;
    if (from == to) return;
    index_.publish(from == 0 ? root : index_.position_of(chain[from - 1]), chain + from, to - from);
    built(chain, from, to);
    if constexpr (hears) events_.on_stored(index_, root, chain, from, to);
    for (; from < to; ++from) states_[chain[from]].references |= published_bit;
  }

  /// Makes up to `n` cached blocks free, in the order of the policy; returns how many.
  std::size_t evict(std::size_t n, removal why = removal::asked) noexcept {
    if (n > order_.size()) n = order_.size();
    block_id* const out = stack_.first() + top_;
    order_.pop(out, n, coming());
    evicted(out, n, 0, why);
    top_ += n;
    return n;
  }

  /// Forgets everything, as if just opened. False, and nothing changes, while a block is live or in flight.
  [[nodiscard]] bool reset() noexcept {
    if (live_ != 0 || in_flight() != 0) return false;
    static_cast<void>(evict(order_.size(), removal::cleared));
    top_ = 0;
    fresh_ = first_;
    return true;
  }

  /// True unless the policy scrubs and nothing could wipe a block: no fill was given and the CPU has no address.
  [[nodiscard]] bool can_wipe() const noexcept { return !scrubs || memory_.can_wipe(); }
  [[nodiscard]] block_memory& memory() noexcept { return memory_; }
  [[nodiscard]] const block_memory& memory() const noexcept { return memory_; }

  void report(errc code, const char* what, std::size_t need, const char* fix) noexcept {
    guard_.on_misuse({.code = code, .pool = options_.name, .what = what, .need = need, .available = available(),
                      .limit = total(), .fix = fix});
  }

  [[nodiscard]] std::uint64_t next_request() noexcept { return ++requests_; }
  void count_reuse(std::size_t asked, std::size_t reused) noexcept { asked_ += asked, reused_ += reused; }

  [[nodiscard]] pool_stats stats() const noexcept {
    return {.total = total(), .free = free_count(), .cached = order_.size(), .live = live_, .in_flight = in_flight(),
            .reserved = promises_.reserved, .pinned = promises_.pinned, .published = index_.size(),
            .peak_live = peak_live_, .evictions = evictions_, .asked_tokens = asked_, .reused_tokens = reused_,
            .scrubbed = scrub_.count(),
            .bookkeeping_bytes = sizeof *this + states_.bytes() + stack_.bytes() + order_.bytes() + index_.bytes() +
                                 scrub_.bytes() + fence_.bytes()};
  }

  /// Walks every block, the free stack, the order and the index, and counts again what the books say.
  [[nodiscard]] bool is_valid() const noexcept { return pool_audit<pool_state>::agrees(*this); }

  [[nodiscard]] typename Policy::lock& lock() noexcept { return lock_; }
  [[nodiscard]] const pool_options& options() const noexcept { return options_; }
  [[nodiscard]] prefixes& index() noexcept { return index_; }
  [[nodiscard]] const prefixes& index() const noexcept { return index_; }
  [[nodiscard]] typename Policy::evict& order() noexcept { return order_; }
  [[nodiscard]] const typename Policy::evict& order() const noexcept { return order_; }
  [[nodiscard]] typename Policy::events& events() noexcept { return events_; }
  [[nodiscard]] typename Policy::fence& fence() noexcept { return fence_; }

  /// The pool and each open handle are holders; the last one deletes the books.
  void join() noexcept { ++holders_; }
  void part() noexcept { --holders_; }  // requires that another holder is there
  static void leave(pool_state* books) noexcept {
    bool last = false;
    {
      const locked hold(books->lock_);
      last = --books->holders_ == 0;
    }
    if (last) delete books;
  }

 private:
  friend struct pool_audit<pool_state>;
  static constexpr std::size_t ahead = 16;

  [[nodiscard]] bool waits(block_id id) const noexcept {
    if constexpr (holds_back) return fence_.contains(id);
    return false;
  }

  // nobody holds the block any more, and it was never published
  void let_go(block_id id) noexcept {
    if constexpr (holds_back) {
      if (fence_.busy()) return fence_.add(id);
    }
    stack(id);
  }
  void stack(block_id id) noexcept {
    stack_[top_++] = id;
    freed(&id, 1);
  }

  void cache(const block_id* chain, std::size_t n) noexcept {
    live_ -= n;
    if constexpr (holds_back) {
      for (; busy() && n != 0; --n) fence_.add(chain[n - 1]);
    }
    if constexpr (requires { order_.push_chain(chain, n); }) {
      order_.push_chain(chain, n);
    } else {
      while (n-- != 0) order_.push(chain[n]);
    }
  }

  // the rows of evicted blocks lie anywhere; while the order is walked they are on their way
  [[nodiscard]] auto coming() noexcept {
    return [this](block_id id) noexcept { index_.prefetch(id), TOKENHEAP_PREFETCH_TO_WRITE(&states_[id]); };
  }

  void make_room(block_id* out, std::size_t n, std::uint32_t references, tenant_id payer) noexcept {
    if constexpr (divides) {
      order_.pop_for(payer, out, n, coming());
    } else {
      static_cast<void>(payer), order_.pop(out, n, coming());
    }
    evicted(out, n, references, removal::evicted);
  }

  void evicted(block_id* out, std::size_t n, std::uint32_t references, removal why) noexcept {
    forget(out, n, why);
    row* const states = states_.first();
    for (std::size_t at = 0; at < n; ++at) states[out[at]] = {references, states[out[at]].generation + 1};
    evictions_ += n;
    freed(out, n);
  }

  void forget(const block_id* ids, std::size_t n, removal why) noexcept {
    if constexpr (hears) events_.on_removed(index_, ids, n, why);
    index_.remove(ids, n);
  }

  void freed(const block_id* ids, std::size_t n) noexcept {
    if constexpr (divides) order_.leave(ids, n);
    if constexpr (scrubs) {
      scrub_.on_free(ids, n, [this](const block_id* dirty, std::size_t count) { memory_.wipe(dirty, count); });
    }
  }

  pool_options options_{};
  column<block_id> stack_;
  std::size_t top_ = 0;
  std::size_t live_ = 0;
  block_id first_ = 0, end_ = 0, fresh_ = 0;
  typename Policy::evict order_;
  prefixes index_;
  std::size_t peak_live_ = 0, evictions_ = 0;
  std::size_t asked_ = 0, reused_ = 0;
  std::size_t holders_ = 0;
  pool_promises promises_;
  std::uint64_t requests_ = 0;
  block_memory memory_;
  TOKENHEAP_NO_UNIQUE_ADDRESS typename Policy::lock lock_;
  TOKENHEAP_NO_UNIQUE_ADDRESS typename Policy::guard guard_;
  TOKENHEAP_NO_UNIQUE_ADDRESS typename Policy::events events_;
  TOKENHEAP_NO_UNIQUE_ADDRESS typename Policy::scrub scrub_;
  TOKENHEAP_NO_UNIQUE_ADDRESS typename Policy::fence fence_;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
