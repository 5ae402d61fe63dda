// The calls of a simulated machine about streams, events and captures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <tokenheap/device/sim_timeline.hpp>

namespace tokenheap {
inline namespace v0 {

/// The calls of a machine that order streams; `sim_device` puts its ordinal in front.
///
/// Threads   safe
class sim_ordering : public sim_timeline {
 public:
  using sim_timeline::sim_timeline;

  device_status create_stream(int ordinal, bool blocking, sim_stream& out) noexcept {
    const sim_gate gate(*this, sim_call::create_stream, ordinal);
    if (!gate) return gate.status();
    out = name_of(add_stream(ordinal, blocking));
    return {};
  }
  device_status destroy_stream(int ordinal, const sim_stream& s) noexcept {
    const sim_gate gate(*this, sim_call::destroy_stream, ordinal);
    if (!gate) return gate.status();
    if (s.handle < sim_first_handle) return sim_status(device_error::invalid_handle);
    device_error error{};
    const std::uint32_t slot = slot_of(ordinal, s, sim_call::destroy_stream, error);
    if (error == device_error::ok) remove_stream(slot);
    return sim_status(error);
  }
  device_status identify(int ordinal, std::uintptr_t handle, sim_stream& out) noexcept {
    const sim_gate gate(*this, sim_call::identify, ordinal);
    if (!gate) return gate.status();
    device_error error{};
    const std::uint32_t slot = slot_of(ordinal, {handle, 0}, sim_call::identify, error);
    if (error == device_error::ok) out = name_of(slot);
    return sim_status(error);
  }

  device_status create_event(int ordinal, sim_event& out) noexcept {
    const sim_gate gate(*this, sim_call::create_event, ordinal);
    if (!gate) return gate.status();
    if (free_events_.empty()) {
      free_events_.push_back(static_cast<std::uint32_t>(events_.size()));
      events_.emplace_back();
    }
    const std::uint32_t k = free_events_.back();
    free_events_.pop_back();
    sim_event_state& e = events_[k];
    e.is_live = true;
    e.recorded = false;
    e.device = ordinal;
    e.capture = 0;
    out = static_cast<sim_event>((std::uint64_t{++e.generation} << 32) | (k + 1));
    ++live_events;
    return {};
  }
  device_status destroy_event(int ordinal, sim_event event) noexcept {
    const sim_gate gate(*this, sim_call::destroy_event, ordinal);
    if (!gate) return gate.status();
    sim_event_state* const e = find(event, sim_call::destroy_event);
    if (e == nullptr) return sim_status(device_error::invalid_handle);
    e->is_live = false;
    free_events_.push_back(static_cast<std::uint32_t>(e - events_.data()));
    --live_events;
    return {};
  }

  device_status record(int ordinal, sim_event event, const sim_stream& s) noexcept {
    const sim_gate gate(*this, sim_call::record, ordinal);
    if (!gate) return gate.status();
    device_error error{};
    const std::uint32_t slot = slot_of(ordinal, s, sim_call::record, error);
    if (error != device_error::ok) return sim_status(error);
    sim_event_state* const e = find(event, sim_call::record);
    if (e == nullptr || e->device != streams[slot].device) return sim_status(device_error::invalid_handle);
    bool taken = false;
    error = capture_work(slot, taken);
    if (error != device_error::ok) return sim_status(error);
    e->recorded = true;
    e->capture = streams[slot].capture;
    if (taken) {
      e->captured = streams[slot].captured;
    } else {
      enter(slot, order.self());
      e->clock = streams[slot].clock;
    }
    return {};
  }
  device_status wait(int ordinal, const sim_stream& s, sim_event event) noexcept {
    const sim_gate gate(*this, sim_call::wait, ordinal);
    if (!gate) return gate.status();
    device_error error{};
    const std::uint32_t slot = slot_of(ordinal, s, sim_call::wait, error);
    if (error != device_error::ok) return sim_status(error);
    const sim_event_state* const e = find(event, sim_call::wait);
    if (e == nullptr) return sim_status(device_error::invalid_handle);
    if (!captures.none() || e->capture != 0) {
      error = capture_wait(slot, *e);
      if (error != device_error::ok || streams[slot].capture != 0) return sim_status(error);
    }
    enter(slot, order.self());
    if (e->recorded) streams[slot].clock.join(e->clock);
    return {};
  }

  device_status synchronize(int ordinal, const sim_stream& s) noexcept {
    const sim_gate gate(*this, sim_call::synchronize_stream, ordinal);
    if (!gate) return gate.status();
    device_error error{};
    const std::uint32_t slot = watch(ordinal, s, sim_call::synchronize_stream, error);
    if (error == device_error::ok) learn(order.self(), streams[slot].clock);
    return sim_status(error);
  }
  device_status query(int ordinal, const sim_stream& s) noexcept {
    sim_gate gate(*this, sim_call::query_stream, ordinal);
    if (!gate) return gate.status();
    device_error error{};
    std::uint32_t slot = watch(ordinal, s, sim_call::query_stream, error);
    if (error != device_error::ok) return sim_status(error);
    const sim_clock asked = streams[slot].clock;
    return answer(gate, asked);
  }
  device_status query_event(int ordinal, sim_event event) noexcept {
    sim_gate gate(*this, sim_call::query_event, ordinal);
    if (!gate) return gate.status();
    device_error error{};
    const sim_event_state* const e = watch(event, sim_call::query_event, error);
    if (error != device_error::ok || !e->recorded) return sim_status(error);
    if (order.is_done(e->clock)) return learn(order.self(), e->clock), device_status{};
    const sim_clock asked = e->clock;
    return answer(gate, asked);
  }
  device_status synchronize_event(int ordinal, sim_event event) noexcept {
    const sim_gate gate(*this, sim_call::synchronize_event, ordinal);
    if (!gate) return gate.status();
    device_error error{};
    const sim_event_state* const e = watch(event, sim_call::synchronize_event, error);
    if (error == device_error::ok && e->recorded) learn(order.self(), e->clock);
    return sim_status(error);
  }
  device_status synchronize(int ordinal) noexcept {
    const sim_gate gate(*this, sim_call::synchronize_device, ordinal);
    if (!gate) return gate.status();
    sim_host& host = order.self();
    if (captures.forbid(host)) return sim_status(device_error::capture_refused);
    wait_for_device(ordinal, host);
    return {};
  }
  device_status current(int ordinal, int& out) noexcept {
    const sim_gate gate(*this, sim_call::current, ordinal);
    if (!gate) return gate.status();
    out = order.self().current;
    return {};
  }

  device_status begin_capture(int ordinal, const sim_stream& s, sim_capture_mode mode) noexcept {
    const sim_gate gate(*this, sim_call::begin_capture, ordinal);
    if (!gate) return gate.status();
    device_error error{};
    const std::uint32_t slot = slot_of(ordinal, s, sim_call::begin_capture, error);
    if (error != device_error::ok) return sim_status(error);
    if (streams[slot].is_legacy() || streams[slot].capture != 0) return sim_status(device_error::capture_refused);
    streams[slot].capture = captures.begin(slot, order.self(), mode).id;
    streams[slot].captured.clear();
    return {};
  }
  device_status end_capture(int ordinal, const sim_stream& s) noexcept {
    const sim_gate gate(*this, sim_call::end_capture, ordinal);
    if (!gate) return gate.status();
    device_error error{};
    const std::uint32_t slot = slot_of(ordinal, s, sim_call::end_capture, error);
    if (error != device_error::ok) return sim_status(error);
    sim_capture* const c = captures.find(streams[slot].capture);
    if (c == nullptr) return sim_status(device_error::invalid_value);
    if (c->mode != sim_capture_mode::relaxed && c->host != order.self().dimension) {
      return sim_status(device_error::capture_refused);
    }
    if (c->origin != slot) return c->broken = true, sim_status(device_error::capture_refused);
    return sim_status(close(*c));
  }
  device_status is_capturing(int ordinal, const sim_stream& s, bool& out) noexcept {
    const sim_gate gate(*this, sim_call::is_capturing, ordinal);
    if (!gate) return gate.status();
    device_error error{};
    const std::uint32_t slot = slot_of(ordinal, s, sim_call::is_capturing, error);
    if (error != device_error::ok) return sim_status(error);
    if (legacy_forbidden(slot, false)) return sim_status(device_error::capture_refused);
    out = streams[slot].capture != 0;
    return {};
  }

  std::size_t live_events = 0;

 private:
  [[nodiscard]] sim_event_state* find(sim_event event, sim_call call) {
    const auto value = static_cast<std::uint64_t>(event);
    const std::size_t k = (value & 0xFFFF'FFFFu) - 1;
    if (k < events_.size() && events_[k].is_live && events_[k].generation == value >> 32) return &events_[k];
    wrong(sim_wrong::dead_event, call);
    return nullptr;
  }

  // a stream that is asked or waited for: neither is allowed in a capture
  std::uint32_t watch(int ordinal, const sim_stream& s, sim_call call, device_error& error) {
    const std::uint32_t slot = slot_of(ordinal, s, call, error);
    if (error != device_error::ok) return slot;
    if (!captures.none()) {
      const std::uint64_t capture = streams[slot].capture;
      // all three break what they concern
      const bool legacy = legacy_forbidden(slot);
      const bool refused = captures.forbid(order.self()) || legacy;
      captures.break_up(capture);
      if (refused || capture != 0) error = device_error::capture_refused;
    }
    if (error == device_error::ok) gather(slot);
    return slot;
  }
  const sim_event_state* watch(sim_event event, sim_call call, device_error& error) {
    sim_event_state* const e = find(event, call);
    error = e == nullptr ? device_error::invalid_handle : device_error::ok;
    if (e == nullptr) return nullptr;
    const bool refused = !captures.none() && captures.forbid(order.self());
    if (e->capture != 0) captures.break_up(e->capture);
    if (refused || e->capture != 0) error = device_error::capture_refused;
    return e;
  }

  // done for certain, open, or decided by whoever schedules
  device_status answer(sim_gate& gate, const sim_clock& asked) {
    if (!order.is_done(asked)) {
      const sim_hooks* const hooks = installed_sim_hooks();
      const bool branch = hooks != nullptr && hooks->is_done != nullptr;
      const bool done = branch && gate.without_lock([&] { return hooks->is_done(hooks->user); });
      if (!done) return sim_status(device_error::not_ready);
    }
    learn(order.self(), asked);
    return {};
  }

  // what a wait does to captures: the stream may become part of one
  device_error capture_wait(std::uint32_t slot, const sim_event_state& e) {
    sim_stream_state& s = streams[slot];
    sim_capture* const own = captures.find(s.capture);
    if (own != nullptr && own->broken) return device_error::capture_broken;
    if (legacy_forbidden(slot)) return device_error::capture_refused;
    if (!e.recorded) return device_error::ok;
    sim_capture* const other = captures.find(e.capture);
    const bool crosses = (e.capture != 0 && other == nullptr) || (own != nullptr && own != other) ||
                         (other != nullptr && s.is_legacy());
    if (crosses) {
      if (own != nullptr) own->broken = true;
      if (other != nullptr) other->broken = true;
      return device_error::capture_refused;
    }
    if (other == nullptr) return device_error::ok;
    if (other->broken) return device_error::capture_broken;
    s.capture = other->id;
    s.captured.join(e.captured);
    return device_error::ok;
  }

  device_error close(const sim_capture& c) {
    const std::uint64_t id = c.id;
    device_error error = c.broken ? device_error::capture_broken : device_error::ok;
    const sim_clock& all = streams[c.origin].captured;
    for (const sim_stream_state& s : streams) {
      // work on another stream that the first one does not wait for
      if (s.capture == id && error == device_error::ok && !all.covers(s.captured)) error = device_error::capture_refused;
    }
    for (sim_stream_state& s : streams) {
      if (s.capture == id) s.capture = 0;
    }
    captures.end(id);
    return error;
  }

  std::vector<sim_event_state> events_;
  std::vector<std::uint32_t> free_events_;
};

}  // namespace v0
}  // namespace tokenheap
