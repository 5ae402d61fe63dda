// What the tests of the caching allocator share: a simulated machine, streams, and policies with one kind of segment.
#pragma once

#include <cstdint>
#include <vector>

#include <support/catch.hpp>
#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/device/sim_lock.hpp>

namespace caching_kit {
using namespace tokenheap;

struct checked_policy : default_caching_policy {
  using lock = sim_lock<>;
  using growth_lock = sim_lock<>;
  using trace = device_ring_trace<trace_shape{.events = 256}>;
};
struct fixed_policy : checked_policy {
  static constexpr segment_kind kind_of(memory_class) noexcept { return segment_kind::fixed; }
};
struct growable_policy : checked_policy {
  static constexpr segment_kind kind_of(memory_class) noexcept { return segment_kind::growable; }
};
template <class Base, borrowing Borrow>
struct borrowing_policy : Base {
  static constexpr borrowing borrow = Borrow;
};

/// A machine, three streams and an allocator; its end demands that nothing raced and nothing was left behind.
template <class Policy>
struct rig {
  using stream = sim_device::stream;

  explicit rig(std::size_t capacity = 8 * GiB, const caching_options& with = {})
      : machine(sim_options{.capacity = capacity, .allocates_in_capture = true}), device(machine.device()) {
    for (stream& s : streams) REQUIRE(device.create_stream(s));
    made = new caching_allocator<sim_device, Policy>(device, with);
  }
  rig(const rig&) = delete;
  rig& operator=(const rig&) = delete;
  ~rig() {
    delete made;
    for (stream& s : streams) CHECK(device.destroy_stream(s));
    CHECK(machine.violations() == 0);
    CHECK(machine.is_clean());
  }

  /// Allocates and writes all of it on the stream, as a kernel would.
  allocation take(std::size_t bytes, std::size_t on = 0, memory_class of = memory_class::general) {
    const allocation a = made->allocate(streams[on], device_request{.bytes = bytes, .of = of});
    if (a) CHECK(device.launch_write(streams[on], a.data, a.size));
    CHECK(made->is_valid());
    return a;
  }
  void give(allocation a, std::size_t on = 0) {
    made->deallocate(streams[on], a);
    CHECK(made->is_valid());
  }
  /// Lets one stream wait for all that another has been given so far.
  void follow(std::size_t waits, std::size_t goes_first) {
    sim_device::event e{};
    REQUIRE(device.create_event(e));
    CHECK(device.record(e, streams[goes_first]));
    CHECK(device.wait(streams[waits], e));
    CHECK(device.destroy_event(e));
  }
  caching_allocator<sim_device, Policy>& gpu() { return *made; }
  std::size_t reserved() { return made->stats().all.reserved_bytes.current; }
  std::size_t out() { return made->stats().all.allocated_bytes.current; }
  std::size_t active() { return made->stats().all.active_bytes.current; }
  std::size_t split() { return made->stats().all.inactive_split_bytes.current; }

  sim_machine machine;
  sim_device device;
  stream streams[3];
  caching_allocator<sim_device, Policy>* made = nullptr;
};

/// Counts the failures that a test provokes instead of printing them.
struct failure_counter {
  failure_counter() : before(set_failure_handler([](const failure& f) noexcept { ++seen()[static_cast<std::size_t>(f.code)]; })) {
    for (std::size_t& n : seen()) n = 0;
  }
  ~failure_counter() { set_failure_handler(before); }
  [[nodiscard]] std::size_t operator[](errc code) const { return seen()[static_cast<std::size_t>(code)]; }
  static std::size_t (&seen())[32] {
    static std::size_t counts[32];
    return counts;
  }
  failure_handler before;
};

}  // namespace caching_kit
