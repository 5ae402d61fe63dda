// The longer members of `block_pool`, and its handle; included by block_pool.hpp.
#pragma once

#include <cstdio>

#include <tokenheap/kv/block_pool.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Holds one block and gives it back when it ends.
///
/// For single blocks beside sequences: scratch, a partial copy, a test. It knows its generation, so a second close and
/// a close through an old `key()` are caught.
///
/// Requires  moved, not copied; `share()` makes a second holder
/// Fails     close of a handle that holds nothing returns `not_open`
/// Threads   a handle is one thread's; the pool behind it is safe as its policy says
template <pool_policy Policy>
class block_pool<Policy>::block {
 public:
  block() noexcept = default;
  block(block&& other) noexcept : state_(other.state_), key_(other.key_) { other.state_ = nullptr, other.key_ = {}; }
  block& operator=(block&& other) noexcept {
    if (this != &other) {
      close();
      state_ = other.state_;
      key_ = other.key_;
      other.state_ = nullptr;
      other.key_ = {};
    }
    return *this;
  }
  ~block() { close(); }

  explicit operator bool() const noexcept { return state_ != nullptr; }
  [[nodiscard]] block_id id() const noexcept { return key_.id; }
  [[nodiscard]] block_key key() const noexcept { return key_; }

  /// A second holder of the same block; it goes free when both are closed.
  [[nodiscard]] block share() noexcept {
    if (state_ == nullptr) return {};
    const locked hold(state_->lock());
    if (!state_->is_current(key_)) return {};
    state_->hold(key_.id);
    state_->join();
    return block(state_, key_);
  }

  /// Gives the block back; `stale_handle` if somebody already did so behind this handle's back.
  errc close() noexcept {
    if (state_ == nullptr) return errc::not_open;
    state* const books = state_;
    const block_key key = key_;
    state_ = nullptr;
    key_ = {};
    errc wrong = errc::ok;
    {
      const locked hold(books->lock());
      wrong = books->is_current(key) ? books->give(key.id) : errc::stale_handle;
    }
    if (wrong != errc::ok) {
      books->report(wrong, "a block handle that was closed", key.id, "give back each reference once");
    }
    block_pool::leave(books);
    return wrong;
  }

 private:
  friend class block_pool;
  block(state* books, block_key key) noexcept : state_(books), key_(key) {}

  state* state_ = nullptr;
  block_key key_{};
};

template <pool_policy Policy>
typename block_pool<Policy>::block block_pool<Policy>::allocate() noexcept {
  if (state_ == nullptr) return {};
  const locked hold(state_->lock());
  if (state_->available() == 0) return {};
  block_id id = no_block;
  state_->take(&id, 1);
  state_->join();
  return block(state_, state_->key_of(id));
}

template <pool_policy Policy>
void block_pool<Policy>::close() noexcept {
  if (state_ == nullptr) return;
  state* const books = state_;
  state_ = nullptr;
  std::size_t out = 0;
  {
    const locked hold(books->lock());
    out = books->live();
  }
  if (out != 0) {
    books->report(errc::leaked, "blocks that are live when their pool ends", out, "close all sequences and handles first");
  }
  pool_memory& memory = books->memory();
  if (memory.give_back != nullptr) memory.give_back(memory.below, {memory.data, memory.bytes});
  memory = {};
  leave(books);
}

template <pool_policy Policy>
void block_pool<Policy>::leave(state* books) noexcept {
  bool last = false;
  {
    const locked hold(books->lock());
    last = books->leave();
  }
  if (last) delete books;
}

template <pool_policy Policy>
std::size_t block_pool<Policy>::match(std::span<const token> prompt, const prefix_key& key) const noexcept {
  if (state_ == nullptr || !state_->options().cache) return 0;
  const locked hold(state_->lock());
  const std::size_t tokens = state_->options().block_tokens;
  constexpr std::size_t step = 64;
  block_id found[step];
  std::size_t blocks = prompt.size() / tokens;
  std::size_t matched = 0;
  auto at = state_->index().find_root(key);
  while (at != 0 && blocks != 0) {
    const std::size_t wanted = blocks < step ? blocks : step;
    const std::size_t n = state_->index().match(at, prompt.data() + matched * tokens, wanted, found);
    matched += n;
    blocks -= n;
    if (n != wanted) break;
    at = state_->index().position_of(found[n - 1]);
  }
  return matched * tokens;
}

template <pool_policy Policy>
std::size_t block_pool<Policy>::dump(char* out, std::size_t capacity) const noexcept {
  if (capacity == 0) return 0;
  const pool_stats now = stats();
  const int length = std::snprintf(
      out, capacity, "pool '%s': %zu blocks of %zu tokens: %zu live, %zu cached, %zu free; %zu published, %zu evicted",
      name(), now.total, block_tokens(), now.live, now.cached, now.free, now.published, now.evictions);
  if (length < 0) return out[0] = '\0', 0;
  return static_cast<std::size_t>(length) < capacity ? static_cast<std::size_t>(length) : capacity - 1;
}

template <pool_policy Policy>
failure block_pool<Policy>::check(const options& with) noexcept {
  if (with.name == nullptr) {
    options named = with;
    named.name = "kv";
    return refuse(errc::invalid_argument, named, "name of a pool", 0, 0, "give a text, or leave the default");
  }
  if (with.blocks == 0) return refuse(errc::invalid_argument, with, "blocks of a pool", 0, max_blocks, "give at least 1");
  if (with.blocks > max_blocks) {
    return refuse(errc::too_large, with, "blocks of a pool", with.blocks, max_blocks, "open several pools");
  }
  if (with.block_tokens == 0 || with.block_tokens > max_block_tokens) {
    return refuse(errc::invalid_argument, with, "tokens of a block", with.block_tokens, max_block_tokens,
                  "give 1 to 1048576, such as 16");
  }
  return {};
}

template <pool_policy Policy>
failure block_pool<Policy>::check(const options& with, const layout& shape, std::size_t& bytes) noexcept {
  if (const failure wrong = check(with); wrong.code != errc::ok) return wrong;
  if (const failure wrong = shape.why_not(with.name); wrong.code != errc::ok) return wrong;
  if (shape.block_tokens != with.block_tokens) {
    return refuse(errc::invalid_argument, with, "tokens of a block, in the layout and in the pool", shape.block_tokens,
                  with.block_tokens, "give both the same number");
  }
  const std::size_t blocks = with.blocks + (with.null_block ? 1 : 0);
  if (!checked_mul(blocks, shape.block_bytes(), bytes) || bytes > max_allocation) {
    return refuse(errc::size_overflow, with, "bytes for all blocks, in blocks", blocks,
                  max_allocation / shape.block_bytes(), "use fewer or smaller blocks");
  }
  return {};
}

template <pool_policy Policy>
void block_pool<Policy>::report(errc code, block_id id) noexcept {
  const bool null = state_->options().null_block && id == 0;
  const char* what = null ? "the null block, given back" : "a block given back, by id";
  const char* fix = null ? "never give the null block back" : "give back each reference once, to the pool it came from";
  state_->report(code, what, id, fix);
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
