// When to stop asking a server that does not answer, and when to ask again.
#pragma once

#include <concepts>
#include <cstdint>
#include <ctime>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Nanoseconds that only ever go up, from the system; a test brings a clock of its own in its place.
struct monotonic_clock {
  [[nodiscard]] std::uint64_t now() const noexcept {
    timespec t{};
    (void)::clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
  }
};

/// Says what time it is: `now()`, nanoseconds that never go back.
template <class C>
concept tick_clock = requires(const C& c) {
  { c.now() } noexcept -> std::same_as<std::uint64_t>;
};

/// What a breaker lets through: everything, nothing, or one trial.
enum class breaker_state : std::uint8_t { closed, open, half_open };

/// When a breaker opens and for how long; the wait doubles with each failed trial up to `longest_ns`.
struct breaker_options {
  std::uint32_t failures = 3;  ///< in a row
  std::uint64_t wait_ns = 500'000'000;
  std::uint64_t longest_ns = 30'000'000'000;
};

/// Spares callers the wait for a server that is down: after some failures in a row it says no at once, for a while.
///
/// One per server. Ask `allows` before a request and tell `success` or `failure` after it. When the wait is over one
/// request goes through as a trial: its success closes the breaker, its failure opens it for twice as long. It takes
/// the time as a number, so that whoever calls it decides what a clock is.
///
/// Requires  an answer, success or failure, for each request that was allowed
/// Threads   not safe; it belongs to the thread that talks to the server
/// Cost      a comparison
class circuit_breaker {
 public:
  circuit_breaker() noexcept = default;
  explicit circuit_breaker(const breaker_options& with) noexcept : with_(with), wait_(with.wait_ns) {}

  /// True if a request may be sent now; in `half_open` only the one that was let through first.
  [[nodiscard]] bool allows(std::uint64_t now) noexcept {
    if (state_ == breaker_state::closed) return true;
    if (state_ == breaker_state::half_open || now - since_ < wait_) return false;
    state_ = breaker_state::half_open;
    return true;
  }

  void success() noexcept {
    state_ = breaker_state::closed;
    failed_ = 0;
    wait_ = with_.wait_ns;
  }

  void failure(std::uint64_t now) noexcept {
    if (state_ == breaker_state::half_open) {
      wait_ = wait_ < with_.longest_ns / 2 ? 2 * wait_ : with_.longest_ns;
      return trip(now);
    }
    if (state_ == breaker_state::closed && ++failed_ >= with_.failures) trip(now);
  }

  [[nodiscard]] breaker_state state() const noexcept { return state_; }
  /// How often it opened since it was made.
  [[nodiscard]] std::uint64_t opened() const noexcept { return opened_; }

 private:
  void trip(std::uint64_t now) noexcept {
    state_ = breaker_state::open;
    since_ = now;
    failed_ = 0;
    ++opened_;
  }

  breaker_options with_{};
  std::uint64_t since_ = 0;
  std::uint64_t wait_ = breaker_options{}.wait_ns;
  std::uint64_t opened_ = 0;
  std::uint32_t failed_ = 0;
  breaker_state state_ = breaker_state::closed;
};

static_assert(tick_clock<monotonic_clock>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
