// A lock that a scheduler can steer and that a simulated device takes for an order of host threads.
#pragma once

#include <atomic>

#include <tokenheap/device/sim_order.hpp>

namespace tokenheap {
inline namespace v0 {

/// Locks like `Below`, and tells the newest simulated machine which host thread came before which.
///
/// For the policy bundle of an allocator under test, in place of its own lock. With hooks installed the scheduler
/// decides who gets it; without, it is `Below` and two calls more. Not for production.
///
/// Requires  hooks that are not installed or taken away while it is held
/// Threads   safe
template <lockable Below = spin_lock>
class sim_lock {
 public:
  void lock() noexcept {
    const sim_hooks* const hooks = installed_sim_hooks();
    if (hooks != nullptr) {
      if (hooks->step != nullptr) hooks->step(hooks->user, "lock");
      while (taken_.exchange(true, std::memory_order_acquire)) {
        if (hooks->wait_for != nullptr) hooks->wait_for(hooks->user, this);
      }
    }
    below_.lock();
    taken_.store(true, std::memory_order_relaxed);
    if (sim_order* const order = sim_order::newest()) order->acquire(left_);
  }
  void unlock() noexcept {
    if (sim_order* const order = sim_order::newest()) order->release(left_);
    taken_.store(false, std::memory_order_relaxed);
    below_.unlock();
    const sim_hooks* const hooks = installed_sim_hooks();
    if (hooks != nullptr && hooks->step != nullptr) hooks->step(hooks->user, "unlock");
  }

 private:
  Below below_;
  std::atomic<bool> taken_{false};
  sim_lock_clock left_;
};

static_assert(lockable<sim_lock<>>);

}  // namespace v0
}  // namespace tokenheap
