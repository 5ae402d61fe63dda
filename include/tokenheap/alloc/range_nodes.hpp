// The ranges of a range map as nodes: neighbours in memory, neighbours in a size class, and the spare ones.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/alloc/range.hpp>
#include <tokenheap/alloc/range_table.hpp>
#include <tokenheap/alloc/size_lists.hpp>
#include <tokenheap/concepts/source.hpp>
#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// One range, free or out; node 0 is nobody: out for ever, so that nothing merges with it.
struct range_node {
  std::size_t offset;
  std::size_t size;          ///< 0: spare
  std::uint32_t left;        ///< neighbours in the span
  std::uint32_t right;
  std::uint32_t before;      ///< neighbours in the list of the class
  std::uint32_t after;       ///< also: the next spare node
  std::uint32_t generation;  ///< odd while the range is out
};

/// Splits, merges and finds ranges; trusts its caller, which is `range_map`.
///
/// Writes to node 0 go nowhere and save a branch each. Offsets and sizes are multiples of the granularity.
///
/// Fails     `spare` is false when the source of the bookkeeping has no more; nothing else can fail
/// Cost      O(1), except where it is said
template <range_shape Shape, source Book>
class range_nodes {
 public:
  static constexpr std::uint32_t none = 0;
  static constexpr std::size_t most = ~std::uint32_t{0};

  explicit range_nodes(const Book& book) noexcept : nodes_(book) {}

  [[nodiscard]] const range_node& operator[](std::uint32_t n) const noexcept { return nodes_[n]; }
  [[nodiscard]] range_node* begin() noexcept { return nodes_.begin(); }
  [[nodiscard]] const range_node* begin() const noexcept { return nodes_.begin(); }
  [[nodiscard]] bool knows(std::uint32_t n) const noexcept { return n - 1 < used_ - 1; }
  [[nodiscard]] bool is_out(std::uint32_t n) const noexcept { return (nodes_[n].generation & 1) != 0; }
  [[nodiscard]] std::size_t available() const noexcept { return available_; }
  [[nodiscard]] std::size_t count() const noexcept { return ranges_; }
  [[nodiscard]] std::uint32_t used() const noexcept { return used_; }

  [[nodiscard]] bool reserve(std::size_t ranges) noexcept {
    return ranges < most && nodes_.ensure(ranges + 1) && spare(1);
  }

  /// Makes sure that `count` nodes, one or two, can be taken.
  [[nodiscard]] bool spare(std::size_t count) noexcept {
    if (spare_ != none && (count == 1 || nodes_[spare_].after != none)) [[likely]] return true;
    return refill(count);
  }

  /// Makes one free range of a span. Requires spare(1)
  std::uint32_t lay(std::size_t offset, std::size_t size) noexcept {
    const std::uint32_t n = take_spare();
    nodes_[n].offset = offset;
    nodes_[n].size = size;
    nodes_[n].left = nodes_[n].right = none;
    available_ += size;
    ++ranges_;
    list(n);
    return n;
  }

  /// Forgets a span. Requires that it is one free range
  void lift(std::uint32_t n) noexcept {
    unlist(n);
    available_ -= nodes_[n].size;
    --ranges_;
    give_spare(n);
  }

  /// The best fitting free range for a size, or none.
  [[nodiscard]] std::uint32_t find(std::size_t size) const noexcept { return lists_.find(nodes_.begin(), size); }

  /// The same for any alignment. Cost: O(classes x scan); where nothing is found, O(free ranges)
  [[nodiscard]] std::uint32_t find(std::size_t size, std::size_t alignment) const noexcept {
    return lists_.find(nodes_.begin(), size, alignment);
  }

  /// Hands out the left `size` bytes of a free range. Requires spare(1), unless the range is of that size
  void take(std::uint32_t n, std::size_t size) noexcept {
    unlist(n);
    range_node& a = nodes_[n];
    if (const std::size_t rest = a.size - size; rest != 0) {
      const std::uint32_t r = take_spare();
      range_node& b = nodes_[r];
      b.offset = a.offset + size;
      b.size = rest;
      b.left = n;
      b.right = a.right;
      nodes_[a.right].left = r;
      a.right = r;
      a.size = size;
      ++ranges_;
      list(r);
    }
    ++a.generation;
    available_ -= size;
  }

  /// Splits `bytes` off the front of a free range, which stays free; the rest is free and on no list until `take`.
  [[nodiscard]] std::uint32_t split_front(std::uint32_t n, std::size_t bytes) noexcept {
    unlist(n);
    const std::uint32_t r = take_spare();
    range_node& a = nodes_[n];
    range_node& b = nodes_[r];
    b.offset = a.offset + bytes;
    b.size = a.size - bytes;
    b.left = n;
    b.right = a.right;
    nodes_[a.right].left = r;
    a.right = r;
    a.size = bytes;
    ++ranges_;
    list(n);
    list(r);
    return r;
  }

  /// Takes a range back and merges it with its free neighbours.
  void take_back(std::uint32_t n) noexcept {
    range_node* a = &nodes_[n];
    ++a->generation;
    available_ += a->size;
    if (const std::uint32_t l = a->left; !is_out(l)) {
      unlist(l);
      absorb(l, n);
      n = l;
      a = &nodes_[n];
    }
    if (const std::uint32_t r = a->right; !is_out(r)) {
      unlist(r);
      absorb(n, r);
    }
    list(n);
  }

  /// Moves the border between a range that is out and the free one on its right; false if that is too short.
  [[nodiscard]] bool grow(std::uint32_t n, std::size_t more) noexcept {
    range_node& a = nodes_[n];
    const std::uint32_t r = a.right;
    range_node& b = nodes_[r];
    if (is_out(r) || b.size < more) return false;
    unlist(r);
    a.size += more;
    available_ -= more;
    b.offset += more;
    b.size -= more;
    if (b.size != 0) {
      list(r);
    } else {
      absorb(n, r);
    }
    return true;
  }

  /// Forgets all ranges; handles of before are stale. Cost: O(ranges + classes)
  void clear() noexcept {
    lists_.clear();
    spare_ = none;
    available_ = ranges_ = 0;
    for (std::uint32_t n = used_; n-- > 1;) {
      nodes_[n].generation += nodes_[n].generation & 1;
      give_spare(n);
    }
  }

  /// The size of the largest free range. Cost: O(1); O(its class) the first time after a change
  [[nodiscard]] std::size_t largest() const noexcept { return lists_.largest(nodes_.begin()); }

  /// Walks the lists: every node in its class, linked both ways, free, and counted. Cost: O(ranges + classes)
  [[nodiscard]] bool is_valid(std::size_t free_ranges) const noexcept {
    if (used_ > 1 && nodes_[none].generation % 2 == 0) return false;
    std::size_t found = 0;
    std::size_t bytes = 0;
    return lists_.is_valid(nodes_.begin(), free_ranges, found, bytes) && found == free_ranges && bytes == available_;
  }

 private:
  static constexpr size_lists_shape lists_shape{
      .granularity = Shape.granularity, .subclasses = Shape.subclasses, .scan = Shape.scan};

  void list(std::uint32_t n) noexcept { lists_.insert(nodes_.begin(), n); }
  void unlist(std::uint32_t n) noexcept { lists_.erase(nodes_.begin(), n); }

  void absorb(std::uint32_t n, std::uint32_t right) noexcept {
    range_node& a = nodes_[n];
    const range_node& b = nodes_[right];
    a.size += b.size;
    a.right = b.right;
    nodes_[b.right].left = n;
    --ranges_;
    give_spare(right);
  }

  [[nodiscard]] std::uint32_t take_spare() noexcept {
    const std::uint32_t n = spare_;
    spare_ = nodes_[n].after;
    return n;
  }
  void give_spare(std::uint32_t n) noexcept {
    nodes_[n].size = 0;
    nodes_[n].after = spare_;
    spare_ = n;
  }

  TOKENHEAP_COLD bool refill(std::size_t count) noexcept {
    // a batch, so that the hot path asks only whether there is a spare one
    constexpr std::uint32_t batch = 64;
    if (used_ + count > most || !nodes_.ensure(used_ + count)) return false;
    nodes_[none].generation = 1;
    const std::size_t room = nodes_.capacity() < most ? nodes_.capacity() : most;
    for (std::uint32_t made = 0; made != batch && used_ != room; ++made) give_spare(used_++);
    return true;
  }

  grown_array<range_node, Book> nodes_;
  std::uint32_t used_ = 1;
  std::uint32_t spare_ = none;
  std::size_t available_ = 0;
  std::size_t ranges_ = 0;
  size_lists<lists_shape> lists_;
};

}  // namespace v0
}  // namespace tokenheap
