// Pools of device memory for graph capture: which requests go to which pool, and who still needs its addresses.
#pragma once

#include <cstdint>

#include <tokenheap/alloc/range_table.hpp>
#include <tokenheap/core/result.hpp>

namespace tokenheap {
inline namespace v0 {

/// Which streams' requests a pool takes while it is open; the default takes all.
///
/// Threads   called by every allocating thread, outside all locks
struct stream_filter {
  bool (*accepts)(void* user, std::uint64_t stream_id) noexcept = nullptr;
  void* user = nullptr;

  [[nodiscard]] bool operator()(std::uint64_t id) const noexcept { return accepts == nullptr || accepts(user, id); }
};

/// Counts the users of each pool, and knows which pools are open; number 0 is the pool of everybody.
///
/// Threads   not safe; the allocator calls it under its lock
template <source Book>
class device_pools {
 public:
  static constexpr std::size_t most_open = 16;

  explicit device_pools(const Book& book) noexcept : pools_(book) {}

  /// A pool with one user, or 0 when the source of the bookkeeping has no more. `is_empty` tells whether a pool without
  /// users has no memory left, so that its number can be used again.
  template <class IsEmpty>
  [[nodiscard]] std::uint32_t create(IsEmpty is_empty) noexcept {
    for (std::uint32_t p = 1; p < count_; ++p) {
      if (pools_[p].uses == 0 && !pools_[p].open && is_empty(p)) return pools_[p].uses = 1, p;
    }
    if (!pools_.ensure(count_ + 1)) return 0;
    pools_[count_] = {.uses = 1, .open = false};
    return count_++;
  }
  [[nodiscard]] bool knows(std::uint32_t pool) const noexcept { return pool != 0 && pool < count_; }
  [[nodiscard]] std::size_t uses(std::uint32_t pool) const noexcept { return knows(pool) ? pools_[pool].uses : 0; }

  /// One user more of a pool that has one; a pool that was let go by all does not come back.
  [[nodiscard]] errc retain(std::uint32_t pool) noexcept {
    if (uses(pool) == 0) return errc::not_open;
    ++pools_[pool].uses;
    return errc::ok;
  }
  [[nodiscard]] errc release(std::uint32_t pool) noexcept {
    if (uses(pool) == 0) return errc::not_open;
    if (pools_[pool].uses == 1 && pools_[pool].open) return errc::in_use;
    --pools_[pool].uses;
    return errc::ok;
  }

  [[nodiscard]] errc begin(std::uint32_t pool, stream_filter filter) noexcept {
    if (uses(pool) == 0) return errc::not_open;
    if (pools_[pool].open) return errc::in_use;
    if (open_count_ == most_open) return errc::limit_reached;
    pools_[pool].open = true;
    open_[open_count_++] = {pool, filter};
    return errc::ok;
  }
  [[nodiscard]] errc end(std::uint32_t pool) noexcept {
    if (!knows(pool) || !pools_[pool].open) return errc::not_open;
    pools_[pool].open = false;
    std::size_t k = 0;
    while (open_[k].pool != pool) ++k;
    // the order decides which filter is asked first
    for (--open_count_; k != open_count_; ++k) open_[k] = open_[k + 1];
    return errc::ok;
  }

  /// One pool that is open, and what it was opened for.
  struct opened {
    std::uint32_t pool = 0;
    stream_filter filter{};
  };
  [[nodiscard]] std::size_t open_count() const noexcept { return open_count_; }
  [[nodiscard]] const opened& open(std::size_t k) const noexcept { return open_[k]; }

 private:
  struct entry {
    std::size_t uses = 0;
    bool open = false;
  };

  grown_array<entry, Book> pools_;
  std::uint32_t count_ = 1;
  opened open_[most_open];
  std::size_t open_count_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
