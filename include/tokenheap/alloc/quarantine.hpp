// Freed pieces that wait before they may be used again.
#pragma once

#include <cstdlib>

#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// Holds freed allocations in the order in which they came; its book is on the heap, beside the memory itself.
///
/// Fails     `push` is false when its book cannot grow; the caller then frees at once
/// Threads   not safe
class quarantine {
 public:
  quarantine() noexcept = default;
  quarantine(const quarantine&) = delete;
  quarantine& operator=(const quarantine&) = delete;
  ~quarantine() { std::free(ring_); }

  [[nodiscard]] bool push(allocation a) noexcept {
    if (count_ == capacity_ && !grow()) return false;
    ring_[(first_ + count_++) & (capacity_ - 1)] = a;
    bytes_ += a.size;
    return true;
  }

  /// Returns   the oldest piece; Requires bytes() != 0
  allocation pop() noexcept {
    TOKENHEAP_ASSERT(count_ != 0);
    const allocation oldest = ring_[first_];
    first_ = (first_ + 1) & (capacity_ - 1);
    --count_;
    bytes_ -= oldest.size;
    return oldest;
  }

  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t count() const noexcept { return count_; }

 private:
  TOKENHEAP_COLD bool grow() noexcept {
    const std::size_t wanted = capacity_ == 0 ? 64 : capacity_ * 2;
    auto* const fresh = static_cast<allocation*>(std::malloc(wanted * sizeof(allocation)));
    if (fresh == nullptr) return false;
    for (std::size_t k = 0; k != count_; ++k) fresh[k] = ring_[(first_ + k) & (capacity_ - 1)];
    std::free(ring_);
    ring_ = fresh;
    capacity_ = wanted;
    first_ = 0;
    return true;
  }

  allocation* ring_ = nullptr;
  std::size_t capacity_ = 0;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
