// The part of the caching allocator that takes pieces back, and knows what becomes of streams and pools.
#pragma once

#include <atomic>

#include <tokenheap/alloc/caching_report.hpp>

namespace tokenheap {
inline namespace v0 {

/// Takes pieces back, ends streams, gives idle memory back, and opens pools.
template <device Device, class Policy>
class caching_returns : public caching_report<Device, Policy> {
 protected:
  using report_part = caching_report<Device, Policy>;
  using typename report_part::event;
  using typename report_part::shelf_type;
  using typename report_part::stream;
  using report_part::counters_, report_part::device_, report_part::growth_, report_part::last_error_, report_part::lock_,
      report_part::none, report_part::options_, report_part::owners_, report_part::pending_,
      report_part::pieces_, report_part::pools_, report_part::segments_, report_part::shelves_, report_part::trace_,
      report_part::uses_;

  using report_part::report_part;

  // ---- what comes back -------------------------------------------------------------------------------------------------

  void give_back(allocation a, const stream* on) noexcept {
    lock_.lock();
    const std::uint32_t n = pieces_.find(address_of(a.data));
    if (n == none) [[unlikely]] return lock_.unlock(), complain(errc::foreign_pointer, a);
    device_piece& p = pieces_[n];
    if (p.state != piece_state::out) [[unlikely]] return lock_.unlock(), complain(errc::double_free, a);
    const std::size_t size = p.size;
    const std::size_t requested = size - p.slack;
    if (a.size != size && a.size != requested) [[unlikely]] return lock_.unlock(), complain(errc::wrong_size, a);
    shelf_type* home = &shelves_[p.shelf];
    if (on != nullptr && !shelves_.is_of(*home, *on)) [[unlikely]]
      if (home = move_to(p, *on); home == nullptr) return lock_.unlock(), complain(errc::out_of_memory, a);
    if (p.uses != 0) [[unlikely]] this->drop_use_of(n, shelves_.of(home->stream).stream);
    const bool is_used = p.uses != 0;
    owners_.give(p.owner, size);
    counters_.on_give(p.large, size, requested, is_used);
    trace_.record({device_action::free_requested, p.offset, requested, this->id_of(p.shelf)});
    if (is_used) [[unlikely]] return set_waiting(n);
    trace_.record({device_action::free_completed, p.offset, requested, this->id_of(p.shelf)});
    this->give(n, *home);
    lock_.unlock();
  }

  /// A piece that comes back on a stream is of that stream's shelf, or of none if there is no room to note that.
  [[nodiscard]] TOKENHEAP_NOINLINE shelf_type* move_to(device_piece& p, stream on) noexcept {
    const device_segment& g = segments_[p.segment];
    shelf_type* const s = shelves_.at(on, g.pool, g.of, g.large);
    if (s != nullptr) p.shelf = s->number;
    return s;
  }

  /// A piece that came back waits for the other streams that use it. Enters with the lock and leaves without it.
  void set_waiting(std::uint32_t n) noexcept {
    pieces_.forget(n);
    pieces_[n].state = piece_state::pending;
    pending_ += pieces_[n].size;
    ++this->changes_;
    const std::uint32_t first = pieces_[n].uses;
    if (pools_.open_count() != 0) {
      // an event recorded now could become part of a capture: the first look after it records one
      this->enqueue(n);
      return lock_.unlock();
    }
    lock_.unlock();
    // nobody else can reach the piece before it is in the queue
    this->record_uses(first);
    const locked hold(lock_);
    this->enqueue(n);
  }

  TOKENHEAP_COLD void complain(errc code, allocation a) noexcept {
    if (code == errc::foreign_pointer) code = blame(address_of(a.data));
    lock_.lock();
    const failure f{.code = code, .pool = options_.name, .what = "bytes given back to device memory", .need = a.size,
                    .available = 0, .limit = this->reserved_, .address = a.data,
                    .fix = code == errc::out_of_memory ? "free host memory and give the piece back again: it is still out"
                                                       : "give each piece back once, as it was handed out"};
    lock_.unlock();
    guard_.on_misuse(f);
  }

  /// What a pointer is that is not the start of a piece that is out. Cost: O(pieces)
  [[nodiscard]] errc blame(std::size_t address) const noexcept {
    const locked hold(lock_);
    for (std::uint32_t n = 1; n < pieces_.used(); ++n) {
      const device_piece& p = pieces_[n];
      if (p.state == piece_state::spare || p.state == piece_state::unmapped || address - p.offset >= p.size) continue;
      return p.state == piece_state::out && address != p.offset ? errc::interior_pointer : errc::double_free;
    }
    return errc::foreign_pointer;
  }

  [[nodiscard]] errc note_use(allocation a, stream by) noexcept {
    lock_.lock();
    const std::uint32_t n = pieces_.find(address_of(a.data));
    errc wrong = n == none ? errc::foreign_pointer : pieces_[n].state != piece_state::out ? errc::double_free : errc::ok;
    // noted for its own stream too: it may be given back on another
    if (wrong == errc::ok && !this->add_use(n, by))
      wrong = errc::out_of_memory;
    lock_.unlock();
    return wrong == errc::foreign_pointer ? blame(address_of(a.data)) : wrong;
  }

  // ---- streams that end, idle memory, pools ---------------------------------------------------------------------------

  [[nodiscard]] errc retire_stream(stream s) noexcept {
    const locked alone(growth_);
    lock_.lock();
    const std::uint32_t met = shelves_.find(s);
    const bool done = met == 0 || shelves_.of(met).retired;
    const bool again = met != 0 && shelves_.of(met).has_last;
    event last = again ? shelves_.of(met).last : event{};
    lock_.unlock();
    if (done) return errc::ok;
    device_status status = again ? device_status{} : this->get_event(last);
    if (status) {
      status = device_.record(last, s);
      if (!status && !again) this->put_event_unlocked(last);
    }
    const locked hold(lock_);
    if (!status) return this->note_error(status), errc::device_failed;
    ++this->num_events_;
    auto& entry = shelves_.of(met);
    entry.last = last;
    entry.has_last = true;
    shelves_.retire(met);
    return errc::ok;
  }

  std::size_t trim_to(std::size_t keep) noexcept {
    const locked alone(growth_);
    if (open_pools_.load(std::memory_order_relaxed) != 0) return 0;
    this->poll();
    lock_.lock();
    const std::size_t cached = this->cached();
    const std::size_t over = cached > keep ? cached - keep : 0;
    lock_.unlock();
    return over == 0 ? 0 : this->release({.at_most = over});
  }
  std::size_t trim_older(std::uint64_t requests) noexcept {
    const locked alone(growth_);
    if (open_pools_.load(std::memory_order_relaxed) != 0) return 0;
    this->poll();
    return this->release({.least_age = requests});
  }

  [[nodiscard]] result<std::uint32_t> make_pool() noexcept {
    const locked hold(lock_);
    const std::uint32_t pool = pools_.create([this](std::uint32_t p) noexcept {
      for (std::uint32_t s = 1; s != this->segment_count_; ++s)
        if (segments_[s].size != 0 && segments_[s].pool == p) return false;
      return true;
    });
    if (pool != 0) return std::uint32_t{pool};
    return failure{.code = errc::out_of_memory, .pool = options_.name, .what = "pools", .need = 1, .available = 0,
                   .limit = 0, .fix = "free host memory"};
  }

  [[nodiscard]] errc open_pool(std::uint32_t pool, stream_filter filter) noexcept {
    const locked hold(lock_);
    const errc answer = pools_.begin(pool, filter);
    open_pools_.store(pools_.open_count(), std::memory_order_relaxed);
    return answer;
  }
  [[nodiscard]] errc close_pool(std::uint32_t pool) noexcept {
    const locked hold(lock_);
    const errc answer = pools_.end(pool);
    open_pools_.store(pools_.open_count(), std::memory_order_relaxed);
    return answer;
  }

  /// The pool of a request: that of the first open one whose filter takes the stream. Holds no lock.
  [[nodiscard]] TOKENHEAP_COLD std::uint32_t pool_of(stream s) const noexcept {
    typename decltype(pools_)::opened open[device_pools<typename Policy::book>::most_open];
    lock_.lock();
    const std::size_t count = pools_.open_count();
    for (std::size_t k = 0; k != count; ++k) open[k] = pools_.open(k);
    lock_.unlock();
    for (std::size_t k = 0; k != count; ++k)
      if (open[k].filter(s.id)) return open[k].pool;
    return 0;
  }

  std::atomic<std::size_t> open_pools_{0};
  TOKENHEAP_NO_UNIQUE_ADDRESS typename Policy::guard guard_;
};

}  // namespace v0
}  // namespace tokenheap
