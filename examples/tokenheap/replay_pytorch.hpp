// The rules of PyTorch's caching allocator, as a row to compare with; addresses and times are made up.
#pragma once

#include <cstdint>
#include <list>
#include <set>
#include <tuple>
#include <vector>

#include "replay.hpp"

namespace program {

/// Rounds, splits, merges and gives back as PyTorch's native allocator does with its default settings.
///
/// Sizes are multiples of 512 bytes. Requests up to 1 MiB come out of segments of 2 MiB, those below 10 MiB out of 20 MiB,
/// larger ones out of their own size rounded to 2 MiB. Best fit within one stream; what is left of a block is split off
/// from 512 bytes on, or from more than 1 MiB on among the large ones. When the device has no more, all whole segments
/// that are idle go back, and the device is asked once again.
class pytorch_model {
 public:
  pytorch_model(std::uint64_t capacity, std::uint32_t pieces, std::uint32_t) : capacity_(capacity), held_(pieces) {}

  complaint open() { return {}; }
  bool come(const replay_event& e) {
    const std::uint64_t size = rounded(e.bytes);
    const bool large = size > small_most;
    auto found = pools_[large].lower_bound({e.stream, size, 0});
    block_at at;
    if (found != pools_[large].end() && std::get<0>(*found) == e.stream) {
      at = index_[std::get<2>(*found)];
      pools_[large].erase(found);
    } else if (!add_segment(e.stream, size, large, at)) {
      return false;
    }
    split(at, size);
    at->is_out = true;
    held_[e.piece] = at;
    return true;
  }

  // the block returns to the stream that it was made for, whichever gives it back
  void go(const replay_event& e) {
    block_at at = held_[e.piece];
    at->is_out = false;
    if (at->follows) {
      const block_at before = std::prev(at);
      if (!before->is_out) at = join(before, at, before);
    }
    if (const block_at next = std::next(at); next != blocks_.end() && next->follows && !next->is_out)
      at = join(at, next, next);
    pools_[at->is_large].insert(key(at));
  }

  [[nodiscard]] std::uint64_t reserved() const { return reserved_; }
  complaint finish(replay_outcome& out) const {
    if (mallocs_ != 0) out.device_calls["allocate"] = mallocs_;
    if (frees_ != 0) out.device_calls["deallocate"] = frees_;
    return {};
  }

 private:
  static constexpr std::uint64_t KiB = 1024;
  static constexpr std::uint64_t MiB = 1024 * KiB;
  static constexpr std::uint64_t granule = 512;
  static constexpr std::uint64_t small_most = 1 * MiB;
  static constexpr std::uint64_t small_segment = 2 * MiB;
  static constexpr std::uint64_t large_segment = 20 * MiB;
  static constexpr std::uint64_t own_segment = 10 * MiB;
  static constexpr std::uint64_t segment_step = 2 * MiB;

  // all blocks, segment after segment, each segment's in the order of its addresses
  struct block {
    std::uint64_t size = 0;
    std::uint64_t number = 0;  // its place in `index_`; stands for the address
    std::uint32_t stream = 0;
    bool is_large = false;
    bool is_out = false;
    bool follows = false;  // the block before it lies in the same segment
  };
  using block_at = std::list<block>::iterator;
  using pool_key = std::tuple<std::uint32_t, std::uint64_t, std::uint64_t>;

  [[nodiscard]] static pool_key key(block_at at) { return {at->stream, at->size, at->number}; }
  [[nodiscard]] static std::uint64_t rounded(std::uint64_t bytes) { return (bytes + granule - 1) / granule * granule; }
  [[nodiscard]] static std::uint64_t segment_for(std::uint64_t size) {
    if (size <= small_most) return small_segment;
    if (size < own_segment) return large_segment;
    return (size + segment_step - 1) / segment_step * segment_step;
  }

  bool add_segment(std::uint32_t stream, std::uint64_t size, bool large, block_at& out) {
    const std::uint64_t bytes = segment_for(size);
    ++mallocs_;
    if (bytes > capacity_ - reserved_) {
      release_idle();
      ++mallocs_;
      if (bytes > capacity_ - reserved_) return false;
    }
    reserved_ += bytes;
    out = insert(blocks_.end(), {.size = bytes, .stream = stream, .is_large = large});
    return true;
  }

  void release_idle() {
    for (auto& pool : pools_) {
      for (auto it = pool.begin(); it != pool.end();) {
        const block_at at = index_[std::get<2>(*it)];
        const block_at next = std::next(at);
        if (at->follows || (next != blocks_.end() && next->follows)) {
          ++it;
          continue;
        }
        ++frees_;
        reserved_ -= at->size;
        it = pool.erase(it);
        forget(at);
      }
    }
  }

  void split(block_at at, std::uint64_t size) {
    const std::uint64_t rest = at->size - size;
    if (at->is_large ? rest <= small_most : rest < granule) return;
    at->size = size;
    const block_at tail =
        insert(std::next(at), {.size = rest, .stream = at->stream, .is_large = at->is_large, .follows = true});
    pools_[at->is_large].insert(key(tail));
  }

  // `idle` is the one of the two that stands in its pool
  block_at join(block_at first, block_at second, block_at idle) {
    pools_[first->is_large].erase(key(idle));
    first->size += second->size;
    forget(second);
    return first;
  }

  block_at insert(block_at before, block made) {
    if (unused_.empty()) {
      made.number = index_.size();
      index_.emplace_back();
    } else {
      made.number = unused_.back();
      unused_.pop_back();
    }
    return index_[made.number] = blocks_.insert(before, made);
  }
  void forget(block_at at) {
    unused_.push_back(at->number);
    blocks_.erase(at);
  }

  std::uint64_t capacity_;
  std::uint64_t reserved_ = 0;
  std::uint64_t mallocs_ = 0;
  std::uint64_t frees_ = 0;
  std::list<block> blocks_;
  std::vector<block_at> index_;
  std::vector<std::uint64_t> unused_;
  std::set<pool_key> pools_[2];
  std::vector<block_at> held_;
};

}  // namespace program
