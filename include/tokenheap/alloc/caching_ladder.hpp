// The part of the caching allocator that serves requests: from the cache, or rung by rung until there is nothing to try.
#pragma once

#include <atomic>

#include <tokenheap/alloc/caching_report.hpp>

namespace tokenheap {
inline namespace v0 {

/// Serves requests and takes pieces back; the public face is `caching_allocator`.
template <device Device, class Policy>
class caching_ladder : public caching_report<Device, Policy> {
 protected:
  using report_part = caching_report<Device, Policy>;
  using typename report_part::event;
  using typename report_part::request;
  using typename report_part::stream;
  using report_part::clock_, report_part::counters_, report_part::device_, report_part::first_deferred_,
      report_part::growth_, report_part::last_error_, report_part::lock_, report_part::none, report_part::options_,
      report_part::out_, report_part::owners_, report_part::pending_, report_part::pieces_, report_part::pools_,
      report_part::segments_, report_part::shape, report_part::shelves_, report_part::trace_, report_part::uses_;

  caching_ladder(const Device& device, const caching_options& with) noexcept : report_part(device, with) {
    static_cast<void>(owners_.prepare());
  }
  ~caching_ladder() { give_everything_back(); }

  // ---- requests --------------------------------------------------------------------------------------------------------

  /// What a request comes to; its size is 0 if it makes no sense. Holds no lock: filters of pools are the user's code.
  [[nodiscard]] request make_request(stream s, const device_request& with) noexcept {
    request r{};
    if (!is_request(with.bytes, with.alignment)) [[unlikely]] return r;
    r.stream = s;
    r.requested = with.bytes;
    r.size = this->size_of(with.bytes);
    r.alignment = std::max(with.alignment, shape.granularity);
    r.of = with.of;
    r.large = this->is_large(r.size);
    r.owner = with.owner != 0 ? with.owner : static_cast<std::uint16_t>(with.of);
    if (open_pools_.load(std::memory_order_relaxed) != 0) [[unlikely]] r.pool = pool_of(s);
    return r;
  }

  /// Hands out what is cached for the stream, or nothing. Cost: O(1), no device call
  [[nodiscard]] allocation from_cache(request& r) noexcept {
    lock_.lock();
    ++clock_;
    return hand_over(take_cached(r), r);
  }

  /// Under the lock.
  [[nodiscard]] std::uint32_t take_cached(request& r) noexcept {
    const std::uint32_t met = shelves_.meet(r.stream);
    if (met == 0) [[unlikely]] return none;
    if (shelves_.of(met).retired) [[unlikely]] revive(met);
    r.shelf = shelves_.open(met, r.pool, r.of, r.large);
    if (r.shelf == 0 || !owners_.knows(r.owner) || owners_.room(r.owner) < r.size) [[unlikely]] return none;
    return this->take(r.shelf, r.size, r.alignment);
  }

  /// Counts a piece as its owner's and lets the lock go; a null allocation for none.
  [[nodiscard]] allocation hand_over(std::uint32_t n, const request& r) noexcept {
    if (n != none && pieces_[n].size > owners_.room(r.owner)) [[unlikely]] {
      // an uncut piece is more than was asked, and more than the owner may have
      this->give(n, pieces_[n].shelf);
      n = none;
    }
    if (n == none) [[unlikely]] return lock_.unlock(), allocation{};
    device_piece& a = pieces_[n];
    const allocation given{reinterpret_cast<void*>(a.offset), a.size};
    a.slack = static_cast<std::uint32_t>(std::min<std::size_t>(a.size - r.requested, ~std::uint32_t{0}));
    a.owner = r.owner;
    out_ += a.size;
    counters_.on_take(r.large, a.size, a.size - a.slack);
    trace_.record({device_action::alloc, a.offset, r.requested, r.stream.id});
    const bool passed = owners_.take(r.owner, a.size);
    if (!passed) [[likely]] return lock_.unlock(), given;
    const pressure_callback told = owners_.limits(r.owner).on_soft;
    lock_.unlock();
    static_cast<void>(told(given.size));
    return given;
  }

  [[nodiscard]] bool fits(const request& r) noexcept {
    const locked hold(lock_);
    if (!owners_.knows(r.owner) || owners_.room(r.owner) < r.size) return false;
    if (const std::uint32_t met = shelves_.find(r.stream); met != 0) {
      const std::uint32_t shelf = shelves_.find(met, r.pool, r.of, r.large);
      if (shelf != 0) {
        this->settle(shelf);
        if (this->find(shelves_[shelf], r.size, r.alignment) != none) return true;
      }
    }
    const std::size_t spare = std::min(this->allowance(), this->total_ > this->reserved_ ? this->total_ - this->reserved_ : 0);
    const bool grows = this->kind_of(r.of) == segment_kind::growable;
    return (grows ? align_up(r.size, this->page_) : this->fixed_size(r.size, r.large)) <= spare;
  }

  // ---- the ladder ------------------------------------------------------------------------------------------------------

  /// Finds memory for a request that the cache refused: from the cheapest way to the dearest.
  [[nodiscard]] TOKENHEAP_COLD allocation climb(request& r, shortage* why) noexcept {
    lock_.lock();
    const bool known = owners_.knows(r.owner);
    const bool allowed = known && owners_.room(r.owner) >= r.size;
    lock_.unlock();
    if (!known) return refuse(r, errc::invalid_argument, {}, "add the owner with add_owner first", why);
    if (!allowed) {
      if (options_.on_pressure(r.size)) {
        if (const allocation a = from_cache(r)) return a;
        lock_.lock();
        const bool now = owners_.room(r.owner) >= r.size;
        lock_.unlock();
        if (now) return climb_device(r, why);
      }
      return refuse(r, errc::limit_reached, {}, "raise the owner's hard limit, or free what it holds", why);
    }
    return climb_device(r, why);
  }

  [[nodiscard]] allocation climb_device(request& r, shortage* why) noexcept {
    if (r.size > std::min(options_.limit, this->total_ == 0 ? max_allocation : this->total_))
      return refuse(r, errc::too_large, {}, "ask for less than the allocator's limit and the device's memory", why);
    growth_.lock();
    device_status status{};
    std::uint32_t n = search(r);
    const bool free_to_wait = n == none && !in_capture(r, status);
    if (n == none && status && free_to_wait) {
      this->poll();
      n = search(r);
      if (n == none && Policy::borrow == borrowing::always) n = this->borrow(r);
      if (n == none) collect(r);
    }
    if (n == none && status) n = this->grow(r, status);
    if (n == none && status.error == device_error::out_of_memory) n = last_rungs(r, status, free_to_wait);
    growth_.unlock();
    if (n == none) return refuse_device(r, status, why);
    lock_.lock();
    const allocation a = hand_over(n, r);
    return a ? a : refuse(r, errc::limit_reached, {}, "raise the owner's hard limit, or free what it holds", why);
  }

  /// The device has no more. Holds the growth lock, but not while the callback runs.
  [[nodiscard]] std::uint32_t last_rungs(request& r, device_status& status, bool free_to_wait) noexcept {
    ++this->num_alloc_retries_;
    growth_.unlock();
    const bool again = options_.on_pressure(r.size);
    growth_.lock();
    std::uint32_t n = again ? search(r) : none;
    if (n == none && again) n = this->grow(r, status);
    if (n != none || !free_to_wait) return n;
    this->poll();
    n = search(r);
    if (n == none && Policy::borrow != borrowing::never) n = this->borrow(r);
    if (n == none && this->release({.at_most = r.size}) != 0) n = this->grow(r, status);
    if (n == none && this->release() != 0) n = this->grow(r, status);
    if (n != none || !this->synchronize_all(r)) return n;
    // what the wait has freed may be enough as it is, or after idle segments went
    n = search(r);
    if (n == none && this->release() != 0) n = this->grow(r, status);
    return n;
  }

  [[nodiscard]] std::uint32_t search(request& r) noexcept {
    const locked hold(lock_);
    return take_cached(r);
  }

  /// True if a stream is being captured as far as this request is concerned: then the device must not be waited for.
  [[nodiscard]] bool in_capture(const request& r, device_status& status) noexcept {
    if (open_pools_.load(std::memory_order_relaxed) != 0) return true;
    bool capturing = false;
    status = device_.is_capturing(r.stream, capturing);
    if (status.error == device_error::capture_refused || status.error == device_error::capture_broken) {
      status = {};
      return true;
    }
    return capturing;
  }

  /// Gives idle segments back before growing, when more than a share of the limit is reserved.
  void collect(const request& r) noexcept {
    if (options_.collect_above <= 0) return;
    lock_.lock();
    const std::size_t limit = std::min(options_.limit, this->total_);
    const auto threshold = static_cast<std::size_t>(static_cast<double>(limit) * options_.collect_above);
    const std::size_t wanted = this->reserved_ + r.size;
    lock_.unlock();
    if (wanted > threshold) this->release({.at_most = wanted - threshold});
  }

  [[nodiscard]] TOKENHEAP_COLD allocation refuse_nonsense(const device_request& with, shortage* why) noexcept {
    request r{};
    r.size = with.bytes;
    return refuse(r, errc::invalid_argument, {}, "ask for 1 byte up to max_allocation at a power of two up to max_alignment", why);
  }

  [[nodiscard]] allocation refuse_device(const request& r, device_status status, shortage* why) noexcept {
    switch (status.error) {
      case device_error::out_of_memory:
        return refuse(r, errc::out_of_memory, status, "free memory, lower the batch, or raise the limit", why);
      case device_error::no_device:
      case device_error::gone:
        return refuse(r, errc::no_device, status, "run where a device and its driver are, or use device/sim.hpp", why);
      case device_error::forked:
        return refuse(r, errc::forked, status, "open the device in the child, after the fork", why);
      default:
        return refuse(r, errc::device_failed, status, "look at the device's own error; the request may be tried again", why);
    }
  }

  TOKENHEAP_COLD allocation refuse(const request& r, errc code, device_status status, const char* fix, shortage* why) noexcept {
    const bool memory = code == errc::out_of_memory || code == errc::limit_reached || code == errc::too_large;
    if (why != nullptr || (memory && options_.on_shortage.call != nullptr)) {
      const shortage s = this->why_not(r, code, status, fix);
      if (why != nullptr) *why = s;
      note_shortage(r, memory, s.device_free);
      if (memory && options_.on_shortage.call != nullptr) options_.on_shortage.call(options_.on_shortage.user, s);
    } else {
      note_shortage(r, memory, 0);
    }
    return {};
  }
  void note_shortage(const request& r, bool memory, std::size_t device_free) noexcept {
    const locked hold(lock_);
    if (!memory) return;
    ++this->num_ooms_;
    trace_.record({device_action::oom, device_free, r.size, r.stream.id});
  }

  // ---- what comes back -------------------------------------------------------------------------------------------------

  void give_back(allocation a, const stream* on) noexcept {
    lock_.lock();
    const std::uint32_t n = pieces_.find(address_of(a.data));
    const errc wrong = check(n, a);
    if (wrong != errc::ok) [[unlikely]] return lock_.unlock(), complain(wrong, a);
    device_piece& p = pieces_[n];
    const device_segment& g = segments_[p.segment];
    if (on != nullptr && !(shelves_.of(shelves_[p.shelf].stream).stream == *on)) {
      const std::uint32_t met = shelves_.meet(*on);
      const std::uint32_t shelf = met == 0 ? 0 : shelves_.open(met, g.pool, g.of, g.large);
      if (shelf == 0) [[unlikely]] return lock_.unlock(), complain(errc::out_of_memory, a);
      if (shelves_.of(met).retired) [[unlikely]] revive(met);
      p.shelf = shelf;
    }
    const bool is_used = p.uses != 0;
    out_ -= p.size;
    owners_.give(p.owner, p.size);
    counters_.on_give(g.large, p.size, p.size - p.slack, is_used);
    trace_.record({device_action::free_requested, p.offset, p.size - p.slack, this->id_of(p.shelf)});
    if (!is_used) [[likely]] {
      trace_.record({device_action::free_completed, p.offset, p.size - p.slack, this->id_of(p.shelf)});
      this->give(n, p.shelf);
      return lock_.unlock();
    }
    p.state = piece_state::pending;
    pending_ += p.size;
    const std::uint32_t first = p.uses;
    if (pools_.open_count() != 0) {
      // recording an event now would make it part of the capture
      uses_[first].piece = n;
      uses_[first].next_piece = first_deferred_;
      first_deferred_ = first;
      return lock_.unlock();
    }
    lock_.unlock();
    // nobody else can reach the piece before it is in the queue
    static_cast<void>(this->record_uses(first));
    const locked hold(lock_);
    this->enqueue(n);
  }

  [[nodiscard]] errc check(std::uint32_t n, allocation a) const noexcept {
    if (n == none) [[unlikely]] return errc::foreign_pointer;
    const device_piece& p = pieces_[n];
    if (p.state != piece_state::out) [[unlikely]] return errc::double_free;
    if (a.size != p.size && a.size != p.size - p.slack) [[unlikely]] return errc::wrong_size;
    return errc::ok;
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
    if (wrong == errc::ok && !(shelves_.of(shelves_[pieces_[n].shelf].stream).stream == by) && !this->add_use(n, by))
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
    lock_.unlock();
    if (done) return errc::ok;
    event last{};
    device_status status = this->get_event(last);
    if (status) {
      status = device_.record(last, s);
      if (!status) this->put_event_unlocked(last);
    }
    const locked hold(lock_);
    if (!status) return last_error_ = status, errc::device_failed;
    ++this->num_events_;
    shelves_.of(met).last = last;
    shelves_.of(met).retired = true;
    return errc::ok;
  }
  /// A stream that was said to end is used again. Under the lock.
  void revive(std::uint32_t met) noexcept {
    shelves_.of(met).retired = false;
    this->put_event(shelves_.of(met).last);
  }

  std::size_t trim_to(std::size_t keep) noexcept {
    const locked alone(growth_);
    if (open_pools_.load(std::memory_order_relaxed) != 0) return 0;
    this->poll();
    lock_.lock();
    const std::size_t over = this->cached_ > keep ? this->cached_ - keep : 0;
    lock_.unlock();
    return over == 0 ? 0 : this->release({.at_most = over});
  }
  std::size_t trim_older(std::uint64_t requests) noexcept {
    const locked alone(growth_);
    if (open_pools_.load(std::memory_order_relaxed) != 0) return 0;
    this->poll();
    lock_.lock();
    const std::uint64_t now = clock_;
    lock_.unlock();
    return now < requests ? 0 : this->release({.idle_before = now - requests});
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
    lock_.lock();
    const errc answer = pools_.end(pool);
    open_pools_.store(pools_.open_count(), std::memory_order_relaxed);
    std::uint32_t first = 0;
    if (pools_.open_count() == 0) std::swap(first, first_deferred_);
    lock_.unlock();
    while (first != 0) {
      lock_.lock();
      const std::uint32_t next = uses_[first].next_piece;
      const std::uint32_t n = uses_[first].piece;
      lock_.unlock();
      static_cast<void>(this->record_uses(first));
      const locked hold(lock_);
      this->enqueue(n);
      first = next;
    }
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

  // ---- the end ---------------------------------------------------------------------------------------------------------

  void give_everything_back() noexcept {
    if (out_ != 0) {
      guard_.on_misuse({.code = errc::leaked, .pool = options_.name, .what = "bytes still out at the end", .need = out_,
                        .available = 0, .limit = this->reserved_, .fix = "give every piece back before the allocator ends"});
    }
    // pages may go only when no work uses them; a device that is gone has taken everything with it
    if (!device_.synchronize() && is_beyond_use(device_.synchronize())) return;
    for (std::uint32_t s = 1; s != this->segment_count_; ++s) {
      const device_segment& g = segments_[s];
      if (g.size == 0) continue;
      void* const address = reinterpret_cast<void*>(g.address);
      if (g.kind == segment_kind::fixed) {
        static_cast<void>(device_.deallocate(address));
      } else if constexpr (report_part::can_grow) {
        if (g.mapped != 0 && !g.asleep) unmap_all(g);
        static_cast<void>(device_.unreserve(address, g.size));
      }
    }
    for (std::uint32_t met = 1; met != shelves_.streams_end(); ++met)
      if (shelves_.of(met).retired) static_cast<void>(device_.destroy_event(shelves_.of(met).last));
    for (std::uint32_t u = 1; u < this->use_count_; ++u)
      if (uses_[u].recorded) static_cast<void>(device_.destroy_event(uses_[u].done));
    for (event e{}; this->idle_events_.take(e);) static_cast<void>(device_.destroy_event(e));
  }
  [[nodiscard]] static bool is_beyond_use(device_status s) noexcept {
    return s.error == device_error::gone || s.error == device_error::no_device || s.error == device_error::forked;
  }
  void unmap_all(const device_segment& g) noexcept {
    for (std::uint32_t n = g.first; n != none; n = pieces_[n].right) {
      // one call for each run of pages between two gaps
      if (pieces_[n].state == piece_state::unmapped) continue;
      const std::size_t from = pieces_[n].offset;
      while (pieces_[n].right != none && pieces_[pieces_[n].right].state != piece_state::unmapped) n = pieces_[n].right;
      this->unmap_range(from, pieces_[n].offset + pieces_[n].size - from);
    }
  }

  std::atomic<std::size_t> open_pools_{0};
  [[no_unique_address]] typename Policy::guard guard_;
};

}  // namespace v0
}  // namespace tokenheap
