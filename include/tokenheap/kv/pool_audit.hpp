// The books of a block pool, counted again.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Walks every block of a pool and says whether its lists, its counts and its index agree; what `is_valid` calls.
///
/// Threads   as the books: the lock is held
/// Cost      a few reads per block
template <class Books>
struct pool_audit {
  [[nodiscard]] static bool agrees(const Books& books) noexcept {
    std::size_t live = 0, cached = 0, stacked = 0, waiting = 0;
    std::uint64_t sum = 0;
    for (block_id id = books.first_; id < books.end_; ++id) {
      const bool published = books.is_published(id);
      const bool referenced = books.references(id) != 0;
      const bool waits = books.waits(id);
      if (books.options_.cache && books.index_.is_published(id) != published) return false;
      if constexpr (Books::divides) {
        if (books.order_.is_charged(id) != (published || referenced || waits)) return false;
      }
      if (books.order_.contains(id) != (published && !referenced && !waits)) return false;
      if ((id >= books.fresh_ && (published || referenced || waits)) || (waits && referenced)) return false;
      live += referenced;
      waiting += waits;
      cached += published && !referenced && !waits;
      if (id >= books.fresh_ || published || referenced || waits) continue;
      ++stacked;
      sum += fingerprint(id);
    }
    // equal counts and equal sums of fingerprints: the stack holds exactly the free blocks, each once
    for (std::size_t at = 0; at < books.top_; ++at) sum -= fingerprint(books.stack_[at]);
    const bool counts = live == books.live_ && cached == books.order_.size() && stacked == books.top_ && sum == 0 &&
                        waiting == books.in_flight();
    return counts && live + cached + waiting + books.free_count() == books.total() && books.order_.is_valid() &&
           fence_agrees(books) && promises_agree(books) && (!books.options_.cache || books.index_.is_valid()) &&
           parents_leave_later(books);
  }

  /// Calls `visit(id, references, published, in_flight)` for every block.
  template <class Visit>
  static void for_each(const Books& books, Visit& visit) {
    for (block_id id = books.first_; id < books.end_; ++id)
      visit(id, books.references(id), books.is_published(id), books.waits(id));
  }

 private:
  [[nodiscard]] static std::uint64_t fingerprint(block_id id) noexcept {
    return (id + std::uint64_t{1}) * (id + std::uint64_t{0x9e3779b97f4a7c15});
  }

  [[nodiscard]] static bool fence_agrees(const Books& books) noexcept {
    if constexpr (Books::holds_back) return books.fence_.is_valid();
    return true;
  }

  [[nodiscard]] static bool promises_agree(const Books& books) noexcept {
    if constexpr (Books::divides) return books.order_.promised() == books.promises_.reserved;
    return true;
  }

  // of each cached block, somebody who holds the prefix before it is live, waits for a fence, or leaves later
  [[nodiscard]] static bool parents_leave_later(const Books& books) noexcept {
    const auto& order = books.order_;
    if constexpr (requires { order.after(block_id{}); }) {
      column<std::uint32_t> place;
      if (order.size() == 0 || !place.open(books.end_)) return true;
      std::uint32_t rank = 0;
      for (block_id id = order.victim(); id != no_block; id = order.after(id)) place[id] = ++rank;
      for (block_id id = order.victim(); id != no_block; id = order.after(id)) {
        const auto parent = books.index_.parent_of(id);
        bool later = Books::prefixes::is_root(parent);
        if (!later) {
          books.index_.each_holder(parent, [&](block_id up) {
            later = later || books.references(up) != 0 || books.waits(up) || place[up] > place[id];
          });
        }
        if (!later) return false;
      }
    }
    return true;
  }
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
