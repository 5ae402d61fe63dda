// How much a column may take, and who is asked to give something up when that is not enough.
#pragma once

#include <atomic>

#include <tokenheap/concepts/policy.hpp>

namespace tokenheap {
inline namespace v0 {

/// A callback of the user that may free memory: `call(user, bytes)` returns true if a retry is worth it.
///
/// It runs without any lock of the library and may use the very allocator that calls it; a request made inside it is
/// refused at once when there is no memory, without a second callback.
struct pressure_callback {
  bool (*call)(void* user, std::size_t bytes) noexcept = nullptr;
  void* user = nullptr;

  explicit operator bool() const noexcept { return call != nullptr; }

  /// Runs the callback unless this thread is inside one already.
  [[nodiscard]] bool operator()(std::size_t bytes) const noexcept {
    if (call == nullptr || running()) return false;
    running() = true;
    const bool again = call(user, bytes);
    running() = false;
    return again;
  }

  /// True while this thread is inside a callback.
  [[nodiscard]] static bool is_running() noexcept { return running(); }

 private:
  [[nodiscard]] static bool& running() noexcept {
    static thread_local bool inside = false;
    return inside;
  }
};

/// The amount of a `hard_limit`, and whom to ask before a request is refused.
struct hard_limit_options {
  std::size_t limit = ~std::size_t{0};
  pressure_callback on_refusal{};
};

/// Refuses what would take the bytes held above a limit; asks a callback first, then tries again.
///
/// The limit counts granted bytes at the place in the column where it stands: below an arena it bounds what the
/// process takes, above a slab what callers hold. The callback also runs when the source below has no more. A growth in
/// place that is refused asks nobody: it is optional, and `allocate` is what follows it.
///
/// Threads   not safe; put it below a lock. The callback runs outside that lock
class hard_limit {
 public:
  using options = hard_limit_options;

  constexpr hard_limit() noexcept = default;
  constexpr explicit hard_limit(const options& with) noexcept : options_(with) {}

  [[nodiscard]] constexpr bool admit(std::size_t bytes) noexcept {
    if (held_ > options_.limit || bytes > options_.limit - held_) return false;
    held_ += bytes;
    return true;
  }
  constexpr void take_back(std::size_t bytes) noexcept { held_ -= bytes; }
  /// Counts bytes that are out already, above the limit too: what a growth in place was rounded up by.
  constexpr void hold(std::size_t bytes) noexcept { held_ += bytes; }
  [[nodiscard]] bool relieve(std::size_t bytes, bool failed) noexcept { return failed && options_.on_refusal(bytes); }

  [[nodiscard]] constexpr std::size_t held() const noexcept { return held_; }
  [[nodiscard]] constexpr std::size_t limit() const noexcept { return options_.limit; }
  /// Changes the limit; what is already held stays, and nothing more is given until it is below.
  constexpr void set_limit(std::size_t bytes) noexcept { options_.limit = bytes; }

 private:
  hard_limit_options options_{};
  std::size_t held_ = 0;
};

/// The amount of a `soft_limit`, and whom to tell when it is passed.
struct soft_limit_options {
  std::size_t limit = ~std::size_t{0};
  pressure_callback on_pressure{};
};

/// Grants everything, and tells a callback once each time that the bytes held rise above a limit.
///
/// It is told by the allocation that crosses, or by the next one where the crossing was a growth in place or happened
/// inside a callback.
///
/// Threads   not safe; put it below a lock. The callback runs outside that lock
class soft_limit {
 public:
  using options = soft_limit_options;

  soft_limit() noexcept = default;
  explicit soft_limit(const options& with) noexcept : options_(with) {}

  [[nodiscard]] bool admit(std::size_t bytes) noexcept {
    if (held_ > ~std::size_t{0} - bytes) return false;
    const bool below = held_ <= options_.limit;
    held_ += bytes;
    if (below && held_ > options_.limit) {
      ++crossings_;
      pending_.store(true, std::memory_order_relaxed);
    }
    return true;
  }
  void take_back(std::size_t bytes) noexcept { held_ -= bytes; }
  void hold(std::size_t bytes) noexcept { static_cast<void>(admit(bytes)); }

  [[nodiscard]] bool relieve(std::size_t bytes, bool) noexcept {
    // a plain read first: the exchange is paid only after a crossing
    if (!pending_.load(std::memory_order_relaxed)) return false;
    // a crossing inside another callback of this thread is told when that one is over
    if (pressure_callback::is_running() || !pending_.exchange(false, std::memory_order_relaxed)) return false;
    static_cast<void>(options_.on_pressure(bytes));
    return false;
  }

  [[nodiscard]] std::size_t held() const noexcept { return held_; }
  [[nodiscard]] std::size_t limit() const noexcept { return options_.limit; }
  [[nodiscard]] std::size_t crossings() const noexcept { return crossings_; }

 private:
  soft_limit_options options_{};
  std::size_t held_ = 0;
  std::size_t crossings_ = 0;
  std::atomic<bool> pending_{false};
};

static_assert(limit_policy<hard_limit> && limit_policy<soft_limit>);

}  // namespace v0
}  // namespace tokenheap
