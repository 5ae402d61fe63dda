// Which regions a source has given out, sorted by address.
#pragma once

#include <cstdlib>
#include <cstring>
#include <type_traits>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>

namespace tokenheap {
inline namespace v0 {

/// Knows every region that is out, so that a source can name each misuse; for few and large regions.
///
/// `Region` has an `address` and a `size`, and is moved by `memmove`. The book lies on the heap of the process, apart
/// from the memory that it describes.
///
/// Fails     `reserve_one` is false when the heap has no more; nothing else can fail
/// Threads   not safe
/// Cost      O(log regions) to find; O(regions) to insert or erase anywhere but at the end
template <class Region>
class region_book {
  static_assert(std::is_trivially_copyable_v<Region>);

 public:
  region_book() noexcept = default;
  region_book(const region_book&) = delete;
  region_book& operator=(const region_book&) = delete;
  ~region_book() { std::free(regions_); }

  [[nodiscard]] bool reserve_one() noexcept {
    if (size_ != capacity_) return true;
    const std::size_t wanted = capacity_ == 0 ? 8 : capacity_ * 2;
    auto* const grown = static_cast<Region*>(std::realloc(regions_, wanted * sizeof(Region)));
    if (grown == nullptr) return false;
    regions_ = grown;
    capacity_ = wanted;
    return true;
  }

  /// Requires reserve_one() before, and that the region overlaps no other.
  void insert(const Region& r) noexcept {
    const std::size_t at = behind(r.address);
    if (at != size_) std::memmove(regions_ + at + 1, regions_ + at, (size_ - at) * sizeof(Region));
    regions_[at] = r;
    ++size_;
  }

  void erase(std::size_t at, std::size_t n = 1) noexcept {
    size_ -= n;
    if (at != size_) std::memmove(regions_ + at, regions_ + at + n, (size_ - at) * sizeof(Region));
  }

  /// The place of the region that an address lies in, or size(). An address one past the end lies in none.
  [[nodiscard]] std::size_t find(std::uintptr_t address) const noexcept {
    const std::size_t next = behind(address);
    return next != 0 && address - regions_[next - 1].address < regions_[next - 1].size ? next - 1 : size_;
  }

  /// The place of the first region that starts behind an address, or size().
  [[nodiscard]] std::size_t behind(std::uintptr_t address) const noexcept {
    std::size_t low = 0;
    for (std::size_t high = size_; low != high;) {
      const std::size_t middle = low + (high - low) / 2;
      if (regions_[middle].address <= address) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  void clear() noexcept { size_ = 0; }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] Region& operator[](std::size_t at) noexcept { return regions_[at]; }
  [[nodiscard]] const Region& operator[](std::size_t at) const noexcept { return regions_[at]; }

  /// Sorted, none empty, none reaching into the next.
  [[nodiscard]] bool is_valid() const noexcept {
    for (std::size_t k = 0; k != size_; ++k) {
      if (regions_[k].size == 0) return false;
      if (k != 0 && regions_[k].address - regions_[k - 1].address < regions_[k - 1].size) return false;
      if (k != 0 && regions_[k].address <= regions_[k - 1].address) return false;
    }
    return size_ <= capacity_;
  }

 private:
  Region* regions_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
