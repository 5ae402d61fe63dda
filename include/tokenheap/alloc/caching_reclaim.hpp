// The part of the caching allocator that gives idle memory back, and waits for the device when nothing else is left.
#pragma once

#include <tokenheap/alloc/caching_growth.hpp>

namespace tokenheap {
inline namespace v0 {

/// Gives idle memory back to the device. All functions hold the growth lock and not the lock.
template <device Device, class Policy>
class caching_reclaim : public caching_growth<Device, Policy> {
 protected:
  using growth = caching_growth<Device, Policy>;
  using typename growth::request;
  using growth::can_grow, growth::clock_, growth::device_, growth::extents_, growth::last_error_, growth::lock_,
      growth::none, growth::pieces_, growth::reserved_, growth::segment_count_, growth::segments_, growth::shelves_,
      growth::uses_;

  using growth::growth;

  /// Which idle memory may go.
  struct which {
    std::uint64_t least_age = 0;            ///< requests since it was last used
    std::size_t at_most = ~std::size_t{0};  ///< stop when this many bytes went
    bool fixed_only = false;
  };

  /// Gives idle segments and pages back, the longest idle first; returns how many bytes went.
  std::size_t release(const which& w = {}) noexcept {
    std::size_t given = 0;
    for (std::size_t bytes = 1; bytes != 0 && given < w.at_most; given += bytes) bytes = release_one(w);
    if constexpr (can_grow) {
      if (!w.fixed_only && given < w.at_most) given += release_pages(w, w.at_most - given);
    }
    return given;
  }

  [[nodiscard]] std::size_t release_one(const which& w) noexcept {
    lock_.lock();
    const std::uint32_t s = longest_idle(w);
    if (s != 0) return release_segment(s);
    lock_.unlock();
    return 0;
  }

  /// A fixed segment without a live piece whose pool may let go of it. Under the lock.
  [[nodiscard]] std::uint32_t longest_idle(const which& w) const noexcept {
    std::uint32_t best = 0;
    for (std::uint32_t s = 1; s != segment_count_; ++s) {
      const device_segment& g = segments_[s];
      if (g.size == 0 || g.kind != segment_kind::fixed || g.live != 0 || clock_ - g.idle_since < w.least_age) continue;
      if (pool_is_used(g.pool) || pieces_[g.first].state != piece_state::cached) continue;
      if (best == 0 || g.idle_since < segments_[best].idle_since) best = s;
    }
    return best;
  }

  /// Gives one idle fixed segment back. Enters with the lock and leaves without it; returns 0 if the device refused.
  [[nodiscard]] std::size_t release_segment(std::uint32_t number) noexcept {
    for (std::uint32_t n = segments_[number].first; n != none; n = pieces_[n].right) this->retract(n);
    const std::size_t address = segments_[number].address;
    const std::size_t bytes = segments_[number].size;
    lock_.unlock();
    // the device waits here for all work that may still use the memory, whatever its stream
    const device_status status = device_.deallocate(reinterpret_cast<void*>(address));
    const locked hold(lock_);
    if (!status) {
      this->note_error(status);
      for (std::uint32_t n = segments_[number].first; n != none;) n = pieces_[this->shelve(n)].right;
      return 0;
    }
    for (std::uint32_t n = segments_[number].first; n != none;) {
      const std::uint32_t next = pieces_[n].right;
      pieces_.drop(n);
      n = next;
    }
    reserved_ -= bytes;
    this->note_reserved(segments_[number], false, 1, bytes, device_action::segment_free, address, 0);
    this->end_segment(number);
    return bytes;
  }

  // ---- pages of growable segments -----------------------------------------------------------------------------------

  /// Takes the memory from behind free pieces, as far as whole extents lie in them.
  [[nodiscard]] std::size_t release_pages(const which& w, std::size_t at_most) noexcept {
    std::size_t given = 0;
    for (std::uint32_t k = 1; given < at_most; ++k) {
      lock_.lock();
      const bool there = k < shelves_.end();
      if (there) this->settle(shelves_[k]);
      const bool idle = there && shelves_[k].cached() != 0 && !pool_is_used(shelves_[k].pool);
      lock_.unlock();
      if (!there) break;
      if (idle) given += release_pages_of(k, w, at_most - given);
    }
    return given;
  }

  [[nodiscard]] std::size_t release_pages_of(std::uint32_t shelf, const which& w, std::size_t at_most) noexcept {
    // all candidates are taken off the shelf first, so that one wait for its stream covers them
    lock_.lock();
    std::uint32_t chain = none;
    std::size_t planned = 0;
    shelves_[shelf].lists.for_each(pieces_.begin(), [&](std::uint32_t n) noexcept {
      const device_piece& a = pieces_[n];
      const device_segment& g = segments_[a.segment];
      if (g.kind != segment_kind::growable || g.asleep || planned >= at_most) return;
      if (this->age_of(a) < w.least_age) return;
      std::size_t from = 0;
      const std::size_t bytes = whole_extents(a.offset, a.size, from);
      if (bytes == 0) return;
      this->retract(n);
      pieces_[n].after = chain;
      chain = n;
      planned += bytes;
    });
    const auto entry = shelves_.of(shelves_[shelf].stream);
    lock_.unlock();
    if (chain == none) return 0;
    const device_status status = wait_for(entry);
    std::size_t given = 0;
    while (chain != none) {
      const locked hold(lock_);
      const std::uint32_t n = chain;
      chain = pieces_[n].after;
      if (status && pieces_.spare(3)) given += unmap_piece(n);
      else this->shelve(n);
    }
    if (!status) {
      const locked hold(lock_);
      this->note_error(status);
    }
    return given;
  }

  /// Waits for all that a met stream was given. Holds the growth lock only.
  [[nodiscard]] device_status wait_for(const typename growth::met_type& entry) noexcept {
    if (entry.lost) return device_.synchronize();
    if (entry.retired) return device_.synchronize_event(entry.last);
    typename growth::stream now{};
    const device_status status = device_.identify(entry.stream.handle, now);
    if (!status) return status;
    // the handle of a stream that ended without a word may be another's
    return now == entry.stream ? device_.synchronize(entry.stream) : device_.synchronize();
  }

  /// The whole extents in a range: their bytes, and where they start.
  [[nodiscard]] std::size_t whole_extents(std::size_t offset, std::size_t size, std::size_t& from) const noexcept {
    std::size_t k = extents_.find(offset);
    if (k == extents_.size()) return 0;
    if (extents_[k].address < offset) ++k;
    std::size_t end = k < extents_.size() ? extents_[k].address : 0;
    from = end;
    for (; k < extents_.size() && extents_[k].address == end && end + extents_[k].size <= offset + size; ++k)
      end += extents_[k].size;
    return end - from;
  }

  /// Turns the middle of a held piece into a gap; its ends stay cached. Under the lock, which it lets go for the call.
  [[nodiscard]] std::size_t unmap_piece(std::uint32_t n) noexcept {
    std::size_t from = 0;
    const std::size_t bytes = whole_extents(pieces_[n].offset, pieces_[n].size, from);
    // cut before the lock is let go: the nodes for it are there now
    std::uint32_t head = none;
    if (from != pieces_[n].offset) {
      head = n;
      n = pieces_.split(n, from - pieces_[n].offset);
    }
    const std::uint32_t tail = bytes != pieces_[n].size ? pieces_.split(n, bytes) : none;
    lock_.unlock();
    const device_status status = this->unmap_range(from, bytes);
    lock_.lock();
    if (head != none) this->shelve(head);
    if (!status) this->shelve(n);
    if (tail != none) this->shelve(tail);
    if (!status) return 0;
    device_segment& g = segments_[pieces_[n].segment];
    g.mapped -= bytes;
    reserved_ -= bytes;
    this->note_reserved(g, false, g.mapped == 0, bytes, device_action::segment_unmap, from, 0);
    // gaps that meet are one
    if (const std::uint32_t l = pieces_[n].left; pieces_[l].state == piece_state::unmapped) {
      this->unlink_gap(l);
      pieces_.absorb_right(l);
      n = l;
    }
    if (const std::uint32_t r = pieces_[n].right; pieces_[r].state == piece_state::unmapped) {
      this->unlink_gap(r);
      pieces_.absorb_right(n);
    }
    this->link_gap(n);
    return bytes;
  }

  // ---- waiting for everything ----------------------------------------------------------------------------------------

  /// Waits for the device; then all that was free or pending before is anybody's, and is put on the shelf of a request.
  [[nodiscard]] bool synchronize_all(const request& r) noexcept {
    lock_.lock();
    std::uint32_t chain = none;
    for (std::uint32_t k = 1; k != shelves_.end(); ++k) {
      if (k == r.shelf || !this->is_akin(shelves_[k], r)) continue;
      this->settle(shelves_[k]);
      shelves_[k].lists.for_each(pieces_.begin(), [&](std::uint32_t n) noexcept {
        this->retract(n);
        pieces_[n].after = chain;
        chain = n;
      });
    }
    const std::uint32_t waiting = this->first_waiting_;
    this->first_waiting_ = this->last_waiting_ = 0;
    ++num_sync_all_streams_;
    lock_.unlock();
    const device_status status = device_.synchronize();
    const locked hold(lock_);
    if (!status) this->note_error(status);
    while (chain != none) {
      const std::uint32_t n = chain;
      chain = pieces_[n].after;
      // a growable segment stays with the stream that it grows for: only there can it go on growing
      if (status) pieces_[n].shelf = r.shelf;
      this->shelve(n);
    }
    for (std::uint32_t u = waiting; u != 0;) {
      const std::uint32_t next = uses_[u].next_piece;
      const std::uint32_t n = uses_[u].piece;
      if (status) {
        if (this->is_akin(shelves_[pieces_[n].shelf], r)) pieces_[n].shelf = r.shelf;
        this->finish(n);
      } else {
        this->enqueue(n);
      }
      u = next;
    }
    return static_cast<bool>(status);
  }

  [[nodiscard]] bool pool_is_used(std::uint32_t pool) const noexcept { return pool != 0 && this->pools_.uses(pool) != 0; }

  std::size_t num_sync_all_streams_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
