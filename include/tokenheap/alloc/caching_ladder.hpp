// The part of the caching allocator that serves requests: from the cache, or rung by rung until there is nothing to try.
#pragma once

#include <tokenheap/alloc/caching_sleep.hpp>

namespace tokenheap {
inline namespace v0 {

/// Serves requests; the public face is `caching_allocator`.
template <device Device, class Policy>
class caching_ladder : public caching_sleep<Device, Policy> {
 protected:
  using returns = caching_sleep<Device, Policy>;
  using typename returns::event;
  using typename returns::request;
  using typename returns::shelf_type;
  using typename returns::stream;
  using returns::clock_, returns::counters_, returns::device_, returns::growth_, returns::guard_,
      returns::lock_, returns::none, returns::open_pools_, returns::options_,
      returns::owners_, returns::pieces_, returns::segments_, returns::shape, returns::shelves_,
      returns::trace_, returns::uses_;

  caching_ladder(const Device& device, const caching_options& with) noexcept : returns(device, with) {
    static_cast<void>(owners_.prepare());
  }
  ~caching_ladder() { give_everything_back(); }

  // ---- requests --------------------------------------------------------------------------------------------------------

  /// What a request comes to; its size is 0 if it makes no sense. Holds no lock: filters of pools are the user's code.
  [[nodiscard]] TOKENHEAP_INLINE sized_request size_up(const stream& s, const device_request& with) noexcept {
    sized_request r{};
    if (!is_request(with.bytes, with.alignment)) [[unlikely]] return r;
    r.requested = with.bytes;
    r.size = this->size_of(with.bytes);
    r.alignment = larger(with.alignment, shape.granularity);
    r.of = with.of;
    r.large = this->is_large(r.size);
    r.owner = with.owner != 0 ? with.owner : static_cast<std::uint16_t>(with.of);
    if (open_pools_.load(std::memory_order_relaxed) != 0) [[unlikely]] r.pool = this->pool_of(s);
    return r;
  }

  /// Hands out what is cached for the stream, or nothing. Cost: O(1), no device call
  [[nodiscard]] TOKENHEAP_INLINE allocation from_cache(const stream& s, const sized_request& r) noexcept {
    lock_.lock();
    ++clock_;
    return hand_over(take_cached(s, r), s, r);
  }

  /// Under the lock.
  [[nodiscard]] TOKENHEAP_INLINE std::uint32_t take_cached(const stream& s, const sized_request& r) noexcept {
    shelf_type* const from = shelves_.at(s, r.pool, r.of, r.large);
    if (from == nullptr || !owners_.knows(r.owner) || owners_.room(r.owner) < r.size) [[unlikely]] return none;
    return this->take(*from, r.size, r.alignment);
  }

  /// Counts a piece as its owner's and lets the lock go; a null allocation for none.
  [[nodiscard]] TOKENHEAP_INLINE allocation hand_over(std::uint32_t n, const stream& s, const sized_request& r) noexcept {
    if (n == none) [[unlikely]] return lock_.unlock(), allocation{};
    device_piece& a = pieces_[n];
    const allocation given{reinterpret_cast<void*>(a.offset), a.size};
    if (given.size != r.size && given.size > owners_.room(r.owner)) [[unlikely]] {
      // an uncut piece is more than was asked, and more than the owner may have
      this->give(n);
      return lock_.unlock(), allocation{};
    }
    const auto slack = static_cast<std::uint32_t>(smaller(given.size - r.requested, ~std::uint32_t{0}));
    a.slack = slack;
    if (a.owner != r.owner) a.owner = r.owner;
    counters_.on_take(r.large, given.size, given.size - slack);
    trace_.record({device_action::alloc, a.offset, r.requested, s.id});
    const bool passed = owners_.take(r.owner, given.size);
    if (!passed) [[likely]] return lock_.unlock(), given;
    const pressure_callback told = owners_.limits(r.owner).on_soft;
    lock_.unlock();
    static_cast<void>(told(given.size));
    return given;
  }

  [[nodiscard]] bool fits(const stream& s, const sized_request& r) noexcept {
    const locked hold(lock_);
    if (!owners_.knows(r.owner) || owners_.room(r.owner) < r.size || this->sleeps(r.of)) return false;
    if (const std::uint32_t met = shelves_.find(s); met != 0) {
      const std::uint32_t shelf = shelves_.find(met, r.pool, r.of, r.large);
      if (shelf != 0) {
        this->settle(shelves_[shelf]);
        if (this->find(shelves_[shelf], r.size, r.alignment) != none) return true;
      }
    }
    const std::size_t spare = smaller(this->allowance(), this->total_ > this->reserved_ ? this->total_ - this->reserved_ : 0);
    const bool grows = this->kind_of(r.of) == segment_kind::growable;
    return (grows ? align_up(r.size, this->page_) : this->fixed_size(r.size, r.large)) <= spare;
  }

  // ---- the ladder ------------------------------------------------------------------------------------------------------

  /// Finds memory for a request that the cache refused: from the cheapest way to the dearest.
  [[nodiscard]] TOKENHEAP_COLD allocation climb(const stream& s, const sized_request& with, shortage* why) noexcept {
    request r{with, s};
    lock_.lock();
    if (const shelf_type* const own = shelves_.at(s, r.pool, r.of, r.large); own != nullptr) r.shelf = own->number;
    const bool known = owners_.knows(r.owner);
    const bool allowed = known && owners_.room(r.owner) >= r.size;
    const bool hopeless = allowed && is_hopeless(r);
    if (hopeless && why == nullptr && options_.on_shortage.call == nullptr) [[likely]] {
      ++this->num_ooms_;
      trace_.record({device_action::oom, 0, r.size, r.stream.id});
      return lock_.unlock(), allocation{};
    }
    lock_.unlock();
    if (hopeless) return refuse_device(r, {device_error::out_of_memory, 0}, why);
    if (!known) return refuse(r, errc::invalid_argument, {}, "add the owner with add_owner first", why);
    if (!allowed) {
      if (options_.on_pressure(r.size)) {
        if (const allocation a = from_cache(s, r)) return a;
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
    if (r.size > smaller(options_.limit, this->total_ == 0 ? max_allocation : this->total_))
      return refuse(r, errc::too_large, {}, "ask for less than the allocator's limit and the device's memory", why);
    growth_.lock();
    lock_.lock();
    const std::uint64_t changes = this->changes_;
    lock_.unlock();
    if (this->sleeps(r.of)) return growth_.unlock(), refuse(r, errc::in_use, {}, "wake the class first", why);
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
    if (n == none && free_to_wait) remember_refusal(r, changes);
    growth_.unlock();
    if (n == none) return refuse_device(r, status, why);
    lock_.lock();
    if (pieces_[n].size > owners_.room(r.owner)) {
      // others of the same owner were faster
      this->give(n);
      n = none;
    }
    const allocation a = hand_over(n, r.stream, r);
    return a ? a : refuse(r, errc::limit_reached, {}, "raise the owner's hard limit, or free what it holds", why);
  }

  /// True if a request must be refused by the allocator's own limit: what was refused since the last change was no more.
  /// Under the lock.
  [[nodiscard]] bool is_hopeless(const request& r) const noexcept {
    if (r.shelf == 0 || this->pending_ != 0 || options_.on_pressure) return false;
    if (open_pools_.load(std::memory_order_relaxed) != 0) return false;
    const auto& s = shelves_[r.shelf];
    const std::size_t allowance = this->allowance();
    return this->is_refused(s, r.size, r.alignment) && allowance <= s.refused.allowance && allowance < growth_of(r);
  }
  /// Bytes that serving a request takes from the device if nothing of it is cached.
  [[nodiscard]] std::size_t growth_of(const request& r) const noexcept {
    return this->kind_of(r.of) == segment_kind::growable ? align_up(r.size, this->page_) : this->fixed_size(r.size, r.large);
  }

  /// Every rung was tried: until something changes, requests like this one are refused at once. Holds the growth lock.
  void remember_refusal(const request& r, std::uint64_t changes) noexcept {
    const locked hold(lock_);
    // what waits may be ready later, memory of pools may be let go, and large pieces may be kept from small requests
    if (r.shelf == 0 || changes != this->changes_ || this->pending_ != 0 || this->pools_.knows(1)) return;
    if (options_.max_split != ~std::size_t{0} || this->allowance() >= growth_of(r)) return;
    shelves_[r.shelf].refused = {changes, r.size, r.alignment, this->allowance()};
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
    // a growable segment may need less now: what was put on the shelf can lie ahead of its gap
    if (n == none && (this->release() != 0 || this->kind_of(r.of) == segment_kind::growable)) n = this->grow(r, status);
    return n;
  }

  [[nodiscard]] std::uint32_t search(request& r) noexcept {
    const locked hold(lock_);
    return take_cached(r.stream, r);
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
    if (options_.collect_above <= 0 || this->total_ == 0) return;
    lock_.lock();
    const std::size_t limit = smaller(options_.limit, this->total_);
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

  /// There is no stream of that handle, or no driver to ask.
  [[nodiscard]] TOKENHEAP_COLD allocation refuse_stream(const device_request& with, device_status status, shortage* why) noexcept {
    request r{};
    r.size = with.bytes;
    return refuse_device(r, status, why);
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

  // ---- the end ---------------------------------------------------------------------------------------------------------

  void give_everything_back() noexcept {
    if (const std::size_t out = owners_.total(); out != 0) {
      guard_.on_misuse({.code = errc::leaked, .pool = options_.name, .what = "bytes still out at the end", .need = out,
                        .available = 0, .limit = this->reserved_, .fix = "give every piece back before the allocator ends"});
    }
    // pages may go only when no work uses them; a device that is gone has taken everything with it
    if (is_beyond_use(device_.synchronize())) return;
    this->end_sleep();
    for (std::uint32_t s = 1; s != this->segment_count_; ++s) {
      const device_segment& g = segments_[s];
      if (g.size == 0) continue;
      void* const address = reinterpret_cast<void*>(g.address);
      if (g.kind == segment_kind::fixed) {
        static_cast<void>(device_.deallocate(address));
      } else if constexpr (returns::can_grow) {
        unmap_all(g);
        static_cast<void>(device_.unreserve(address, g.size));
      }
    }
    for (std::uint32_t met = 1; met != shelves_.streams_end(); ++met)
      if (shelves_.of(met).has_last) static_cast<void>(device_.destroy_event(shelves_.of(met).last));
    for (std::uint32_t u = 1; u < this->use_count_; ++u)
      if (uses_[u].recorded) static_cast<void>(device_.destroy_event(uses_[u].done));
    for (event e{}; this->idle_events_.take(e);) static_cast<void>(device_.destroy_event(e));
  }
  [[nodiscard]] static bool is_beyond_use(device_status s) noexcept {
    return s.error == device_error::gone || s.error == device_error::no_device || s.error == device_error::forked;
  }
  /// One call for each run of extents, those included that the device once refused to take away.
  void unmap_all(const device_segment& g) noexcept {
    for (std::size_t k = 0; k != this->extents_.size(); ++k) {
      const std::size_t from = this->extents_[k].address;
      if (from - g.address >= g.size) continue;
      std::size_t end = from + this->extents_[k].size;
      while (k + 1 != this->extents_.size() && this->extents_[k + 1].address == end && end - g.address < g.size)
        end += this->extents_[++k].size;
      static_cast<void>(device_.unmap(reinterpret_cast<void*>(from), end - from));
    }
  }
};

}  // namespace v0
}  // namespace tokenheap
