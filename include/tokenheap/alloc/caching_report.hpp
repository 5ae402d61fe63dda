// The part of the caching allocator that tells about itself: statistics, shortages, and whether everything holds together.
#pragma once

#include <tokenheap/alloc/caching_reclaim.hpp>
#include <tokenheap/alloc/shortage.hpp>

namespace tokenheap {
inline namespace v0 {

/// Reads the state of a caching allocator. All functions take the lock themselves, unless they say otherwise.
template <device Device, class Policy>
class caching_report : public caching_reclaim<Device, Policy> {
 protected:
  using reclaim = caching_reclaim<Device, Policy>;
  using typename reclaim::request;
  using reclaim::counters_, reclaim::device_, reclaim::lock_, reclaim::none, reclaim::options_,
      reclaim::owners_, reclaim::pending_, reclaim::pieces_, reclaim::reserved_, reclaim::segment_count_,
      reclaim::segments_, reclaim::shelves_, reclaim::uses_;

  using reclaim::reclaim;

  [[nodiscard]] device_stats read_stats() noexcept {
    const locked hold(lock_);
    device_stats all{};
    counters_.read(all);
    all.num_alloc_retries = num_alloc_retries_;
    all.num_ooms = num_ooms_;
    all.num_sync_all_streams = this->num_sync_all_streams_;
    all.num_device_alloc = this->num_device_alloc_;
    all.num_device_free = this->num_device_free_;
    all.num_borrows = this->num_borrows_;
    all.num_events = this->num_events_;
    all.pending_bytes = pending_;
    all.cached_bytes = this->cached();
    for (std::uint32_t k = 1; k != shelves_.end(); ++k) {
      all.largest_free = larger(all.largest_free, shelves_[k].lists.largest(pieces_.begin()));
      all.warm_bytes += shelves_[k].warm_size;
      all.largest_free = larger(all.largest_free, shelves_[k].warm_size);
    }
    return all;
  }

  void restart_sums() noexcept {
    const locked hold(lock_);
    counters_.reset_accumulated();
    num_alloc_retries_ = num_ooms_ = 0;
    this->num_sync_all_streams_ = this->num_device_alloc_ = this->num_device_free_ = 0;
    this->num_borrows_ = this->num_events_ = 0;
  }

  std::size_t write_line(char* out, std::size_t capacity) noexcept {
    const device_stats now = read_stats();
    const locked hold(lock_);
    text_buffer line(out, capacity);
    line << "device memory '" << options_.name << "': " << owners_.total() << " bytes out, " << now.cached_bytes
         << " cached (largest " << now.largest_free << "), " << now.pending_bytes << " pending, " << reserved_
         << " reserved; device calls: "
         << now.num_device_alloc << " for memory, " << now.num_device_free << " to give it back, " << now.num_events
         << " events, " << now.num_sync_all_streams << " waits for all";
    return line.length();
  }

  /// What an operator asks first when a request fails. `status` is what the device said last. Holds no lock.
  [[nodiscard]] shortage why_not(const request& r, errc code, device_status status, const char* fix) noexcept {
    device_memory memory{};
    if (code == errc::out_of_memory) static_cast<void>(device_.memory(memory));
    const locked hold(lock_);
    shortage s{.code = code, .device = status, .pool = options_.name, .ordinal = device_.ordinal(), .need = r.size,
               .limit = smaller(options_.limit, this->total_), .device_free = memory.available, .largest_free = 0,
               .reserved = reserved_, .cached = this->cached(), .pending = pending_, .top = {}, .fix = fix};
    if (r.shelf != 0) {
      this->settle(shelves_[r.shelf]);
      s.largest_free = shelves_[r.shelf].lists.largest(pieces_.begin());
    }
    for (std::size_t k = 0; k != owners_.count(); ++k) {
      owner_stats held = owners_.held(k);
      for (owner_stats& place : s.top)
        if (held.current > place.current) std::swap(held, place);
    }
    return s;
  }

  [[nodiscard]] bool has_address(std::size_t address) const noexcept {
    const locked hold(lock_);
    for (std::uint32_t s = 1; s != segment_count_; ++s)
      if (address - segments_[s].address < segments_[s].size) return true;
    return false;
  }

  /// Walks everything. Cost: O(pieces + classes)
  [[nodiscard]] bool check_all() const noexcept {
    const locked hold(lock_);
    sums found{};
    for (std::uint32_t s = 1; s != segment_count_; ++s)
      if (segments_[s].size != 0 && !check_segment(s, found)) return false;
    std::size_t listed = 0;
    std::size_t bytes = 0;
    for (std::uint32_t k = 1; k != shelves_.end(); ++k) {
      const auto& s = shelves_[k];
      const std::size_t before = bytes;
      if (!s.lists.is_valid(pieces_.begin(), pieces_.count(), listed, bytes)) return false;
      if (s.warm_size != 0) {
        if (!this->is_cached(s.warm, k) || pieces_[s.warm].size != s.warm_size) return false;
        ++listed;
        ++found.known;
        bytes += s.warm_size;
      }
      if (bytes - before != s.cached()) return false;
    }
    return listed == found.cached_pieces && bytes == found.cached && found.out == owners_.total() &&
           found.pending == pending_ && found.mapped == reserved_ && found.pieces == pieces_.count() &&
           pieces_.is_valid(found.known) && count_waiting() == found.pending_pieces;
  }

  std::size_t num_alloc_retries_ = 0;
  std::size_t num_ooms_ = 0;

 private:
  struct sums {
    std::size_t pieces, known, cached_pieces, pending_pieces, cached, out, pending, mapped;
  };

  [[nodiscard]] bool check_segment(std::uint32_t number, sums& found) const noexcept {
    const device_segment& g = segments_[number];
    std::size_t expected = g.address;
    std::size_t mapped = 0;
    std::size_t gaps = 0;
    std::uint32_t live = 0;
    std::uint32_t left = none;
    for (std::uint32_t n = g.first; n != none; left = n, n = pieces_[n].right) {
      const device_piece& a = pieces_[n];
      if (a.offset != expected || a.size == 0 || a.left != left || a.segment != number) return false;
      ++found.pieces;
      expected += a.size;
      switch (a.state) {
        case piece_state::out: found.out += a.size, ++found.known, ++live; break;
        case piece_state::pending: found.pending += a.size, ++found.pending_pieces, ++live; break;
        case piece_state::cached:
          found.cached += a.size;
          ++found.cached_pieces;
          // neighbours on one shelf are merged, but for the warm one
          if (left != none && this->is_cached(left, a.shelf) && !shelves_[a.shelf].is_warm(n) && !shelves_[a.shelf].is_warm(left))
            return false;
          break;
        case piece_state::unmapped: gaps += a.size; break;
        case piece_state::held:
          if (!g.asleep) return false;
          break;
        case piece_state::spare: return false;
      }
      if (a.state != piece_state::unmapped) mapped += a.size;
      const bool should_know = a.state == piece_state::out || (a.state == piece_state::cached && shelves_[a.shelf].is_warm(n));
      if (should_know != (pieces_.find(a.offset) == n)) return false;
      if (a.fixed != (g.kind == segment_kind::fixed) || a.large != g.large) return false;
    }
    found.mapped += g.asleep ? g.still : mapped;
    if (g.kind == segment_kind::fixed && live != g.live) return false;
    return expected == g.address + g.size && mapped == g.mapped && check_gaps(number, gaps);
  }

  [[nodiscard]] bool check_gaps(std::uint32_t number, std::size_t bytes) const noexcept {
    for (std::uint32_t gap = segments_[number].first_unmapped; gap != none; gap = pieces_[gap].after) {
      const device_piece& a = pieces_[gap];
      if (a.state != piece_state::unmapped || a.segment != number || a.size > bytes) return false;
      bytes -= a.size;
    }
    return bytes == 0;
  }

  [[nodiscard]] std::size_t count_waiting() const noexcept {
    std::size_t count = 0;
    for (std::uint32_t u = this->first_waiting_; u != 0; u = uses_[u].next_piece) ++count;
    return count;
  }
};

}  // namespace v0
}  // namespace tokenheap
