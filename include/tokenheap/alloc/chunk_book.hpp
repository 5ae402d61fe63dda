// Which chunks a slab took, in the order of their addresses.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// One chunk: its memory, the class that it was cut into, and a count for whoever walks the free slots.
struct chunk_entry {
  allocation whole;
  std::size_t slot_class = 0;
  std::size_t counted = 0;
};

/// Keeps chunks sorted by address, so that the chunk of a pointer is found by bisection.
///
/// Fails     `reserve_one` is false when the heap has no more
/// Cost      O(log chunks) to find, O(chunks) to insert or erase: both are off the hot path
class chunk_book {
 public:
  chunk_book() noexcept = default;
  chunk_book(const chunk_book&) = delete;
  chunk_book& operator=(const chunk_book&) = delete;
  ~chunk_book() { std::free(entries_); }

  [[nodiscard]] bool reserve_one() noexcept {
    if (size_ != capacity_) return true;
    const std::size_t wanted = capacity_ == 0 ? 16 : capacity_ * 2;
    auto* const grown = static_cast<chunk_entry*>(std::realloc(static_cast<void*>(entries_), wanted * sizeof(chunk_entry)));
    if (grown == nullptr) return false;
    entries_ = grown;
    capacity_ = wanted;
    return true;
  }

  /// Requires  reserve_one() before
  void insert(allocation whole, std::size_t slot_class) noexcept {
    chunk_entry* const at = behind(whole.data);
    const auto tail = static_cast<std::size_t>(end() - at);
    std::memmove(static_cast<void*>(at + 1), at, tail * sizeof(chunk_entry));
    *at = {whole, slot_class, 0};
    ++size_;
  }

  /// Returns   the chunk that an address lies in, or null
  [[nodiscard]] chunk_entry* find(const void* p) const noexcept {
    chunk_entry* const next = behind(p);
    if (next == entries_) return nullptr;
    chunk_entry* const found = next - 1;
    return address_of(p) - address_of(found->whole.data) < found->whole.size ? found : nullptr;
  }

  template <class F>
  void erase_if(F&& goes) noexcept {
    size_ = static_cast<std::size_t>(std::remove_if(begin(), end(), goes) - begin());
  }
  void clear() noexcept { size_ = 0; }

  [[nodiscard]] chunk_entry* begin() const noexcept { return entries_; }
  [[nodiscard]] chunk_entry* end() const noexcept { return entries_ + size_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  [[nodiscard]] chunk_entry* behind(const void* p) const noexcept {
    return std::upper_bound(begin(), end(), address_of(p), [](std::uintptr_t a, const chunk_entry& e) noexcept {
      return a < address_of(e.whole.data);
    });
  }

  chunk_entry* entries_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
