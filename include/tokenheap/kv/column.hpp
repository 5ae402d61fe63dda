// A row of numbers that is asked for once: the bookkeeping memory of the KV floor.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Holds the bookkeeping of many blocks side by side, zeroed, in ordinary memory.
///
/// The pool, the index and the eviction order keep one number per block in columns instead of one object per block.
/// Untouched parts of a fresh column cost no memory. Not for what grows often: `grow` may move everything. With an
/// `Alignment` above the default a column starts there and does not grow.
///
/// Requires  a trivially copyable element; an index below size()
/// Fails     open and grow return false and change nothing
/// Threads   not safe
/// Cost      one allocation; no test of the index in release builds
template <class T, std::size_t Alignment = default_alignment>
class column {
  static_assert(std::is_trivially_copyable_v<T> && is_alignment(Alignment) && alignof(T) <= default_alignment);

 public:
  column() noexcept = default;
  column(column&& other) noexcept : owned_(other.owned_), first_(other.first_), size_(other.size_) {
    other.owned_ = nullptr;
    other.first_ = nullptr;
    other.size_ = 0;
  }
  column& operator=(column&& other) noexcept {
    if (this != &other) {
      std::free(owned_);
      owned_ = other.owned_;
      first_ = other.first_;
      size_ = other.size_;
      other.owned_ = nullptr;
      other.first_ = nullptr;
      other.size_ = 0;
    }
    return *this;
  }
  ~column() { std::free(owned_); }

  /// Asks for `n` zeroed elements in place of what was there.
  [[nodiscard]] bool open(std::size_t n) noexcept {
    std::size_t bytes = 0;
    if (!checked_mul(n, sizeof(T), bytes) || bytes > max_allocation - Alignment) return false;
    // the allocator's zeroed memory is untouched memory, which no aligned call gives: so there is room to move up
    void* fresh = std::calloc(bytes + Alignment, 1);
    if (fresh == nullptr) return false;
    std::free(owned_);
    owned_ = fresh;
    first_ = static_cast<T*>(offset(fresh, align_up(address_of(fresh), Alignment) - address_of(fresh)));
    size_ = n;
    return true;
  }

  /// Makes room for at least `n` elements and keeps those that are there; the new ones are not set.
  [[nodiscard]] bool grow(std::size_t n) noexcept
    requires(Alignment == default_alignment)
  {
    if (n <= size_) return true;
    if (n < 2 * size_) n = 2 * size_;
    std::size_t bytes = 0;
    if (!checked_mul(n, sizeof(T), bytes) || bytes > max_allocation) return false;
    void* moved = std::realloc(owned_, bytes);
    if (moved == nullptr) return false;
    owned_ = moved;
    first_ = static_cast<T*>(moved);
    size_ = n;
    return true;
  }

  [[nodiscard]] T& operator[](std::size_t at) noexcept { return TOKENHEAP_ASSERT_FULL(at < size_), first_[at]; }
  [[nodiscard]] const T& operator[](std::size_t at) const noexcept {
    return TOKENHEAP_ASSERT_FULL(at < size_), first_[at];
  }
  [[nodiscard]] T* first() noexcept { return first_; }
  [[nodiscard]] const T* first() const noexcept { return first_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return size_ * sizeof(T); }

 private:
  void* owned_ = nullptr;
  T* first_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
