// The part of the caching allocator that never calls the device: pieces that are taken, cut, given back and merged.
#pragma once

#include <tokenheap/alloc/caching_options.hpp>
#include <tokenheap/alloc/device_owners.hpp>
#include <tokenheap/alloc/device_pieces.hpp>
#include <tokenheap/alloc/device_pools.hpp>
#include <tokenheap/alloc/device_shelves.hpp>

namespace tokenheap {
inline namespace v0 {

/// A stretch of device memory or of reserved addresses that pieces are cut from; number 0 is none.
struct device_segment {
  std::size_t address = 0;
  std::size_t size = 0;    ///< addresses
  std::size_t mapped = 0;  ///< bytes with memory behind them
  std::uint64_t idle_since = 0;  ///< on the allocator's clock of requests
  std::uint32_t first = 0;  ///< the leftmost piece; merging keeps it
  std::uint32_t live = 0;   ///< pieces that are out or pending
  std::uint32_t pool = 0;
  std::uint32_t shelf = 0;           ///< growable: for whom it grows
  std::uint32_t next = 0;            ///< growable: the next of that shelf; unused: the next unused
  std::uint32_t first_unmapped = 0;  ///< growable: the stretches without memory, in no order
  memory_class of = memory_class::general;
  segment_kind kind = segment_kind::fixed;
  bool large = false;
  bool asleep = false;
  std::size_t still = 0;  ///< asleep: of `mapped`, the bytes that have memory all the same
};

/// The state of a caching allocator and everything that is done to it under its lock.
///
/// Threads   not safe: who calls holds the lock
template <device Device, class Policy>
class caching_core {
 public:
  using stream = typename Device::stream;
  using book = typename Policy::book;
  static constexpr caching_shape shape = Policy::shape;
  static constexpr size_lists_shape lists_shape{
      .granularity = shape.granularity, .subclasses = shape.subclasses, .scan = shape.scan};
  static constexpr std::uint32_t none = 0;

 protected:
  static_assert(is_alignment(shape.granularity) && shape.small_most % shape.granularity == 0);
  static_assert(shape.small_segment >= shape.small_most && shape.small_segment % shape.granularity == 0);
  static_assert(shape.large_segment >= shape.own_segment && shape.large_segment % shape.granularity == 0);
  static_assert(shape.rounding % shape.granularity == 0 && is_power_of_two(shape.rounding));

  explicit caching_core(const caching_options& with) noexcept
      : options_(with), pieces_(book{}), shelves_(book{}), segments_(book{}), owners_(book{}), pools_(book{}) {}

  /// The size that a request is granted, unless it gets a whole piece that is not worth cutting.
  [[nodiscard]] std::size_t size_of(std::size_t bytes) const noexcept {
    if (options_.divisions > 1) [[unlikely]] return round_to_division(bytes, shape.granularity, options_.divisions);
    return align_up(bytes, shape.granularity);
  }
  [[nodiscard]] static constexpr bool is_large(std::size_t size) noexcept { return size > shape.small_most; }

  /// Takes a piece off a shelf, or none; it is out, and known by its address. Cost: O(1)
  [[nodiscard]] TOKENHEAP_INLINE std::uint32_t take(std::uint32_t shelf_number, std::size_t size,
                                                    std::size_t alignment) noexcept {
    device_shelf<lists_shape>& s = shelves_[shelf_number];
    const std::uint32_t n = s.warm;
    if (n == none || pieces_[n].size != size || (pieces_[n].offset & (alignment - 1)) != 0) [[unlikely]]
      return take_listed(shelf_number, size, alignment);
    s.warm = none;
    s.cached -= size;
    hold_out(n);
    return n;
  }

  [[nodiscard]] TOKENHEAP_NOINLINE std::uint32_t take_listed(std::uint32_t shelf_number, std::size_t size,
                                                             std::size_t alignment) noexcept {
    settle(shelf_number);
    const device_shelf<lists_shape>& s = shelves_[shelf_number];
    if (is_refused(s, size, alignment) || !pieces_.spare(3)) [[unlikely]] return none;
    const std::uint32_t n = find(s, size, alignment);
    if (n == none) [[unlikely]] return none;
    retract(n);
    return carve(n, size, alignment);
  }

  /// True if no piece of the shelf can serve a request, because a smaller one found none and nothing came since.
  [[nodiscard]] bool is_refused(const device_shelf<lists_shape>& s, std::size_t size, std::size_t alignment) const noexcept {
    return s.refused.at == changes_ && size >= s.refused.size && alignment >= s.refused.alignment;
  }

  /// A piece that the shelf could give, or none. Requires a settled shelf
  [[nodiscard]] std::uint32_t find(const device_shelf<lists_shape>& s, std::size_t size,
                                   std::size_t alignment) const noexcept {
    const std::uint32_t n = alignment <= shape.granularity ? s.lists.find(pieces_.begin(), size)
                                                           : s.lists.find(pieces_.begin(), size, alignment);
    if (n == none) return none;
    const std::size_t found = pieces_[n].size;
    if (segments_[pieces_[n].segment].kind == segment_kind::growable) return n;
    if (size < options_.max_split) return found < options_.max_split ? n : none;
    return found - size < options_.max_rounding ? n : none;
  }

  /// Cuts a request out of a piece that is on no list: what is left on both sides goes to the piece's shelf.
  [[nodiscard]] std::uint32_t carve(std::uint32_t n, std::size_t size, std::size_t alignment) noexcept {
    if (const std::size_t skip = align_up(pieces_[n].offset, alignment) - pieces_[n].offset; skip != 0) [[unlikely]] {
      const std::uint32_t rest = pieces_.split(n, skip);
      shelve(n);
      n = rest;
    }
    if (const std::size_t rest = pieces_[n].size - size; rest != 0 && is_worth(pieces_[n], rest)) {
      const std::uint32_t right = pieces_.split(n, size);
      shelve(right);
    }
    pieces_.know(n);
    hold_out(n);
    return n;
  }

  /// Puts a piece that is out or pending on a shelf, as its warm one. Cost: O(1)
  TOKENHEAP_INLINE void give(std::uint32_t n, std::uint32_t shelf_number) noexcept {
    if (shelves_[shelf_number].warm != none) settle(shelf_number);
    device_piece& a = pieces_[n];
    device_segment& g = segments_[a.segment];
    if (--g.live == 0) g.idle_since = clock_;
    a.shelf = shelf_number;
    if (g.asleep) [[unlikely]] {
      // there is no memory behind it: waking up shelves it
      a.state = piece_state::held;
      pieces_.forget(n);
      return;
    }
    device_shelf<lists_shape>& s = shelves_[shelf_number];
    ++changes_;
    a.state = piece_state::cached;
    a.slack = static_cast<std::uint32_t>(clock_);
    s.warm = n;
    s.cached += a.size;
    cached_ += a.size;
    pieces_.prefetch_neighbours(n);
  }

  /// Merges the warm piece of a shelf with its neighbours and lists it. Cost: O(1)
  void settle(std::uint32_t shelf_number) noexcept {
    device_shelf<lists_shape>& s = shelves_[shelf_number];
    const std::uint32_t n = s.warm;
    if (n == none) return;
    s.warm = none;
    s.cached -= pieces_[n].size;
    cached_ -= pieces_[n].size;
    pieces_.forget(n);
    shelve(n);
  }

  /// Merges a free piece on no list with its free neighbours of the same shelf, and lists it; returns the merged one.
  std::uint32_t shelve(std::uint32_t n) noexcept {
    const std::uint32_t shelf_number = pieces_[n].shelf;
    if (const std::uint32_t l = pieces_[n].left; is_cached(l, shelf_number)) {
      retract(l);
      join(l);
      n = l;
    }
    if (const std::uint32_t r = pieces_[n].right; is_cached(r, shelf_number)) {
      retract(r);
      join(n);
    }
    device_piece& a = pieces_[n];
    a.state = piece_state::cached;
    device_shelf<lists_shape>& s = shelves_[shelf_number];
    s.lists.insert(pieces_.begin(), n);
    s.cached += a.size;
    cached_ += a.size;
    count_split(a, true);
    return n;
  }

  /// Joins two free pieces; the whole came back when its younger part did.
  void join(std::uint32_t n) noexcept {
    device_piece& a = pieces_[n];
    const std::uint32_t later = pieces_[a.right].slack;
    if (static_cast<std::int32_t>(later - a.slack) > 0) a.slack = later;
    pieces_.absorb_right(n);
  }
  /// How many requests ago a cached piece came back.
  [[nodiscard]] std::uint32_t age_of(const device_piece& a) const noexcept {
    return static_cast<std::uint32_t>(clock_) - a.slack;
  }

  /// Takes a cached piece off its shelf, warm or listed; it is held.
  void retract(std::uint32_t n) noexcept {
    device_piece& a = pieces_[n];
    device_shelf<lists_shape>& s = shelves_[a.shelf];
    if (s.warm == n) {
      s.warm = none;
      pieces_.forget(n);
    } else {
      s.lists.erase(pieces_.begin(), n);
      count_split(a, false);
    }
    a.state = piece_state::held;
    s.cached -= a.size;
    cached_ -= a.size;
  }

  /// Counts a piece as handed out; its bytes are no longer cached.
  void hold_out(std::uint32_t n) noexcept {
    device_piece& a = pieces_[n];
    if (a.state == piece_state::cached) cached_ -= a.size;
    a.state = piece_state::out;
    ++segments_[a.segment].live;
  }

  [[nodiscard]] bool is_cached(std::uint32_t n, std::uint32_t shelf_number) const noexcept {
    return pieces_[n].state == piece_state::cached && pieces_[n].shelf == shelf_number;
  }

  /// True if what is left of a piece becomes one of its own: a large fixed segment is not crumbled.
  [[nodiscard]] bool is_worth(const device_piece& a, std::size_t rest) const noexcept {
    const device_segment& g = segments_[a.segment];
    if (g.kind == segment_kind::growable || !g.large) return true;
    return rest > shape.small_most && a.size < options_.max_split;
  }

  void count_split(const device_piece& a, bool came) noexcept {
    if constexpr (!std::is_same_v<typename Policy::counters, no_counters>) {
      const device_segment& g = segments_[a.segment];
      if (g.kind == segment_kind::fixed && (a.left | a.right) != none) counters_.on_split(g.large, came, a.size);
    }
  }

  /// A number for a new segment, or 0 when the source of the bookkeeping has no more.
  [[nodiscard]] std::uint32_t new_segment() noexcept {
    if (spare_segment_ != 0) {
      const std::uint32_t n = spare_segment_;
      spare_segment_ = segments_[n].next;
      segments_[n] = device_segment{};
      return n;
    }
    if (!segments_.ensure(segment_count_ + 1)) return 0;
    segments_[segment_count_] = device_segment{};
    return segment_count_++;
  }
  void end_segment(std::uint32_t n) noexcept {
    segments_[n] = device_segment{};
    segments_[n].next = spare_segment_;
    spare_segment_ = n;
  }

  caching_options options_;
  device_pieces<book> pieces_;
  device_shelves<Device, lists_shape, book> shelves_;
  grown_array<device_segment, book> segments_;
  device_owners<book> owners_;
  device_pools<book> pools_;
  std::uint32_t segment_count_ = 1;
  std::uint32_t spare_segment_ = 0;
  std::uint64_t clock_ = 0;      // requests so far: what idle ages are measured in
  std::uint64_t changes_ = 0;    // counts what may turn a refusal into a grant: pieces that come back, memory that comes or goes
  std::size_t cached_ = 0;       // bytes on shelves
  std::size_t pending_ = 0;      // bytes that other streams may still use
  std::size_t out_ = 0;          // bytes in the hands of callers
  std::size_t reserved_ = 0;     // bytes from the device; cached + pending + out, while no device call holds any
  [[no_unique_address]] typename Policy::counters counters_;
  [[no_unique_address]] typename Policy::trace trace_;
};

}  // namespace v0
}  // namespace tokenheap
