// The calls of a simulated machine that touch memory, and the rules of who may touch what.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <tokenheap/device/sim_paging.hpp>

namespace tokenheap {
inline namespace v0 {

/// Bytes that a kernel reads or writes.
struct sim_access {
  /// Whether bytes are read or written.
  enum kind : std::uint8_t { read, write };

  const void* address = nullptr;
  std::size_t bytes = 0;
  kind how = read;
};

/// The calls of a machine that put work into streams.
///
/// Work runs when it is put into its stream, which is one of the orders that a real device could take; what other
/// orders could do is what the clocks say.
///
/// Threads   safe
class sim_work : public sim_paging {
 public:
  using sim_paging::sim_paging;

  device_status copy(int ordinal, void* to, const void* from, std::size_t bytes, const sim_stream& s) noexcept {
    const sim_gate gate(*this, sim_call::copy, ordinal);
    toucher who;
    const device_error error = start(gate, sim_call::copy, ordinal, s, who);
    if (error != device_error::ok || who.captured || bytes == 0) return sim_status(error);
    if (to == nullptr || from == nullptr) return sim_status(device_error::invalid_value);
    const place source = touch_any(who, from, bytes, false);
    const place target = touch_any(who, to, bytes, true);
    if (source != place::nowhere && target != place::nowhere && source != place::numbers && target != place::numbers) {
      std::memmove(to, from, bytes);
    }
    // into pageable memory the driver copies while the caller waits; out of it, it has read when the call returns
    if (target == place::pageable) learn(order.self(), *who.clock);
    return {};
  }
  device_status fill(int ordinal, void* to, unsigned char byte, std::size_t bytes, const sim_stream& s) noexcept {
    const sim_gate gate(*this, sim_call::fill, ordinal);
    toucher who;
    const device_error error = start(gate, sim_call::fill, ordinal, s, who);
    if (error != device_error::ok || who.captured || bytes == 0) return sim_status(error);
    const place target = touch(who, address_of(to), bytes, true);
    if (target == place::nowhere) return sim_status(device_error::invalid_value);
    if (target == place::real) std::memset(to, byte, bytes);
    return {};
  }
  /// A kernel that touches what it says; it computes nothing.
  device_status launch(int ordinal, const sim_stream& s, const sim_access* accesses, std::size_t count) noexcept {
    const sim_gate gate(*this, sim_call::launch, ordinal);
    toucher who;
    const device_error error = start(gate, sim_call::launch, ordinal, s, who);
    if (error != device_error::ok || who.captured) return sim_status(error);
    for (std::size_t k = 0; k != count; ++k) {
      if (accesses[k].bytes == 0) continue;
      touch(who, address_of(accesses[k].address), accesses[k].bytes, accesses[k].how == sim_access::write);
    }
    return {};
  }
  /// Runs a function of the host in stream order. It may use host memory and locks, and must not call the device.
  device_status call_host(int ordinal, const sim_stream& s, void (*run)(void*) noexcept, void* argument) noexcept {
    sim_gate gate(*this, sim_call::call_host, ordinal);
    toucher who;
    const device_error error = start(gate, sim_call::call_host, ordinal, s, who);
    if (error != device_error::ok || who.captured) return sim_status(error);
    if (run == nullptr) return sim_status(device_error::invalid_value);
    // while it runs, the calling thread is the stream
    const std::uint32_t slot = who.slot;
    const sim_clock before = order.self().clock;
    const std::uint32_t dimension = order.self().dimension;
    order.self().clock = streams[slot].clock;
    order.self().dimension = streams[slot].dimension;
    order.self().in_callback = true;
    gate.without_lock([&] { run(argument); });
    sim_host& host = order.self();
    streams[slot].clock.join(host.clock);
    host.clock = before;
    host.dimension = dimension;
    host.in_callback = false;
    return {};
  }

  /// What the program on the host does to memory without the device: pinned memory is checked, other host memory is not.
  void host_access(const void* p, std::size_t bytes, bool writes) noexcept {
    const locked guard(order.lock());
    if (bytes == 0) return;
    sim_host& host = order.self();
    toucher who;
    who.clock = &host.clock;
    who.now = {host.dimension, host.clock.advance(host.dimension), sim_host_access};
    who.is_host = true;
    touch_any(who, p, bytes, writes);
  }

 private:
  enum class place : std::uint8_t {
    nowhere,   // no memory that may be touched
    numbers,   // memory that is only addresses
    real,      // memory of the machine that holds bytes
    pageable,  // host memory that the machine does not know
  };

  struct toucher {
    sim_epoch now{};
    const sim_clock* clock = nullptr;
    std::uint32_t slot = 0;
    int device = 0;
    bool is_host = false;
    bool captured = false;
  };

  device_error start(const sim_gate& gate, sim_call call, int ordinal, const sim_stream& s, toucher& who) {
    if (!gate) return gate.status().error;
    device_error error{};
    who.slot = slot_of(ordinal, s, call, error);
    if (error != device_error::ok) return error;
    who.device = streams[who.slot].device;
    if (who.device != ordinal && call != sim_call::copy) return device_error::invalid_handle;
    error = capture_work(who.slot, who.captured);
    if (error != device_error::ok || who.captured) return error;
    who.now = enqueue(who.slot, order.self(), call);
    who.clock = &streams[who.slot].clock;
    return device_error::ok;
  }

  place touch_any(const toucher& who, const void* p, std::size_t bytes, bool writes) {
    const std::uintptr_t at = address_of(p);
    if (blocks.over(at) == nullptr && !is_device_address(at)) return place::pageable;
    return touch(who, at, bytes, writes);
  }
  place touch(const toucher& who, std::uintptr_t at, std::size_t bytes, bool writes) {
    if (const sim_block* const b = blocks.over(at)) {
      const std::size_t room = b->begin + b->bytes - at;
      const bool on_device = b->kind == sim_memory_kind::device;
      if (on_device && !may_touch(who, b->device, at, bytes, writes)) return place::nowhere;
      shade(who, at, at, room < bytes ? room : bytes, writes);
      if (room < bytes) return find_nothing(who, sim_wrong::no_memory, at + room, bytes - room, writes);
      return on_device && !options.backed ? place::numbers : place::real;
    }
    while (bytes != 0) {
      sim_mapping* const m = mapping_over(at);
      if (m == nullptr) {
        const bool gone_before = was_device_address(at);
        return find_nothing(who, gone_before ? sim_wrong::freed_memory : sim_wrong::no_memory, at, bytes, writes);
      }
      if (!m->open) return find_nothing(who, sim_wrong::no_access, at, bytes, writes);
      if (!may_touch(who, m->device, at, bytes, writes)) return place::nowhere;
      const std::size_t room = m->begin + m->bytes - at;
      const std::size_t here = room < bytes ? room : bytes;
      m->used.set(who.now.dimension, who.now.tick);
      shade(who, place_of(*m) + (at - m->begin), at, here, writes);
      at += here;
      bytes -= here;
    }
    return options.backed ? place::real : place::numbers;
  }
  bool may_touch(const toucher& who, int device, std::uintptr_t at, std::size_t bytes, bool writes) {
    if (who.is_host) return find_nothing(who, sim_wrong::host_on_device, at, bytes, writes), false;
    const bool alien = device != who.device && !options.peers && who.now.call != static_cast<std::uint8_t>(sim_call::copy);
    if (alien) find_nothing(who, sim_wrong::no_access, at, bytes, writes);
    return !alien;
  }
  place find_nothing(const toucher& who, sim_wrong kind, std::uintptr_t at, std::size_t bytes, bool writes) {
    wrong({kind, at, bytes, {}, party(who.now, writes)});
    return place::nowhere;
  }
  // `at` is where the bytes stand in the shadow, `shown` what the program calls them
  void shade(const toucher& who, std::uintptr_t at, std::uintptr_t shown, std::size_t bytes, bool writes) {
    if (!options.race_check) return;
    sim_conflict c;
    const bool clean = writes ? shadow.write(at, bytes, who.now, *who.clock, c) : shadow.read(at, bytes, who.now, *who.clock, c);
    if (clean) return;
    wrong({sim_wrong::race, c.begin - at + shown, c.bytes, party(c.first, c.first_writes), party(who.now, writes)});
  }
};

}  // namespace v0
}  // namespace tokenheap
