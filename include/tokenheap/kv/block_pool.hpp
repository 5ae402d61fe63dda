// A fixed number of KV blocks: handed out, shared, published, evicted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/concepts/source.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/core/text.hpp>
#include <tokenheap/kv/block.hpp>
#include <tokenheap/kv/block_demand.hpp>
#include <tokenheap/kv/layout.hpp>
#include <tokenheap/kv/pool_options.hpp>
#include <tokenheap/kv/pool_state.hpp>
#include <tokenheap/kv/prefix_walk.hpp>
#include <tokenheap/kv/sequence_options.hpp>
#include <tokenheap/policy/lock.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

template <class Pool>
class sequence;
template <class Pool>
class plan;

/// Hands out a fixed number of KV blocks, keeps what was published findable, and evicts it when room is needed.
///
/// Open it once for all layers of a model: over a source, over an engine's own tensor, or for ids alone. Requests are
/// `kv::sequence`s over it; single blocks are `allocate` and `deallocate`. It never touches the memory of a block,
/// except to copy one for a fork. Not for layers whose blocks differ in bytes: open one pool for each.
///
/// Requires  sequences and handles are closed first; a pool that ends before them reports `leaked`, and they stay safe
/// Fails     open says why; a misuse is reported through the policy's guard and changes nothing
/// Threads   not safe; safe with a policy that names a lock
/// Cost      O(1) per block; about 110 bytes of bookkeeping per block of 16 tokens, 12 without the cache
/// Example   examples/kv_pool.cpp
template <pool_policy Policy = default_policy>
class block_pool {
  using state = pool_state<Policy>;

 public:
  using policy = Policy;
  using options = pool_options;
  using block = kv::block<Policy>;
  using published_block = kv::published_block<Policy>;

  /// A pool of ids alone: the engine knows where its blocks lie.
  [[nodiscard]] static result<block_pool> open(const options& with) noexcept { return make(with, {}); }

  /// A pool over one piece of memory that it asks `below` for, and gives back when it ends.
  template <source Source>
  [[nodiscard]] static result<block_pool> open(const options& with, const layout& shape, Source& below) noexcept {
    std::size_t bytes = 0;
    if (const failure wrong = why_not(with, shape, bytes); wrong.code != errc::ok) return wrong;
    const allocation memory = below.allocate(bytes, block_alignment);
    if (!memory) {
      return detail::refuse(errc::out_of_memory, with, "bytes for all blocks", bytes, 0,
                            "use fewer blocks or a larger source");
    }
    result<block_pool> made = make(with, {memory.data, memory.size, Source::space::cpu_accessible, shape, &below,
                                          [](void* source, allocation piece) noexcept {
                                            static_cast<Source*>(source)->deallocate(piece);
                                          }});
    if (!made) below.deallocate(memory);
    return made;
  }

  /// A pool over memory that the engine owns; it must outlive the pool.
  [[nodiscard]] static result<block_pool> open(const options& with, const tensor& memory) noexcept {
    if (const failure wrong = why_not(with, memory); wrong.code != errc::ok) return wrong;
    return make(with, {memory.data, memory.bytes, memory.cpu_accessible, memory.shape, nullptr, nullptr});
  }

  block_pool(block_pool&& other) noexcept : state_(other.state_) { other.state_ = nullptr; }
  block_pool& operator=(block_pool&& other) noexcept {
    if (this != &other) {
      close();
      state_ = other.state_;
      other.state_ = nullptr;
    }
    return *this;
  }
  ~block_pool() { close(); }

  /// Ends the pool; blocks that are still out are reported as leaked, and their handles keep the books alive.
  void close() noexcept;

  /// Hands out one block; a handle that holds none if there is no room.
  [[nodiscard]] block allocate() noexcept {
    block_id id = no_block;
    if (allocate(std::span<block_id>{&id, 1}) != errc::ok) return {};
    const locked hold(state_->lock());
    return block(state_, id);
  }

  /// Fills `out` with blocks that carry one reference each; or changes nothing.
  [[nodiscard]] errc allocate(std::span<block_id> out) noexcept {
    if (state_ == nullptr) return errc::not_open;
    {
      const locked hold(state_->lock());
      if (out.size() > state_->total()) return errc::too_large;
      const block_demand<state> d{.need = out.size()};
      if (!d.fits(*state_)) return d.shortage(*state_);
      state_->take(out.data(), out.size(), state::owner::alone);
    }
    if constexpr (state::orders) {
      if (const errc no = state_->fence().on_take(out.data(), out.size()); no != errc::ok) return deallocate(out), no;
    }
    return errc::ok;
  }

  /// Drops one reference of each block, the last one first; returns the first misuse and takes no notice of such ids.
  errc deallocate(std::span<const block_id> ids) noexcept {
    if (state_ == nullptr) return errc::not_open;
    errc worst = errc::ok;
    block_id which = no_block;
    {
      const locked hold(state_->lock());
      worst = state_->give(ids.data(), ids.size(), which);
    }
    if (worst != errc::ok) report(worst, which);
    return worst;
  }

  /// Drops one reference of a block, if the key is from this time of its life.
  errc deallocate(block_key key) noexcept {
    if (state_ == nullptr) return errc::not_open;
    errc wrong = errc::ok;
    {
      const locked hold(state_->lock());
      if (!state_->is_block(key.id)) {
        wrong = errc::invalid_argument;
      } else {
        wrong = state_->is_current(key) ? state_->give(key.id) : errc::stale_handle;
      }
    }
    if (wrong != errc::ok) report(wrong, key.id);
    return wrong;
  }

  /// Holds a block that was remembered, and its prefix. Nothing is held if it was evicted, or what it needs is promised.
  [[nodiscard]] published_block pin(const weak_block& which) noexcept;

  /// How many tokens of a prompt are published, whole blocks, the last token included; nothing changes.
  [[nodiscard]] std::size_t match(std::span<const token> prompt, const prefix_key& key = {}) const noexcept;

  /// Keeps what a waiting request will find of its prompt until all else is gone; returns how many tokens that is.
  /// The next request has position 0; `with_order` begins a new look over the queue with `look_ahead()`.
  std::size_t expect(std::span<const token> prompt, std::size_t position, const prefix_key& key = {}) noexcept
    requires looks_ahead<typename Policy::evict>;

  /// Whether a request would fit now, and where the blocks are; nothing changes, and the answer is for this moment.
  [[nodiscard]] admission would_fit(std::span<const token> prompt, const sequence_options& with = {}) const noexcept;
  /// What the last sequence that was refused for want of blocks was told; `ok` if none was.
  [[nodiscard]] admission last_refusal() const noexcept {
    if (state_ == nullptr) return {.code = errc::not_open};
    const locked hold(state_->lock());
    return state_->promises().last_refusal;
  }

  /// The number of a step that is handed to the device now: what is given back from here on waits for it.
  [[nodiscard]] std::uint64_t begin_step() noexcept
    requires state::holds_back
  {
    if (state_ == nullptr) return 0;
    const locked hold(state_->lock());
    return state_->fence().begin();
  }
  /// The step and all before it have ended: what waited for them can be used. `invalid_argument` for no such step.
  errc settle(std::uint64_t step) noexcept
    requires state::holds_back
  {
    if (state_ == nullptr) return errc::not_open;
    const locked hold(state_->lock());
    return state_->settle(step) ? errc::ok : errc::invalid_argument;
  }
  /// The fence of the policy, for its own calls; without the pool's lock. Requires an open pool.
  [[nodiscard]] typename Policy::fence& fence() noexcept {
    TOKENHEAP_ASSERT(state_ != nullptr);
    return state_->fence();
  }

  /// Makes up to `n` cached blocks free; returns how many. Live blocks stay.
  std::size_t evict(std::size_t n) noexcept {
    if (state_ == nullptr) return 0;
    const locked hold(state_->lock());
    return state_->evict(n);
  }

  /// Calls `see` with the eviction order, under the lock: for hints, pins, its clock. It must not call the pool.
  template <class See>
  void with_order(See&& see) noexcept {
    if (state_ == nullptr) return;
    const locked hold(state_->lock());
    see(state_->order());
  }

  /// Calls `see` with the events and the index, under the lock: for a stream to be read. It must not call the pool.
  template <class See>
  void with_events(See&& see) noexcept {
    if (state_ == nullptr) return;
    const locked hold(state_->lock());
    see(state_->events(), static_cast<const state&>(*state_).index());
  }

  /// Calls `visit(id, references, published, in_flight)` for every block, under the lock. It must not call the pool.
  template <class Visit>
  void for_each_block(Visit&& visit) const {
    if (state_ == nullptr) return;
    const locked hold(state_->lock());
    pool_audit<state>::for_each(*state_, visit);
  }

  /// Forgets every published block. `in_use`, and nothing changes, while any block is live.
  [[nodiscard]] errc reset() noexcept {
    if (state_ == nullptr) return errc::not_open;
    const locked hold(state_->lock());
    if (!state_->reset()) return errc::in_use;
    // under the lock, so that it is heard before whatever is published next
    state_->events().on_all_cleared();
    return errc::ok;
  }

  [[nodiscard]] pool_stats stats() const noexcept {
    if (state_ == nullptr) return {};
    const locked hold(state_->lock());
    return state_->stats();
  }
  [[nodiscard]] bool is_valid() const noexcept {
    if (state_ == nullptr) return true;
    const locked hold(state_->lock());
    return state_->is_valid();
  }

  /// Writes one line about the pool into `out` (always terminated); returns its length.
  std::size_t dump(char* out, std::size_t capacity) const noexcept;

  /// Live references of a block; 0 for one that is cached, free or no block of this pool.
  [[nodiscard]] std::size_t references(block_id id) const noexcept {
    if (state_ == nullptr) return 0;
    const locked hold(state_->lock());
    return state_->is_block(id) ? state_->references(id) : 0;
  }

  /// Where a block's keys and values start; null if the pool has ids alone or `id` is none of its blocks.
  [[nodiscard]] void* data(block_id id) const noexcept {
    return state_ != nullptr && id < state_->total() + state_->options().null_block ? state_->memory().address(id) : nullptr;
  }
  /// The layout of the pool's memory; an empty one without memory, or once the pool is closed or moved from.
  [[nodiscard]] const layout& shape() const noexcept {
    static constexpr layout none{};
    return state_ != nullptr ? state_->memory().shape() : none;
  }
  [[nodiscard]] std::size_t block_tokens() const noexcept { return state_ ? state_->options().block_tokens : 0; }
  [[nodiscard]] const char* name() const noexcept { return state_ ? state_->options().name : ""; }
  /// Requires  an open pool: a closed one stops the program
  [[nodiscard]] typename Policy::events& events() noexcept {
    TOKENHEAP_ASSERT(state_ != nullptr);
    return state_->events();
  }

 private:
  friend class sequence<block_pool>;
  friend class plan<block_pool>;

  explicit block_pool(state* made) noexcept : state_(made) {}

  [[nodiscard]] static result<block_pool> make(const options& with, const pool_memory& memory) noexcept;

  TOKENHEAP_COLD void report(errc code, block_id id) noexcept;

  state* state_ = nullptr;
};

template <pool_policy Policy>
result<block_pool<Policy>> block_pool<Policy>::make(const options& with, const pool_memory& memory) noexcept {
  if (const failure wrong = why_not(with); wrong.code != errc::ok) return wrong;
  auto* made = new (std::nothrow) state;
  if (made == nullptr) return detail::refuse(errc::out_of_memory, with, "a block pool", 1, 0, "free some memory");
  failure wrong = made->open(with);
  made->memory().place() = memory;
  if (wrong.code == errc::ok && !made->can_wipe()) {
    wrong = detail::refuse(errc::unsupported, with, "a policy that scrubs blocks which the CPU cannot reach", 0, 0,
                           "give the options a fill in `wipe`");
  }
  if (wrong.code != errc::ok) return delete made, wrong;
  made->join();
  return block_pool(made);
}

template <pool_policy Policy>
void block_pool<Policy>::close() noexcept {
  if (state_ == nullptr) return;
  state* const books = state_;
  state_ = nullptr;
  std::size_t out = 0, waiting = 0;
  {
    const locked hold(books->lock());
    out = books->live(), waiting = books->in_flight();
  }
  if (waiting != 0) books->report(errc::in_use, "blocks of running steps when their pool ends", waiting, "settle all steps first");
  const char* const fix = "close all sequences and handles first";
  if (out != 0) books->report(errc::leaked, "blocks that are live when their pool ends", out, fix);
  pool_memory& memory = books->memory().place();
  if (memory.give_back != nullptr) memory.give_back(memory.below, {memory.data, memory.bytes});
  memory = {};
  state::leave(books);
}

template <pool_policy Policy>
std::size_t block_pool<Policy>::match(std::span<const token> prompt, const prefix_key& key) const noexcept {
  if (state_ == nullptr || !state_->options().cache) return 0;
  const locked hold(state_->lock());
  return walk_prefix(*state_, prompt, key).blocks * state_->options().block_tokens;
}

template <pool_policy Policy>
admission block_pool<Policy>::would_fit(std::span<const token> prompt, const sequence_options& with) const noexcept {
  if (state_ == nullptr) return {.code = errc::not_open};
  const locked hold(state_->lock());
  const std::size_t tokens = state_->options().block_tokens;
  block_demand<state> d{.payer = with.shared_key(0).tenant, .opens = true, .lookahead = with.lookahead};
  if (with.why_not() != nullptr) return d.judge(*state_, errc::invalid_argument);
  const failure wrong = with.count_blocks(prompt.size(), state_->options(), d.need);
  if (wrong.code != errc::ok) return d.judge(*state_, wrong.code);
  if (with.fit != admit::prompt) d.more = with.blocks_beyond(d.need, tokens);
  if (state_->options().cache) {
    const auto found = walk_prefix(*state_, prompt.first(with.reusable(prompt.size())), with.shared_key(0));
    if (with.share != share_scope::request) d.found = found.blocks, d.cached = found.cached;
    d.need -= d.found;
  }
  return d.judge(*state_, d.fits(*state_) ? errc::ok : d.shortage(*state_));
}

template <pool_policy Policy>
std::size_t block_pool<Policy>::expect(std::span<const token> prompt, std::size_t position,
                                       const prefix_key& key) noexcept
  requires looks_ahead<typename Policy::evict>
{
  if (state_ == nullptr || !state_->options().cache) return 0;
  const locked hold(state_->lock());
  const auto found = walk_prefix(*state_, prompt, key);
  auto at = found.end;
  // from the end upwards, so that a prefix stays behind what was built on it; equal blocks count alike
  for (std::size_t left = found.blocks; left != 0; --left) {
    block_id holder = no_block;
    state_->index().each_holder(at, [&](block_id id) {
      state_->order().expect(&id, 1, position);
      holder = id;
    });
    at = state_->index().parent_of(holder);
  }
  return found.blocks * state_->options().block_tokens;
}

template <pool_policy Policy>
published_block<Policy> block_pool<Policy>::pin(const weak_block& which) noexcept {
  if (state_ == nullptr) return {};
  const locked hold(state_->lock());
  if (!state_->is_remembered(which.key)) return {};
  column<block_id> prefix;
  if (!list_prefix(*state_, which.key.id, prefix)) return {};
  // what was promised to requests is not for pins; where tenants have shares the promised blocks have left the cache
  const std::size_t cached = state_->count_cached(prefix.first(), prefix.size());
  if (!state::divides && cached + state_->promises().reserved > state_->available()) return {};
  for (std::size_t at = 0; at < prefix.size(); ++at) state_->hold_found(prefix[at]);
  state_->built(prefix.first(), 0, prefix.size());
  return published_block(state_, static_cast<column<block_id>&&>(prefix));
}

template <pool_policy Policy>
std::size_t block_pool<Policy>::dump(char* out, std::size_t capacity) const noexcept {
  if (capacity == 0) return 0;
  const pool_stats now = stats();
  text_buffer line(out, capacity);
  line << "pool '" << name() << "': " << now.total << " blocks of " << block_tokens() << " tokens: " << now.live
       << " live, " << now.cached << " cached, " << now.free << " free; " << now.published << " published, "
       << now.evictions << " evicted";
  return line.length();
}

template <pool_policy Policy>
void block_pool<Policy>::report(errc code, block_id id) noexcept {
  const bool null = state_->options().null_block && id == 0;
  const char* what = null ? "the null block, given back" : "a block given back, by id";
  const char* fix = "give back each reference once, to the pool it came from";
  if (null) fix = "never give the null block back";
  if (code == errc::in_use) fix = "close the sequence that holds it";
  state_->report(code, what, id, fix);
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
