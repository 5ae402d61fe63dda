// Who leaves the cache first.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Evicts the block that nobody has wanted for the longest time.
///
/// The default order of a pool. A chain that is let go tail first leaves tail first, so a prefix outlives what was
/// built on it. Not good where long scans that never return push out what does; the trace will say.
///
/// Requires  ids below the count it was opened with
/// Fails     push of a member and remove of a stranger change nothing; remove then returns false
/// Threads   not safe; the pool's lock covers it
/// Cost      O(1) for each call, save that once in at least half as many pushes as blocks all members are moved up;
///           10 to 16 bytes per block
class lru {
 public:
  [[nodiscard]] bool open(std::size_t blocks) noexcept {
    // with half as much room again, moving up is rare; a power of two, so that places wrap by a mask
    std::size_t room = 2;
    while (room < blocks + blocks / 2) room *= 2;
    if (room > max_room || !queue_.open(room) || !places_.open(blocks)) return false;
    mask_ = static_cast<std::uint32_t>(room - 1);
    front_ = end_ = 0;
    size_ = 0;
    return true;
  }

  /// Puts a block behind all others: it leaves last.
  void push(block_id id) noexcept {
    if (id >= places_.size() || contains(id)) return;
    push_chain(&id, 1);
  }

  /// Puts the blocks of a chain behind all others, the last one first. Requires that none of them is in.
  void push_chain(const block_id* chain, std::size_t n) noexcept {
    if (queue_.size() - (end_ - front_) < n) move_up();
    block_id* const queue = queue_.first();
    std::uint32_t* const places = places_.first();
    const std::uint32_t mask = mask_;
    std::uint32_t at = end_;
    size_ += n;
    end_ += static_cast<std::uint32_t>(n);
    for (; n != 0; ++at) {
      const block_id id = chain[--n];
      queue[at & mask] = id;
      places[id] = at & mask;
    }
  }

  /// Puts a block in front of all others: it leaves first.
  void push_front(block_id id) noexcept {
    if (id >= places_.size() || contains(id)) return;
    if (end_ - front_ == queue_.size()) move_up();
    put(--front_, id);
    ++size_;
  }

  [[nodiscard]] bool remove(block_id id) noexcept {
    if (!contains(id)) return false;
    queue_[places_[id]] = no_block;
    --size_;
    skip_gaps();
    return true;
  }

  /// Takes out the `n` that leave next, in their order, and says `seen(id)` of each at once. Requires n <= size().
  template <class Seen>
  void pop(block_id* out, std::size_t n, Seen&& seen) noexcept {
    const block_id* const queue = queue_.first();
    const std::uint32_t mask = mask_;
    std::uint32_t at = front_;
    for (std::size_t taken = 0; taken < n; ++at) {
      const block_id id = queue[at & mask];
      if (id == no_block) continue;
      out[taken++] = id;
      seen(id);
    }
    front_ = at;
    size_ -= n;
    skip_gaps();
  }

  /// The block that leaves next, or `no_block`; it stays in the order until it is removed.
  [[nodiscard]] block_id victim() const noexcept { return size_ == 0 ? no_block : queue_[front_ & mask_]; }

  /// The block that leaves after `id`, or `no_block`.
  [[nodiscard]] block_id after(block_id id) const noexcept {
    if (!contains(id)) return no_block;
    std::uint32_t at = front_ + ((places_[id] - front_) & mask_) + 1;
    while (at != end_ && queue_[at & mask_] == no_block) ++at;
    return at == end_ ? no_block : queue_[at & mask_];
  }

  /// A place is never cleared: it counts while it lies between front and end and the queue agrees.
  [[nodiscard]] bool contains(block_id id) const noexcept {
    if (id >= places_.size()) return false;
    const std::uint32_t place = places_[id];
    return ((place - front_) & mask_) < end_ - front_ && queue_[place] == id;
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return queue_.bytes() + places_.bytes(); }

  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t members = 0;
    if (end_ - front_ > queue_.size() || (size_ == 0 && end_ != front_)) return false;
    if (size_ != 0 && queue_[front_ & mask_] == no_block) return false;
    for (std::uint32_t at = front_; at != end_; ++at) {
      const block_id id = queue_[at & mask_];
      if (id == no_block) continue;
      if (id >= places_.size() || places_[id] != (at & mask_)) return false;
      ++members;
    }
    return members == size_;
  }

 private:
  static constexpr std::size_t max_room = std::size_t{1} << 31;

  void put(std::uint32_t at, block_id id) noexcept {
    queue_[at & mask_] = id;
    places_[id] = at & mask_;
  }

  void skip_gaps() noexcept {
    if (size_ == 0) front_ = end_;
    while (front_ != end_ && queue_[front_ & mask_] == no_block) ++front_;
  }

  // blocks that were wanted again leave gaps behind: the others close up, in their order
  TOKENHEAP_NOINLINE void move_up() noexcept {
    std::uint32_t to = front_;
    for (std::uint32_t at = front_; at != end_; ++at) {
      if (const block_id id = queue_[at & mask_]; id != no_block) put(to++, id);
    }
    end_ = to;
  }

  // a queue in an array, and where each block stands in it: those that leave next can be read side by side, where a
  // list must be followed one by one
  column<block_id, 64> queue_;
  column<std::uint32_t, 64> places_;
  std::uint32_t mask_ = 0;
  std::uint32_t front_ = 0;  // both count on past the end of the queue
  std::uint32_t end_ = 0;
  std::size_t size_ = 0;
};

static_assert(eviction_order<lru>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
