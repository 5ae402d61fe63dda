// The part of the caching allocator that takes segments and pages from the device and gives them back.
#pragma once

#include <tokenheap/alloc/caching_waits.hpp>
#include <tokenheap/source/region_book.hpp>

namespace tokenheap {
inline namespace v0 {

/// A mapping of a growable segment: given back whole or not at all.
struct device_extent {
  std::size_t address = 0;
  std::size_t size = 0;
};

/// Takes memory from the device, and gives idle memory back. All functions hold the growth lock and not the lock.
template <device Device, class Policy>
class caching_growth : public caching_waits<Device, Policy> {
 protected:
  using waits = caching_waits<Device, Policy>;
  using typename waits::request;
  using typename waits::stream;
  using waits::clock_, waits::counters_, waits::device_, waits::last_error_, waits::lock_, waits::none, waits::options_,
      waits::pieces_, waits::reserved_, waits::segments_, waits::shape, waits::shelves_, waits::trace_;
  static constexpr bool can_grow = virtual_device<Device>;

  caching_growth(const Device& device, const caching_options& with) noexcept : waits(device, with) {
    if constexpr (can_grow) page_ = device_.page_bytes();
    device_memory memory{};
    if (device_.memory(memory)) total_ = memory.total;
  }

  [[nodiscard]] segment_kind kind_of(memory_class of) const noexcept {
    return page_ == 0 ? segment_kind::fixed : Policy::kind_of(of);
  }

  /// Bytes that may still be reserved under the allocator's own limit.
  [[nodiscard]] std::size_t allowance() const noexcept {
    return reserved_ < options_.limit ? options_.limit - reserved_ : 0;
  }

  /// Takes more memory and a piece out of it; none with a status on refusal, and nothing has changed.
  [[nodiscard]] std::uint32_t grow(const request& r, device_status& status) noexcept {
    if (kind_of(r.of) == segment_kind::growable) {
      const std::uint32_t n = grow_in_place(r, status);
      if (n != none || status.error != device_error::unsupported) return n;
    }
    return grow_fixed(r, status);
  }

  // ---- fixed segments --------------------------------------------------------------------------------------------------

  [[nodiscard]] static constexpr std::size_t fixed_size(std::size_t size, bool large) noexcept {
    if (!large) return larger(size, shape.small_segment);
    return size < shape.own_segment ? shape.large_segment : align_up(size, shape.rounding);
  }

  [[nodiscard]] std::uint32_t grow_fixed(const request& r, device_status& status) noexcept {
    // what the device aligns by itself needs no room
    const std::size_t slack = r.alignment > device_.alignment() ? r.alignment - device_.alignment() : 0;
    const std::size_t bytes = fixed_size(r.size + slack, r.large);
    status = {device_error::out_of_memory, 0};
    lock_.lock();
    const bool allowed = bytes >= r.size && bytes <= allowance() && pieces_.spare(4);
    const std::uint32_t number = allowed ? this->new_segment() : 0;
    if (number != 0) reserved_ += bytes;
    lock_.unlock();
    if (number == 0) return none;
    void* address = nullptr;
    status = device_.allocate(bytes, address);
    const locked hold(lock_);
    if (!status || !pieces_.spare(4)) {
      reserved_ -= bytes;
      this->end_segment(number);
      if (status) this->abandon(address, status);
      return none;
    }
    device_segment& g = segments_[number];
    g = {.address = address_of(address), .size = bytes, .mapped = bytes, .idle_since = clock_, .first = 0, .live = 0,
         .pool = r.pool, .shelf = 0, .next = 0, .first_unmapped = 0, .of = r.of, .kind = segment_kind::fixed,
         .large = r.large, .asleep = false};
    g.first = pieces_.make(g.address, bytes, number, piece_state::held, true, g.large);
    pieces_[g.first].shelf = r.shelf;
    pieces_[g.first].slack = static_cast<std::uint32_t>(clock_);
    note_reserved(g, true, 1, bytes, device_action::segment_alloc, g.address, r.stream.id);
    return this->carve(g.first, r.size, r.alignment);
  }

  /// Gives memory back that no node could be found for. Requires the lock
  void abandon(void* address, device_status& status) noexcept {
    lock_.unlock();
    status = device_.deallocate(address);
    status = {device_error::out_of_memory, 0};
    lock_.lock();
  }

  void note_reserved(const device_segment& g, bool came, std::size_t segments, std::size_t bytes, device_action action,
                     std::size_t address, std::uint64_t id) noexcept {
    counters_.on_segment(g.large, came, segments, bytes);
    ++this->changes_;
    ++(came ? num_device_alloc_ : num_device_free_);
    trace_.record({action, address, bytes, id});
  }

  // ---- growable segments -----------------------------------------------------------------------------------------------

  /// Where a request would lie if memory were put behind addresses.
  struct site {
    std::uint32_t gap = 0;      // the stretch without memory
    std::uint32_t ahead = 0;    // a free piece in front of it, or none
    std::uint32_t behind = 0;   // a free piece at its other end, or none
    std::size_t bytes = 0;      // how many bytes of the stretch need memory
    std::size_t start = ~std::size_t{0};
  };

  [[nodiscard]] std::uint32_t grow_in_place(const request& r, device_status& status) noexcept {
    if constexpr (!can_grow) {
      status = {device_error::unsupported, 0};
      return none;
    } else {
      const locked_growth hold(*this);
      site at = find_site(r);
      if (at.gap == none) {
        status = reserve(r);
        if (!status) return none;
        at = find_site(r);
        if (at.gap == none) return status = {device_error::out_of_memory, 0}, none;
      }
      if (!pieces_.spare(4)) return status = {device_error::out_of_memory, 0}, none;
      // what the place counts on is held, or others could take it while the device is asked
      if (at.ahead != none) this->retract(at.ahead);
      if (at.behind != none) this->retract(at.behind);
      const std::size_t wanted = step_of(at);
      status = put_memory(at.gap, wanted, r.stream);
      if (status.error == device_error::out_of_memory && wanted != at.bytes) status = put_memory(at.gap, at.bytes, r.stream);
      if (!status) {
        if (at.ahead != none) this->shelve(at.ahead);
        if (at.behind != none) this->shelve(at.behind);
        return none;
      }
      // the stretch with memory is free now: it and the piece ahead of it are one
      std::uint32_t n = at.gap;
      pieces_[n].shelf = r.shelf;
      if (at.ahead != none) pieces_.absorb_right(n = at.ahead);
      if (at.behind != none && pieces_[n].right == at.behind) {
        pieces_.absorb_right(n);
      } else if (at.behind != none) {
        this->shelve(at.behind);
      }
      return this->carve(n, r.size, r.alignment);
    }
  }

  /// How much of a gap gets memory: steps of a few percent keep device calls rare where many small requests come.
  [[nodiscard]] std::size_t step_of(const site& at) const noexcept {
    const std::size_t share = align_down(segments_[pieces_[at.gap].segment].mapped / 32, page_);
    const std::size_t step = larger(smaller(share, shape.extent), page_);
    return smaller(larger(at.bytes, step), pieces_[at.gap].size);
  }

  /// The lowest place for a request in the segments of its shelf. Under the lock.
  [[nodiscard]] site find_site(const request& r) noexcept {
    site best{};
    this->settle(shelves_[r.shelf]);
    for (std::uint32_t s = shelves_[r.shelf].first_growable; s != 0; s = segments_[s].next) {
      if (segments_[s].asleep) continue;
      for (std::uint32_t gap = segments_[s].first_unmapped; gap != none; gap = pieces_[gap].after) {
        const device_piece& a = pieces_[gap];
        const std::uint32_t ahead = this->is_cached(a.left, r.shelf) ? a.left : none;
        const std::uint32_t behind = this->is_cached(a.right, r.shelf) ? a.right : none;
        const std::size_t start = ahead != none ? pieces_[ahead].offset : a.offset;
        const std::size_t end = a.offset + a.size + (behind != none ? pieces_[behind].size : 0);
        const std::size_t from = align_up(start, r.alignment);
        if (from > end || end - from < r.size || start >= best.start) continue;
        const std::size_t last = from + r.size;
        const std::size_t bytes = last <= a.offset ? page_ : align_up(smaller(last, a.offset + a.size) - a.offset, page_);
        best = {gap, ahead, behind, smaller(bytes, a.size), start};
      }
    }
    return best;
  }

  /// Reserves addresses for a shelf and makes one stretch without memory of them. Under the lock, which it lets go.
  [[nodiscard]] device_status reserve(const request& r) noexcept {
    const std::size_t least = align_up(r.size + (r.alignment > page_ ? r.alignment : 0), page_);
    std::size_t bytes = options_.address_space;
    if (bytes == 0) {
      // addresses end too: after a few shelves that could each grow to the whole device, the many get less at a time
      bytes = total_ + total_ / 8;
      if (addresses_ / 8 >= total_) bytes /= 64;
    }
    bytes = larger(align_up(bytes, page_), least);
    // a request that can never have memory needs no addresses
    if (least < r.size || least > allowance() || (total_ != 0 && least > total_)) return {device_error::out_of_memory, 0};
    const std::uint32_t number = pieces_.spare(4) ? this->new_segment() : 0;
    if (number == 0) return {device_error::out_of_memory, 0};
    lock_.unlock();
    void* address = nullptr;
    device_status status = device_.reserve(bytes, 0, address);
    while (!status && status.error == device_error::out_of_memory && bytes > least) {
      bytes = larger(align_up(bytes / 2, page_), least);
      status = device_.reserve(bytes, 0, address);
    }
    lock_.lock();
    if (!status || !pieces_.spare(4)) {
      this->end_segment(number);
      if (!status) return status;
      lock_.unlock();
      static_cast<void>(device_.unreserve(address, bytes));
      lock_.lock();
      return {device_error::out_of_memory, 0};
    }
    device_segment& g = segments_[number];
    g = {.address = address_of(address), .size = bytes, .mapped = 0, .idle_since = clock_, .first = 0, .live = 0,
         .pool = r.pool, .shelf = r.shelf, .next = shelves_[r.shelf].first_growable, .first_unmapped = 0, .of = r.of,
         .kind = segment_kind::growable, .large = r.large, .asleep = false};
    shelves_[r.shelf].first_growable = number;
    addresses_ += bytes;
    g.first = pieces_.make(g.address, bytes, number, piece_state::unmapped, false, g.large);
    pieces_[g.first].shelf = r.shelf;
    link_gap(g.first);
    return {};
  }

  /// Puts memory behind the first `bytes` of a gap, which becomes a held piece; what is left of it stays a gap.
  [[nodiscard]] device_status put_memory(std::uint32_t gap, std::size_t bytes, stream s) noexcept {
    if (bytes > allowance()) return {device_error::out_of_memory, 0};
    const std::size_t address = pieces_[gap].offset;
    reserved_ += bytes;
    lock_.unlock();
    const device_status status = map_range(address, bytes);
    lock_.lock();
    if (status && !pieces_.spare(4)) {
      lock_.unlock();
      unmap_range(address, bytes);
      lock_.lock();
      reserved_ -= bytes;
      return {device_error::out_of_memory, 0};
    }
    if (!status) {
      reserved_ -= bytes;
      return status;
    }
    unlink_gap(gap);
    if (bytes != pieces_[gap].size) link_gap(pieces_.split(gap, bytes));
    pieces_[gap].state = piece_state::held;
    pieces_[gap].slack = static_cast<std::uint32_t>(clock_);
    device_segment& g = segments_[pieces_[gap].segment];
    g.mapped += bytes;
    note_reserved(g, true, g.mapped == bytes, bytes, device_action::segment_map, address, s.id);
    return status;
  }

  /// Maps a range in extents; all of it, or nothing. Holds the growth lock alone, which the book of extents is under.
  [[nodiscard]] device_status map_range(std::size_t address, std::size_t bytes) noexcept {
    device_status status{};
    std::size_t done = 0;
    while (done != bytes && status) {
      // extents end at multiples of their size, so that what lies beside them can be given back alone
      const std::size_t here = address + done;
      const std::size_t piece = smaller(bytes - done, align_down(here, shape.extent) + shape.extent - here);
      // a mapping is still here if the device once refused to take it away
      if (const std::size_t k = extents_.find(here); k != extents_.size()) status = unmap_range(here, extents_[k].size);
      if (status) status = extents_.reserve_one() ? map_extent(here, piece) : device_status{device_error::out_of_memory, 0};
      if (status) done += piece;
    }
    if (status) status = device_.set_access(reinterpret_cast<void*>(address), bytes);
    // asked twice: what stays here is out of everybody's reach until the segment grows again at this place
    if (!status && !unmap_range(address, done)) unmap_range(address, done);
    return status;
  }

  [[nodiscard]] device_status map_extent(std::size_t address, std::size_t bytes) noexcept {
    typename Device::pages pages{};
    device_status status = device_.create_pages(bytes, pages);
    if (!status) return status;
    status = device_.map(reinterpret_cast<void*>(address), bytes, pages);
    if (status) extents_.insert({address, bytes});
    // mapped pages live until they are unmapped: the handle is not needed any more
    static_cast<void>(device_.release_pages(pages));
    return status;
  }

  /// Takes the memory from behind a range of whole extents; all of it, or nothing. Holds the growth lock alone.
  device_status unmap_range(std::size_t address, std::size_t bytes) noexcept {
    if (bytes == 0) return {};
    const device_status status = device_.unmap(reinterpret_cast<void*>(address), bytes);
    if (!status) {
      const locked hold(lock_);
      return this->note_error(status);
    }
    for (std::size_t k = extents_.find(address); k != extents_.size() && extents_[k].address < address + bytes;)
      extents_.erase(k);
    return status;
  }

  void link_gap(std::uint32_t n) noexcept {
    device_piece& a = pieces_[n];
    device_segment& g = segments_[a.segment];
    a.state = piece_state::unmapped;
    a.before = none;
    a.after = g.first_unmapped;
    pieces_[g.first_unmapped].before = n;
    g.first_unmapped = n;
  }
  void unlink_gap(std::uint32_t n) noexcept {
    const device_piece& a = pieces_[n];
    pieces_[a.after].before = a.before;
    (a.before != none ? pieces_[a.before].after : segments_[a.segment].first_unmapped) = a.after;
  }

  /// Holds the lock for a scope that lets it go in between.
  struct locked_growth {
    explicit locked_growth(caching_growth& of) noexcept : of_(of) { of_.lock_.lock(); }
    ~locked_growth() { of_.lock_.unlock(); }
    locked_growth(const locked_growth&) = delete;
    locked_growth& operator=(const locked_growth&) = delete;
    caching_growth& of_;
  };

  region_book<device_extent> extents_;
  std::size_t page_ = 0;
  std::size_t total_ = 0;
  std::size_t addresses_ = 0;  // reserved for growable segments
  std::size_t num_device_alloc_ = 0;
  std::size_t num_device_free_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
