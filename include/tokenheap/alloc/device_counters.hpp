// What a caching allocator counts, under PyTorch's names.
#pragma once

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
/// Threads   not safe; the allocator calls it under its lock
/// Cost      two dozen additions an allocation and free together
class torch_counters {
 public:
  void on_take(bool large, std::size_t size, std::size_t requested) noexcept {
    const auto take = [&](device_gauges& g) noexcept {
      g.allocation.add(1);
      g.active.add(1);
      g.allocated_bytes.add(size);
      g.active_bytes.add(size);
      g.requested_bytes.add(requested);
    };
    take(of_[large]);
    take(all_);
  }
  /// A piece came back; `waits` if another stream may still use it.
  void on_give(bool large, std::size_t size, std::size_t requested, bool waits) noexcept {
    const auto give = [&](device_gauges& g) noexcept {
      g.allocation.subtract(1);
      g.allocated_bytes.subtract(size);
      g.requested_bytes.subtract(requested);
    };
    give(of_[large]);
    give(all_);
    if (!waits) on_ready(large, size);
  }
  void on_ready(bool large, std::size_t size) noexcept {
    for (device_gauges* g : {&of_[large], &all_}) {
      g->active.subtract(1);
      g->active_bytes.subtract(size);
    }
  }
  void on_segment(bool large, bool came, std::size_t segments, std::size_t bytes) noexcept {
    for (device_gauges* g : {&of_[large], &all_}) {
      if (came) {
        g->segment.add(segments);
        g->reserved_bytes.add(bytes);
      } else {
        g->segment.subtract(segments);
        g->reserved_bytes.subtract(bytes);
      }
    }
  }
  void on_split(bool large, bool came, std::size_t bytes) noexcept {
    for (device_gauges* g : {&of_[large], &all_}) {
      if (came) {
        g->inactive_split.add(1);
        g->inactive_split_bytes.add(bytes);
      } else {
        g->inactive_split.subtract(1);
        g->inactive_split_bytes.subtract(bytes);
      }
    }
  }
  void read(device_stats& into) const noexcept {
    into.all = all_;
    into.small_pool = of_[0];
    into.large_pool = of_[1];
  }
  void reset_peaks() noexcept {
    for_each([](gauge& g) noexcept { g.peak = g.current; });
  }
  /// Starts the sums of what came and went at what is here now, as PyTorch's `reset_accumulated_memory_stats` does.
  void reset_accumulated() noexcept {
    for_each([](gauge& g) noexcept { g.allocated = g.freed = 0; });
  }

 private:
  template <class Visit>
  void for_each(Visit visit) noexcept {
    for (device_gauges* g : {&all_, &of_[0], &of_[1]}) {
      for (gauge* one : {&g->allocation, &g->segment, &g->active, &g->inactive_split, &g->allocated_bytes,
                         &g->reserved_bytes, &g->active_bytes, &g->inactive_split_bytes, &g->requested_bytes})
        visit(*one);
    }
  }

  device_gauges all_;
  device_gauges of_[2];
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
