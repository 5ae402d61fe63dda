// How long calls took: every one is kept, so that percentiles are exact.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

namespace program {

/// The durations of one kind of call, in nanoseconds.
class latency {
 public:
  /// Runs `call`, adds its duration, and returns what it returned.
  template <class Call>
  decltype(auto) measure(Call&& call) {
    struct stopwatch {
      latency& into;
      std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
      ~stopwatch() {
        const std::chrono::nanoseconds spent = std::chrono::steady_clock::now() - start;
        into.add(static_cast<std::uint64_t>(spent.count()));
      }
    };
    // the call's own result is made before the stopwatch stops
    const stopwatch running{*this};
    return call();
  }

  void add(std::uint64_t ns) { all_.push_back(ns); }

  [[nodiscard]] std::size_t calls() const { return all_.size(); }
  [[nodiscard]] const std::vector<std::uint64_t>& all() const { return all_; }

  /// The duration that this share of the calls did not exceed; 1 gives the longest, and no call at all gives 0.
  [[nodiscard]] std::uint64_t at_share(double share) const {
    if (all_.empty()) return 0;
    std::vector<std::uint64_t> sorted = all_;
    const auto place = static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1) + 0.5);
    const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(place);
    std::nth_element(sorted.begin(), at, sorted.end());
    return *at;
  }

 private:
  std::vector<std::uint64_t> all_;
};

}  // namespace program
