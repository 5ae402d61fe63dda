// What a layer counts, in PyTorch's words: current, peak, allocated, freed.
#pragma once

#include <atomic>
#include <bit>

#include <tokenheap/concepts/policy.hpp>

namespace tokenheap {
inline namespace v0 {

/// One quantity over time; `current == allocated - freed` at every quiet moment.
struct gauge {
  std::size_t current = 0;
  std::size_t peak = 0;
  std::size_t allocated = 0;  ///< the sum of all that ever came
  std::size_t freed = 0;      ///< the sum of all that ever went

  constexpr void add(std::size_t n) noexcept {
    current += n;
    allocated += n;
    if (current > peak) peak = current;
  }
  constexpr void subtract(std::size_t n) noexcept {
    current -= n;
    freed += n;
  }
  friend constexpr bool operator==(const gauge&, const gauge&) = default;
};

/// What `counters` have seen: calls, bytes granted and bytes requested, and how often the answer was no.
struct counter_values {
  gauge calls;
  gauge granted;
  /// Without a ledger below only `allocated` is exact; the other three stay 0. `exact_counters` fill all four.
  gauge requested;
  std::size_t failures = 0;
  std::size_t failed_bytes = 0;
  std::size_t resets = 0;
  friend constexpr bool operator==(const counter_values&, const counter_values&) = default;
};

/// Counts with plain integers; `Exact` decides whether requested bytes are counted in all four ways.
///
/// Take it by its names, `counters` and `exact_counters`. Where it stands in a column says what it sees: above a slab
/// what callers hold, below it what the slab took.
///
/// Threads   not safe; put it below a lock, or take `shared_counters`
/// Cost      a handful of additions; `Exact` adds one entry of a hash table per allocation (24 bytes) in its layer
template <bool Exact>
class basic_counters {
 public:
  static constexpr bool remembers_requests = Exact;

  constexpr void on_allocate(std::size_t requested, std::size_t granted) noexcept {
    calls_.add(1);
    granted_.add(granted);
    if constexpr (Exact) {
      requested_.add(requested);
    } else {
      requested_.allocated += requested;
    }
  }
  constexpr void on_deallocate([[maybe_unused]] std::size_t requested, std::size_t granted) noexcept {
    calls_.freed += 1;
    granted_.freed += granted;
    if constexpr (Exact) requested_.freed += requested;
  }
  constexpr void on_failure(std::size_t requested) noexcept {
    ++failures_;
    failed_bytes_ += requested;
  }
  constexpr void on_reset() noexcept {
    calls_.freed = calls_.allocated;
    granted_.freed = granted_.allocated;
    if constexpr (Exact) requested_.freed = requested_.allocated;
    ++resets_;
  }

  [[nodiscard]] constexpr counter_values values() const noexcept {
    gauge requested = requested_.values();  // a name of its own: a choice inside the braces crashes nvcc 13
    if constexpr (!Exact) requested = gauge{.allocated = requested_.allocated};
    return {.calls = calls_.values(), .granted = granted_.values(), .requested = requested,
            .failures = failures_, .failed_bytes = failed_bytes_, .resets = resets_};
  }
  constexpr void reset_peaks() noexcept {
    calls_.peak = calls_.current();
    granted_.peak = granted_.current();
    if constexpr (Exact) requested_.peak = requested_.current();
  }

 private:
  /// A gauge of two sums: a give-back and the allocation that follows it write to different numbers, so none waits.
  struct two_sums {
    std::size_t allocated = 0;
    std::size_t freed = 0;
    std::size_t peak = 0;

    [[nodiscard]] constexpr std::size_t current() const noexcept { return allocated - freed; }
    constexpr void add(std::size_t n) noexcept {
      allocated += n;
      if (current() > peak) peak = current();
    }
    [[nodiscard]] constexpr gauge values() const noexcept {
      return {.current = current(), .peak = peak, .allocated = allocated, .freed = freed};
    }
  };

  two_sums calls_, granted_, requested_;
  std::size_t failures_ = 0;
  std::size_t failed_bytes_ = 0;
  std::size_t resets_ = 0;
};

/// Counts calls and granted bytes; of requested bytes only their sum.
using counters = basic_counters<false>;

/// Counts requested bytes as exactly as granted ones: its layer remembers what every caller asked for.
using exact_counters = basic_counters<true>;

/// Counts from many threads without a lock.
///
/// Each number is exact; a snapshot taken while others allocate may mix moments. `peak` is the highest `current` that
/// any thread saw right after its own addition.
///
/// Threads   safe
/// Cost      six relaxed atomic operations per pair; threads that allocate all the time share their cache line
class shared_counters {
 public:
  static constexpr bool remembers_requests = false;

  void on_allocate(std::size_t requested, std::size_t granted) noexcept {
    calls_.add(1);
    granted_.add(granted);
    requested_.fetch_add(requested, std::memory_order_relaxed);
  }
  void on_deallocate(std::size_t, std::size_t granted) noexcept {
    calls_.subtract(1);
    granted_.subtract(granted);
  }
  void on_failure(std::size_t requested) noexcept {
    failures_.fetch_add(1, std::memory_order_relaxed);
    failed_bytes_.fetch_add(requested, std::memory_order_relaxed);
  }
  void on_reset() noexcept {
    calls_.subtract(calls_.values().current);
    granted_.subtract(granted_.values().current);
    resets_.fetch_add(1, std::memory_order_relaxed);
  }

  [[nodiscard]] counter_values values() const noexcept {
    counter_values all{.calls = calls_.values(), .granted = granted_.values(), .requested = {}};
    all.requested.allocated = requested_.load(std::memory_order_relaxed);
    all.failures = failures_.load(std::memory_order_relaxed);
    all.failed_bytes = failed_bytes_.load(std::memory_order_relaxed);
    all.resets = resets_.load(std::memory_order_relaxed);
    return all;
  }

 private:
  struct shared_gauge {
    std::atomic<std::size_t> current{0}, peak{0}, freed{0};

    void add(std::size_t n) noexcept {
      const std::size_t now = current.fetch_add(n, std::memory_order_relaxed) + n;
      std::size_t seen = peak.load(std::memory_order_relaxed);
      while (now > seen && !peak.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
      }
    }
    void subtract(std::size_t n) noexcept {
      current.fetch_sub(n, std::memory_order_relaxed);
      freed.fetch_add(n, std::memory_order_relaxed);
    }
    [[nodiscard]] gauge values() const noexcept {
      const std::size_t now = current.load(std::memory_order_relaxed);
      const std::size_t gone = freed.load(std::memory_order_relaxed);
      return {.current = now, .peak = peak.load(std::memory_order_relaxed), .allocated = now + gone, .freed = gone};
    }
  };

  shared_gauge calls_, granted_;
  std::atomic<std::size_t> requested_{0}, failures_{0}, failed_bytes_{0}, resets_{0};
};

/// Counts how often each size was asked for, in powers of two: bucket k holds sizes in (2^(k-1), 2^k].
///
/// Threads   not safe; put it below a lock
class histogram {
 public:
  static constexpr std::size_t buckets = 65;
  static constexpr bool remembers_requests = false;

  [[nodiscard]] static constexpr std::size_t bucket_of(std::size_t bytes) noexcept {
    return bytes <= 1 ? 0 : static_cast<std::size_t>(std::bit_width(bytes - 1));
  }

  constexpr void on_allocate(std::size_t requested, std::size_t) noexcept { ++calls_[bucket_of(requested)]; }
  constexpr void on_deallocate(std::size_t, std::size_t) noexcept {}
  constexpr void on_failure(std::size_t requested) noexcept { ++failures_[bucket_of(requested)]; }
  constexpr void on_reset() noexcept {}

  /// Returns   the number of granted requests in a bucket; 0 for a bucket that does not exist
  [[nodiscard]] constexpr std::size_t calls(std::size_t bucket) const noexcept {
    return bucket < buckets ? calls_[bucket] : 0;
  }
  [[nodiscard]] constexpr std::size_t failures(std::size_t bucket) const noexcept {
    return bucket < buckets ? failures_[bucket] : 0;
  }

 private:
  std::size_t calls_[buckets] = {};
  std::size_t failures_[buckets] = {};
};

static_assert(stats_policy<counters> && stats_policy<exact_counters> && stats_policy<shared_counters>);
static_assert(stats_policy<histogram> && remembers_requests<exact_counters> && !remembers_requests<counters>);

}  // namespace v0
}  // namespace tokenheap
