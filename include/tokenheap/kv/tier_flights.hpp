// The batches of a tier that are on their way.
#pragma once

#include <memory>
#include <new>

#include <tokenheap/concepts/tier.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Keeps a bounded number of batches in flight, one `Item` for each key, behind tickets that never mean another batch.
///
/// For who writes a tier. The rows of items are kept for the next batch, so that a busy tier stops asking for memory.
///
/// Fails     open and start say no and change nothing
/// Threads   not safe
template <class Item, class More = bool>
class tier_flights {
 public:
  /// Which way the bytes go.
  enum class way : unsigned char { none, load, store };

  /// What one call started.
  struct batch {
    column<Item> items;
    std::size_t count = 0;
    std::uint64_t mark = 0;  ///< the tier's own: what its copies are known by
    std::uint32_t generation = 0;
    way going = way::none;
    More more{};  ///< the tier's own, fresh for each batch
  };

  [[nodiscard]] bool open(std::size_t batches) noexcept {
    if (batches == 0 || batches >= ~std::uint32_t{0} || batches > max_allocation / sizeof(batch)) return false;
    batches_.reset(new (std::nothrow) batch[batches]);
    room_ = batches_ ? batches : 0;
    return room_ != 0;
  }

  /// A fresh batch of n items, which are not set; the zero ticket if too many are in flight or there is no memory.
  [[nodiscard]] tier_ticket start(way going, std::size_t n) noexcept {
    for (std::size_t k = 0; n != 0 && k != room_; ++k) {
      batch& b = batches_[k];
      if (b.going != way::none) continue;
      if (!b.items.grow(n)) return {};
      b.count = n;
      b.mark = 0;
      b.more = More{};
      b.going = going;
      ++b.generation;
      ++running_;
      return {(std::uint64_t{b.generation} << 32) | (k + 1)};
    }
    return {};
  }

  /// The batch of a ticket that is in flight that way; null for any other.
  [[nodiscard]] batch* find(tier_ticket which, way going) const noexcept {
    const std::size_t k = static_cast<std::size_t>(which.id & 0xFFFFFFFFu) - 1;
    if (k >= room_) return nullptr;
    batch& b = batches_[k];
    return b.going == going && b.generation == which.id >> 32 ? &b : nullptr;
  }
  [[nodiscard]] batch* find(tier_ticket which) const noexcept {
    batch* const b = find(which, way::load);
    return b != nullptr ? b : find(which, way::store);
  }
  void end(batch& b) noexcept {
    b.going = way::none;
    --running_;
  }

  [[nodiscard]] std::size_t size() const noexcept { return running_; }
  template <class See>
  void each(See&& see) const noexcept {
    for (std::size_t k = 0; k != room_; ++k)
      if (batches_[k].going != way::none) see(batches_[k]);
  }

 private:
  std::unique_ptr<batch[]> batches_;
  std::size_t room_ = 0;
  std::size_t running_ = 0;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
