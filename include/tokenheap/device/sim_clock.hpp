// Vector clocks: which work of a simulated device must have happened before which.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include <tokenheap/core/config.hpp>

namespace tokenheap {
inline namespace v0 {

/// One access: which dimension made it (a stream or a host thread), and at which tick of that dimension.
struct sim_epoch {
  std::uint32_t dimension = 0;
  std::uint32_t tick = 0;  ///< ticks start at 1: 0 is no access at all
  std::uint8_t call = 0;   ///< the `sim_call` that made it, or `sim_host_access`

  constexpr explicit operator bool() const noexcept { return tick != 0; }
};

/// For each dimension the last tick that is known to have happened before.
///
/// Grows with the dimensions that are named; a dimension that was never named is at 0.
///
/// Cost      no heap up to 12 dimensions
class sim_clock {
 public:
  sim_clock() noexcept = default;
  sim_clock(const sim_clock& other) noexcept { join(other); }
  sim_clock(sim_clock&& other) noexcept { steal(other); }
  sim_clock& operator=(const sim_clock& other) noexcept {
    if (this == &other) return *this;
    size_ = 0;
    join(other);
    return *this;
  }
  sim_clock& operator=(sim_clock&& other) noexcept {
    if (this == &other) return *this;
    drop();
    steal(other);
    return *this;
  }
  ~sim_clock() { drop(); }

  [[nodiscard]] std::uint32_t operator[](std::uint32_t dimension) const noexcept {
    return dimension < size_ ? ticks_[dimension] : 0;
  }
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }

  void set(std::uint32_t dimension, std::uint32_t tick) noexcept {
    reach(dimension + 1);
    ticks_[dimension] = tick;
  }
  /// One more tick of a dimension; Returns the new one.
  std::uint32_t advance(std::uint32_t dimension) noexcept {
    reach(dimension + 1);
    return ++ticks_[dimension];
  }
  /// Everything before `other` is now before this as well.
  void join(const sim_clock& other) noexcept {
    reach(other.size_);
    for (std::uint32_t k = 0; k < other.size_; ++k) {
      ticks_[k] = ticks_[k] < other.ticks_[k] ? other.ticks_[k] : ticks_[k];
    }
  }
  /// True if the access happened before this clock.
  [[nodiscard]] bool covers(const sim_epoch& e) const noexcept { return e.tick <= (*this)[e.dimension]; }
  /// True if everything before `other` happened before this too; else the first dimension of which that is not so.
  [[nodiscard]] bool covers(const sim_clock& other, std::uint32_t* ahead = nullptr) const noexcept {
    for (std::uint32_t k = 0; k < other.size_; ++k) {
      if (other.ticks_[k] <= (*this)[k]) continue;
      if (ahead != nullptr) *ahead = k;
      return false;
    }
    return true;
  }
  void clear() noexcept { size_ = 0; }

 private:
  static constexpr std::uint32_t inline_size = 12;

  void reach(std::uint32_t size) noexcept {
    if (size <= size_) return;
    if (size > capacity_) grow(size);
    std::memset(ticks_ + size_, 0, (size - size_) * sizeof *ticks_);
    size_ = size;
  }
  TOKENHEAP_COLD void grow(std::uint32_t size) noexcept {
    const std::uint32_t capacity = size + size / 2;
    auto* const more = new std::uint32_t[capacity];
    std::memcpy(more, ticks_, size_ * sizeof *ticks_);
    const std::uint32_t kept = size_;
    drop();
    ticks_ = more;
    size_ = kept;
    capacity_ = capacity;
  }
  void drop() noexcept {
    if (ticks_ != near_) delete[] ticks_;
    ticks_ = near_;
    size_ = 0;
    capacity_ = inline_size;
  }
  // this holds nothing on the heap
  void steal(sim_clock& other) noexcept {
    if (other.ticks_ == other.near_) {
      join(other);
      other.size_ = 0;
      return;
    }
    ticks_ = std::exchange(other.ticks_, other.near_);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, inline_size);
  }

  std::uint32_t near_[inline_size];
  std::uint32_t* ticks_ = near_;
  std::uint32_t size_ = 0;
  std::uint32_t capacity_ = inline_size;
};

}  // namespace v0
}  // namespace tokenheap
