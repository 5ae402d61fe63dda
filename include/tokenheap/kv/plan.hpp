// What one step of a scheduler takes from its pools: all of it or nothing.
#pragma once

#include <cstddef>
#include <new>
#include <span>

#include <tokenheap/kv/admission.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/plan_tally.hpp>
#include <tokenheap/kv/sequence.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Collects requests that begin, grow and end, over one pool or several, and carries them out together or not at all.
///
/// A scheduler fills one at each step: `would_fit` says whether this step, these preemptions included, would fit, and
/// changes nothing; `commit` does it. For a model whose groups have pools of their own, open a sequence in each of them
/// in one plan. All that is found is held before anything is taken, so that no request evicts what another one found.
/// For a single request `sequence::open` and `grow` do the same.
///
/// Requires  prompts, what options point to, and sequences stay where they are until the plan is committed or cleared; a
///           sequence is named once; pools of one type, and nobody else closes or grows the named sequences meanwhile
/// Fails     commit: the admission of the first request that did not fit, and `refused()` its place; nothing has changed.
///           If a device refuses to order its streams, what began and grew is undone, what was closed stays closed
/// Threads   one at a time; holds the locks of its pools, in the order of their addresses, while it looks and takes
/// Cost      as the requests one by one; memory for the list alone
/// Example   examples/kv_plan.cpp
template <class Pool>
class plan {
 public:
  using sequence = kv::sequence<Pool>;
  using options = sequence_options;

  plan() noexcept = default;
  plan(const plan&) = delete;
  plan& operator=(const plan&) = delete;
  ~plan() { clear(), delete[] entries_; }

  /// A request that is to begin; its place in the list is `size()` before the call.
  [[nodiscard]] failure open(Pool& pool, std::span<const token> prompt, const options& with = {}) noexcept {
    if (pool.state_ == nullptr) return {.code = errc::not_open, .pool = "closed pool", .fix = "open the pool first"};
    sequence made;
    made.books_ = pool.state_;
    made.block_tokens_ = pool.state_->options().block_tokens;
    failure no = made.prepare(prompt, with);
    if (no.code == errc::ok && !add(pool.state_, payer_of(with.shared_key(0).tenant))) no = no_memory(pool.state_);
    if (no.code != errc::ok) return made.books_ = nullptr, no;
    entry& e = entries_[size_++];
    e = entry{.does = action::open, .books = pool.state_, .prompt = prompt, .with = with};
    e.made = static_cast<sequence&&>(made);
    return {};
  }

  /// `n` more tokens for a sequence that runs.
  [[nodiscard]] errc grow(sequence& s, std::size_t n) noexcept {
    if (s.books_ == nullptr) return errc::not_open;
    if (s.planned_) return errc::in_use;
    std::size_t slots = 0;
    if (!checked_add(s.length_, n, slots)) return errc::size_overflow;
    const std::size_t wanted = divide_up(slots, s.block_tokens_);
    if (wanted > s.books_->total()) return errc::too_large;
    if (!s.ids_.grow((wanted > s.count_ ? wanted : s.count_) + 1) || !add(s.books_, payer_of(s.payer_))) return errc::out_of_memory;
    entries_[size_++] = entry{.does = action::grow, .books = s.books_, .of = &s, .slots = slots};
    return s.planned_ = true, errc::ok;
  }

  /// A sequence that is to end or to be preempted: its blocks count for the others.
  [[nodiscard]] errc close(sequence& s) noexcept {
    if (s.books_ == nullptr) return errc::not_open;
    if (s.planned_) return errc::in_use;
    if (!add(s.books_, payer_of(s.payer_))) return errc::out_of_memory;
    entries_[size_++] = entry{.does = action::close, .books = s.books_, .of = &s};
    return s.planned_ = true, errc::ok;
  }

  /// Whether all of it would fit now; nothing changes.
  [[nodiscard]] admission would_fit() noexcept {
    if (done_) return over();
    lock();
    const admission said = look();
    let_roots_go(size_);
    unlock();
    return said;
  }

  /// Does all of it, or nothing. The list stays for `take` and is empty after `clear`.
  [[nodiscard]] admission commit() noexcept;

  /// The sequence that was opened at this place, after a commit; closed if there is none.
  [[nodiscard]] sequence take(std::size_t place) noexcept {
    return done_ && place < size_ ? static_cast<sequence&&>(entries_[place].made) : sequence{};
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// The place of the request that did not fit the last time; size() if all did.
  [[nodiscard]] std::size_t refused() const noexcept { return refused_; }

  /// Forgets all requests; what was opened and not taken is closed.
  void clear() noexcept {
    for (std::size_t at = 0; at < size_; ++at) {
      entry& e = entries_[at];
      // after a commit the sequences are their owner's again, wherever they are now
      if (!done_ && e.of != nullptr) e.of->planned_ = false;
      if (!done_) e.made.books_ = nullptr;  // never began: there is nothing to give back
      e = {};
    }
    size_ = refused_ = pools_ = 0;
    done_ = false;
  }

 private:
  using state = typename Pool::state;
  enum class action : unsigned char { open, grow, close };

  struct entry {
    action does = action::open;
    state* books = nullptr;
    sequence* of = nullptr;
    std::size_t slots = 0;
    std::span<const token> prompt{};
    options with{};
    sequence made{};
    block_demand<state> d{};
    bool rooted = false;
  };

  using tally = plan_tally<state>;

  [[nodiscard]] bool add(state* books, tenant_id payer) noexcept;
  [[nodiscard]] static tenant_id payer_of(tenant_id payer) noexcept { return state::divides ? payer : 0; }
  [[nodiscard]] tally& tally_of(const entry& e) noexcept {
    const tenant_id payer = payer_of(e.of != nullptr ? e.of->payer_ : e.made.payer_);
    std::size_t at = 0;
    while (tallies_[at].books != e.books || tallies_[at].payer != payer) ++at;
    return tallies_[at];
  }
  // the tallies of a pool: where they begin, and how many
  [[nodiscard]] std::span<const tally> tallies_of(const state* books) const noexcept {
    std::size_t at = 0, n = 0;
    while (tallies_[at].books != books) ++at;
    while (at + n < pools_ && tallies_[at + n].books == books) ++n;
    return {tallies_.first() + at, n};
  }
  [[nodiscard]] bool fits(const state* books) const noexcept {
    const auto all = tallies_of(books);
    return tally::first_short(all.data(), all.size()) == all.size();
  }
  [[nodiscard]] errc short_of(const state* books) const noexcept {
    const auto all = tallies_of(books);
    const tally sum = tally::sum(all.data(), all.size());
    return state::divides && sum.taken <= sum.of_pool().room() ? errc::limit_reached : errc::out_of_memory;
  }
  [[nodiscard]] bool is_first(std::size_t at) const noexcept { return at == 0 || tallies_[at - 1].books != tallies_[at].books; }
  [[nodiscard]] static failure no_memory(const state* books) noexcept {
    return detail::refuse(errc::out_of_memory, books->options(), "the list of a plan", 1, 0, "free some memory");
  }

  [[nodiscard]] static admission over() noexcept {
    return {.code = errc::not_open, .pool = "", .fix = "a plan is committed once: clear it, or name new requests"};
  }

  void lock() noexcept {
    for (std::size_t at = 0; at < pools_; ++at) {
      if (is_first(at)) tallies_[at].books->lock().lock();
    }
  }
  void unlock() noexcept {
    for (std::size_t at = pools_; at-- != 0;) {
      if (is_first(at)) tallies_[at].books->lock().unlock();
    }
  }

  [[nodiscard]] admission look() noexcept;
  void let_ends_go() noexcept;
  void take_marks_back(std::size_t looked) noexcept;
  [[nodiscard]] errc look_at(entry& e) noexcept;
  void let_roots_go(std::size_t n) noexcept;
  void carry_out() noexcept;
  [[nodiscard]] admission finish() noexcept;
  void undo(std::size_t n) noexcept;

  entry* entries_ = nullptr;
  std::size_t room_ = 0, size_ = 0, refused_ = 0, pools_ = 0;
  column<tally> tallies_;
  bool done_ = false;
};

// room for one entry more, and a tally of its pool and payer, sorted by address and number
template <class Pool>
bool plan<Pool>::add(state* books, tenant_id payer) noexcept {
  if (done_) clear();
  if (size_ == room_) {
    const std::size_t wider = room_ == 0 ? 16 : 2 * room_;
    entry* const made = new (std::nothrow) entry[wider];
    if (made == nullptr) return false;
    for (std::size_t at = 0; at < size_; ++at) made[at] = static_cast<entry&&>(entries_[at]);
    delete[] entries_;
    entries_ = made;
    room_ = wider;
  }
  std::size_t place = 0;
  while (place < pools_ && tallies_[place].books < books) ++place;
  while (place < pools_ && tallies_[place].books == books && tallies_[place].payer < payer) ++place;
  if (place < pools_ && tallies_[place].books == books && tallies_[place].payer == payer) return true;
  if (!tallies_.grow(pools_ + 1)) return false;
  for (std::size_t at = pools_++; at > place; --at) tallies_[at] = tallies_[at - 1];
  tallies_[place] = {.books = books, .payer = payer};
  return true;
}

template <class Pool>
errc plan<Pool>::look_at(entry& e) noexcept {
  e.d = {};
  if (e.does == action::grow) return e.of->look_at_growth(e.slots, e.d);
  const failure no = e.made.look(e.prompt, e.with, e.d);
  e.rooted = no.code == errc::ok;
  return no.code;
}

template <class Pool>
void plan<Pool>::let_ends_go() noexcept {
  for (std::size_t at = 0; at < pools_; ++at) {
    const tally& old = tallies_[at];
    tallies_[at] = {.books = old.books, .payer = old.payer};
  }
  for (std::size_t at = 0; at < size_; ++at) {
    entry& e = entries_[at];
    if (e.does != action::close) continue;
    tally& sum = tally_of(e);
    const bool waits = e.books->busy();
    for (const block_id id : e.of->blocks()) {
      e.books->unmark(id);
      if (e.books->references(id) != 0) continue;
      ++sum.released;
      if (waits) continue;
      // one that is left half full can be found from then on
      ++(e.books->is_published(id) || e.of->partial_ ? sum.kept : sum.gained);
    }
    sum.redeemed += e.of->reserved_;
  }
}

// those of the first `looked` requests, and of all that end
template <class Pool>
void plan<Pool>::take_marks_back(std::size_t looked) noexcept {
  for (std::size_t at = 0; at < size_; ++at) {
    const entry& e = entries_[at];
    if (e.does == action::close) {
      for (const block_id id : e.of->blocks()) e.books->mark(id);
    } else if (at < looked) {
      for (std::size_t k = 0; k < e.d.found; ++k) e.books->unmark(e.d.ids[k]);
    }
  }
}

// Under the locks. References of sequences that end are taken away and those of blocks that are found are added, without
// moving a block, so that each request sees what the ones before it would leave; then all of that is taken back.
template <class Pool>
admission plan<Pool>::look() noexcept {
  let_ends_go();
  admission said{};
  std::size_t looked = 0;
  for (; looked < size_ && said; ++looked) {
    entry& e = entries_[looked];
    if (e.does == action::close) continue;
    errc no = look_at(e);
    tally& sum = tally_of(e);
    sum.opens = sum.opens || e.does == action::open;
    sum.taken += e.d.need + e.d.more;
    sum.drawn += e.d.own < e.d.need ? e.d.own : e.d.need;
    sum.hits += e.books->count_cached(e.d.ids, e.d.found);
    for (std::size_t k = 0; k < e.d.found; ++k) e.books->mark(e.d.ids[k]);
    if (no == errc::ok && !fits(e.books)) no = short_of(e.books);
    if (no == errc::ok) continue;
    said = e.d.judge(*e.books, no);
    said.need = sum.taken;
    const auto all = tallies_of(e.books);
    said.room = tally::room(all.data(), all.size(), static_cast<std::size_t>(&sum - all.data()));
    // what is left for this request beside those before it
    const std::size_t others = sum.taken - e.d.need - e.d.more;
    const std::size_t rest = said.room > others ? said.room - others : 0;
    said.longest = e.d.longest_of(rest, *e.books);
  }
  refused_ = said ? size_ : looked - 1;
  take_marks_back(looked);
  return said;
}

template <class Pool>
void plan<Pool>::let_roots_go(std::size_t n) noexcept {
  for (std::size_t at = 0; at < n; ++at) {
    entry& e = entries_[at];
    if (e.rooted && e.books->options().cache) e.books->index().let_go_root(e.made.root_);
    e.rooted = false;
  }
}

// under the locks: it fits, so nothing here can fail
template <class Pool>
void plan<Pool>::carry_out() noexcept {
  for (std::size_t at = 0; at < size_; ++at) {
    entry& e = entries_[at];
    if (e.does != action::close) continue;
    tally& sum = tally_of(e);
    sum.redeemed = sum.gained = sum.kept = sum.released = 0;
    e.of->let_go();
  }
  // whatever any of them found, before one of them could take it over for a part
  for (std::size_t at = 0; at < size_; ++at) {
    if (entries_[at].does != action::close) entries_[at].d.hold(*entries_[at].books);
  }
  for (std::size_t at = 0; at < pools_; ++at) tallies_[at].hits = 0;
  for (std::size_t at = 0; at < size_; ++at) {
    entry& e = entries_[at];
    if (e.does == action::close) continue;
    tally& sum = tally_of(e);
    const std::size_t before = e.d.need;
    e.d.hold_rest(*e.books, [&] {
      ++sum.hits;
      const bool roomy = fits(e.books);
      return --sum.hits, roomy;
    });
    sum.taken -= before - e.d.need;
  }
  for (std::size_t at = 0; at < size_; ++at) {
    entry& e = entries_[at];
    if (e.does == action::open) e.made.take(e.d);
    if (e.does == action::grow) e.of->take(e.d);
  }
}

// without the locks
template <class Pool>
admission plan<Pool>::finish() noexcept {
  for (std::size_t at = 0; at < size_; ++at) {
    entry& e = entries_[at];
    errc no = errc::ok;
    if (e.does == action::open) no = e.made.begin(e.prompt, e.d).code;
    if (e.does == action::grow) no = e.of->end_growth(e.d);
    if (no == errc::ok) continue;
    refused_ = at;
    undo(at);
    return e.d.judge(*e.books, no);
  }
  return {};
}

// the requests before place `n` are whole, the one there undid itself, those behind it have taken and not begun
template <class Pool>
void plan<Pool>::undo(std::size_t n) noexcept {
  for (std::size_t at = 0; at < size_; ++at) {
    entry& e = entries_[at];
    if (at == n || e.does == action::close) continue;
    if (e.does == action::open) {
      if (at > n && e.d.part.tokens != 0 && !e.d.part.claimed) e.books->give_back(&e.d.part.block, 1);
      // nobody wrote what it would have reused in part
      if (at > n && !e.d.part.claimed) e.made.written_ = e.made.published_ * e.made.block_tokens_;
      static_cast<void>(e.made.close());
    } else if (at > n) {
      e.of->drop_growth(e.d);
    } else {
      e.of->shrink(e.d.from);
    }
  }
}

template <class Pool>
admission plan<Pool>::commit() noexcept {
  if (done_) return over();
  lock();
  const admission said = look();
  if (said) {
    carry_out();
  } else {
    let_roots_go(size_);
    entries_[refused_].books->promises().last_refusal = said;
  }
  unlock();
  if (!said) return said;
  for (std::size_t at = 0; at < size_; ++at) {
    entry& e = entries_[at];
    e.rooted = false;
    if (e.of != nullptr) e.of->planned_ = false;
    if (e.does != action::close) continue;
    state* const books = e.of->books_;
    e.of->books_ = nullptr;
    state::leave(books);
  }
  done_ = true;
  return finish();
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
