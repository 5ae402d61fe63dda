// The sampled allocations that are still out, by address, and a filter that rules most addresses out with one load.
#pragma once

#include <cstdint>
#include <cstdlib>

#include <tokenheap/observe/stack_table.hpp>

namespace tokenheap {
inline namespace v0 {

/// A sampled allocation: where it is, what was granted, and the bytes that it stands for.
struct live_sample {
  std::size_t address = 0;  ///< 0: an empty place
  std::size_t granted = 0;
  std::size_t weight = 0;
  std::uint32_t stack = 0;
};

/// A hash table of fixed size with linear probing, and counters of addresses in front of it.
///
/// Threads   not safe
/// Cost      `may_have` is one load; the rest O(1)
class sample_table {
 public:
  sample_table() noexcept = default;
  sample_table(const sample_table&) = delete;
  sample_table& operator=(const sample_table&) = delete;
  ~sample_table() {
    std::free(places_);
    if (filter_ != &nothing_) std::free(filter_);
  }

  static constexpr std::size_t most_samples = std::size_t{1} << 30;

  /// Takes memory for `most` samples, once; false if the heap has none.
  [[nodiscard]] bool open(std::size_t most) noexcept {
    if (most > most_samples) return false;
    const std::size_t places = places_for(most);
    places_ = static_cast<live_sample*>(std::calloc(places, sizeof(live_sample)));
    auto* const filter = static_cast<unsigned char*>(std::calloc(filter_share * places, 1));
    if (places_ == nullptr || filter == nullptr) return std::free(filter), false;
    filter_ = filter;
    filter_mask_ = filter_share * places - 1;
    mask_ = places - 1;
    most_ = most;
    return true;
  }
  /// Requires  most <= most_samples
  [[nodiscard]] static std::size_t memory_for(std::size_t most) noexcept {
    return places_for(most) * (sizeof(live_sample) + filter_share);
  }

  /// False for an address that was surely not sampled.
  [[nodiscard]] TOKENHEAP_INLINE bool may_have(std::size_t address) const noexcept {
    return filter_[slot_of(address) & filter_mask_] != 0;
  }
  /// Keeps a sample; false if the table is full. Requires  that the address is not in the table
  [[nodiscard]] bool insert(const live_sample& s) noexcept {
    if (count_ == most_) return false;
    std::size_t at = home(s.address);
    while (places_[at].address != 0) at = (at + 1) & mask_;
    places_[at] = s;
    ++count_;
    // a counter that is full stays so: it lets addresses through, and loses none
    unsigned char& c = filter_[slot_of(s.address) & filter_mask_];
    if (c != 255) ++c;
    return true;
  }
  /// Takes a sample out; one with address 0 if that address was not sampled.
  [[nodiscard]] live_sample take(std::size_t address) noexcept {
    if (count_ == 0) return {};
    std::size_t at = home(address);
    while (places_[at].address != address) {
      if (places_[at].address == 0) return {};
      at = (at + 1) & mask_;
    }
    const live_sample found = places_[at];
    close_gap(at);
    --count_;
    unsigned char& c = filter_[slot_of(address) & filter_mask_];
    if (c != 255) --c;
    return found;
  }
  void clear() noexcept {
    for (std::size_t k = 0; places_ != nullptr && k <= mask_; ++k) places_[k] = {};
    for (std::size_t k = 0; k <= filter_mask_; ++k) filter_[k] = 0;
    count_ = 0;
  }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (std::size_t k = 0; places_ != nullptr && k <= mask_; ++k)
      if (places_[k].address != 0) visit(places_[k]);
  }

 private:
  /// Bytes of the filter for each place: few, so that it stays in the first cache.
  static constexpr std::size_t filter_share = 2;

  [[nodiscard]] static constexpr std::size_t places_for(std::size_t most) noexcept {
    std::size_t places = 2;
    while (places < 2 * most) places *= 2;
    return places;
  }
  /// Neighbours in memory are neighbours in the filter, so that a hot pool touches few lines of it.
  [[nodiscard]] static constexpr std::size_t slot_of(std::size_t address) noexcept {
    return (address >> 4) ^ (address >> 18);
  }
  [[nodiscard]] std::size_t home(std::size_t address) const noexcept { return stack_table::mixed(address) & mask_; }
  /// Moves up what was pushed behind an emptied place by it.
  void close_gap(std::size_t gap) noexcept {
    for (std::size_t k = (gap + 1) & mask_; places_[k].address != 0; k = (k + 1) & mask_) {
      if (((k - home(places_[k].address)) & mask_) < ((k - gap) & mask_)) continue;
      places_[gap] = places_[k];
      gap = k;
    }
    places_[gap] = {};
  }

  unsigned char nothing_ = 0;
  unsigned char* filter_ = &nothing_;
  std::size_t filter_mask_ = 0;
  live_sample* places_ = nullptr;
  std::size_t mask_ = 0;
  std::size_t most_ = 0;
  std::size_t count_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
