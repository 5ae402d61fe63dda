// When a block that was given back may be used again.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/kv/block_lists.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Lets a block be used again at once: for blocks that only the CPU touches, or one stream that does all the work.
struct no_fence {
  [[nodiscard]] constexpr bool open(std::size_t) noexcept { return true; }
  [[nodiscard]] constexpr std::size_t bytes() const noexcept { return 0; }
};

/// Holds back what was given back while a step was running, until the engine says that the step has ended.
///
/// Name it as `fence` in a pool's policy where the engine frees blocks of a request while the device still works on the
/// step that used them, and anything but that device's own stream may write them next: a transfer from another machine,
/// a copy, the CPU. `begin()` numbers a step when it is handed to the device; `block_pool::settle(step)` says that it and
/// all before it have ended. A block given back in between waits for the newest step that had begun; a prefix that waits
/// can still be found, and whoever finds it takes it out of the wait. Not needed for steps of one stream alone.
///
/// Requires  steps that end in the order in which they began
/// Threads   not safe; the pool's lock covers it
/// Cost      O(1) per block; 20 bytes per block; nothing while no step is running
/// Example   examples/kv_fences.cpp
class step_fence {
 public:
  [[nodiscard]] bool open(std::size_t blocks) noexcept { return waiting_.open(blocks, 1) && marks_.open(blocks); }

  /// The number of a step that is handed to the device now.
  [[nodiscard]] std::uint64_t begin() noexcept { return ++begun_; }
  [[nodiscard]] std::uint64_t begun() const noexcept { return begun_; }
  [[nodiscard]] std::uint64_t settled() const noexcept { return settled_; }

  /// Called by the pool: true while what is given back has to wait.
  [[nodiscard]] bool busy() const noexcept { return begun_ != settled_; }
  void add(block_id id) noexcept {
    waiting_.add(0, id);
    marks_[id] = begun_;
    ++size_;
  }
  void remove(block_id id) noexcept {
    waiting_.remove(id);
    --size_;
  }
  [[nodiscard]] bool contains(block_id id) const noexcept { return waiting_.contains(id); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// False for a step that has not begun, or was settled before a later one.
  [[nodiscard]] bool settle(std::uint64_t step) noexcept {
    if (step > begun_ || step < settled_) return false;
    settled_ = step;
    return true;
  }
  /// The next block whose step has ended, in the order in which they were given back; `no_block` if there is none.
  [[nodiscard]] block_id pop() noexcept {
    const block_id id = waiting_.first(0);
    if (id == no_block || marks_[id] > settled_) return no_block;
    remove(id);
    return id;
  }

  [[nodiscard]] std::size_t bytes() const noexcept { return waiting_.bytes() + marks_.bytes(); }
  [[nodiscard]] bool is_valid() const noexcept {
    std::uint64_t last = settled_;
    for (block_id id = waiting_.first(0); id != no_block; id = waiting_.next(id)) {
      if (marks_[id] < last || marks_[id] > begun_) return false;
      last = marks_[id];
    }
    return waiting_.walk(0) == size_ && settled_ <= begun_;
  }

 private:
  block_lists waiting_;
  column<std::uint64_t> marks_;
  std::uint64_t begun_ = 0, settled_ = 0;
  std::size_t size_ = 0;
};

static_assert(block_fence<no_fence> && holds_blocks_back<step_fence>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
