// Streams and events of a simulated machine: what is ordered behind what.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <tokenheap/device/sim_core.hpp>
#include <tokenheap/device/sim_states.hpp>

namespace tokenheap {
inline namespace v0 {

/// The streams of all devices of a machine, by slot: first the legacy default streams, then all others.
///
/// The rules of the clocks stand here; the calls that use them are in `sim_ordering`.
class sim_timeline : public sim_core {
 public:
  explicit sim_timeline(const sim_options& chosen) : sim_core(chosen) { set_up(); }

  /// The slot that the driver would act on, by the handle alone; `error` says why there is none.
  [[nodiscard]] std::uint32_t slot_of(int ordinal, const sim_stream& s, sim_call call, device_error& error) {
    std::uint32_t slot = 0;
    if (s.handle == sim_legacy_handle || s.handle == sim_legacy_handle_too) {
      slot = static_cast<std::uint32_t>(ordinal);
    } else if (s.handle == sim_per_thread_handle) {
      slot = per_thread_slot(ordinal);
    } else {
      slot = static_cast<std::uint32_t>(s.handle - sim_first_handle);
      if (slot >= streams.size() || !streams[slot].is_live || streams[slot].handle != s.handle) {
        wrong(sim_wrong::dead_stream, call);
        error = device_error::invalid_handle;
        return 0;
      }
    }
    error = device_error::ok;
    // a driver knows handles alone: it acts on whatever lives there now
    if (s.id != 0 && s.id != streams[slot].id) wrong(sim_wrong::stale_stream, call);
    return slot;
  }
  [[nodiscard]] sim_stream name_of(std::uint32_t slot) const noexcept { return {streams[slot].handle, streams[slot].id}; }

  [[nodiscard]] std::uint32_t add_stream(int ordinal, bool blocking) {
    std::uint32_t slot = static_cast<std::uint32_t>(streams.size());
    if (!free_slots_.empty()) {
      slot = free_slots_.back();
      free_slots_.pop_back();
    } else {
      streams.emplace_back();
    }
    open(slot, ordinal, slot + sim_first_handle, ++last_id_);
    streams[slot].blocking = blocking;
    ++live_streams;
    return slot;
  }
  /// The stream is gone for its owner; its work goes on.
  void remove_stream(std::uint32_t slot) {
    sim_stream_state& s = streams[slot];
    orphans_[static_cast<std::size_t>(s.device)].join(s.clock);
    if (s.blocking) blocking_orphans_[static_cast<std::size_t>(s.device)].join(s.clock);
    if (s.capture != 0) abandon(s.capture, slot);
    s.is_live = false;
    --live_streams;
    if (!options.reuse_handles) return;
    auto at = free_slots_.end();
    while (at != free_slots_.begin() && *(at - 1) < slot) --at;
    free_slots_.insert(at, slot);
  }

  /// The stream's next work waits for what the legacy rules say, as its last work did.
  void gather(std::uint32_t slot) {
    sim_stream_state& s = streams[slot];
    if (!s.blocking) return;
    if (!s.is_legacy()) return s.clock.join(streams[static_cast<std::size_t>(s.device)].clock);
    s.clock.join(blocking_orphans_[static_cast<std::size_t>(s.device)]);
    for (const sim_stream_state& other : streams) {
      if (other.is_live && other.blocking && other.device == s.device) s.clock.join(other.clock);
    }
  }
  /// A host thread puts something into the stream: it comes after all that the thread knows.
  void enter(std::uint32_t slot, const sim_host& host) {
    gather(slot);
    streams[slot].clock.join(host.clock);
  }
  /// The same, for something that touches memory; Returns the access.
  sim_epoch enqueue(std::uint32_t slot, const sim_host& host, sim_call call) {
    enter(slot, host);
    sim_stream_state& s = streams[slot];
    return {s.dimension, s.clock.advance(s.dimension), static_cast<std::uint8_t>(call)};
  }
  /// A host thread has waited, or seen that something is done.
  void learn(sim_host& host, const sim_clock& clock) {
    host.clock.join(clock);
    order.note_done(clock);
  }
  /// A host thread waits for everything that runs on a device.
  void wait_for_device(int ordinal, sim_host& host) {
    for (const sim_stream_state& s : streams) {
      if (s.is_live && s.device == ordinal) learn(host, s.clock);
    }
    learn(host, orphans_[static_cast<std::size_t>(ordinal)]);
  }

  /// True if the use of a legacy default stream would touch a capture, which is then broken.
  [[nodiscard]] bool legacy_forbidden(std::uint32_t slot, bool break_it = true) {
    if (captures.none() || !streams[slot].is_legacy()) return false;
    bool any = false;
    for (const sim_stream_state& s : streams) {
      if (!s.is_live || s.capture == 0 || !s.blocking || s.device != streams[slot].device) continue;
      if (break_it) captures.break_up(s.capture);
      any = true;
    }
    return any;
  }
  /// What a capture makes of work on the stream: ok (`taken` says whether a capture took it), or why it is refused.
  [[nodiscard]] device_error capture_work(std::uint32_t slot, bool& taken) {
    taken = false;
    if (captures.none()) return device_error::ok;
    if (legacy_forbidden(slot)) return device_error::capture_refused;
    sim_stream_state& s = streams[slot];
    if (s.capture == 0) return device_error::ok;
    if (captures.find(s.capture)->broken) return device_error::capture_broken;
    s.captured.advance(s.dimension);
    taken = true;
    return device_error::ok;
  }

  std::vector<sim_stream_state> streams;
  sim_captures captures;
  std::size_t live_streams = 0;  // without default streams

 private:
  // a capture is broken by the loss of a stream, and ends with the one that began it
  TOKENHEAP_COLD void abandon(std::uint64_t capture, std::uint32_t slot) {
    streams[slot].capture = 0;
    captures.break_up(capture);
    const sim_capture* const c = captures.find(capture);
    if (c == nullptr || c->origin != slot) return;
    captures.end(capture);
    for (sim_stream_state& s : streams) {
      if (s.capture == capture) s.capture = 0;
    }
  }
  void set_up() {
    const auto devices = static_cast<std::size_t>(options.devices < 0 ? 0 : options.devices);
    streams.resize(devices);
    orphans_.resize(devices);
    blocking_orphans_.resize(devices);
    last_id_ = devices;
    for (std::size_t d = 0; d != devices; ++d) open(static_cast<std::uint32_t>(d), static_cast<int>(d), sim_legacy_handle, d + 1);
  }
  void open(std::uint32_t slot, int ordinal, std::uintptr_t handle, std::uint64_t id) {
    sim_stream_state& s = streams[slot];
    s.id = id;
    s.handle = handle;
    s.device = ordinal;
    s.is_live = s.blocking = true;
    s.capture = 0;
    s.clock.clear();
    s.captured.clear();
    s.dimension = order.add({false, ordinal, id});
  }
  std::uint32_t per_thread_slot(int ordinal) {
    sim_host& host = order.self();
    const auto d = static_cast<std::size_t>(ordinal);
    if (host.per_thread.size() <= d) host.per_thread.resize(d + 1);
    if (host.per_thread[d] == 0) {
      streams.emplace_back();
      const auto slot = static_cast<std::uint32_t>(streams.size() - 1);
      open(slot, ordinal, sim_per_thread_handle, ++last_id_);
      host.per_thread[d] = slot + 1;
    }
    return host.per_thread[d] - 1;
  }

  std::uint64_t last_id_ = 0;
  std::vector<std::uint32_t> free_slots_;     // the lowest is the last
  std::vector<sim_clock> orphans_;            // by device: the work of streams that were destroyed
  std::vector<sim_clock> blocking_orphans_;
};

}  // namespace v0
}  // namespace tokenheap
