// What every call of a simulated device passes first: hooks, the lock, counters, modes and planned faults.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/device/sim_faults.hpp>
#include <tokenheap/device/sim_order.hpp>
#include <tokenheap/device/sim_shadow.hpp>
#include <tokenheap/device/sim_violation.hpp>

namespace tokenheap {
inline namespace v0 {

/// The numbers of a simulated machine.
struct sim_options {
  std::size_t capacity = 8 * GiB;       ///< bytes of each device
  std::size_t alignment = 512;          ///< of what `allocate` gives; a power of two
  std::size_t page_bytes = 2 * MiB;     ///< granularity of reservations and pages; 0: the device has none
  int devices = 1;                      ///< 0: every call answers `no_device`
  bool backed = false;                  ///< device memory is real memory, so that copies and fills move bytes
  bool race_check = true;               ///< keep a shadow of all memory; off for benchmarks
  bool reuse_handles = true;            ///< a new stream gets the lowest handle that is free
  bool peers = true;                    ///< a stream may touch memory of other devices
  bool one_host = false;                ///< all host threads count as one: for locks that the machine cannot see
  bool allocates_in_capture = false;    ///< `allocate` leaves captures alone, as a relaxed mode does
  std::size_t pinned_capacity = max_allocation;  ///< bytes of pinned memory
  unsigned char fresh_byte = 0xCD;      ///< what backed memory holds before it is written
};

/// What stands before every operation of a machine; the parts of the machine build on it.
///
/// Threads   under the lock of `order`, which `sim_gate` takes
class sim_core {
 public:
  explicit sim_core(const sim_options& chosen) noexcept : options(chosen), order(chosen.one_host) {}

  /// Notes a finding. The first few are kept whole, all are counted.
  TOKENHEAP_COLD void wrong(const sim_violation& v) {
    ++violations;
    if (kept.size() < 64) kept.push_back(v);
  }
  /// A finding about a call, without an access that came first.
  TOKENHEAP_COLD void wrong(sim_wrong kind, sim_call call, std::uintptr_t address = 0, std::size_t bytes = 0) {
    wrong(sim_violation{kind, address, bytes, {}, party({order.self().dimension, 1, static_cast<std::uint8_t>(call)}, false)});
  }
  [[nodiscard]] sim_party party(const sim_epoch& e, bool writes) const {
    const sim_actor& who = order.actor(e.dimension);
    return {e.call, who.is_host, writes, who.device, who.id};
  }

  /// What a call must answer before it does anything: ok, or why it does nothing.
  [[nodiscard]] device_error admit(sim_call call, int ordinal, device_error injected) {
    const device_error planned = faults.note(call);
    if (gone) return device_error::gone;
    if (forked) return wrong(sim_wrong::call_in_child, call), device_error::forked;
    if (ordinal < 0 || ordinal >= options.devices) return device_error::no_device;
    if (order.self().in_callback) return wrong(sim_wrong::call_in_callback, call), device_error::failed;
    return injected != device_error::ok ? injected : planned;
  }

  sim_options options;
  sim_order order;
  sim_faults faults;
  sim_shadow shadow;
  std::size_t violations = 0;
  std::vector<sim_violation> kept;
  bool gone = false;
  bool forked = false;
};

[[nodiscard]] constexpr device_status sim_status(device_error error) noexcept { return {error, static_cast<int>(error)}; }

/// The door of one call: asks the hooks, takes the lock, counts, and says whether the call may run.
class [[nodiscard]] sim_gate {
 public:
  sim_gate(sim_core& core, sim_call call, int ordinal) noexcept : core_(core) {
    device_error injected = device_error::ok;
    if (const sim_hooks* const hooks = installed_sim_hooks()) {
      // outside the lock: another host thread may run here
      if (hooks->step != nullptr) hooks->step(hooks->user, to_text(call));
      if (hooks->fault != nullptr) injected = hooks->fault(hooks->user, call);
    }
    core_.order.lock().lock();
    error_ = core_.admit(call, ordinal, injected);
  }
  ~sim_gate() { core_.order.lock().unlock(); }
  sim_gate(const sim_gate&) = delete;
  sim_gate& operator=(const sim_gate&) = delete;

  explicit operator bool() const noexcept { return error_ == device_error::ok; }
  [[nodiscard]] device_status status() const noexcept { return sim_status(error_); }

  /// Runs something with the lock given up; what was found before must be looked up again.
  template <class Run>
  auto without_lock(Run run) noexcept {
    core_.order.lock().unlock();
    struct again {
      spin_lock& lock;
      ~again() { lock.lock(); }
    } const at_the_end{core_.order.lock()};
    return run();
  }

 private:
  sim_core& core_;
  device_error error_ = device_error::ok;
};

}  // namespace v0
}  // namespace tokenheap
