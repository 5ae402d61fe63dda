// Questions that a policy can answer: how to lock, what to count, when to refuse, what a misuse leads to.
#pragma once

#include <concepts>
#include <cstddef>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>

namespace tokenheap {
inline namespace v0 {

template <class P>
concept can_lock = requires(P& p) {
  { p.lock() } noexcept -> std::same_as<void>;
};

template <class P>
concept can_unlock = requires(P& p) {
  { p.unlock() } noexcept -> std::same_as<void>;
};

/// Keeps others out: `lock()` and `unlock()`, both noexcept.
template <class P>
concept lockable = can_lock<P> && can_unlock<P>;

template <class P>
concept counts_allocations = requires(P& p, std::size_t n) {
  { p.on_allocate(n, n) } noexcept -> std::same_as<void>;
};

template <class P>
concept counts_deallocations = requires(P& p, std::size_t n) {
  { p.on_deallocate(n, n) } noexcept -> std::same_as<void>;
};

template <class P>
concept counts_failures = requires(P& p, std::size_t n) {
  { p.on_failure(n) } noexcept -> std::same_as<void>;
};

template <class P>
concept counts_resets = requires(P& p) {
  { p.on_reset() } noexcept -> std::same_as<void>;
};

/// Counts: `on_allocate(requested, granted)`, `on_deallocate(requested, granted)`, `on_failure(requested)`, `on_reset()`.
///
/// `requested` of on_deallocate is 0 where nobody remembers it: only a policy with `remembers_requests` is told.
template <class P>
concept stats_policy = counts_allocations<P> && counts_deallocations<P> && counts_failures<P> && counts_resets<P>;

/// A stats policy that wants the exact requested size of every allocation back; its layer then keeps a ledger.
template <class P>
concept remembers_requests = stats_policy<P> && P::remembers_requests;

template <class P>
concept can_admit = requires(P& p, std::size_t n) {
  { p.admit(n) } noexcept -> std::same_as<bool>;
};

template <class P>
concept can_take_back = requires(P& p, std::size_t n) {
  { p.take_back(n) } noexcept -> std::same_as<void>;
};

template <class P>
concept can_relieve = requires(P& p, std::size_t n) {
  { p.relieve(n, true) } noexcept -> std::same_as<bool>;
};

/// Refuses: `admit(bytes)` before the source, `take_back(bytes)` after, `relieve(bytes, failed)` with no lock held.
///
/// relieve may run a callback of the user; it returns true if a refused request is worth another try.
template <class P>
concept limit_policy = can_admit<P> && can_take_back<P> && can_relieve<P>;

/// Decides what a misuse leads to: `on_misuse(failure)` reports and returns, or never returns.
template <class P>
concept guard_policy = requires(const P& p, const failure& f) {
  { p.on_misuse(f) } noexcept -> std::same_as<void>;
};

/// What happened to a piece of memory, in the words of PyTorch's allocator traces.
enum class trace_kind : unsigned char { allocate, deallocate, out_of_memory, reset, trim };

/// One thing that happened: what, where, how many bytes were asked and granted.
struct trace_event {
  trace_kind kind = trace_kind::allocate;
  void* address = nullptr;
  std::size_t requested = 0;
  std::size_t granted = 0;
};

/// Records: `record(event)`, noexcept and without allocating.
template <class P>
concept trace_policy = requires(P& p, const trace_event& e) {
  { p.record(e) } noexcept -> std::same_as<void>;
};

template <class P>
concept names_a_lock = requires { typename P::lock; } && lockable<typename P::lock>;
template <class P>
concept names_stats = requires { typename P::stats; } && stats_policy<typename P::stats>;
template <class P>
concept names_a_limit = requires { typename P::limit; } && limit_policy<typename P::limit>;
template <class P>
concept names_a_guard = requires { typename P::guard; } && guard_policy<typename P::guard>;
template <class P>
concept names_a_trace = requires { typename P::trace; } && trace_policy<typename P::trace>;

/// A bundle of choices for one mechanism: inherit `default_policy` and override by name.
template <class P>
concept allocator_policy =
    names_a_lock<P> && names_stats<P> && names_a_limit<P> && names_a_guard<P> && names_a_trace<P>;

/// Any one choice that `with<>` can put into a column of layers.
template <class P>
concept column_policy = lockable<P> || stats_policy<P> || limit_policy<P> || guard_policy<P> || trace_policy<P>;

}  // namespace v0
}  // namespace tokenheap
