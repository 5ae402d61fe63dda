// Pinned host memory of any size, reused in the order of streams.
#pragma once


#include <tokenheap/alloc/pinned_pool_options.hpp>
#include <tokenheap/alloc/pinned_uses.hpp>
#include <tokenheap/alloc/range_map.hpp>
#include <tokenheap/concepts/policy.hpp>
#include <tokenheap/core/text.hpp>

namespace tokenheap {
inline namespace v0 {

/// Hands out pinned host memory of exact sizes, and reuses it once the streams that were named are done with it.
///
/// For staging buffers of copies to and from a device. Sizes are rounded up to 64 bytes, nothing more; pieces are split
/// and merged like those of `ranges`. Tell it of every stream that a copy from or to a piece is enqueued on, by `use`,
/// and give the piece back at once: it is handed out again when the events recorded then are done, and until then
/// nobody gets it. Nothing is asked of the device while free memory fits. Not good for pieces of a few bytes, nor for
/// memory that a captured graph reads: that must stay out for as long as the graph.
///
/// Requires  streams that live until the pieces they use are back; no capture in global mode while `allocate` grows
///           or waits (`try_allocate` does neither)
/// Returns   sizes rounded up to 64 bytes
/// Fails     a null allocation, and `last_failure()` says why
/// Threads   safe; no lock is held during a call of the device
/// Streams   a piece without uses is reused at once, one with uses after their events
/// Cost      O(1) without a device call while free memory fits; a return costs one event for each stream used
/// Example   examples/staging.cpp
template <device Device = host_device, allocator_policy Policy = pinned_policy>
class pinned_pool {
  static_assert(std::is_same_v<typename Policy::limit, no_limit>, "a pinned_pool is capped by its options: limit = ...");
  static constexpr range_shape shape{.granularity = 64, .by_offset = true};

 public:
  using space = pinned_space;
  using options = pinned_pool_options<Device>;
  using stream = typename Device::stream;

  explicit pinned_pool(const options& with = {}) noexcept
      : with_(with),
        source_({.device = with.device, .by = with.by, .huge = with.huge, .node = with.node,
                 .touch_threads = with.touch_threads, .name = with.name}), map_({.name = with.name}) {}
  pinned_pool(const pinned_pool&) = delete;
  pinned_pool& operator=(const pinned_pool&) = delete;
  /// Waits for the device if pieces still wait for a stream; pieces that are out are reported, and end here.
  ~pinned_pool() {
    if (uses_.waiting() != 0) (void)with_.device.synchronize();
    for (typename Device::event e; uses_.take_event(e);) (void)with_.device.destroy_event(e);
    if (live_pieces_ == 0) return;
    guard_.on_misuse({.code = errc::leaked, .pool = with_.name, .what = "bytes still out at the end", .need = live_,
                      .fix = "give every piece back before the pool ends"});
  }

  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    const allocation a = try_allocate(bytes, alignment);
    return a ? a : allocate_slowly(bytes, alignment);
  }

  /// Takes what is free now, or nothing: no device call, no growth.
  [[nodiscard]] allocation try_allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    const locked hold(lock_);
    return take(bytes, alignment);
  }

  /// Names a stream that work with a piece was enqueued on; as often as you like. A misuse is reported too.
  errc use(allocation a, const stream& s) noexcept {
    errc wrong = errc::ok;
    {
      const locked hold(lock_);
      const range r = find(a, wrong);
      if (wrong == errc::ok) wrong = uses_.add(r.node, s);
    }
    if (wrong != errc::ok) complain(wrong, a, "bytes used by a stream");
    return wrong;
  }

  /// Takes a piece back, to be reused after its uses. A misuse is reported and changes nothing.
  void deallocate(allocation a) noexcept {
    if (!a) return;
    errc wrong = errc::ok;
    std::uint32_t piece = 0;
    {
      const locked hold(lock_);
      const range r = find(a, wrong);
      if (wrong == errc::ok) piece = give_back(r, a);
    }
    if (wrong != errc::ok) return complain(wrong, a, "bytes given back");
    if (piece != 0) record_uses(piece);
  }

  [[nodiscard]] bool try_grow(allocation& a, std::size_t bytes) noexcept {
    if (!a || bytes > max_allocation) return false;
    const locked hold(lock_);
    errc wrong = errc::ok;
    const range r = find(a, wrong);
    if (wrong != errc::ok || !map_.try_grow(r, bytes)) return false;
    const std::size_t before = map_.granted(a.size);
    a.size = larger(before, map_.granted(bytes));
    live_ += a.size - before;
    peak_live_ = larger(peak_live_, live_);
    return true;
  }

  /// Finishes what streams are done with, then unpins idle chunks until at most `keep` idle bytes stay.
  std::size_t trim(std::size_t keep = 0) noexcept {
    (void)settle();
    return release_idle(keep);
  }

  [[nodiscard]] bool owns(const void* p) const noexcept {
    const locked hold(lock_);
    return map_.owns(address_of(p));
  }

  [[nodiscard]] pinned_pool_stats stats() const noexcept {
    const locked hold(lock_);
    const range_stats now = map_.stats();
    return {reserved_,     live_, now.out - live_, now.available,  now.largest_free, live_pieces_, uses_.waiting(), now.spans,
            peak_live_, peak_reserved_, grown_, waited_, lost_uses_};
  }
  /// Why the last request was refused; `errc::ok` if none was.
  [[nodiscard]] failure last_failure() const noexcept {
    const locked hold(lock_);
    return last_failure_;
  }
  /// Calls `visit(address, bytes, is_out, waits)` for every piece, a chunk in address order, then `hear(trace)`; locked.
  template <class Visit, class Hear>
  void for_each_piece(Visit&& visit, Hear&& hear) const {
    const locked hold(lock_);
    map_.for_each([&](std::size_t at, std::size_t bytes, bool is_out) {
      visit(at, bytes, is_out, is_out && uses_.is(map_.at(at, bytes).node) != pinned_uses<Device>::state::live);
    });
    hear(trace_);
  }
  [[nodiscard]] bool is_valid() const noexcept {
    const locked hold(lock_);
    return map_.is_valid() && uses_.is_valid() && source_.is_valid() && map_.stats().out >= live_ &&
           map_.stats().live_ranges == live_pieces_ + uses_.waiting();
  }
  /// Describes the pool in one line; returns its length without the terminator.
  std::size_t dump(char* out, std::size_t capacity) const noexcept {
    const pinned_pool_stats now = stats();
    text_buffer line(out, capacity);
    line << "pinned pool '" << with_.name << "': " << now.live << " of " << now.reserved << " bytes out in " << now.live_pieces
         << " pieces, " << now.waiting << " wait for streams in " << now.waiting_pieces << ", " << now.available
         << " free, largest " << now.largest_free << ", chunks " << now.chunks << ", limit " << with_.limit;
    return line.length();
  }
  [[nodiscard]] const char* name() const noexcept { return with_.name; }
  [[nodiscard]] const typename Policy::stats& counts() const noexcept { return stats_; }

 private:
  using open = open_use<Device>;
  static constexpr std::size_t batch = 16, page = 4 * KiB;

  // --- under the lock
  [[nodiscard]] allocation take(std::size_t bytes, std::size_t alignment) noexcept {
    const range r = map_.allocate(bytes, alignment);
    if (!r) [[unlikely]] return {};
    if (!uses_.ensure(r.node)) [[unlikely]] return (void)map_.deallocate(r), allocation{};
    uses_.begin(r);
    const std::size_t size = map_.granted(bytes);
    live_ += size;
    ++live_pieces_;
    peak_live_ = larger(peak_live_, live_);
    const allocation a{reinterpret_cast<void*>(r.offset), size};
    stats_.on_allocate(bytes, size);
    trace_.record({.kind = trace_kind::allocate, .address = a.data, .requested = bytes, .granted = size});
    return a;
  }
  [[nodiscard]] range find(allocation a, errc& wrong) noexcept {
    const range r = map_.at(address_of(a.data), a.size);
    // asked to take back what it does not know, the map says what is wrong and does nothing
    if (!r) {
      wrong = map_.deallocate(address_of(a.data), a.size);
    } else if (uses_.is(r.node) != pinned_uses<Device>::state::live) {
      wrong = errc::double_free;
    }
    return r;
  }
  /// Returns the piece if it has uses, whose events must be recorded; 0 if it is free again.
  [[nodiscard]] std::uint32_t give_back(range r, allocation a) noexcept {
    const std::size_t size = map_.granted(a.size);
    live_ -= size;
    --live_pieces_;
    stats_.on_deallocate(0, size);
    trace_.record({.kind = trace_kind::deallocate, .address = a.data, .requested = a.size, .granted = size});
    if (!uses_.is_used(r.node)) {
      uses_.end(r.node);
      (void)map_.deallocate(r);
      return 0;
    }
    uses_.retire(r.node);
    return r.node;
  }

  void release(const range& r) noexcept {
    if (r) (void)map_.deallocate(r);
  }
  /// Writes answers back; returns how many uses changed, and frees the pieces that wait for nothing any more.
  std::size_t store(const open* answers, std::size_t count) noexcept {
    std::size_t changed = 0;
    for (std::size_t k = 0; k != count; ++k) {
      changed += static_cast<std::size_t>(answers[k].done || answers[k].lost);
      release(uses_.store(answers[k]));
    }
    return changed;
  }

  // --- with no lock held
  /// Records what a piece that came back waits for.
  TOKENHEAP_NOINLINE void record_uses(std::uint32_t piece) noexcept {
    open answers[batch];
    std::size_t count = 0;
    {
      const locked hold(lock_);
      count = uses_.collect(piece, answers, batch);
    }
    for (std::size_t k = 0; k != count; ++k) note_loss(record_use(with_.device, answers[k]), answers[k]);
    const locked hold(lock_);
    (void)store(answers, count);
  }

  void note_loss(device_status why, const open& u) noexcept {
    if (!u.lost || why) [[likely]] return;
    const locked hold(lock_);
    ++lost_uses_;
    last_failure_ = refusal_by(why, with_.name, "event of a stream that uses a piece", 0);
  }

  /// Asks the device once about everything that waits; returns how many uses are done.
  TOKENHEAP_COLD std::size_t settle() noexcept {
    grown_array<open, host_source> answers{host_source{}};
    std::size_t count = 0;
    {
      const locked hold(lock_);
      if (uses_.waiting() == 0 || !answers.ensure(uses_.open_uses())) return 0;
      count = uses_.collect_all(answers.begin(), uses_.open_uses());
    }
    for (std::size_t k = 0; k != count; ++k) note_loss(query_use(with_.device, answers[k]), answers[k]);
    const locked hold(lock_);
    return store(answers.begin(), count);
  }

  /// Waits for the oldest piece that can be waited for; false if there is none, or the device does not answer.
  TOKENHEAP_COLD bool wait_for_one() noexcept {
    open answers[batch];
    std::size_t count = 0;
    bool whole_device = false;
    {
      const locked hold(lock_);
      std::uint32_t piece = uses_.oldest(false);
      if (piece == 0) piece = uses_.oldest(whole_device = true);
      if (piece == 0) return false;
      count = uses_.collect(piece, answers, batch);
      ++waited_;
    }
    const bool synchronized = whole_device && static_cast<bool>(with_.device.synchronize());
    std::size_t done = 0;
    for (std::size_t k = 0; k != count; ++k) {
      if (!whole_device) note_loss(wait_for_use(with_.device, answers[k]), answers[k]);
      answers[k].done = answers[k].done || synchronized;
      done += static_cast<std::size_t>(answers[k].done || !whole_device);
    }
    const locked hold(lock_);
    (void)store(answers, count);
    return done != 0;
  }

  /// Pins one more chunk and takes the piece out of it.
  TOKENHEAP_COLD allocation grow(std::size_t bytes, std::size_t alignment) noexcept {
    const std::size_t need = align_up(map_.granted(bytes), page);
    std::size_t step = need;
    {
      const locked hold(lock_);
      const std::size_t room = with_.limit == 0 ? max_allocation : with_.limit - smaller(reserved_, with_.limit);
      step = align_up(smaller(larger(reserved_ / 8, with_.least_chunk), with_.chunk), page);
      if (step < need || step > room) step = need;
      if (step > room) return {};
      reserved_ += step;
    }
    const std::size_t start = larger(alignment, shape.granularity);
    allocation chunk = source_.allocate(step, start);
    if (chunk || step == need) return add(chunk, step, bytes, alignment);
    // what is left may still hold this one piece
    chunk = source_.allocate(need, start);
    return add(chunk, step, bytes, alignment);
  }

  [[nodiscard]] allocation add(allocation chunk, std::size_t claimed, std::size_t bytes, std::size_t alignment) noexcept {
    {
      const locked hold(lock_);
      reserved_ -= claimed;
      if (!chunk) return {};
      if (map_.add(address_of(chunk.data), chunk.size) == errc::ok) {
        reserved_ += chunk.size;
        peak_reserved_ = larger(peak_reserved_, reserved_);
        ++grown_;
        return take(bytes, alignment);
      }
    }
    source_.deallocate(chunk);
    return {};
  }

  TOKENHEAP_COLD std::size_t release_idle(std::size_t keep) noexcept {
    std::size_t given = 0;
    for (;;) {
      allocation chunk;
      {
        const locked hold(lock_);
        chunk = take_idle(keep);
      }
      if (!chunk) return given;
      source_.deallocate(chunk);
      given += chunk.size;
    }
  }
  [[nodiscard]] allocation take_idle(std::size_t keep) noexcept {
    std::size_t kept = 0;
    for (std::size_t i = 0; i != map_.stats().spans; ++i) {
      const range_span s = map_.span(i);
      if (!s.idle) continue;
      if (s.size <= keep - kept) {
        kept += s.size;
      } else if (map_.remove(s.offset) == errc::ok) {
        reserved_ -= s.size;
        return {reinterpret_cast<void*>(s.offset), s.size};
      }
    }
    return {};
  }

  TOKENHEAP_COLD allocation allocate_slowly(std::size_t bytes, std::size_t alignment) noexcept {
    if (!is_request(bytes, alignment)) return refuse(bytes, alignment);
    const bool never = with_.limit != 0 && map_.granted(bytes) > with_.limit;
    if (never) return refuse(bytes, alignment);
    allocation a;
    if (settle() != 0) a = try_allocate(bytes, alignment);
    if (!a) a = grow(bytes, alignment);
    if (!a && release_idle(0) != 0) a = grow(bytes, alignment);
    while (!a && with_.wait && wait_for_one()) {
      a = try_allocate(bytes, alignment);
      if (!a && release_idle(0) != 0) a = grow(bytes, alignment);
    }
    return a ? a : refuse(bytes, alignment);
  }

  TOKENHEAP_COLD allocation refuse(std::size_t bytes, std::size_t alignment) noexcept {
    const failure below = source_.last_failure();
    const locked hold(lock_);
    last_failure_ = map_.why(bytes, alignment);
    failure& f = last_failure_;
    const std::size_t need = map_.granted(is_request(bytes, alignment) ? bytes : 0);
    if (f.code == errc::invalid_argument) {
      f.limit = max_allocation;
    } else if (with_.limit != 0 && need > with_.limit - smaller(reserved_, with_.limit)) {
      f.code = need > with_.limit ? errc::too_large : errc::limit_reached;
      f.limit = with_.limit;
      f.fix = "raise pinned_pool_options::limit, or give pieces back";
    } else if (below.code != errc::ok) {
      f.code = below.code;
      f.fix = below.fix;
    }
    f.what = "bytes of pinned memory";
    stats_.on_failure(bytes);
    trace_.record({.kind = trace_kind::out_of_memory, .address = nullptr, .requested = bytes, .granted = 0});
    return {};
  }

  TOKENHEAP_COLD void complain(errc code, allocation a, const char* what) noexcept {
    failure f{.code = code, .pool = with_.name, .what = what, .need = a.size, .address = a.data,
              .fix = code == errc::out_of_memory ? "the heap of the process has no more: free memory"
                                                 : "name a piece that is out by its start and its size"};
    {
      const locked hold(lock_);
      last_failure_ = f;
    }
    guard_.on_misuse(f);
  }

  options with_;
  pinned_source<Device> source_;
  mutable typename Policy::lock lock_;
  range_map<shape> map_;
  pinned_uses<Device> uses_;
  std::size_t reserved_ = 0, live_ = 0, live_pieces_ = 0, peak_live_ = 0, peak_reserved_ = 0;
  std::size_t grown_ = 0, waited_ = 0, lost_uses_ = 0;
  failure last_failure_{};
  TOKENHEAP_NO_UNIQUE_ADDRESS typename Policy::stats stats_;
  TOKENHEAP_NO_UNIQUE_ADDRESS typename Policy::guard guard_;
  TOKENHEAP_NO_UNIQUE_ADDRESS typename Policy::trace trace_;
};

static_assert(source<pinned_pool<>> && growable<pinned_pool<>> && trimmable<pinned_pool<>> && owner<pinned_pool<>>);

}  // namespace v0
}  // namespace tokenheap
