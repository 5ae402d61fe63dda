// Who acts on a simulated device, and what each host thread knows to be done.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <tokenheap/device/sim_clock.hpp>
#include <tokenheap/device/sim_hooks.hpp>
#include <tokenheap/policy/lock.hpp>

namespace tokenheap {
inline namespace v0 {

/// What a dimension of the clocks stands for: one stream from its creation to its destruction, or a host thread.
struct sim_actor {
  bool is_host = false;
  int device = 0;
  std::uint64_t id = 0;
};

/// How a host thread treats calls that could disturb a capture; the modes of the CUDA runtime.
enum class sim_capture_mode : std::uint8_t { global, thread_local_only, relaxed };

/// One host thread as the device knows it.
struct sim_host {
  std::uint64_t number = 0;
  std::uint32_t dimension = 0;
  int current = 0;              ///< its current device
  bool in_callback = false;     ///< it runs a host callback of a stream just now
  sim_capture_mode mode = sim_capture_mode::global;
  sim_clock clock;
  std::vector<std::uint32_t> per_thread;  ///< slot + 1 of its default stream, by device
};

/// A number of the calling thread that no other thread of the process has.
[[nodiscard]] inline unsigned sim_thread_number() noexcept {
  static constinit std::atomic<unsigned> next{0};
  static thread_local unsigned mine = 0;
  if (mine == 0) mine = next.fetch_add(1, std::memory_order_relaxed) + 1;
  return mine;
}

/// What one lock hands from the thread that leaves it to the thread that takes it.
struct sim_lock_clock {
  std::uint64_t machine = 0;  ///< to which machine the clock belongs
  sim_clock clock;
};

/// The dimensions of a machine's clocks, the clocks of its host threads, and what is done for certain.
///
/// The newest one alive is where `sim_lock` notes the order of host threads.
///
/// Threads   under its own lock, which is the lock of the machine
class sim_order {
 public:
  explicit sim_order(bool one_host = false) noexcept : one_host_(one_host) { enlist(); }
  ~sim_order() { leave(); }
  sim_order(const sim_order&) = delete;
  sim_order& operator=(const sim_order&) = delete;

  [[nodiscard]] static sim_order* newest() noexcept { return slot().load(std::memory_order_acquire); }

  [[nodiscard]] spin_lock& lock() const noexcept { return lock_; }

  std::uint32_t add(const sim_actor& who) noexcept {
    actors_.push_back(who);
    return static_cast<std::uint32_t>(actors_.size() - 1);
  }
  [[nodiscard]] const sim_actor& actor(std::uint32_t dimension) const noexcept { return actors_[dimension]; }

  /// The host thread that is calling; Requires the lock.
  ///
  /// A thread that is new starts where the first one stands: that one has made it, or the machine for it.
  [[nodiscard]] sim_host& self() noexcept {
    const std::size_t key = caller();
    if (key < of_key_.size() && of_key_[key] != 0) return hosts_[of_key_[key] - 1];
    return meet(key);
  }

  /// Everything that a clock says is done: from now on no query may say otherwise.
  void note_done(const sim_clock& clock) noexcept { done_.join(clock); }
  [[nodiscard]] bool is_done(const sim_clock& clock) const noexcept { return done_.covers(clock); }

  /// What all host threads did so far comes before what any of them does from now on.
  void host_barrier() noexcept {
    sim_clock all;
    for (const sim_host& h : hosts_) all.join(h.clock);
    for (sim_host& h : hosts_) h.clock.join(all);
  }

  /// The calling thread has taken a lock: what was done under it before is known here.
  void acquire(sim_lock_clock& from) noexcept {
    const locked guard(lock_);
    sim_host& host = self();
    if (from.machine == serial_) host.clock.join(from.clock);
  }
  /// The calling thread is about to leave a lock.
  void release(sim_lock_clock& to) noexcept {
    const locked guard(lock_);
    if (to.machine != serial_) to.clock.clear();
    to.machine = serial_;
    to.clock.join(self().clock);
  }

 private:
  struct living {
    spin_lock lock;
    sim_order* newest = nullptr;
  };
  static living& all() noexcept {
    static constinit living one;
    return one;
  }
  static std::atomic<sim_order*>& slot() noexcept {
    static constinit std::atomic<sim_order*> one{nullptr};
    return one;
  }
  static std::uint64_t next_serial() noexcept {
    static constinit std::atomic<std::uint64_t> next{0};
    return next.fetch_add(1, std::memory_order_relaxed) + 1;
  }

  void enlist() noexcept {
    const locked guard(all().lock);
    older_ = all().newest;
    if (older_ != nullptr) older_->newer_ = this;
    all().newest = this;
    slot().store(this, std::memory_order_release);
  }
  void leave() noexcept {
    const locked guard(all().lock);
    if (newer_ != nullptr) newer_->older_ = older_;
    if (older_ != nullptr) older_->newer_ = newer_;
    if (newer_ != nullptr) return;
    all().newest = older_;
    slot().store(older_, std::memory_order_release);
  }

  [[nodiscard]] std::size_t caller() const noexcept {
    if (one_host_) return 0;
    const sim_hooks* const hooks = installed_sim_hooks();
    // threads of a scheduler and threads of the system count apart
    if (hooks != nullptr && hooks->host_thread != nullptr) return 2 * std::size_t{hooks->host_thread(hooks->user)};
    return 2 * std::size_t{sim_thread_number()} + 1;
  }
  TOKENHEAP_COLD sim_host& meet(std::size_t key) noexcept {
    if (key >= of_key_.size()) of_key_.resize(key + 1);
    sim_host fresh;
    fresh.number = key / 2;
    fresh.dimension = add({true, 0, fresh.number});
    if (!hosts_.empty()) fresh.clock.join(hosts_.front().clock);
    // work of a host thread is over when its call is: it keeps no query open
    done_.set(fresh.dimension, ~std::uint32_t{0});
    hosts_.push_back(std::move(fresh));
    of_key_[key] = static_cast<std::uint32_t>(hosts_.size());
    return hosts_.back();
  }

  mutable spin_lock lock_;
  bool one_host_;
  std::uint64_t serial_ = next_serial();
  std::vector<sim_actor> actors_;
  std::vector<sim_host> hosts_;
  std::vector<std::uint32_t> of_key_;  // number of the host thread's entry, plus 1
  sim_clock done_;
  sim_order* older_ = nullptr;
  sim_order* newer_ = nullptr;
};

}  // namespace v0
}  // namespace tokenheap
