// Memory of any size that comes and goes in any order, cut out of large chunks.
#pragma once

#include <algorithm>

#include <tokenheap/alloc/ledger.hpp>
#include <tokenheap/alloc/over.hpp>
#include <tokenheap/alloc/range_map.hpp>
#include <tokenheap/policy/guard.hpp>

namespace tokenheap {
inline namespace v0 {

/// The numbers of ranges over a source, fixed at compile time.
struct ranges_shape {
  std::size_t chunk = 64 * MiB;   ///< bytes taken from below at a time; larger requests get their own
  std::size_t granularity = 256;  ///< every address and size is a multiple of this power of two
  std::size_t subclasses = range_shape{}.subclasses;
  std::size_t scan = range_shape{}.scan;
};

/// How many ranges, free and out together, never need more bookkeeping memory.
struct ranges_options {
  std::size_t reserve = 0;
};

/// A source that knows how many bytes it has left, and will never have more.
template <class S>
concept has_an_end = requires(const S& s, std::size_t alignment) {
  { s.available(alignment) } noexcept -> std::same_as<std::size_t>;
};

/// Hands out pieces of any size from large chunks, packed like best fit and merged at once when they come back.
///
/// Good for large pieces of many sizes in memory that is dear: device tensors, staging areas, weights that are swapped.
/// The bookkeeping lies on the heap of the process, so the memory itself is never touched. Not good below some hundred
/// bytes or for many equal pieces: a `slab` above it is ten times cheaper. Chunks are not merged with each other; a
/// source with an end, such as `fixed_source`, is taken whole as one chunk.
///
/// Returns   sizes rounded up to the granularity, at its alignment at least
/// Fails     a null allocation, nothing taken; `why()` explains
/// Threads   not safe; `with<spin_lock>` above it
/// Cost      O(1), see `range_map`, and the table from addresses to ranges, O(1) expected
template <ranges_shape Shape = ranges_shape{}>
struct ranges {
  static_assert(is_alignment(Shape.granularity), "ranges_shape::granularity: a power of two");
  static_assert(Shape.chunk >= Shape.granularity && Shape.chunk % Shape.granularity == 0,
                "ranges_shape::chunk: a multiple of the granularity");

  /// The ranges over what is below them; a column makes it.
  template <source Below>
  class on : public over<Below> {
    static constexpr range_shape map_shape{.granularity = Shape.granularity,
                                           .subclasses = Shape.subclasses,
                                           .scan = Shape.scan,
                                           .by_offset = true};

   public:
    using layer = ranges;
    using own_options = ranges_options;

    template <class... Options>
    explicit on(const Options&... given)
        : over<Below>(given...),
          map_(range_options{.reserve = pick_option<ranges_options>(given...).reserve, .name = this->name()}) {}
    ~on() {
      for (std::size_t i = 0; i != map_.stats().spans; ++i) static_cast<void>(give_down(map_.span(i)));
    }

    [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
      range r = map_.allocate(bytes, alignment);
      if (!r) [[unlikely]] r = allocate_from_below(bytes, alignment);
      if (!r) [[unlikely]] return {};
      return {pointer_to(r.offset), map_.granted(bytes)};
    }

    /// Takes a piece back. A misuse is reported through the failure handler and changes nothing.
    void deallocate(allocation a) noexcept {
      if (!a) return;
      const errc wrong = map_.deallocate(address_of(a.data), a.size);
      if (wrong != errc::ok) [[unlikely]] complain(wrong, a);
    }

    /// Grows a piece in place into the free range behind it; false, and nothing has changed, if that is too short.
    [[nodiscard]] bool try_grow(allocation& a, std::size_t bytes) noexcept {
      if (!a || bytes > max_allocation) return false;
      if (!map_.try_grow(map_.at(address_of(a.data), a.size), bytes)) return false;
      a.size = std::max(map_.granted(a.size), map_.granted(bytes));
      return true;
    }

    /// Takes every piece back and keeps the chunks; `trim(0)` afterwards gives them back.
    void reset() noexcept { map_.reset(); }

    /// Gives chunks down that are wholly free, until at most `keep` idle bytes stay.
    [[nodiscard]] std::size_t trim(std::size_t keep = 0) noexcept {
      std::size_t given = 0;
      std::size_t kept = 0;
      for (std::size_t i = 0; i != map_.stats().spans;) {
        const range_span s = map_.span(i);
        if (!s.idle || s.size <= keep - kept) {
          kept += s.idle ? s.size : 0;
          ++i;
        } else if (map_.remove(s.offset) == errc::ok) {
          // the last span has moved to this place
          given += give_down(s);
        }
      }
      return given;
    }

    /// True for every address inside a chunk. Cost: O(chunks)
    [[nodiscard]] bool owns(const void* p) const noexcept { return map_.owns(address_of(p)); }

    [[nodiscard]] range_stats stats() const noexcept { return map_.stats(); }

    /// What stands in the way of a request in the chunks that are here; more may be had from below.
    [[nodiscard]] failure why(std::size_t bytes, std::size_t alignment = default_alignment) const noexcept {
      return map_.why(bytes, alignment);
    }

    [[nodiscard]] bool is_valid() const noexcept {
      if constexpr (self_checking<Below>) {
        if (!this->below_.is_valid()) return false;
      }
      return map_.is_valid();
    }

    /// Describes the chunks in one line; returns its length without the terminator.
    std::size_t dump(char* out, std::size_t capacity) const noexcept { return map_.dump(out, capacity); }

   private:
    [[nodiscard]] static void* pointer_to(std::size_t address) noexcept {
      return reinterpret_cast<void*>(static_cast<std::uintptr_t>(address));
    }

    // a chunk goes back with the size that was granted, which may be more than what the map could use
    std::size_t give_down(const range_span& s) noexcept {
      void* const first = pointer_to(s.offset);
      const std::size_t size = chunks_.find(first)->granted;
      chunks_.mark(first, ledger_entry::state::gone);
      this->below_.deallocate({first, size});
      return size;
    }

    TOKENHEAP_COLD range allocate_from_below(std::size_t bytes, std::size_t alignment) noexcept {
      if (!is_request(bytes, alignment)) return {};
      const std::size_t size = map_.granted(bytes);
      const std::size_t step = std::max(alignment, Shape.granularity);
      if constexpr (has_an_end<Below>) {
        const std::size_t whole = align_down(this->below_.available(Shape.granularity), Shape.granularity);
        if (whole >= size && whole - size >= step - Shape.granularity && add_chunk(whole, Shape.granularity))
          return map_.allocate(bytes, alignment);
      } else {
        if (size < Shape.chunk && add_chunk(Shape.chunk, step)) return map_.allocate(bytes, alignment);
      }
      // what is left below may still hold this one piece
      return add_chunk(size, step) ? map_.allocate(bytes, alignment) : range{};
    }

    [[nodiscard]] bool add_chunk(std::size_t bytes, std::size_t alignment) noexcept {
      if (!chunks_.reserve_one()) return false;
      const allocation chunk = this->below_.allocate(bytes, alignment);
      if (!chunk) return false;
      if (map_.add(address_of(chunk.data), align_down(chunk.size, Shape.granularity)) != errc::ok) {
        this->below_.deallocate(chunk);
        return false;
      }
      chunks_.insert(chunk.data, bytes, chunk.size);
      return true;
    }

    TOKENHEAP_COLD void complain(errc code, allocation a) const noexcept {
      const range_stats now = map_.stats();
      report({.code = code, .pool = this->name(), .what = "bytes given back to ranges", .need = a.size,
              .available = now.available, .limit = now.capacity, .address = a.data,
              .fix = "give back each piece once, whole, to the allocator it came from"});
    }

    range_map<map_shape> map_;
    ledger chunks_;
  };
};

}  // namespace v0
}  // namespace tokenheap
