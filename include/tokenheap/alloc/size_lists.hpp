// Free pieces sorted by size: one list per size class, and the best fit among them.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/alloc/range_classes.hpp>
#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// How finely free pieces are sorted: the unit of sizes, classes per doubling, and how many of a class are looked at.
struct size_lists_shape {
  std::size_t granularity = 256;
  std::size_t subclasses = 64;
  std::size_t scan = 16;
};

/// Sorts free pieces by size and finds the best fit; the pieces are nodes in an array of the caller's.
///
/// A node has `offset`, `size`, `before` and `after`; node 0 is nobody and takes writes that go nowhere. Every call gets
/// the array anew, because it may have grown. Several lists can share one array.
///
/// Cost      O(1), except where it is said; 4 bytes a class
template <size_lists_shape Shape>
class size_lists {
 public:
  static constexpr std::uint32_t none = 0;

  template <class Node>
  void insert(Node* nodes, std::uint32_t n) noexcept {
    Node& a = nodes[n];
    const std::size_t c = class_of(a.size);
    const std::uint32_t head = classes_.head(c);
    a.before = none;
    a.after = head;
    nodes[head].before = n;
    classes_.set_head(c, n);
    largest_known_ = false;
  }

  template <class Node>
  void erase(Node* nodes, std::uint32_t n) noexcept {
    const Node& a = nodes[n];
    nodes[a.after].before = a.before;
    if (a.before != none) {
      nodes[a.before].after = a.after;
    } else if (a.after != none) {
      classes_.set_head(class_of(a.size), a.after);
    } else {
      classes_.clear_head(class_of(a.size));
    }
    largest_known_ = false;
  }

  /// The best fitting piece for a size: exactly the best of the first `scan` in the first class that has one, or none.
  template <class Node>
  [[nodiscard]] std::uint32_t find(const Node* nodes, std::size_t size) const noexcept {
    const std::size_t c = classes_.from(class_of(size));
    if (c == classes::none) [[unlikely]] return none;
    if (const std::uint32_t n = best_of(nodes, classes_.head(c), size); n != none) [[likely]] return n;
    // only the size's own class can hold pieces that are too short
    const std::size_t next = classes_.above(c);
    if (next == classes::none) [[unlikely]] return search(nodes, size, Shape.granularity, ~std::size_t{0});
    return best_of(nodes, classes_.head(next), size);
  }

  /// The same for any alignment. Cost: O(classes x scan); where nothing is found, O(pieces)
  template <class Node>
  [[nodiscard]] TOKENHEAP_NOINLINE std::uint32_t find(const Node* nodes, std::size_t size,
                                                      std::size_t alignment) const noexcept {
    const std::uint32_t n = search(nodes, size, alignment, Shape.scan);
    return n != none ? n : search(nodes, size, alignment, ~std::size_t{0});
  }

  /// The size of the largest piece. Cost: O(1); O(its class) the first time after a change
  template <class Node>
  [[nodiscard]] std::size_t largest(const Node* nodes) const noexcept {
    if (!largest_known_) {
      largest_ = 0;
      const std::size_t c = classes_.highest();
      for (std::uint32_t n = c == classes::none ? none : classes_.head(c); n != none; n = nodes[n].after)
        if (nodes[n].size > largest_) largest_ = nodes[n].size;
      largest_known_ = true;
    }
    return largest_;
  }

  /// Calls `visit(n)` for every piece, small classes first; the visited one may be erased. Cost: O(pieces + classes)
  template <class Node, class Visit>
  void for_each(const Node* const& nodes, Visit&& visit) const {
    for (std::size_t c = classes_.from(0); c != classes::none; c = classes_.above(c)) {
      for (std::uint32_t n = classes_.head(c); n != none;) {
        const std::uint32_t next = nodes[n].after;
        visit(n);
        n = next;
      }
    }
  }

  void clear() noexcept {
    classes_.clear();
    largest_ = 0;
    largest_known_ = true;
  }

  /// Walks the lists: every piece in its class, linked both ways; adds up how many and how many bytes.
  template <class Node>
  [[nodiscard]] bool is_valid(const Node* nodes, std::size_t most, std::size_t& found,
                              std::size_t& bytes) const noexcept {
    if (!classes_.is_valid()) return false;
    std::size_t largest_found = 0;
    for (std::size_t c = 0; c != classes::count; ++c) {
      std::uint32_t before = none;
      for (std::uint32_t n = classes_.head(c); n != none; before = n, n = nodes[n].after) {
        const Node& a = nodes[n];
        if (a.size == 0 || class_of(a.size) != c || a.before != before || ++found > most) return false;
        bytes += a.size;
        if (a.size > largest_found) largest_found = a.size;
      }
    }
    return !largest_known_ || largest_ == largest_found;
  }

 private:
  using classes = range_classes<Shape.subclasses>;

  [[nodiscard]] static constexpr std::size_t class_of(std::size_t size) noexcept {
    return classes::of(size / Shape.granularity);
  }

  /// The smallest of the first `scan` on a list that is long enough, or none.
  template <class Node>
  [[nodiscard]] static std::uint32_t best_of(const Node* nodes, std::uint32_t n, std::size_t size) noexcept {
    std::uint32_t best = none;
    std::size_t best_size = ~std::size_t{0};
    for (std::size_t left = Shape.scan; n != none && left != 0; n = nodes[n].after, --left) {
      const std::size_t s = nodes[n].size;
      if (s < size || s >= best_size) continue;
      best = n;
      best_size = s;
      if (s == size) break;
    }
    return best;
  }

  template <class Node>
  [[nodiscard]] TOKENHEAP_NOINLINE std::uint32_t search(const Node* nodes, std::size_t size, std::size_t alignment,
                                                        std::size_t scan) const noexcept {
    std::uint32_t best = none;
    for (std::size_t c = class_of(size) - 1; best == none;) {
      c = classes_.above(c);
      if (c == classes::none) break;
      std::uint32_t n = classes_.head(c);
      for (std::size_t left = scan; n != none && left != 0; n = nodes[n].after, --left) {
        const Node& a = nodes[n];
        const std::size_t skip = align_up(a.offset, alignment) - a.offset;
        if (a.size < size || a.size - size < skip) continue;
        if (best == none || a.size < nodes[best].size) best = n;
      }
    }
    return best;
  }

  classes classes_;
  mutable std::size_t largest_ = 0;
  mutable bool largest_known_ = true;
};

}  // namespace v0
}  // namespace tokenheap
