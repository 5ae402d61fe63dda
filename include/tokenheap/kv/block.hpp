// One block in the hands of one owner.
#pragma once

#include <tokenheap/kv/pool_state.hpp>

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
class block {
 public:
  using state = pool_state<Policy>;

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

  /// A handle that holds what `take` handed out; what `block_pool::allocate` returns. Requires the lock held.
  block(state* books, block_id id) noexcept : state_(books), key_(books->key_of(id)) { books->join(); }

  explicit operator bool() const noexcept { return state_ != nullptr; }
  [[nodiscard]] block_id id() const noexcept { return key_.id; }
  [[nodiscard]] block_key key() const noexcept { return key_; }

  /// A second holder of the same block; it goes free when both are closed.
  [[nodiscard]] block share() noexcept {
    if (state_ == nullptr) return {};
    const locked hold(state_->lock());
    if (!state_->is_current(key_)) return {};
    state_->hold(key_.id);
    return block(state_, key_.id);
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
    state::leave(books);
    return wrong;
  }

 private:
  state* state_ = nullptr;
  block_key key_{};
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
