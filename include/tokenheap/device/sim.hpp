// A simulated machine with devices: deterministic, on the CPU, and it sees every timing of one run at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <type_traits>
#include <utility>

#include <tokenheap/concepts/device.hpp>
#include <tokenheap/device/sim_work.hpp>

namespace tokenheap {
inline namespace v0 {

class sim_device;

/// Devices that run streams without a GPU, and find every pair of accesses that some timing of the device lets overlap.
///
/// Streams and events are vector clocks, and a shadow of the memory remembers who touched what; so one run of a program
/// decides for all timings of the device. Time alone completes nothing: a query that the clocks leave open answers
/// `not_ready`, until somebody waits, or `complete` says so, or hooks (`sim_hooks.hpp`) decide.
///
/// Requires  to outlive its devices, and calls of the program that tell what kernels and the host touch
/// Threads   safe
/// Cost      a few microseconds to make one; about 50 ns for a call
/// Example   examples/sim_race.cpp
class sim_machine : private sim_work {
 public:
  explicit sim_machine(const sim_options& chosen = {}) noexcept : sim_work(chosen) {}
  sim_machine(const sim_machine&) = delete;
  sim_machine& operator=(const sim_machine&) = delete;

  [[nodiscard]] sim_device device(int ordinal = 0) noexcept;
  [[nodiscard]] const sim_options& options() const noexcept { return sim_work::options; }

  /// The program on the host reads, or writes, these bytes without the device.
  void host_reads(const void* p, std::size_t bytes) noexcept { host_access(p, bytes, false); }
  void host_writes(void* p, std::size_t bytes) noexcept { host_access(p, bytes, true); }
  /// What all host threads did so far comes before all that they do from now on, as after a join.
  void host_barrier() noexcept {
    alone([&] { order.host_barrier(); });
  }
  /// The work put into the stream so far is done: queries say so from now on. Nobody has waited for it.
  void complete(const sim_stream& s, int ordinal = 0) noexcept {
    const locked guard(order.lock());
    device_error error{};
    const std::uint32_t slot = slot_of(ordinal, s, sim_call::query_stream, error);
    if (error != device_error::ok) return;
    gather(slot);
    order.note_done(streams[slot].clock);
  }

  /// The `nth` call from now on fails once, or all of them do.
  void fail(sim_call call, std::size_t nth, device_error error) noexcept {
    alone([&] { faults.fail(call, nth, error); });
  }
  void fail_always(sim_call call, device_error error) noexcept {
    alone([&] { faults.fail_always(call, error); });
  }
  void clear_faults() noexcept {
    alone([&] { faults.clear(); });
  }
  /// The driver is gone: every call answers `gone`.
  void unload() noexcept {
    alone([&] { gone = true; });
  }
  /// The process is a forked child: every call answers `forked`, and is a finding.
  void fork_child() noexcept {
    alone([&] { forked = true; });
  }

  [[nodiscard]] std::size_t calls(sim_call call) const noexcept {
    return alone([&] { return faults.calls(call); });
  }
  [[nodiscard]] std::size_t device_calls() const noexcept {
    return alone([&] { return faults.calls(); });
  }
  void reset_calls() noexcept {
    alone([&] { faults.reset_calls(); });
  }

  /// Bytes of a device that are out: pieces and pages; 0 for a device that is not there.
  [[nodiscard]] std::size_t used(int ordinal = 0) const noexcept {
    return alone([&] { return has(ordinal) ? units[static_cast<std::size_t>(ordinal)].used : 0; });
  }
  [[nodiscard]] std::size_t peak_used(int ordinal = 0) const noexcept {
    return alone([&] { return has(ordinal) ? units[static_cast<std::size_t>(ordinal)].peak : 0; });
  }
  [[nodiscard]] std::size_t pinned_used() const noexcept {
    return alone([&] { return used_pinned; });
  }
  /// How many of each kind are out, on all devices; default streams do not count.
  [[nodiscard]] std::size_t live_allocations() const noexcept {
    return alone([&] { return sim_work::live_allocations; });
  }
  [[nodiscard]] std::size_t live_pinned() const noexcept {
    return alone([&] { return sim_work::live_pinned; });
  }
  [[nodiscard]] std::size_t live_streams() const noexcept {
    return alone([&] { return sim_work::live_streams; });
  }
  [[nodiscard]] std::size_t live_events() const noexcept {
    return alone([&] { return sim_work::live_events; });
  }
  [[nodiscard]] std::size_t live_pages() const noexcept {
    return alone([&] { return sim_work::live_pages; });
  }
  [[nodiscard]] std::size_t live_mappings() const noexcept {
    return alone([&] { return sim_work::live_mappings(); });
  }
  [[nodiscard]] std::size_t live_reservations() const noexcept {
    return alone([&] { return sim_work::live_reservations(); });
  }
  /// True if nothing is out: whoever used the machine has cleaned up.
  [[nodiscard]] bool is_clean() const noexcept {
    return live_allocations() + live_pinned() + live_streams() + live_events() + live_pages() + live_mappings() +
               live_reservations() == 0;
  }

  /// How many findings there are. The first 64 are kept.
  [[nodiscard]] std::size_t violations() const noexcept {
    return alone([&] { return sim_core::violations; });
  }
  /// A finding; one of kind race without an address if it was not kept.
  [[nodiscard]] sim_violation violation(std::size_t i = 0) const noexcept {
    return alone([&] { return i < kept.size() ? kept[i] : sim_violation{}; });
  }
  /// Writes a finding as one line into `out`, and returns its length.
  std::size_t describe(std::size_t i, char* out, std::size_t capacity) const noexcept {
    return tokenheap::describe(violation(i), out, capacity);
  }

 private:
  friend class sim_device;

  template <class Run>
  std::invoke_result_t<Run&> alone(Run run) const noexcept {
    const locked guard(order.lock());
    return run();
  }
  [[nodiscard]] bool has(int ordinal) const noexcept {
    return ordinal >= 0 && static_cast<std::size_t>(ordinal) < units.size();
  }
};

/// A device of a simulated machine; a model of `virtual_device`, with kernels, host callbacks and captures beside it.
///
/// Two words that are copied freely. An ordinal that the machine does not have gives a device whose calls answer
/// `no_device`.
///
/// Threads   safe
class sim_device {
 public:
  using stream = sim_stream;
  using event = sim_event;
  using pages = sim_pages;
  using status = device_status;

  sim_device(sim_machine& machine, int ordinal) noexcept : on_(&machine), ordinal_(ordinal) {}

  status allocate(std::size_t bytes, void*& out) noexcept { return on_->allocate(ordinal_, bytes, out); }
  status deallocate(void* p) noexcept { return on_->deallocate(ordinal_, p); }
  status memory(device_memory& out) noexcept { return on_->memory(ordinal_, out); }

  status allocate_pinned(std::size_t bytes, void*& out) noexcept { return on_->allocate_pinned(ordinal_, bytes, out); }
  status deallocate_pinned(void* p) noexcept { return on_->deallocate_pinned(ordinal_, p); }
  status register_host(void* p, std::size_t bytes) noexcept { return on_->register_host(ordinal_, p, bytes); }
  status unregister_host(void* p) noexcept { return on_->unregister_host(ordinal_, p); }

  status create_stream(stream& out) noexcept { return on_->create_stream(ordinal_, true, out); }
  /// A stream that is not ordered with the legacy default stream.
  status create_stream_nonblocking(stream& out) noexcept { return on_->create_stream(ordinal_, false, out); }
  status destroy_stream(stream s) noexcept { return on_->destroy_stream(ordinal_, s); }
  status identify(std::uintptr_t handle, stream& out) noexcept { return on_->identify(ordinal_, handle, out); }
  status wait(stream s, event e) noexcept { return on_->wait(ordinal_, s, e); }
  status synchronize(stream s) noexcept { return on_->synchronize(ordinal_, s); }
  status query(stream s) noexcept { return on_->query(ordinal_, s); }
  status is_capturing(stream s, bool& out) noexcept { return on_->is_capturing(ordinal_, s, out); }
  /// The legacy default stream, and the default stream of the calling thread.
  [[nodiscard]] stream legacy() noexcept { return default_stream(sim_legacy_handle); }
  [[nodiscard]] stream per_thread() noexcept { return default_stream(sim_per_thread_handle); }

  status create_event(event& out) noexcept { return on_->create_event(ordinal_, out); }
  status destroy_event(event e) noexcept { return on_->destroy_event(ordinal_, e); }
  status record(event e, stream s) noexcept { return on_->record(ordinal_, e, s); }
  status query_event(event e) noexcept { return on_->query_event(ordinal_, e); }
  status synchronize_event(event e) noexcept { return on_->synchronize_event(ordinal_, e); }

  status copy(void* to, const void* from, std::size_t n, stream s) noexcept { return on_->copy(ordinal_, to, from, n, s); }
  status fill(void* to, unsigned char byte, std::size_t n, stream s) noexcept { return on_->fill(ordinal_, to, byte, n, s); }
  /// A kernel that touches these bytes.
  status launch(stream s, std::initializer_list<sim_access> touches) noexcept { return launch(s, touches.begin(), touches.size()); }
  status launch(stream s, const sim_access* touches, std::size_t n) noexcept { return on_->launch(ordinal_, s, touches, n); }
  status launch_write(stream s, void* p, std::size_t bytes) noexcept { return launch(s, {{p, bytes, sim_access::write}}); }
  status launch_read(stream s, const void* p, std::size_t bytes) noexcept { return launch(s, {{p, bytes, sim_access::read}}); }
  /// A function of the host in stream order; it must not call the device.
  status call_host(stream s, void (*run)(void*) noexcept, void* argument) noexcept {
    return on_->call_host(ordinal_, s, run, argument);
  }

  status begin_capture(stream s, sim_capture_mode mode = sim_capture_mode::global) noexcept {
    return on_->begin_capture(ordinal_, s, mode);
  }
  status end_capture(stream s) noexcept { return on_->end_capture(ordinal_, s); }
  /// Sets how the calling thread treats captures, and returns the mode before.
  sim_capture_mode exchange_capture_mode(sim_capture_mode mode) noexcept {
    return on_->alone([&] { return std::exchange(on_->order.self().mode, mode); });
  }

  [[nodiscard]] int ordinal() const noexcept { return ordinal_; }
  status current(int& out) noexcept { return on_->current(ordinal_, out); }
  /// Makes this the current device of the calling thread.
  void make_current() noexcept {
    on_->alone([&] { on_->order.self().current = ordinal_; });
  }
  status synchronize() noexcept { return on_->synchronize(ordinal_); }
  [[nodiscard]] std::size_t alignment() const noexcept { return on_->options().alignment; }
  [[nodiscard]] const char* to_text(status s) const noexcept { return tokenheap::to_text(s.error); }

  [[nodiscard]] std::size_t page_bytes() const noexcept { return on_->options().page_bytes; }
  status reserve(std::size_t n, std::size_t alignment, void*& out) noexcept { return on_->reserve(ordinal_, n, alignment, out); }
  status unreserve(void* p, std::size_t bytes) noexcept { return on_->unreserve(ordinal_, p, bytes); }
  status create_pages(std::size_t bytes, pages& out) noexcept { return on_->create_pages(ordinal_, bytes, out); }
  status release_pages(pages which) noexcept { return on_->release_pages(ordinal_, which); }
  status map(void* p, std::size_t bytes, pages which) noexcept { return on_->map(ordinal_, p, bytes, which); }
  status set_access(void* p, std::size_t bytes) noexcept { return on_->set_access(ordinal_, p, bytes); }
  status unmap(void* p, std::size_t bytes) noexcept { return on_->unmap(ordinal_, p, bytes); }

  [[nodiscard]] sim_machine& machine() const noexcept { return *on_; }
  friend bool operator==(const sim_device&, const sim_device&) = default;

 private:
  [[nodiscard]] stream default_stream(std::uintptr_t handle) noexcept {
    return on_->alone([&] {
      device_error error{};
      return on_->has(ordinal_) ? on_->name_of(on_->slot_of(ordinal_, {handle, 0}, sim_call::identify, error)) : stream{};
    });
  }

  sim_machine* on_;
  int ordinal_;
};

inline sim_device sim_machine::device(int ordinal) noexcept { return {*this, ordinal}; }

static_assert(virtual_device<sim_device>);

}  // namespace v0
}  // namespace tokenheap
