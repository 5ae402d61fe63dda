// The bookkeeping arrays of a range map: one that grows, and a table from offsets to nodes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <tokenheap/concepts/source.hpp>
#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// An array that doubles when it is full, out of any source that the CPU can touch; a failed growth changes nothing.
///
/// Bookkeeping only: elements are moved with `memcpy`, and new ones are all zero bits.
template <class T, source Book>
class grown_array {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  explicit grown_array(const Book& book) noexcept : book_(book) {}
  grown_array(const grown_array&) = delete;
  grown_array& operator=(const grown_array&) = delete;
  ~grown_array() { release(); }

  [[nodiscard]] T& operator[](std::size_t i) noexcept { return first_[i]; }
  [[nodiscard]] const T& operator[](std::size_t i) const noexcept { return first_[i]; }
  [[nodiscard]] T* begin() noexcept { return first_; }
  [[nodiscard]] const T* begin() const noexcept { return first_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

  /// Makes room for `count` elements; references to elements end when it grows.
  [[nodiscard]] bool ensure(std::size_t count) noexcept { return count <= capacity_ || grow(count); }

  /// Gives the memory back; the array is empty and can grow again.
  void release() noexcept {
    book_.deallocate({first_, capacity_ * sizeof(T)});
    first_ = nullptr;
    capacity_ = 0;
  }

  /// Trades contents with another array of the same source.
  void swap(grown_array& other) noexcept {
    T* const first = first_;
    const std::size_t capacity = capacity_;
    first_ = other.first_;
    capacity_ = other.capacity_;
    other.first_ = first;
    other.capacity_ = capacity;
  }

  [[nodiscard]] const Book& book() const noexcept { return book_; }

 private:
  TOKENHEAP_COLD bool grow(std::size_t count) noexcept {
    std::size_t wanted = capacity_ == 0 ? 16 : capacity_ * 2;
    if (wanted < count) wanted = count;
    std::size_t bytes = 0;
    if (!checked_mul(wanted, sizeof(T), bytes)) return false;
    const allocation fresh = book_.allocate(bytes, alignof(T) < 64 ? 64 : alignof(T));
    if (!fresh) return false;
    std::memset(fresh.data, 0, bytes);
    if (capacity_ != 0) std::memcpy(fresh.data, first_, capacity_ * sizeof(T));
    release();
    first_ = static_cast<T*>(fresh.data);
    capacity_ = wanted;
    return true;
  }

  T* first_ = nullptr;
  std::size_t capacity_ = 0;
  TOKENHEAP_NO_UNIQUE_ADDRESS Book book_;
};

/// Finds the node of a range that is out by its offset: one list per bucket, linked through the nodes themselves.
///
/// A range that is out is on no list of free ranges, so its link to the next is idle: it serves here, and the table is
/// four bytes a bucket, two to four buckets a range. No call touches a range that it need not look at, and there is never
/// anything to clean up.
///
/// Requires  nodes with `offset` and `after`; node 0 is nobody
/// Fails     `ensure` is false when the source has no more; nothing else can fail
/// Cost      O(1) expected
template <source Book>
class range_table {
 public:
  explicit range_table(const Book& book) noexcept : buckets_(book) {}

  /// Makes room for `live` ranges in all.
  template <class Node>
  [[nodiscard]] bool ensure(std::size_t live, Node* nodes) noexcept {
    return live * 2 <= buckets_.capacity() || rebuild(live, nodes);
  }

  /// Requires ensure(count + 1) before, and that the offset is not in the table.
  template <class Node>
  void insert(std::uint32_t n, Node* nodes) noexcept {
    std::uint32_t& head = buckets_[bucket_of(nodes[n].offset)];
    nodes[n].after = head;
    head = n;
  }

  /// Returns   the node of the range that starts at an offset, or 0
  template <class Node>
  [[nodiscard]] std::uint32_t find(std::size_t offset, const Node* nodes) const noexcept {
    if (buckets_.capacity() == 0) [[unlikely]] return 0;
    std::uint32_t n = buckets_[bucket_of(offset)];
    while (n != 0 && nodes[n].offset != offset) n = nodes[n].after;
    return n;
  }

  /// Requires that the node is in the table.
  template <class Node>
  void erase(std::uint32_t n, Node* nodes) noexcept {
    std::uint32_t* link = &buckets_[bucket_of(nodes[n].offset)];
    while (*link != n) link = &nodes[*link].after;
    *link = nodes[n].after;
  }

  void clear() noexcept {
    for (std::size_t k = 0; k != buckets_.capacity(); ++k) buckets_[k] = 0;
  }

  /// Walks all lists and counts; `most` ends the walk of a broken one.
  template <class Node>
  [[nodiscard]] std::size_t count(const Node* nodes, std::size_t most) const noexcept {
    std::size_t found = 0;
    for (std::size_t k = 0; k != buckets_.capacity(); ++k)
      for (std::uint32_t n = buckets_[k]; n != 0 && found <= most; n = nodes[n].after) ++found;
    return found;
  }

 private:
  [[nodiscard]] std::size_t bucket_of(std::size_t offset) const noexcept {
    // offsets share their low zero bits; the product carries the high ones to the top
    return (offset * 0x9E3779B97F4A7C15u) >> shift_;
  }

  template <class Node>
  TOKENHEAP_COLD bool rebuild(std::size_t live, Node* nodes) noexcept {
    std::size_t wanted = 64;
    // twice as many as are asked for, so that the next rebuild is as far away as this one
    while (wanted < live * 4) wanted *= 2;
    grown_array<std::uint32_t, Book> old(buckets_.book());
    old.swap(buckets_);
    if (!buckets_.ensure(wanted)) {
      old.swap(buckets_);
      return false;
    }
    shift_ = 64 - trailing_zeros(wanted);
    for (std::size_t k = 0; k != old.capacity(); ++k) {
      for (std::uint32_t n = old[k]; n != 0;) {
        const std::uint32_t next = nodes[n].after;
        insert(n, nodes);
        n = next;
      }
    }
    return true;
  }

  grown_array<std::uint32_t, Book> buckets_;
  unsigned shift_ = 58;
};

}  // namespace v0
}  // namespace tokenheap
