// What a caching allocator counts, under PyTorch's names.
#pragma once

#include <cstddef>

#include <tokenheap/core/config.hpp>
#include <tokenheap/policy/stats.hpp>

namespace tokenheap {
inline namespace v0 {

/// The gauges of one kind of memory, by the names of PyTorch's `memory_stats`.
///
/// `allocation` counts pieces that callers hold; `active` those and the pieces that another stream may still use;
/// `inactive_split` free pieces of fixed segments that are partly in use. The `_bytes` are the bytes of the same,
/// `requested_bytes` before rounding, `reserved_bytes` what the device gave.
struct device_gauges {
  gauge allocation, segment, active, inactive_split;
  gauge allocated_bytes, reserved_bytes, active_bytes, inactive_split_bytes, requested_bytes;
  friend constexpr bool operator==(const device_gauges&, const device_gauges&) = default;
};

/// Everything that a caching allocator counts; at a quiet moment allocated + pending + cached == reserved bytes.
struct device_stats {
  device_gauges all, small_pool, large_pool;
  std::size_t num_alloc_retries = 0;    ///< requests that the device refused at first
  std::size_t num_ooms = 0;             ///< requests that failed
  std::size_t num_sync_all_streams = 0; ///< waits for the whole device
  std::size_t num_device_alloc = 0;     ///< segments and mappings taken from the device
  std::size_t num_device_free = 0;      ///< segments and mappings given back to it
  std::size_t num_borrows = 0;          ///< pieces that went to another stream behind a wait
  std::size_t num_events = 0;           ///< events recorded
  std::size_t pending_bytes = 0;        ///< given back, but another stream may still use them
  std::size_t cached_bytes = 0;         ///< free and mapped
  std::size_t largest_free = 0;         ///< bytes of the largest free piece
  std::size_t warm_bytes = 0;           ///< of the cached ones: given back last, merged at the next use of their shelf
};

/// Counts as PyTorch does.
///
/// What can be told from other numbers is worked out when somebody asks: an allocation and its end are nine additions.
///
/// Threads   not safe; the allocator calls it under its lock
/// Cost      about 3 ns an allocation and free together
class torch_counters {
 public:
  TOKENHEAP_INLINE void on_take(bool large, std::size_t size, std::size_t requested) noexcept {
    pool_counts& mine = of_[large];
    add(mine.came, {1, size, requested});
    add(mine.now, {1, size, requested});
    held both = of_[!large].now;
    add(both, mine.now);
    // differences below zero show in the top bit: one branch for six comparisons and for what waits
    const std::size_t above = above_bit(mine.now, mine.peak) | above_bit(both, both_peak_) | (0 - waiting_pieces_);
    if (static_cast<std::ptrdiff_t>(above) < 0) [[unlikely]] note_peaks();
  }
  /// A piece came back; `waits` if another stream may still use it.
  TOKENHEAP_INLINE void on_give(bool large, std::size_t size, std::size_t requested, bool waits) noexcept {
    subtract(of_[large].now, {1, size, requested});
    if (waits) [[unlikely]] {
      ++waiting_[large].pieces;
      waiting_[large].bytes += size;
      ++waiting_pieces_;
    }
  }
  /// A piece that had to wait is free now.
  void on_ready(bool large, std::size_t size) noexcept {
    --waiting_[large].pieces;
    waiting_[large].bytes -= size;
    --waiting_pieces_;
  }
  void on_segment(bool large, bool came, std::size_t segments, std::size_t bytes) noexcept {
    for (rare_gauges* g : {&rare_[large], &rare_[2]}) {
      step(g->segment, came, segments);
      step(g->reserved, came, bytes);
    }
  }
  void on_split(bool large, bool came, std::size_t bytes) noexcept {
    for (rare_gauges* g : {&rare_[large], &rare_[2]}) {
      step(g->split, came, 1);
      step(g->split_bytes, came, bytes);
    }
  }
  void read(device_stats& into) const noexcept {
    read(into.small_pool, 0);
    read(into.large_pool, 1);
    read(into.all, 2);
  }
  void reset_peaks() noexcept {
    for (std::size_t k = 0; k != 3; ++k) {
      peak(k) = now(k);
      active_peak_[k] = active(k);
    }
    for_each_rare([](gauge& g) noexcept { g.peak = g.current; });
  }
  /// Starts the sums of what came and went at what is here now, as PyTorch's `reset_accumulated_memory_stats` does.
  void reset_accumulated() noexcept {
    for (std::size_t k = 0; k != 2; ++k) {
      of_[k].came = {};
      since_[k] = of_[k].now;
      waiting_since_[k] = waiting_[k];
    }
    for_each_rare([](gauge& g) noexcept { g.allocated = g.freed = 0; });
  }

 private:
  struct held {
    std::size_t pieces = 0;
    std::size_t bytes = 0;
    std::size_t requested = 0;
  };
  struct rare_gauges {
    gauge segment, reserved, split, split_bytes;
  };

  /// What is counted with every piece, on a line or two of its own.
  struct pool_counts {
    held now, came, peak;
  };

  static constexpr void add(held& to, const held& n) noexcept {
    to.pieces += n.pieces;
    to.bytes += n.bytes;
    to.requested += n.requested;
  }
  static constexpr void subtract(held& from, const held& n) noexcept {
    from.pieces -= n.pieces;
    from.bytes -= n.bytes;
    from.requested -= n.requested;
  }
  /// Its top bit is set if anything of `a` is above `b`.
  [[nodiscard]] static constexpr std::size_t above_bit(const held& a, const held& b) noexcept {
    return (b.pieces - a.pieces) | (b.bytes - a.bytes) | (b.requested - a.requested);
  }
  [[nodiscard]] held now(std::size_t k) const noexcept { return sum_of(k, &pool_counts::now); }
  [[nodiscard]] held sum_of(std::size_t k, held pool_counts::*what) const noexcept {
    held all = of_[k & 1].*what;
    if (k == 2) add(all, of_[1].*what);
    return all;
  }
  [[nodiscard]] const held& peak(std::size_t k) const noexcept { return k == 2 ? both_peak_ : of_[k].peak; }
  [[nodiscard]] held& peak(std::size_t k) noexcept { return k == 2 ? both_peak_ : of_[k].peak; }
  [[nodiscard]] static held sum(const held (&of)[2], std::size_t k) noexcept {
    if (k != 2) return of[k];
    return {of[0].pieces + of[1].pieces, of[0].bytes + of[1].bytes, of[0].requested + of[1].requested};
  }
  [[nodiscard]] held active(std::size_t k) const noexcept {
    const held out = now(k);
    const held waits = sum(waiting_, k);
    return {out.pieces + waits.pieces, out.bytes + waits.bytes, 0};
  }
  static constexpr void raise(held& peak, const held& to) noexcept {
    if (to.pieces > peak.pieces) peak.pieces = to.pieces;
    if (to.bytes > peak.bytes) peak.bytes = to.bytes;
    if (to.requested > peak.requested) peak.requested = to.requested;
  }
  TOKENHEAP_NOINLINE void note_peaks() noexcept {
    for (std::size_t k = 0; k != 3; ++k) raise(peak(k), now(k));
    // without waiting pieces what is active is what is held, and its peak is at least as high already
    if (waiting_pieces_ == 0) return;
    for (std::size_t k = 0; k != 3; ++k) raise(active_peak_[k], active(k));
  }
  static void step(gauge& g, bool came, std::size_t n) noexcept { came ? g.add(n) : g.subtract(n); }

  /// The gauge of something that `now` is there of; `came` since the last reset, when `before` was there.
  [[nodiscard]] static constexpr gauge made(std::size_t now, std::size_t peak, std::size_t came, std::size_t before) noexcept {
    gauge g{};
    g.current = now;
    g.peak = peak;
    g.allocated = came;
    g.freed = before + came - now;
    return g;
  }
  void read(device_gauges& g, std::size_t k) const noexcept {
    const held here = now(k);
    const held came = sum_of(k, &pool_counts::came);
    const held since = sum(since_, k);
    const held waits_since = sum(waiting_since_, k);
    const held used = active(k);
    held used_peak = active_peak_[k];
    raise(used_peak, peak(k));
    g.allocation = made(here.pieces, peak(k).pieces, came.pieces, since.pieces);
    g.allocated_bytes = made(here.bytes, peak(k).bytes, came.bytes, since.bytes);
    g.requested_bytes = made(here.requested, peak(k).requested, came.requested, since.requested);
    g.active = made(used.pieces, used_peak.pieces, came.pieces, since.pieces + waits_since.pieces);
    g.active_bytes = made(used.bytes, used_peak.bytes, came.bytes, since.bytes + waits_since.bytes);
    g.segment = rare_[k].segment;
    g.reserved_bytes = rare_[k].reserved;
    g.inactive_split = rare_[k].split;
    g.inactive_split_bytes = rare_[k].split_bytes;
  }
  template <class Visit>
  void for_each_rare(Visit visit) noexcept {
    for (rare_gauges& g : rare_)
      for (gauge* one : {&g.segment, &g.reserved, &g.split, &g.split_bytes}) visit(*one);
  }

  // small, large; the third of peaks and gauges is both together
  pool_counts of_[2];
  held both_peak_;
  std::size_t waiting_pieces_ = 0;
  held waiting_[2];
  held since_[2];
  held waiting_since_[2];
  held active_peak_[3];
  rare_gauges rare_[3];
};

/// Counts nothing; `device_stats` then has only the sums that the allocator needs itself.
struct no_counters {
  constexpr void on_take(bool, std::size_t, std::size_t) noexcept {}
  constexpr void on_give(bool, std::size_t, std::size_t, bool) noexcept {}
  constexpr void on_ready(bool, std::size_t) noexcept {}
  constexpr void on_segment(bool, bool, std::size_t, std::size_t) noexcept {}
  constexpr void on_split(bool, bool, std::size_t) noexcept {}
  constexpr void read(device_stats&) const noexcept {}
  constexpr void reset_peaks() noexcept {}
  constexpr void reset_accumulated() noexcept {}
};

}  // namespace v0
}  // namespace tokenheap
