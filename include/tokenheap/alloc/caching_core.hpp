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
  std::uint32_t live = 0;   ///< fixed: pieces that are out or pending
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
  using shelf_type = device_shelf<lists_shape>;
  using met_type = met_stream<Device, shelf_type>;

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
  [[nodiscard]] TOKENHEAP_INLINE std::uint32_t take(shelf_type& s, std::size_t size, std::size_t alignment) noexcept {
    const std::uint32_t n = s.warm;
    if (s.warm_size != size || (pieces_[n].offset & (alignment - 1)) != 0) [[unlikely]]
      return take_listed(s, size, alignment);
    s.warm_size = 0;
    hold_out(n);
    return n;
  }

  [[nodiscard]] TOKENHEAP_NOINLINE std::uint32_t take_listed(shelf_type& s, std::size_t size, std::size_t alignment) noexcept {
    settle(s);
    if (is_refused(s, size, alignment) || !pieces_.spare(3)) [[unlikely]] return none;
    const std::uint32_t n = find(s, size, alignment);
    if (n == none) [[unlikely]] return none;
    unlist(s, n);
    device_piece& a = pieces_[n];
    if ((a.offset & (alignment - 1)) != 0) [[unlikely]] return a.state = piece_state::held, carve(n, size, alignment);
    if (const std::size_t rest = a.size - size; rest != 0 && is_worth(a, rest)) {
      // the neighbour on the right is not free on this shelf, or it would have been one with the piece
      list(s, pieces_.split(n, size));
    }
    pieces_.know(n);
    hold_out(n);
    return n;
  }

  /// True if no piece of the shelf can serve a request, because a smaller one found none and nothing came since.
  [[nodiscard]] bool is_refused(const shelf_type& s, std::size_t size, std::size_t alignment) const noexcept {
    return s.refused.at == changes_ && size >= s.refused.size && alignment >= s.refused.alignment;
  }

  /// A piece that the shelf could give, or none. Requires a settled shelf
  [[nodiscard]] std::uint32_t find(const shelf_type& s, std::size_t size, std::size_t alignment) const noexcept {
    const std::uint32_t n = alignment <= shape.granularity ? s.lists.find(pieces_.begin(), size)
                                                           : s.lists.find(pieces_.begin(), size, alignment);
    if (n == none) return none;
    const std::size_t found = pieces_[n].size;
    if (!pieces_[n].fixed) return n;
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

  /// Puts a piece that is known on its shelf, as the warm one. Cost: O(1)
  TOKENHEAP_INLINE void give(std::uint32_t n) noexcept { give(n, shelves_[pieces_[n].shelf]); }
  TOKENHEAP_INLINE void give(std::uint32_t n, shelf_type& s) noexcept {
    settle(s);
    device_piece& a = pieces_[n];
    if (a.fixed) leave(segments_[a.segment]);
    // there is no memory behind what sleeps: waking up shelves it
    if (sleepers_ != 0 && segments_[a.segment].asleep) [[unlikely]] {
      a.state = piece_state::held;
      return pieces_.forget(n);
    }
    ++changes_;
    a.state = piece_state::cached;
    a.slack = static_cast<std::uint32_t>(clock_);
    s.warm = n;
    s.warm_size = a.size;
    pieces_.prefetch_neighbours(n);
  }
  void leave(device_segment& g) noexcept {
    if (--g.live == 0) g.idle_since = clock_;
  }

  /// Merges the warm piece of a shelf, if there is one, with its neighbours and lists it. Cost: O(1)
  TOKENHEAP_INLINE void settle(shelf_type& s) noexcept {
    if (s.warm_size != 0) merge_warm(s);
  }
  TOKENHEAP_NOINLINE void merge_warm(shelf_type& s) noexcept {
    s.warm_size = 0;
    pieces_.forget(s.warm);
    shelve(s.warm);
  }

  /// Merges a free piece on no list with its free neighbours of the same shelf, and lists it; returns the merged one.
  std::uint32_t shelve(std::uint32_t n) noexcept {
    shelf_type& s = shelves_[pieces_[n].shelf];
    if (const std::uint32_t l = pieces_[n].left; is_cached(l, s.number)) {
      take_off(s, l);
      join(l);
      n = l;
    }
    if (const std::uint32_t r = pieces_[n].right; is_cached(r, s.number)) {
      take_off(s, r);
      join(n);
    }
    pieces_[n].state = piece_state::cached;
    list(s, n);
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
    take_off(shelves_[pieces_[n].shelf], n);
    pieces_[n].state = piece_state::held;
  }
  void take_off(shelf_type& s, std::uint32_t n) noexcept {
    if (!s.is_warm(n)) return unlist(s, n);
    s.warm_size = 0;
    pieces_.forget(n);
  }
  void list(shelf_type& s, std::uint32_t n) noexcept {
    s.lists.insert(pieces_.begin(), n);
    s.listed += pieces_[n].size;
    count_split(pieces_[n], true);
  }
  void unlist(shelf_type& s, std::uint32_t n) noexcept {
    s.lists.erase(pieces_.begin(), n);
    s.listed -= pieces_[n].size;
    count_split(pieces_[n], false);
  }

  /// Counts a piece as handed out.
  void hold_out(std::uint32_t n) noexcept {
    device_piece& a = pieces_[n];
    a.state = piece_state::out;
    if (a.fixed) ++segments_[a.segment].live;
  }

  [[nodiscard]] bool is_cached(std::uint32_t n, std::uint32_t shelf_number) const noexcept {
    return pieces_[n].state == piece_state::cached && pieces_[n].shelf == shelf_number;
  }

  /// True if what is left of a piece becomes one of its own: a large fixed segment is not crumbled.
  [[nodiscard]] bool is_worth(const device_piece& a, std::size_t rest) const noexcept {
    if (!a.fixed || !a.large) return true;
    return rest > shape.small_most && a.size < options_.max_split;
  }

  void count_split(const device_piece& a, bool came) noexcept {
    if constexpr (!std::is_same_v<typename Policy::counters, no_counters>) {
      if (a.fixed && (a.left | a.right) != none) counters_.on_split(a.large, came, a.size);
    }
  }

  /// Bytes on shelves. Cost: O(shelves)
  [[nodiscard]] std::size_t cached() const noexcept {
    std::size_t sum = 0;
    for (std::uint32_t k = 1; k != shelves_.end(); ++k) sum += shelves_[k].cached();
    return sum;
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
  std::size_t pending_ = 0;      // bytes that other streams may still use
  std::size_t reserved_ = 0;     // bytes from the device; cached + pending + out, while no device call holds any
  std::uint32_t sleepers_ = 0;   // segments that sleep
  TOKENHEAP_NO_UNIQUE_ADDRESS typename Policy::counters counters_;
  TOKENHEAP_NO_UNIQUE_ADDRESS typename Policy::trace trace_;
};

}  // namespace v0
}  // namespace tokenheap
