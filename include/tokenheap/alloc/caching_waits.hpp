// The part of the caching allocator that orders streams: events, pieces that other streams still use, and borrowing.
#pragma once

#include <tokenheap/alloc/caching_core.hpp>
#include <tokenheap/alloc/event_pool.hpp>

namespace tokenheap {
inline namespace v0 {

/// What a request comes to, whatever its stream.
struct sized_request {
  std::size_t requested = 0;
  std::size_t size = 0;
  std::size_t alignment = 0;
  std::uint32_t pool = 0;
  std::uint16_t owner = 0;
  memory_class of = memory_class::general;
  bool large = false;
};

/// What a request has become when it reaches a shelf.
template <device Device>
struct routed_request : sized_request {
  typename Device::stream stream{};
  std::uint32_t shelf = 0;
};

/// The state of a caching allocator together with its device, its two locks and its events.
///
/// The lock is held for dozens of instructions and never across a device call. The growth lock is held by the one thread
/// that waits for the device; what that thread works on is off the shelves, so the others cannot meet it.
template <device Device, class Policy>
class caching_waits : public caching_core<Device, Policy> {
 protected:
  using core = caching_core<Device, Policy>;
  using typename core::book;
  using typename core::stream;
  using event = typename Device::event;
  using request = routed_request<Device>;
  using core::counters_, core::none, core::options_, core::pending_, core::pieces_,
      core::segments_, core::shelves_, core::trace_;

  caching_waits(const Device& device, const caching_options& with) noexcept
      : core(with), device_(device), idle_events_(book{}), uses_(book{}) {}

  // ---- uses of a piece by other streams ------------------------------------------------------------------------------

  /// One stream that uses a piece besides the one that it was handed out for.
  struct stream_use {
    stream by;
    event done;
    std::uint32_t piece;     // in the first record of a piece
    std::uint32_t next;      // the next use of the same piece
    std::uint32_t next_piece;  // in the first record: the next piece that waits
    bool recorded;
  };

  /// Notes a use; false when the source of the bookkeeping has no more. Under the lock.
  [[nodiscard]] bool add_use(std::uint32_t n, stream by) noexcept {
    for (std::uint32_t u = pieces_[n].uses; u != 0; u = uses_[u].next)
      if (uses_[u].by == by) return true;
    if (spare_use_ == 0) {
      if (!uses_.ensure(use_count_ + 1)) return false;
      uses_[use_count_].next = 0;
      spare_use_ = use_count_++;
    }
    const std::uint32_t u = spare_use_;
    spare_use_ = uses_[u].next;
    uses_[u] = {.by = by, .done = {}, .piece = n, .next = pieces_[n].uses, .next_piece = 0, .recorded = false};
    pieces_[n].uses = u;
    return true;
  }

  /// Puts a pending piece with its uses at the end of the queue. Under the lock.
  void enqueue(std::uint32_t n) noexcept {
    const std::uint32_t u = pieces_[n].uses;
    uses_[u].piece = n;
    uses_[u].next_piece = 0;
    (last_waiting_ == 0 ? first_waiting_ : uses_[last_waiting_].next_piece) = u;
    last_waiting_ = u;
  }

  /// Takes a piece whose other users are done off its uses, and gives it to its shelf. Under the lock.
  void finish(std::uint32_t n) noexcept {
    drop_uses(n);
    device_piece& a = pieces_[n];
    pending_ -= a.size;
    counters_.on_ready(a.large, a.size);
    trace_.record({device_action::free_completed, a.offset, a.size - a.slack, id_of(a.shelf)});
    pieces_.know(n);
    this->give(n);
  }

  /// Ends the use of a piece by one stream, if there is one: the stream that it is given back on is ordered anyway.
  void drop_use_of(std::uint32_t n, stream by) noexcept {
    for (std::uint32_t* at = &pieces_[n].uses; *at != 0; at = &uses_[*at].next) {
      const std::uint32_t u = *at;
      if (!(uses_[u].by == by)) continue;
      *at = uses_[u].next;
      uses_[u].next = spare_use_;
      spare_use_ = u;
      return;
    }
  }

  [[nodiscard]] std::uint64_t id_of(std::uint32_t shelf) const noexcept {
    return shelves_.of(shelves_[shelf].stream).stream.id;
  }

  void drop_uses(std::uint32_t n) noexcept {
    for (std::uint32_t u = pieces_[n].uses; u != 0;) {
      const std::uint32_t next = uses_[u].next;
      if (uses_[u].recorded) put_event(uses_[u].done);
      uses_[u].recorded = false;
      uses_[u].next = spare_use_;
      spare_use_ = u;
      u = next;
    }
    pieces_[n].uses = 0;
  }

  // ---- events ---------------------------------------------------------------------------------------------------------

  /// An idle event, or a new one; called without the lock.
  [[nodiscard]] device_status get_event(event& out) noexcept {
    lock_.lock();
    const bool found = idle_events_.take(out);
    const bool room = found || idle_events_.expect_one();
    lock_.unlock();
    if (found) return {};
    if (!room) return {device_error::out_of_memory, 0};
    const device_status status = device_.create_event(out);
    if (!status) {
      const locked hold(lock_);
      idle_events_.expect_one_less();
    }
    return status;
  }
  void put_event(event e) noexcept { idle_events_.put(e); }
  void put_event_unlocked(event e) noexcept {
    const locked hold(lock_);
    put_event(e);
  }

  /// Records an event for each use of a pending piece that nobody else sees; those that fail are tried again by `poll`.
  void record_uses(std::uint32_t first) noexcept {
    for (std::uint32_t u = first; u != 0;) {
      record_use(u);
      const locked hold(lock_);
      u = uses_[u].next;
    }
  }

  /// Records the event of one use; not while its stream is captured: the event would be part of the graph. Holds no lock.
  void record_use(std::uint32_t u) noexcept {
    lock_.lock();
    const stream by = uses_[u].by;
    lock_.unlock();
    stream now{};
    bool capturing = false;
    event e{};
    // the stream may have ended since it was noted, and its handle be another's
    device_status status = device_.identify(by.handle, now);
    if (status && !(now == by)) status = {device_error::invalid_handle, 0};
    if (status) status = device_.is_capturing(by, capturing);
    if (status && capturing) status = {device_error::capture_refused, 0};
    if (status) status = get_event(e);
    if (status) {
      status = device_.record(e, by);
      if (!status) put_event_unlocked(e);
    }
    const locked hold(lock_);
    if (!status) {
      note_error(status);
      return;
    }
    uses_[u].recorded = true;
    uses_[u].done = e;
    ++num_events_;
  }

  // ---- pieces that wait ------------------------------------------------------------------------------------------------

  /// Gives back what other streams are done with. Holds the growth lock, not the lock.
  void poll() noexcept {
    constexpr std::size_t most = 16;
    std::uint64_t busy[most];
    std::size_t busy_count = 0;
    lock_.lock();
    std::uint32_t before = 0;
    for (std::uint32_t first = first_waiting_; first != 0;) {
      bool done = true;
      for (std::uint32_t u = first; u != 0 && done; u = uses_[u].next) {
        if (!uses_[u].recorded) {
          lock_.unlock();
          record_use(u);
          lock_.lock();
        }
        done = uses_[u].recorded;
        // events of one stream complete in order: behind one that is not ready none is
        for (std::size_t k = 0; k != busy_count && done; ++k) done = busy[k] != uses_[u].by.id;
        if (!done) break;
        const event e = uses_[u].done;
        const std::uint64_t id = uses_[u].by.id;
        lock_.unlock();
        const device_status status = device_.query_event(e);
        lock_.lock();
        done = static_cast<bool>(status);
        if (!done && busy_count != most) busy[busy_count++] = id;
        if (!done && status.error != device_error::not_ready) last_error_ = status;
      }
      // others only add at the end, so the place is still right
      const std::uint32_t next = uses_[first].next_piece;
      if (done) {
        unqueue(before, first);
        finish(uses_[first].piece);
      } else {
        before = first;
      }
      first = next;
    }
    lock_.unlock();
  }

  /// Takes the piece with the first use `first` out of the queue; `before` is the one ahead of it, or 0. Under the lock.
  void unqueue(std::uint32_t before, std::uint32_t first) noexcept {
    const std::uint32_t next = uses_[first].next_piece;
    (before == 0 ? first_waiting_ : uses_[before].next_piece) = next;
    if (last_waiting_ == first) last_waiting_ = before;
  }

  // ---- memory of other streams -----------------------------------------------------------------------------------------

  /// Lets `to` wait for all that a met stream has been given so far. Holds the growth lock only.
  [[nodiscard]] device_status order_behind(stream to, std::uint32_t met) noexcept {
    lock_.lock();
    const auto entry = shelves_.of(met);
    lock_.unlock();
    if (entry.lost) return {device_error::invalid_handle, 0};
    if (entry.retired) return device_.wait(to, entry.last);
    // a handle whose stream was destroyed may be another stream's by now: nothing may be recorded there in its name
    stream now{};
    device_status status = device_.identify(entry.stream.handle, now);
    if (status && !(now == entry.stream)) status = {device_error::invalid_handle, 0};
    if (status.error == device_error::invalid_handle) {
      const locked hold(lock_);
      shelves_.of(met).lost = true;
    }
    bool capturing = false;
    if (status) status = device_.is_capturing(entry.stream, capturing);
    if (status && capturing) return {device_error::capture_refused, 0};
    event e{};
    if (status) status = get_event(e);
    if (!status) return status;
    status = device_.record(e, entry.stream);
    if (status) {
      lock_.lock();
      ++num_events_;
      lock_.unlock();
      status = device_.wait(to, e);
    }
    // a wait has taken the state of the event: it may be recorded anew
    put_event_unlocked(e);
    return status;
  }

  /// Takes a piece that another stream freed, behind a wait; none if there is none. Holds the growth lock only.
  [[nodiscard]] std::uint32_t borrow(const request& r) noexcept {
    // a donor that cannot be waited for is left out of the next round
    for (std::uint32_t refused = 0; refused != 8; ++refused) {
      lock_.lock();
      std::uint32_t donor = 0;
      const std::uint32_t n = best_of_others(r, donor);
      if (n == none) {
        lock_.unlock();
        break;
      }
      this->retract(n);
      const std::uint32_t got = this->carve(n, r.size, r.alignment);
      const std::uint32_t met = shelves_[donor].stream;
      lock_.unlock();
      const device_status status = order_behind(r.stream, met);
      const locked hold(lock_);
      if (status) {
        pieces_[got].shelf = r.shelf;
        ++num_borrows_;
        for (std::uint32_t k = 1; k != shelves_.end(); ++k) shelves_[k].passed_over = false;
        return got;
      }
      note_error(status);
      shelves_[donor].passed_over = true;
      this->give(got);
      this->settle(shelves_[donor]);
    }
    {
      const locked hold(lock_);
      for (std::uint32_t k = 1; k != shelves_.end(); ++k) shelves_[k].passed_over = false;
    }
    return borrow_waiting(r);
  }

  [[nodiscard]] std::uint32_t best_of_others(const request& r, std::uint32_t& donor) noexcept {
    std::uint32_t best = none;
    if (!pieces_.spare(3)) return none;
    for (std::uint32_t k = 1; k != shelves_.end(); ++k) {
      auto& s = shelves_[k];
      if (k == r.shelf || s.cached() < r.size || s.passed_over || !is_akin(s, r) || shelves_.of(s.stream).lost) continue;
      this->settle(s);
      const std::uint32_t n = this->find(s, r.size, r.alignment);
      if (n == none || (best != none && pieces_[n].size >= pieces_[best].size)) continue;
      best = n;
      donor = k;
    }
    return best;
  }

  [[nodiscard]] static bool is_akin(const typename core::shelf_type& s, const request& r) noexcept {
    return s.pool == r.pool && s.of == r.of && s.large == r.large;
  }

  /// Takes a piece that other streams still use, and waits for them on the device. Holds the growth lock only.
  [[nodiscard]] std::uint32_t borrow_waiting(const request& r) noexcept {
    lock_.lock();
    const std::uint32_t first = take_waiting(r);
    const std::uint32_t n = first == 0 ? none : uses_[first].piece;
    const std::uint32_t giver = first == 0 ? 0 : shelves_[pieces_[n].shelf].stream;
    const bool same = first != 0 && shelves_.of(giver).stream == r.stream;
    lock_.unlock();
    if (first == 0) return none;
    device_status status = same ? device_status{} : order_behind(r.stream, giver);
    for (std::uint32_t u = first; u != 0 && status;) {
      lock_.lock();
      const event e = uses_[u].done;
      u = uses_[u].next;
      lock_.unlock();
      status = device_.wait(r.stream, e);
    }
    const locked hold(lock_);
    if (!status || !pieces_.spare(3)) {
      if (!status) note_error(status);
      enqueue(n);
      return none;
    }
    // what is behind the waits belongs to the stream that waited
    drop_uses(n);
    device_piece& a = pieces_[n];
    pending_ -= a.size;
    counters_.on_ready(a.large, a.size);
    trace_.record({device_action::free_completed, a.offset, a.size - a.slack, r.stream.id});
    a.shelf = r.shelf;
    a.state = piece_state::held;
    if (a.fixed) --segments_[a.segment].live;
    ++num_borrows_;
    return this->carve(n, r.size, r.alignment);
  }

  /// Takes the best fitting piece that waits out of the queue and returns its first use, or 0. Under the lock.
  [[nodiscard]] std::uint32_t take_waiting(const request& r) noexcept {
    std::uint32_t best = 0;
    std::uint32_t before_best = 0;
    std::uint32_t before = 0;
    for (std::uint32_t u = first_waiting_; u != 0; before = u, u = uses_[u].next_piece) {
      const device_piece& a = pieces_[uses_[u].piece];
      if (a.size < r.size || a.offset % r.alignment != 0 || !is_akin(shelves_[a.shelf], r)) continue;
      bool sure = !segments_[a.segment].asleep;
      for (std::uint32_t k = u; k != 0; k = uses_[k].next) sure = sure && uses_[k].recorded;
      if (!sure || (best != 0 && a.size >= pieces_[uses_[best].piece].size)) continue;
      best = u;
      before_best = before;
    }
    if (best != 0) unqueue(before_best, best);
    return best;
  }

  /// Remembers what the device said last; a refusal on the way is no reason to refuse again. Under one of the locks.
  device_status note_error(device_status status) noexcept {
    last_error_ = status;
    ++this->changes_;
    return status;
  }

  Device device_;
  mutable typename Policy::lock lock_;
  typename Policy::growth_lock growth_;
  event_pool<Device, book> idle_events_;
  grown_array<stream_use, book> uses_;
  std::uint32_t use_count_ = 1;
  std::uint32_t spare_use_ = 0;
  std::uint32_t first_waiting_ = 0;
  std::uint32_t last_waiting_ = 0;
  device_status last_error_{};
  std::size_t num_events_ = 0;
  std::size_t num_borrows_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
