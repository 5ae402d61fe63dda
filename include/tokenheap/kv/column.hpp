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
/// Untouched parts of a fresh column cost no memory. Not for what grows often: `grow` may move everything.
///
/// Requires  a trivially copyable element; an index below size()
/// Fails     open and grow return false and change nothing
/// Threads   not safe
/// Cost      one allocation; no test of the index in release builds
template <class T>
class column {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  column() noexcept = default;
  column(column&& other) noexcept : first_(other.first_), size_(other.size_) {
    other.first_ = nullptr;
    other.size_ = 0;
  }
  column& operator=(column&& other) noexcept {
    if (this != &other) {
      std::free(first_);
      first_ = other.first_;
      size_ = other.size_;
      other.first_ = nullptr;
      other.size_ = 0;
    }
    return *this;
  }
  ~column() { std::free(first_); }

  /// Asks for `n` zeroed elements in place of what was there.
  [[nodiscard]] bool open(std::size_t n) noexcept {
    std::size_t bytes = 0;
    if (!checked_mul(n, sizeof(T), bytes) || bytes > max_allocation) return false;
    void* fresh = std::calloc(n == 0 ? 1 : n, sizeof(T));
    if (fresh == nullptr) return false;
    std::free(first_);
    first_ = static_cast<T*>(fresh);
    size_ = n;
    return true;
  }

  /// Makes room for at least `n` elements and keeps those that are there; the new ones are not set.
  [[nodiscard]] bool grow(std::size_t n) noexcept {
    if (n <= size_) return true;
    if (n < 2 * size_) n = 2 * size_;
    std::size_t bytes = 0;
    if (!checked_mul(n, sizeof(T), bytes) || bytes > max_allocation) return false;
    void* moved = std::realloc(first_, bytes);
    if (moved == nullptr) return false;
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
  T* first_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
