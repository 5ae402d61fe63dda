// What an exploration is asked, and what it answers.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/device/sim_hooks.hpp>

namespace tokenheap {
inline namespace v0 {

/// The errors that are tried at one call of a device.
struct fault_list {
  static constexpr unsigned most = 4;
  device_error errors[most] = {};
  unsigned count = 0;
};

/// The errors that `explore` tries by default: four for each call, those that a driver is known to give there first.
[[nodiscard]] constexpr fault_list usual_faults(sim_call call) noexcept {
  using enum device_error;
  switch (call) {
    case sim_call::allocate:
    case sim_call::allocate_pinned:
    case sim_call::create_pages:
    case sim_call::reserve:
    case sim_call::map: return {{out_of_memory, invalid_value, gone, failed}, 4};
    case sim_call::create_stream:
    case sim_call::create_event: return {{out_of_memory, capture_refused, gone, failed}, 4};
    case sim_call::record:
    case sim_call::wait:
    case sim_call::query_event:
    case sim_call::query_stream:
    case sim_call::destroy_event:
    case sim_call::destroy_stream: return {{invalid_handle, capture_refused, gone, failed}, 4};
    default: return {{invalid_value, capture_refused, gone, failed}, 4};
  }
}

/// One thing that happened in a run, for who wants to see it: `explore_options::watch`.
struct explore_step {
  std::size_t point = 0;   ///< the number in the schedule
  unsigned thread = 0;     ///< which host thread
  const char* what = "";   ///< a call or a lock operation that goes on now; "starts", "waits", "ends"; or an answer
  bool decided = false;    ///< not what would have come by default
};

/// How far an exploration goes. What is left unlimited makes the answer hold for every case.
struct explore_options {
  static constexpr std::size_t unlimited = ~std::size_t{0};

  std::size_t preemptions = unlimited;   ///< switches in a run away from a thread that could have gone on
  std::size_t busy_answers = unlimited;  ///< open queries in a run that are answered "not ready"
  std::size_t faults = 0;                ///< calls in a run that are made to fail
  fault_list (*errors)(sim_call) noexcept = &usual_faults;  ///< with which errors, for each call
  std::size_t schedules = 1'000'000;     ///< runs after which it gives up; then `complete` is false
  std::size_t points = 100'000;          ///< decisions after which a run counts as one that never ends
  std::size_t stop_after = 1;            ///< violations after which it stops
  std::size_t stack_bytes = 256 * KiB;   ///< of each thread
  void (*watch)(void* user, const explore_step& step) noexcept = nullptr;
  void* user = nullptr;                  ///< given to `watch`
};

/// What an exploration found: how many schedules, how many broke, and the first that did, ready to be replayed.
///
/// True if everything that was asked for was run and nothing broke.
struct explore_report {
  std::size_t schedules = 0;    ///< runs
  std::size_t violations = 0;   ///< runs that broke
  std::size_t points = 0;       ///< decisions, over all runs
  std::size_t longest = 0;      ///< decisions of the longest run
  std::size_t faults = 0;       ///< calls that were made to fail, over all runs
  bool complete = false;        ///< nothing within the bounds is left
  std::string broken;           ///< what the first violation was; empty if there was none
  std::string schedule;         ///< replays it; "-" if no decision differed from the default

  [[nodiscard]] explicit operator bool() const noexcept { return complete && schedules != 0 && violations == 0; }
  [[nodiscard]] const char* first_broken() const noexcept { return broken.c_str(); }
};

template <class S>
concept has_threads = requires(S& s) {
  { s.threads } -> std::convertible_to<unsigned>;
};
template <class S>
concept runs_threads = requires(S& s, unsigned thread) {
  { s.run(thread) } noexcept -> std::same_as<void>;
};
template <class S>
concept judges_itself = requires(S& s) {
  { s.check() } noexcept -> std::same_as<const char*>;
};

/// What `explore` runs: a few host threads, and a judgement of what they came to.
///
/// `threads` is how many (a constant or a member, at most 16); `run(k)` is the whole life of thread k; `check()` is called
/// when all have ended, and returns null or what is wrong, as text that lives until the scenario ends. Every schedule
/// gets a scenario of its own: what is to be the same in each belongs into the constructor.
template <class S>
concept scenario = has_threads<S> && runs_threads<S> && judges_itself<S>;

}  // namespace v0
}  // namespace tokenheap
