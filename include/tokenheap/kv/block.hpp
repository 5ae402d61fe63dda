// One block in the hands of one owner: writable, then published, or only remembered.
#pragma once

#include <cstddef>
#include <span>

#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/pool_state.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

template <pool_policy Policy>
class published_block;

namespace detail {

/// What all handles of a block share: the books and the key; moved, not copied.
template <pool_policy Policy>
class block_handle {
 public:
  using state = pool_state<Policy>;

  block_handle() noexcept = default;
  block_handle(block_handle&& other) noexcept : state_(other.state_), key_(other.key_) { other.forget(); }
  block_handle& operator=(block_handle&&) = delete;

  explicit operator bool() const noexcept { return state_ != nullptr; }
  [[nodiscard]] block_id id() const noexcept { return key_.id; }
  [[nodiscard]] block_key key() const noexcept { return key_; }

 protected:
  block_handle(state* books, block_id id) noexcept : state_(books), key_(books->key_of(id)) { books->join(); }
  ~block_handle() = default;

  void take_over(block_handle& other) noexcept {
    state_ = other.state_;
    key_ = other.key_;
    other.forget();
  }
  void forget() noexcept { state_ = nullptr, key_ = {}; }

  state* state_ = nullptr;
  block_key key_{};
};

}  // namespace detail

/// Holds one block that nobody can find, writes it, and gives it back when it ends.
///
/// For single blocks beside sequences: scratch, a partial copy, blocks that come from elsewhere. It knows its generation,
/// so a second close and a close through an old `key()` are caught. `publish` ends it: what can be found by others is held
/// as a `published_block`, whose bytes are const.
///
/// Requires  moved, not copied; `share()` makes a second holder, and then neither may write
/// Fails     close of a handle that holds nothing returns `not_open`
/// Threads   a handle is one thread's; the pool behind it is safe as its policy says
template <pool_policy Policy>
class block : public detail::block_handle<Policy> {
  using handle = detail::block_handle<Policy>;
  using handle::key_;
  using handle::state_;

 public:
  using state = typename handle::state;

  block() noexcept = default;
  block(block&& other) noexcept = default;
  block& operator=(block&& other) noexcept {
    if (this != &other) {
      close();
      this->take_over(other);
    }
    return *this;
  }
  ~block() { close(); }

  /// A handle that holds what `take` handed out; what `block_pool::allocate` returns. Requires the lock held.
  block(state* books, block_id id) noexcept : handle(books, id) {}

  /// A second holder of the same block; it goes free when both are closed.
  [[nodiscard]] block share() noexcept {
    if (state_ == nullptr) return {};
    const locked hold(state_->lock());
    if (!state_->is_current(key_)) return {};
    state_->hold(key_.id);
    return block(state_, key_.id);
  }

  /// Where to write; null, and reported, while somebody else holds the block too.
  [[nodiscard]] void* data() noexcept {
    if (state_ == nullptr) return nullptr;
    {
      const locked hold(state_->lock());
      if (state_->is_current(key_) && state_->is_writable(key_.id)) return state_->memory().address(key_.id);
    }
    state_->report(errc::in_use, "a block to be written that others hold, by id", key_.id, "write before you share");
    return nullptr;
  }

  /// Makes it the first block of the prefix under `key`, findable by these tokens; the handle ends.
  ///
  /// Requires  keys and values of all tokens in place
  /// Fails     `invalid_argument` for another number of tokens than the block has, `in_use` while somebody else holds it,
  ///           `unsupported` without the cache, `out_of_memory` for the key; the handle then goes on
  [[nodiscard]] result<published_block<Policy>> publish(const prefix_key& key, std::span<const token> tokens) noexcept;
  /// The same behind another published block.
  [[nodiscard]] result<published_block<Policy>> publish(const published_block<Policy>& parent,
                                                        std::span<const token> tokens) noexcept;

  /// Gives the block back; `stale_handle` if somebody already did so behind this handle's back.
  errc close() noexcept {
    if (state_ == nullptr) return errc::not_open;
    state* const books = state_;
    const block_key key = key_;
    this->forget();
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
  [[nodiscard]] errc why_not(std::size_t tokens) const noexcept {
    if (state_ == nullptr) return errc::not_open;
    if (!state_->options().cache) return errc::unsupported;
    if (tokens != state_->options().block_tokens) return errc::invalid_argument;
    if (!state_->is_current(key_)) return errc::stale_handle;
    return state_->is_writable(key_.id) ? errc::ok : errc::in_use;
  }
  [[nodiscard]] failure refusal(errc code) const noexcept {
    return {.code = code,
            .pool = state_ != nullptr ? state_->options().name : "closed pool",
            .what = "a block to be published, by id",
            .need = key_.id,
            .fix = "publish whole blocks that nobody else holds, in a pool with a cache"};
  }
  // a block counts for the tenant that can find it, so that a prefix and what is built on it have one owner
  void count_for(tenant_id tenant) noexcept {
    if constexpr (state::divides) {
      state_->order().leave(&key_.id, 1);
      state_->order().charge(&key_.id, 1, tenant);
    } else {
      static_cast<void>(tenant);
    }
  }
  [[nodiscard]] published_block<Policy> finish(column<block_id>&& prefix, typename state::position root,
                                               std::span<const token> tokens) noexcept;
};

/// Remembers a published block without holding it: `block_pool::pin` finds out whether it is still there, and holds it.
struct weak_block {
  block_key key{};
  friend constexpr bool operator==(const weak_block&, const weak_block&) = default;
};

/// Holds one block that others can find, and the prefix before it: nobody writes them, and they stay while they are held.
///
/// Hold one to pin a prefix. When the last holder lets go, the blocks are cached, the last one the first to leave.
///
/// Requires  moved, not copied; `share()` makes a second holder
/// Fails     share: a handle that holds nothing where there was no memory for its list
/// Threads   a handle is one thread's; the pool behind it is safe as its policy says
/// Cost      O(blocks of the prefix), and 4 bytes for each
template <pool_policy Policy>
class published_block : public detail::block_handle<Policy> {
  using handle = detail::block_handle<Policy>;
  using handle::key_;
  using handle::state_;

 public:
  using state = typename handle::state;

  published_block() noexcept = default;
  published_block(published_block&& other) noexcept = default;
  published_block& operator=(published_block&& other) noexcept {
    if (this != &other) {
      close();
      this->take_over(other);
      prefix_ = static_cast<column<block_id>&&>(other.prefix_);
    }
    return *this;
  }
  ~published_block() { close(); }

  /// A handle of a prefix whose blocks are held for it already. Requires the lock held.
  published_block(state* books, column<block_id>&& prefix) noexcept
      : handle(books, prefix[prefix.size() - 1]), prefix_(static_cast<column<block_id>&&>(prefix)) {
    ++books->promises().pinned;
  }

  [[nodiscard]] const void* data() const noexcept {
    return state_ != nullptr ? state_->memory().address(key_.id) : nullptr;
  }

  [[nodiscard]] published_block share() noexcept {
    column<block_id> same;
    if (state_ == nullptr || !same.open(prefix_.size())) return {};
    const locked hold(state_->lock());
    for (std::size_t at = 0; at < same.size(); ++at) state_->hold(same[at] = prefix_[at]);
    return published_block(state_, static_cast<column<block_id>&&>(same));
  }
  /// Remembers it without holding it.
  [[nodiscard]] weak_block weak() const noexcept { return {key_}; }

  /// Lets the blocks go: they are cached from now on, where nobody else holds them.
  errc close() noexcept {
    if (state_ == nullptr) return errc::not_open;
    state* const books = state_;
    {
      const locked hold(books->lock());
      --books->promises().pinned;
      books->give_chain(prefix_.first(), prefix_.size());
    }
    this->forget();
    state::leave(books);
    return errc::ok;
  }

 private:
  friend class block<Policy>;
  column<block_id> prefix_;  // from the first block to this one
};

template <pool_policy Policy>
published_block<Policy> block<Policy>::finish(column<block_id>&& prefix, typename state::position root,
                                              std::span<const token> tokens) noexcept {
  const std::size_t place = prefix.size() - 1;
  for (std::size_t at = 0; at < place; ++at) state_->hold(prefix[at]);
  prefix[place] = key_.id;
  state_->index().write(key_.id, 0, tokens.data(), tokens.size());
  state_->publish(root, prefix.first(), place, place + 1);
  state_->let_many_hold(key_.id);
  published_block<Policy> made(state_, static_cast<column<block_id>&&>(prefix));
  // the new handle has joined, so this is never the last one
  state_->part();
  this->forget();
  return made;
}

template <pool_policy Policy>
result<published_block<Policy>> block<Policy>::publish(const prefix_key& key, std::span<const token> tokens) noexcept {
  column<block_id> prefix;
  if (state_ == nullptr) return refusal(errc::not_open);
  if (!prefix.open(1)) return refusal(errc::out_of_memory);
  const locked hold(state_->lock());
  if (const errc no = why_not(tokens.size()); no != errc::ok) return refusal(no);
  auto& prefixes = state_->index();
  const auto root = prefixes.hold_root(key);
  if (root == 0) return refusal(errc::out_of_memory);
  count_for(key.tenant);
  published_block<Policy> made = finish(static_cast<column<block_id>&&>(prefix), root, tokens);
  prefixes.let_go_root(root);  // the block holds it now
  return made;
}

template <pool_policy Policy>
result<published_block<Policy>> block<Policy>::publish(const published_block<Policy>& parent,
                                                       std::span<const token> tokens) noexcept {
  column<block_id> prefix;
  const std::size_t place = parent.prefix_.size();
  if (state_ == nullptr || parent.state_ == nullptr) return refusal(errc::not_open);
  if (parent.state_ != state_) return refusal(errc::invalid_argument);
  if (!prefix.open(place + 1)) return refusal(errc::out_of_memory);
  for (std::size_t at = 0; at < place; ++at) prefix[at] = parent.prefix_[at];
  const locked hold(state_->lock());
  if (const errc no = why_not(tokens.size()); no != errc::ok) return refusal(no);
  if constexpr (state::divides) count_for(state_->order().tenant_of(prefix[place - 1]));
  return finish(static_cast<column<block_id>&&>(prefix), {}, tokens);
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
