// What every policy promises, as functions that any test framework can call on any type.
#pragma once

#include <thread>

#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/check/contract.hpp>
#include <tokenheap/check/verdict.hpp>
#include <tokenheap/concepts/policy.hpp>
#include <tokenheap/policy/stats.hpp>
#include <tokenheap/source/host.hpp>

namespace tokenheap {
inline namespace v0 {

/// Checks that a lock keeps two threads apart: both add to one number, and no addition may be lost.
///
/// Run it under ThreadSanitizer too: a lock that merely happens to work is found there.
template <lockable P>
[[nodiscard]] verdict check_lockable(P& lock, std::size_t rounds = 20'000) noexcept {
  verdict v;
  std::size_t count = 0;
  std::size_t inside = 0;
  std::size_t met = 0;
  const auto add = [&]() noexcept {
    for (std::size_t k = 0; k != rounds; ++k) {
      lock.lock();
      met += static_cast<std::size_t>(inside++ != 0);
      ++count;
      --inside;
      lock.unlock();
    }
  };
  std::thread other(add);
  add();
  other.join();
  v.expect(count == 2 * rounds, "no addition between lock and unlock is lost", count);
  v.expect(met == 0, "two threads never hold a lock together", met);
  return v;
}

template <class P>
concept tells_values = requires(const P& p) {
  { p.values() } noexcept -> std::convertible_to<const counter_values&>;
};

/// What a stats policy should have seen, event by event.
template <stats_policy P>
class stats_oracle {
 public:
  explicit stats_oracle(verdict& to) noexcept : verdict_(to) {}

  void allocate(std::size_t bytes) noexcept {
    pieces_[count_] = {bytes, align_up(bytes, 64)};
    policy_.on_allocate(bytes, pieces_[count_].granted);
    expected_.calls.add(1);
    expected_.granted.add(pieces_[count_].granted);
    expected_.requested.add(bytes);
    ++count_;
  }
  void deallocate(std::size_t k) noexcept {
    policy_.on_deallocate(remembers_requests<P> ? pieces_[k].requested : 0, pieces_[k].granted);
    expected_.calls.subtract(1);
    expected_.granted.subtract(pieces_[k].granted);
    expected_.requested.subtract(pieces_[k].requested);
    pieces_[k] = pieces_[--count_];
  }
  void refuse(std::size_t bytes) noexcept {
    policy_.on_failure(bytes);
    ++expected_.failures;
    expected_.failed_bytes += bytes;
  }
  void reset() noexcept {
    policy_.on_reset();
    if constexpr (tells_values<P>) {
      const counter_values seen = policy_.values();
      verdict_.expect(seen.calls.current == 0 && seen.granted.current == 0, "a reset ends what is out");
      verdict_.expect(seen.granted.peak == expected_.granted.peak, "a reset keeps the peak");
    }
  }
  void compare() noexcept {
    if constexpr (tells_values<P>) {
      const counter_values seen = policy_.values();
      verdict_.expect(seen.calls == expected_.calls, "calls are counted as they come and go", seen.calls.current);
      verdict_.expect(seen.granted == expected_.granted, "granted bytes are counted as they come and go");
      verdict_.expect(seen.requested.allocated == expected_.requested.allocated, "requested bytes are summed up");
      verdict_.expect(seen.failures == expected_.failures, "each refusal is counted once", seen.failures);
      verdict_.expect(seen.failed_bytes == expected_.failed_bytes, "the bytes of refusals are summed up");
      if constexpr (remembers_requests<P>)
        verdict_.expect(seen.requested == expected_.requested, "requested bytes go as they came");
    }
  }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

 private:
  struct piece {
    std::size_t requested = 0;
    std::size_t granted = 0;
  };
  verdict& verdict_;
  P policy_{};
  counter_values expected_{};
  piece pieces_[64] = {};
  std::size_t count_ = 0;
};

/// Checks that what is counted adds up: `current == allocated - freed`, peaks never fall, a reset ends what is out.
///
/// Compares with a count of its own after every event; a policy without `values()` is only called.
template <stats_policy P>
[[nodiscard]] verdict check_stats(std::uint64_t seed = 1) noexcept {
  verdict v;
  stats_oracle<P> oracle(v);
  contract_random random(seed);
  for (int round = 0; round != 500; ++round) {
    const std::size_t what = random.below(10);
    if (what < 5 && oracle.size() != 64) {
      oracle.allocate(1 + random.below(10'000));
    } else if (what < 9 && oracle.size() != 0) {
      oracle.deallocate(random.below(oracle.size()));
    } else {
      oracle.refuse(what);
    }
    oracle.compare();
  }
  oracle.reset();
  v.expect(true, "every event can be counted");
  return v;
}

/// Checks a fresh limit: it admits again what it took back, and a refusal changes nothing.
template <limit_policy P>
[[nodiscard]] verdict check_limit(P& limit) noexcept {
  verdict v;
  std::size_t taken[64];
  std::size_t count = 0;
  // doubling finds the limit of any size; without one the numbers end first
  for (std::size_t bytes = 1; count != 64 && limit.admit(bytes); bytes *= 2) taken[count++] = bytes;
  const std::size_t refused = count == 64 ? 0 : std::size_t{1} << count;
  if (refused != 0) {
    for (int again = 0; again != 3; ++again)
      v.expect(!limit.admit(refused), "a refusal changes nothing: the same request is refused again", refused);
  }
  for (std::size_t k = count; k-- != 0;) {
    limit.take_back(taken[k]);
    v.expect(limit.admit(taken[k]), "what was taken back is admitted again", taken[k]);
    limit.take_back(taken[k]);
  }
  if (refused > 1) {
    v.expect(limit.admit(taken[0]), "an empty limit admits what it admitted first", taken[0]);
    v.expect(!limit.admit(~std::size_t{0}), "a sum that no number holds is refused");
    limit.take_back(taken[0]);
  }
  v.expect(!limit.relieve(1, false), "nobody is asked for room while nothing was refused");
  return v;
}

/// Checks a guard that returns: it takes every reason, with and without texts, and comes back.
template <guard_policy P>
[[nodiscard]] verdict check_guard(const P& guard) noexcept {
  verdict v;
  for (int code = 0; code <= static_cast<int>(errc::unsupported); ++code) {
    failure f{.code = static_cast<errc>(code), .pool = "checked", .what = "bytes", .need = 1, .fix = "nothing"};
    guard.on_misuse(f);
    guard.on_misuse(failure{.code = f.code});
    v.expect(true, "a guard comes back from a report", static_cast<std::size_t>(code));
  }
  return v;
}

template <class P>
concept tells_events = requires(const P& p) {
  { p.recorded() } noexcept -> std::convertible_to<std::uint64_t>;
  { p.first() } noexcept -> std::convertible_to<std::uint64_t>;
  { p.size() } noexcept -> std::convertible_to<std::size_t>;
  { p[0] } noexcept -> std::convertible_to<const trace_event&>;
};

/// Checks that a trace keeps its events in order, says how many it lost, and gives back what was recorded.
template <trace_policy P>
[[nodiscard]] verdict check_trace(P& trace, std::size_t events = 5'000) noexcept {
  verdict v;
  for (std::size_t k = 0; k != events; ++k) {
    trace.record({static_cast<trace_kind>(k % 5), nullptr, k, k + 1});
    if constexpr (tells_events<P>) {
      v.expect(trace.recorded() == k + 1, "every event is counted", k);
      v.expect(trace.first() + trace.size() == k + 1, "what is lost and what is kept make all", k);
    }
  }
  if constexpr (tells_events<P>) {
    for (std::size_t k = 0; k != trace.size(); ++k) {
      const std::size_t number = static_cast<std::size_t>(trace.first()) + k;
      const trace_event& e = trace[k];
      const bool same = e.kind == static_cast<trace_kind>(number % 5) && e.requested == number && e.granted == number + 1;
      v.expect(same, "an event is kept as it was recorded", number);
    }
  }
  v.expect(true, "every event can be recorded");
  return v;
}

/// Checks a policy where it works: as a layer over the heap, the column keeps all promises of a source.
template <column_policy P>
[[nodiscard]] verdict check_layer(const contract_options& with_options = {}) noexcept {
  layered<host_source, with<P>> column;
  return check_source(column, with_options);
}

}  // namespace v0
}  // namespace tokenheap
