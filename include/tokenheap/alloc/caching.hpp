// The allocator of device memory for engines: keeps what comes back, in the order of streams.
#pragma once

#include <atomic>

#include <tokenheap/alloc/caching_ladder.hpp>

namespace tokenheap {
inline namespace v0 {

/// Hands out device memory in the order of streams, keeps what comes back, and calls the device as rarely as it can.
///
/// For engines: weights, KV, activations and scratch on any number of streams and threads. What is freed on a stream is
/// that stream's again at once, without a device call; another stream gets it only behind a wait that the allocator puts
/// on the device itself, when `Policy::borrow` says so. Not for memory that another process maps by page: see
/// `memory_class::communication`. Not for millions of tiny pieces: a `slab` above it is cheaper.
///
/// Requires  a stream is retired before it is destroyed; a piece is given back on a stream that is ordered behind all its
///           uses, apart from the uses told by `record_stream`
/// Returns   sizes rounded up to the granularity, 512 bytes
/// Fails     a null allocation, nothing taken; `shortage` says why
/// Threads   safe; one short lock, never held across a device call or a callback
/// Streams   stream-ordered, see above; a request may wait for the device only when it has no more memory
/// Cost      O(1) without a device call while the cache has what is asked; see docs/caching.md
/// Example   examples/gpu_cache.cpp
template <device Device, class Policy = default_caching_policy>
class caching_allocator : private caching_ladder<Device, Policy> {
  using ladder = caching_ladder<Device, Policy>;
  using ladder::lock_, ladder::none, ladder::options_, ladder::pieces_, ladder::segments_, ladder::shelves_;

 public:
  using space = device_space;
  using device_type = Device;
  using policy_type = Policy;
  using stream = typename Device::stream;
  using handle = typename stream::native;
  using options = caching_options;
  using ladder::shape;

  explicit caching_allocator(const Device& device, const caching_options& with = {}) noexcept : ladder(device, with) {}
  caching_allocator(const caching_allocator&) = delete;
  caching_allocator& operator=(const caching_allocator&) = delete;

  // ---- pieces ----------------------------------------------------------------------------------------------------------

  /// Hands out memory for work that is enqueued on a stream from now on.
  [[nodiscard]] allocation allocate(stream s, std::size_t bytes, std::size_t alignment = shape.granularity) noexcept {
    return allocate(s, device_request{.bytes = bytes, .alignment = alignment});
  }
  /// The same with a memory class and an owner; `why` is filled when the answer is no.
  [[nodiscard]] allocation allocate(stream s, const device_request& with, shortage* why = nullptr) noexcept {
    const sized_request r = this->size_up(s, with);
    if (r.size == 0) [[unlikely]] return this->refuse_nonsense(with, why);
    const allocation a = this->from_cache(s, r);
    return a ? a : this->climb(s, r, why);
  }

  /// The same out of what is cached for the stream: no wait, no device call, no callback but a soft limit's.
  [[nodiscard]] allocation try_allocate(stream s, const device_request& with) noexcept {
    const sized_request r = this->size_up(s, with);
    return r.size == 0 ? allocation{} : this->from_cache(s, r);
  }

  /// True if a request would be granted from the cache, or could be under the limits and the device's size.
  [[nodiscard]] bool would_fit(stream s, const device_request& with) noexcept {
    const sized_request r = this->size_up(s, with);
    return r.size != 0 && this->fits(s, r);
  }

  /// Takes a piece back: all uses so far are ordered before what is enqueued on the stream from now on.
  ///
  /// A misuse is reported and changes nothing.
  void deallocate(stream s, allocation a) noexcept {
    if (a) this->give_back(a, &s);
  }
  /// Takes a piece back on the stream that it was handed out for.
  void deallocate(allocation a) noexcept {
    if (a) this->give_back(a, nullptr);
  }

  /// Hands out memory for a stream that another library names by its handle. Cost: one question of the device more
  [[nodiscard]] allocation allocate_on(handle on, const device_request& with, shortage* why = nullptr) noexcept {
    stream s{};
    const device_status known = this->device_.identify(on, s);
    return known ? allocate(s, with, why) : this->refuse_stream(with, known, why);
  }
  /// Takes a piece back on a stream by its handle.
  ///
  /// What the driver does not know (at exit) runs nothing: then the piece goes to the stream that it was handed out for.
  void deallocate_on(handle on, allocation a) noexcept {
    stream s{};
    if (a && this->device_.identify(on, s)) return deallocate(s, a);
    deallocate(a);
  }

  /// Notes that another stream uses a piece: once it is given back, nobody gets it before that stream is done with it.
  ///
  /// Returns   ok; foreign_pointer, interior_pointer, double_free; out_of_memory for the note itself
  [[nodiscard]] errc record_stream(allocation a, stream s) noexcept { return this->note_use(a, s); }

  /// Says that a stream will be destroyed: the memory that it freed stays of use to others, and to `identify` a new one.
  ///
  /// Returns   ok, also for a stream that was never seen; device_failed if no event could be recorded on it
  [[nodiscard]] errc retire(stream s) noexcept { return this->retire_stream(s); }

  // ---- idle memory -----------------------------------------------------------------------------------------------------

  /// Gives idle memory back to the device until at most `keep` cached bytes are left; returns how many went.
  ///
  /// Streams   waits for the streams whose pages go; does nothing while a pool is open for capture
  std::size_t trim(std::size_t keep = 0) noexcept { return this->trim_to(keep); }
  /// Gives back what nobody has used for the last `requests` requests.
  std::size_t trim_idle(std::uint64_t requests) noexcept { return this->trim_older(requests); }

  /// Gives the memory of growable segments of some classes back to the device; addresses and pieces stay. Returns how much.
  ///
  /// What is given back meanwhile is free after waking; requests of a sleeping class fail with `in_use`. Fixed segments
  /// stay as they are. Contents go to pinned memory, or are lost.
  ///
  /// Requires  that nobody uses the pieces until `wake` has returned
  /// Fails     nothing has changed; where the device refuses to undo it too, the classes sleep, with what was kept
  /// Streams   waits for the device
  [[nodiscard]] result<std::size_t> sleep(class_set classes, sleep_options with = {}) noexcept {
    return this->put_to_sleep(classes, with);
  }
  /// Puts memory behind the same addresses again, with the contents that were kept. Returns how much.
  ///
  /// Fails     nothing has changed: free memory, and try again
  [[nodiscard]] result<std::size_t> wake(class_set classes) noexcept { return this->wake_up(classes); }
  /// Bytes that pieces and free memory of sleeping classes will need again.
  [[nodiscard]] std::size_t asleep() noexcept { return this->sleeping_bytes(); }

  // ---- pools for graph capture -----------------------------------------------------------------------------------------

  /// Makes a pool with one user. While it has users its memory stays where it is; number 0 is never one.
  [[nodiscard]] result<std::uint32_t> create_pool() noexcept { return this->make_pool(); }
  [[nodiscard]] errc retain_pool(std::uint32_t pool) noexcept {
    const locked hold(lock_);
    return this->pools_.retain(pool);
  }
  /// One user less; after the last one the pool's idle memory goes with the next `trim` or shortage.
  [[nodiscard]] errc release_pool(std::uint32_t pool) noexcept {
    const locked hold(lock_);
    return this->pools_.release(pool);
  }
  [[nodiscard]] std::size_t pool_uses(std::uint32_t pool) noexcept {
    const locked hold(lock_);
    return this->pools_.uses(pool);
  }
  /// From now on requests of the streams that the filter takes come from the pool; no call that a capture forbids is made.
  [[nodiscard]] errc begin_pool(std::uint32_t pool, stream_filter filter = {}) noexcept {
    return this->open_pool(pool, filter);
  }
  [[nodiscard]] errc end_pool(std::uint32_t pool) noexcept { return this->close_pool(pool); }

  // ---- owners ----------------------------------------------------------------------------------------------------------

  /// Adds an owner with limits of its own; the number goes into `device_request::owner`.
  [[nodiscard]] result<std::uint16_t> add_owner(const owner_options& with) noexcept {
    const locked hold(lock_);
    return this->owners_.add(with);
  }
  /// Changes the limits of an owner, a memory class included; false if there is none of that number.
  [[nodiscard]] bool set_owner_limits(std::uint16_t owner, std::size_t hard, std::size_t soft = ~std::size_t{0},
                                      pressure_callback on_soft = {}) noexcept {
    const locked hold(lock_);
    return this->owners_.set_limits(owner, hard, soft, on_soft);
  }
  [[nodiscard]] owner_stats owner(std::uint16_t number) noexcept {
    const locked hold(lock_);
    return this->owners_.knows(number) ? this->owners_.held(number) : owner_stats{};
  }
  /// Changes the allocator's own limit; what is reserved stays, and nothing more is reserved until it is below.
  void set_limit(std::size_t bytes) noexcept {
    const locked hold(lock_);
    options_.limit = bytes;
  }

  // ---- what an operator sees -------------------------------------------------------------------------------------------

  [[nodiscard]] device_stats stats() noexcept { return this->read_stats(); }
  void reset_peaks() noexcept {
    const locked hold(lock_);
    this->counters_.reset_peaks();
  }
  void reset_accumulated() noexcept { this->restart_sums(); }
  /// The last events, if the policy keeps them. Requires that nobody allocates meanwhile
  [[nodiscard]] const typename Policy::trace& trace() const noexcept { return this->trace_; }
  /// Writes one line about the allocator; returns its length without the terminator.
  std::size_t dump(char* out, std::size_t capacity) noexcept { return this->write_line(out, capacity); }
  /// Calls `visit(segment, offset, bytes, state)` for every piece, segment by segment in address order, under the lock.
  template <class Visit>
  void for_each_piece(Visit&& visit) {
    const locked hold(lock_);
    for (std::uint32_t s = 1; s != this->segment_count_; ++s) {
      if (segments_[s].size == 0) continue;
      for (std::uint32_t n = segments_[s].first; n != none; n = pieces_[n].right)
        visit(static_cast<const device_segment&>(segments_[s]), pieces_[n].offset, pieces_[n].size, pieces_[n].state);
    }
  }
  /// Calls `see(segment, piece, stream, owner)` for every piece in the same order, then `hear(trace)`: one hold of the lock
  /// for all, so that they agree. `stream` is the segment's, 0 for one without memory. It must not call the allocator.
  template <class See, class Hear>
  void for_each_piece(See&& see, Hear&& hear) {
    const locked hold(lock_);
    for (std::uint32_t s = 1; s != this->segment_count_; ++s) {
      const device_segment& g = segments_[s];
      if (g.size == 0) continue;
      const std::uint32_t shelf = g.kind == segment_kind::growable ? g.shelf : pieces_[g.first].shelf;
      const std::uint64_t on = shelf != 0 ? std::uint64_t{this->id_of(shelf)} : 0;
      for (std::uint32_t n = g.first; n != none; n = pieces_[n].right) {
        const device_piece& a = pieces_[n];
        see(g, a, on, this->owners_.knows(a.owner) ? this->owners_.held(a.owner).name : "");
      }
    }
    hear(static_cast<const typename Policy::trace&>(this->trace_));
  }
  /// The piece that is out and starts there, with the size that was granted; null for any other address. Cost: O(1)
  [[nodiscard]] allocation piece_at(void* p) noexcept {
    const locked hold(lock_);
    const std::uint32_t n = pieces_.find(address_of(p));
    return n != none && pieces_[n].state == piece_state::out ? allocation{p, pieces_[n].size} : allocation{};
  }
  /// Walks everything: pieces tile segments, lists hold what is free, sums are right. Cost: O(pieces + classes)
  [[nodiscard]] bool is_valid() const noexcept { return this->check_all(); }
  /// True for every address inside memory that the allocator reserved. Cost: O(segments)
  [[nodiscard]] bool owns(const void* p) const noexcept { return this->has_address(address_of(p)); }
  [[nodiscard]] const char* name() const noexcept { return options_.name; }
  [[nodiscard]] const Device& device() const noexcept { return this->device_; }
};

}  // namespace v0
}  // namespace tokenheap
