// Which ranges of an address space are free and which are out, written down far away from the bytes themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <tokenheap/alloc/range.hpp>
#include <tokenheap/alloc/range_nodes.hpp>
#include <tokenheap/alloc/range_table.hpp>
#include <tokenheap/concepts/source.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/core/text.hpp>
#include <tokenheap/source/host.hpp>

namespace tokenheap {
inline namespace v0 {

/// Hands out ranges of an address space that it never touches: device memory, a file, a buffer in shared memory.
///
/// Free ranges are sorted into size classes with bitmaps over them; inside a class the best of `scan` candidates is
/// taken, and neighbours are merged at once. It packs like best fit at the price of a two-level segregated fit. Use the
/// layer `ranges<>` to cut pointers out of a source; use this where only offsets exist. Not good for many equal small
/// pieces: a slab is ten times cheaper.
///
/// Requires  bytes > 0 and a power of two as the alignment; `Book` gives the bookkeeping, 40 bytes a range
/// Returns   a range of the size rounded up to the granularity, at a multiple of the alignment
/// Fails     an empty range or an errc, and nothing has changed; `why()` explains
/// Threads   not safe
/// Cost      O(1) both ways; O(class) before a refusal, O(classes) above the granularity's alignment; stats O(1), the
///           first one after a change O(class of the largest); growing the bookkeeping copies it: `reserve` avoids it
template <range_shape Shape = range_shape{}, source Book = host_source>
class range_map {
  static_assert(is_alignment(Shape.granularity), "the granularity is a power of two");
  static_assert(is_power_of_two(Shape.subclasses) && Shape.subclasses >= 8 && Shape.subclasses <= 64);
  static_assert(Shape.scan >= 1);
  static_assert(cpu_accessible<Book>, "the bookkeeping lives where the CPU can touch it");

 public:
  using space = offset_space;
  using options = range_options;
  static constexpr range_shape shape = Shape;

  explicit range_map(const range_options& with = {}, const Book& book = Book{}) noexcept
      : nodes_(book), spans_(book), table_(book), name_(with.name) {
    if (with.reserve != 0 && nodes_.reserve(with.reserve)) {
      if constexpr (Shape.by_offset) (void)table_.ensure(with.reserve, nodes_.begin());
    }
    if (const std::size_t whole = align_down(with.size, Shape.granularity); whole != 0) (void)add(0, whole);
  }
  range_map(const range_map&) = delete;
  range_map& operator=(const range_map&) = delete;

  /// The size that a request for `bytes` is granted.
  [[nodiscard]] static constexpr std::size_t granted(std::size_t bytes) noexcept {
    return align_up(bytes, Shape.granularity);
  }

  /// Takes a span under its care; refuses one that is empty, not on the granularity, too long, or overlaps another.
  [[nodiscard]] errc add(std::size_t offset, std::size_t bytes) noexcept {
    std::size_t end = 0;
    if (bytes == 0 || (offset | bytes) % Shape.granularity != 0) return errc::invalid_argument;
    if (!checked_add(offset, bytes, end) || bytes > max_allocation) return errc::size_overflow;
    for (std::size_t i = 0; i < span_count_; ++i) {
      if (offset < spans_[i].offset + spans_[i].size && spans_[i].offset < end) return errc::in_use;
    }
    if (!spans_.ensure(span_count_ + 1) || !nodes_.spare(1)) return errc::out_of_memory;
    spans_[span_count_++] = {offset, bytes, nodes_.lay(offset, bytes)};
    capacity_ += bytes;
    return errc::ok;
  }

  /// Lets a span go that is wholly free; refuses one that has ranges out, and one that is not there.
  [[nodiscard]] errc remove(std::size_t offset) noexcept {
    for (std::size_t i = 0; i < span_count_; ++i) {
      if (spans_[i].offset != offset) continue;
      if (!is_idle(i)) return errc::in_use;
      nodes_.lift(spans_[i].first);
      capacity_ -= spans_[i].size;
      spans_[i] = spans_[--span_count_];
      return errc::ok;
    }
    return errc::foreign_pointer;
  }

  [[nodiscard]] range allocate(std::size_t bytes, std::size_t alignment = Shape.granularity) noexcept {
    if (!is_request(bytes, alignment)) [[unlikely]] return {};
    const std::size_t size = granted(bytes);
    if (alignment > Shape.granularity) [[unlikely]] return allocate_aligned(size, alignment);
    const std::uint32_t n = nodes_.find(size);
    if (n == nodes_.none || !table_room()) [[unlikely]] return {};
    if (nodes_[n].size != size && !nodes_.spare(1)) [[unlikely]] return {};
    return hand_out(n, size);
  }

  /// Takes a range back by its handle. A stale or invented one is named and refused; an empty one is fine.
  errc deallocate(range r) noexcept {
    if (const errc wrong = check(r); wrong != errc::ok) [[unlikely]] return r ? wrong : errc::ok;
    if constexpr (Shape.by_offset) table_.erase(r.node, nodes_.begin());
    --live_;
    nodes_.take_back(r.node);
    return errc::ok;
  }

  /// Takes a range back by its offset and the size that was asked or granted; anything else is named and refused.
  errc deallocate(std::size_t offset, std::size_t bytes) noexcept
    requires(Shape.by_offset)
  {
    const std::uint32_t n = table_.find(offset, nodes_.begin());
    if (n == nodes_.none) [[unlikely]] return blame(offset);
    if (!is_size_of(n, bytes)) [[unlikely]] return errc::wrong_size;
    table_.erase(n, nodes_.begin());
    --live_;
    nodes_.take_back(n);
    return errc::ok;
  }

  /// Finds the handle of a range that is out by its offset and its size, asked or granted; an empty one if none is.
  [[nodiscard]] range at(std::size_t offset, std::size_t bytes) const noexcept
    requires(Shape.by_offset)
  {
    const std::uint32_t n = table_.find(offset, nodes_.begin());
    if (n == nodes_.none || !is_size_of(n, bytes)) return {};
    return {offset, n, nodes_[n].generation};
  }

  /// Grows a range in place into the free range on its right; false, and nothing has changed, if that is too short.
  [[nodiscard]] bool try_grow(range r, std::size_t bytes) noexcept {
    if (check(r) != errc::ok || bytes > max_allocation) return false;
    const std::size_t old = nodes_[r.node].size;
    return granted(bytes) <= old || nodes_.grow(r.node, granted(bytes) - old);
  }

  /// Takes all ranges back at once; every handle of before is stale. Cost: O(ranges + classes)
  void reset() noexcept {
    if constexpr (Shape.by_offset) table_.clear();
    nodes_.clear();
    live_ = 0;
    for (std::size_t i = 0; i < span_count_; ++i) spans_[i].first = nodes_.lay(spans_[i].offset, spans_[i].size);
  }

  /// True for every offset inside a span. Cost: O(spans)
  [[nodiscard]] bool owns(std::size_t offset) const noexcept {
    for (std::size_t i = 0; i < span_count_; ++i)
      if (offset - spans_[i].offset < spans_[i].size) return true;
    return false;
  }

  [[nodiscard]] range_stats stats() const noexcept {
    const std::size_t available = nodes_.available();
    return {capacity_, capacity_ - available, available, nodes_.largest(), live_, nodes_.count() - live_, span_count_};
  }

  /// The i-th span, and whether it is wholly free; spans are in no order. Requires i < stats().spans
  [[nodiscard]] range_span span(std::size_t i) const noexcept { return {spans_[i].offset, spans_[i].size, is_idle(i)}; }

  /// Calls `visit(offset, bytes, is_out)` for every range, span by span, in address order inside a span.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (std::size_t i = 0; i < span_count_; ++i)
      for (std::uint32_t n = spans_[i].first; n != nodes_.none; n = nodes_[n].right)
        visit(nodes_[n].offset, nodes_[n].size, nodes_.is_out(n));
  }

  /// Describes the map in one line; returns its length without the terminator.
  std::size_t dump(char* out, std::size_t capacity) const noexcept {
    const range_stats now = stats();
    text_buffer line(out, capacity);
    line << "ranges '" << name_ << "': " << now.out << " of " << now.capacity << " bytes out in " << now.live_ranges
         << " ranges, " << now.available << " free in " << now.free_ranges << ", largest " << now.largest_free
         << ", spans " << now.spans;
    return line.length();
  }

  /// What stands in the way of a request at this moment; its code is `errc::ok` if nothing does.
  [[nodiscard]] failure why(std::size_t bytes, std::size_t alignment = Shape.granularity) const noexcept {
    const range_stats now = stats();
    failure f{.code = errc::ok, .pool = name_, .what = "bytes in one range", .need = bytes,
              .available = now.largest_free, .limit = now.capacity};
    if (!is_request(bytes, alignment)) {
      f.code = errc::invalid_argument;
      f.fix = is_alignment(alignment) ? "ask for 1 byte up to max_allocation"
                                      : "use a power of two up to max_alignment as the alignment";
    } else if (granted(bytes) > longest_span()) {
      f.code = errc::too_large;
      f.limit = longest_span();
      f.fix = "add a longer span";
    } else if (nodes_.find(granted(bytes), alignment) == nodes_.none) {
      f.code = errc::out_of_memory;
      f.fix = granted(bytes) > now.available      ? "give ranges back, or add a span"
              : granted(bytes) > now.largest_free ? "enough is free, but in pieces: give back neighbours, or add a span"
                                                  : "no free range holds it at this alignment: ask for less, or add a span";
    }
    return f;
  }

  /// Walks everything: spans, neighbours, lists, table, counts. Cost: O(ranges + classes)
  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t bytes = 0;
    std::size_t out = 0;
    std::size_t idle = 0;
    for (std::size_t i = 0; i < span_count_; ++i) {
      bytes += spans_[i].size;
      if (!is_whole(spans_[i], out, idle)) return false;
    }
    if constexpr (Shape.by_offset) {
      if (table_.count(nodes_.begin(), live_) != live_) return false;
    }
    return nodes_.is_valid(idle) && bytes == capacity_ && out == live_ && out + idle == nodes_.count();
  }

  [[nodiscard]] const char* name() const noexcept { return name_; }

 private:
  struct span_entry {
    std::size_t offset;
    std::size_t size;
    std::uint32_t first;  // a merge keeps the left node, so this one stays for as long as the span
  };
  struct no_table {
    explicit no_table(const Book&) noexcept {}
  };
  using table = std::conditional_t<Shape.by_offset, range_table<Book>, no_table>;

  [[nodiscard]] bool is_idle(std::size_t i) const noexcept {
    return !nodes_.is_out(spans_[i].first) && nodes_[spans_[i].first].size == spans_[i].size;
  }
  [[nodiscard]] bool is_size_of(std::uint32_t n, std::size_t bytes) const noexcept {
    return bytes - 1 < nodes_[n].size && granted(bytes) == nodes_[n].size;
  }
  [[nodiscard]] bool table_room() noexcept {
    if constexpr (Shape.by_offset) return table_.ensure(live_ + 1, nodes_.begin());
    return true;
  }
  [[nodiscard]] std::size_t longest_span() const noexcept {
    std::size_t longest = 0;
    for (std::size_t i = 0; i < span_count_; ++i)
      if (spans_[i].size > longest) longest = spans_[i].size;
    return longest;
  }

  [[nodiscard]] range hand_out(std::uint32_t n, std::size_t size) noexcept {
    nodes_.take(n, size);
    ++live_;
    if constexpr (Shape.by_offset) table_.insert(n, nodes_.begin());
    return {nodes_[n].offset, n, nodes_[n].generation};
  }

  [[nodiscard]] TOKENHEAP_NOINLINE range allocate_aligned(std::size_t size, std::size_t alignment) noexcept {
    std::uint32_t n = nodes_.find(size, alignment);
    if (n == nodes_.none || !nodes_.spare(2) || !table_room()) return {};
    // what lies before the aligned offset stays free and merges again with what comes after it
    const std::size_t skip = align_up(nodes_[n].offset, alignment) - nodes_[n].offset;
    if (skip != 0) n = nodes_.split_front(n, skip);
    return hand_out(n, size);
  }

  [[nodiscard]] errc check(range r) const noexcept {
    if (!nodes_.knows(r.node)) [[unlikely]] return errc::foreign_pointer;
    const range_node& a = nodes_[r.node];
    if (a.generation == r.generation && a.offset == r.offset && (r.generation & 1) != 0) [[likely]] return errc::ok;
    if ((r.generation & 1) == 0 || r.generation >= a.generation) return errc::foreign_pointer;
    return a.generation == r.generation + 1 ? errc::double_free : errc::stale_handle;
  }

  // only a misuse comes here, so a walk is cheap enough
  [[nodiscard]] TOKENHEAP_COLD errc blame(std::size_t offset) const noexcept {
    for (std::uint32_t n = 1; n < nodes_.used(); ++n) {
      if (offset - nodes_[n].offset >= nodes_[n].size) continue;
      return nodes_.is_out(n) ? errc::interior_pointer : errc::double_free;
    }
    return errc::foreign_pointer;
  }

  [[nodiscard]] bool is_whole(const span_entry& s, std::size_t& out, std::size_t& idle) const noexcept {
    std::size_t expected = s.offset;
    std::uint32_t left = nodes_.none;
    for (std::uint32_t n = s.first; n != nodes_.none; left = n, n = nodes_[n].right) {
      const range_node& a = nodes_[n];
      const bool is_out = nodes_.is_out(n);
      if (a.offset != expected || a.size == 0 || a.size > s.offset + s.size - a.offset || a.left != left) return false;
      if (left != nodes_.none && !is_out && !nodes_.is_out(left)) return false;
      if constexpr (Shape.by_offset) {
        if ((table_.find(a.offset, nodes_.begin()) == n) != is_out) return false;
      }
      expected += a.size;
      ++(is_out ? out : idle);
    }
    return expected == s.offset + s.size;
  }

  range_nodes<Shape, Book> nodes_;
  grown_array<span_entry, Book> spans_;
  TOKENHEAP_NO_UNIQUE_ADDRESS table table_;
  std::size_t span_count_ = 0;
  std::size_t capacity_ = 0;
  std::size_t live_ = 0;
  const char* name_;
};

}  // namespace v0
}  // namespace tokenheap
