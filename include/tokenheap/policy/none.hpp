// The answers that do nothing and cost nothing, and the bundle made of them.
#pragma once

#include <tokenheap/concepts/policy.hpp>

namespace tokenheap {
inline namespace v0 {

/// Locks nothing: for memory that one thread uses, or that something above already locks.
struct no_lock {
  constexpr void lock() noexcept {}
  constexpr void unlock() noexcept {}
};

/// Counts nothing.
struct no_stats {
  constexpr void on_allocate(std::size_t, std::size_t) noexcept {}
  constexpr void on_deallocate(std::size_t, std::size_t) noexcept {}
  constexpr void on_failure(std::size_t) noexcept {}
  constexpr void on_reset() noexcept {}
};

/// Refuses nothing.
struct no_limit {
  constexpr bool admit(std::size_t) noexcept { return true; }
  constexpr void take_back(std::size_t) noexcept {}
  constexpr bool relieve(std::size_t, bool) noexcept { return false; }
};

/// Says nothing of a misuse; the call that was misused still changes nothing.
struct no_guard {
  constexpr void on_misuse(const failure&) const noexcept {}
};

/// Records nothing.
struct no_trace {
  constexpr void record(const trace_event&) noexcept {}
};

/// The bundle that costs nothing; inherit it and override by name.
///
/// Example   struct serving : default_policy { using lock = spin_lock; using stats = counters; };
struct default_policy {
  using lock = no_lock;
  using stats = no_stats;
  using limit = no_limit;
  using guard = no_guard;
  using trace = no_trace;
};

static_assert(lockable<no_lock> && stats_policy<no_stats> && limit_policy<no_limit>);
static_assert(guard_policy<no_guard> && trace_policy<no_trace> && allocator_policy<default_policy>);

}  // namespace v0
}  // namespace tokenheap
