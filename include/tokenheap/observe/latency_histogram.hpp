// How long calls took, in the buckets that a scraper understands.
#pragma once

#include <time.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include <tokenheap/core/config.hpp>

namespace tokenheap {
inline namespace v0 {

/// The numbers of a `latency_histogram` at one moment.
struct latency_counts {
  static constexpr std::size_t bounds = 25;
  std::array<std::uint64_t, bounds + 1> in{};  ///< bucket k: above bound k - 1, up to bound k; the last has no bound
  std::uint64_t sum_ns = 0;

  [[nodiscard]] std::uint64_t count() const noexcept {
    std::uint64_t all = 0;
    for (const std::uint64_t n : in) all += n;
    return all;
  }
  /// The upper bound of a bucket: 100, 250, 500, 1000, ... ns up to 10 s. Requires k < bounds
  [[nodiscard]] static constexpr std::uint64_t bound_ns(std::size_t k) noexcept {
    std::uint64_t decade = 100;
    for (std::size_t i = 0; i < k / 3; ++i) decade *= 10;
    return k % 3 == 0 ? decade : (k % 3 == 1 ? decade / 2 * 5 : decade * 5);
  }
  friend bool operator==(const latency_counts&, const latency_counts&) = default;
};

/// Counts latencies between 100 ns and 10 s, three buckets a decade, from any number of threads.
///
/// Put one beside what is measured and name it in the pool's `registration_options`; a snapshot copies it. Not for
/// quantiles of a single run: a bucket says "between 1 and 2.5 us", no more.
///
/// Threads   safe; a copy taken while others add may mix moments, and its `count()` is always that of its buckets
/// Cost      add: two relaxed atomic additions and five comparisons
class latency_histogram {
 public:
  /// Returns   the bucket of a latency; the last one if no bound is that high
  [[nodiscard]] static constexpr std::size_t bucket_of(std::uint64_t ns) noexcept {
    std::size_t first = 0, count = latency_counts::bounds;
    while (count != 0) {
      const std::size_t half = count / 2;
      if (bound_of[first + half] < ns) {
        first += half + 1;
        count -= half + 1;
      } else {
        count = half;
      }
    }
    return first;
  }

  void add(std::uint64_t ns) noexcept {
    in_[bucket_of(ns)].fetch_add(1, std::memory_order_relaxed);
    sum_ns_.fetch_add(ns, std::memory_order_relaxed);
  }

  [[nodiscard]] latency_counts read() const noexcept {
    latency_counts now;
    for (std::size_t k = 0; k != now.in.size(); ++k) now.in[k] = in_[k].load(std::memory_order_relaxed);
    now.sum_ns = sum_ns_.load(std::memory_order_relaxed);
    return now;
  }

 private:
  static constexpr std::array<std::uint64_t, latency_counts::bounds> bound_of = [] {
    std::array<std::uint64_t, latency_counts::bounds> all{};
    for (std::size_t k = 0; k != all.size(); ++k) all[k] = latency_counts::bound_ns(k);
    return all;
  }();

  std::array<std::atomic<std::uint64_t>, latency_counts::bounds + 1> in_{};
  std::atomic<std::uint64_t> sum_ns_{0};
};

/// Adds the time from its making to its end to a histogram.
///
/// Cost      two reads of the monotonic clock, about 40 ns: for steps, transfers and device calls, not for `allocate`
class [[nodiscard]] timed {
 public:
  explicit timed(latency_histogram& into) noexcept : into_(into), since_(now_ns()) {}
  timed(const timed&) = delete;
  timed& operator=(const timed&) = delete;
  ~timed() { into_.add(now_ns() - since_); }

  [[nodiscard]] static std::uint64_t now_ns() noexcept {
    timespec now{};
    static_cast<void>(::clock_gettime(CLOCK_MONOTONIC, &now));
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(now.tv_nsec);
  }

 private:
  latency_histogram& into_;
  std::uint64_t since_;
};

}  // namespace v0
}  // namespace tokenheap
