// Locks that a column of layers or a bundle can name.
#pragma once

#include <atomic>
#include <mutex>

#include <tokenheap/concepts/policy.hpp>

#if __has_include(<sched.h>)
#include <sched.h>
#endif

namespace tokenheap {
inline namespace v0 {

/// Locks by spinning, and lets others run when that takes long.
///
/// Good for sections of a few dozen instructions, which is all that the library holds a lock for. Not good where more
/// threads than cores fight for it: take `mutex_lock`.
///
/// Cost      one atomic exchange to lock, one store to unlock
class spin_lock {
 public:
  TOKENHEAP_INLINE void lock() noexcept {
    while (taken_.exchange(true, std::memory_order_acquire)) [[unlikely]] wait();
  }
  TOKENHEAP_INLINE void unlock() noexcept { taken_.store(false, std::memory_order_release); }

 private:
  TOKENHEAP_NOINLINE void wait() noexcept {
    // reading until it looks free keeps the line shared instead of bouncing it between cores
    for (int round = 0; taken_.load(std::memory_order_relaxed); ++round) {
#if TOKENHEAP_GNU && defined(__x86_64__)
      if (round < 64) {
        __builtin_ia32_pause();
        continue;
      }
#endif
#if __has_include(<sched.h>)
      // the holder may need this core to get on
      if (round >= 64) ::sched_yield();
#endif
    }
  }

  std::atomic<bool> taken_{false};
};

/// Locks by `std::mutex`: waiting threads sleep.
class mutex_lock {
 public:
  void lock() noexcept { mutex_.lock(); }
  void unlock() noexcept { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

/// Holds a lock until the end of the scope.
template <lockable Lock>
class [[nodiscard]] locked {
 public:
  explicit locked(Lock& lock) noexcept : lock_(lock) { lock_.lock(); }
  ~locked() { lock_.unlock(); }
  locked(const locked&) = delete;
  locked& operator=(const locked&) = delete;

 private:
  Lock& lock_;
};

static_assert(lockable<spin_lock> && lockable<mutex_lock>);

}  // namespace v0
}  // namespace tokenheap
