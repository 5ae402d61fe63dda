#include <tokenheap/alloc/caching_growth.hpp>

#include "caching_kit.hpp"

using namespace caching_kit;

// What is taken from the device, and when.

namespace {

template <class Policy>
constexpr bool is_fixed = Policy::kind_of(memory_class::general) == segment_kind::fixed;

struct tiny : growable_policy {
  static constexpr caching_shape shape{.granularity = 512, .small_most = 4 * KiB, .small_segment = 4 * KiB,
                                       .large_segment = 16 * KiB, .own_segment = 8 * KiB, .rounding = 2 * KiB,
                                       .extent = 4 * KiB, .subclasses = 4, .scan = 4};
  static constexpr borrowing borrow = borrowing::never;
};

}  // namespace

TEMPLATE_TEST_CASE("C1: a pair on one stream, again and again", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  const allocation first = r.take(1 * MiB);
  r.give(first);
  const allocation again = r.take(1 * MiB);
  CHECK(again.data == first.data);
  CHECK(r.gpu().stats().num_device_alloc == 1);
  CHECK(r.reserved() == 2 * MiB);
  r.give(again);
}

TEMPLATE_TEST_CASE("C32: scratch that grows", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  for (std::size_t size = 100 * MiB; size <= 160 * MiB; size += 4 * MiB) r.give(r.take(size));
  CHECK(r.reserved() == (is_fixed<TestType> ? 2080 : 160) * MiB);
  // 16 segments; or 16 stretches of pages behind one another
  CHECK(r.gpu().stats().num_device_alloc == 16);
  CHECK(r.gpu().stats().all.segment.current == (is_fixed<TestType> ? 16 : 1));
}

TEMPLATE_TEST_CASE("what the device refuses changes nothing", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r(64 * MiB);
  const allocation kept = r.take(20 * MiB);
  for (const sim_call call : {sim_call::allocate, sim_call::reserve, sim_call::create_pages, sim_call::map, sim_call::set_access}) {
    for (const device_error error : {device_error::failed, device_error::invalid_value, device_error::out_of_memory}) {
      r.machine.fail_always(call, error);
      const std::size_t before = r.reserved();
      const allocation a = r.take(4 * MiB, 1);
      r.machine.clear_faults();
      if (a) {
        r.give(a, 1);
        r.gpu().trim();
      } else {
        CHECK(r.reserved() == before);
      }
      CHECK(r.machine.used() == r.reserved());
      CHECK(r.out() == 20 * MiB);
    }
  }
  const allocation a = r.take(4 * MiB, 1);
  CHECK(a);
  r.give(a, 1);
  r.give(kept);
}

TEST_CASE("pages come in one stretch, and the segment of each stream starts at its own address", "[caching]") {
  rig<growable_policy> r;
  const allocation a = r.take(3 * MiB, 0);
  const allocation b = r.take(3 * MiB, 1);
  CHECK(r.gpu().stats().all.segment.current == 2);
  const allocation c = r.take(3 * MiB, 0);
  CHECK(address_of(c.data) == address_of(a.data) + 3 * MiB);
  CHECK(r.reserved() == 10 * MiB);
  CHECK(r.machine.used() == 10 * MiB);
  CHECK(r.machine.live_reservations() == 2);
  r.give(a, 0);
  r.give(b, 1);
  r.give(c, 0);
}

TEST_CASE("a device without pages gets fixed segments", "[caching]") {
  sim_machine machine(sim_options{.capacity = 64 * MiB, .page_bytes = 0});
  sim_device device = machine.device();
  sim_device::stream s{};
  REQUIRE(device.create_stream(s));
  {
    caching_allocator<sim_device, growable_policy> gpu(device);
    const allocation a = gpu.allocate(s, 3 * MiB);
    REQUIRE(a);
    CHECK(gpu.stats().all.reserved_bytes.current == 20 * MiB);
    CHECK(machine.calls(sim_call::reserve) == 0);
    gpu.deallocate(s, a);
  }
  CHECK(device.destroy_stream(s));
  CHECK(machine.is_clean());
}

TEST_CASE("a wait for everything may free what lies ahead of the gap: then the segment grows by less", "[caching]") {
  // found by the exhaustive programs: the request was refused at first, and granted when it was asked again
  sim_machine machine(sim_options{.capacity = 4 * KiB, .page_bytes = 2 * KiB});
  sim_device device = machine.device();
  sim_device::stream one{};
  sim_device::stream two{};
  REQUIRE(device.create_stream(one));
  REQUIRE(device.create_stream(two));
  {
    caching_allocator<sim_device, tiny> gpu(device, {.address_space = 16 * KiB});
    const allocation a = gpu.allocate(one, 1 * KiB);
    REQUIRE(a);
    CHECK_FALSE(gpu.allocate(two, 3 * KiB));
    const allocation b = gpu.allocate(one, 3 * KiB);
    REQUIRE(b);
    CHECK(gpu.stats().all.reserved_bytes.current == 4 * KiB);
    gpu.deallocate(one, a);
    gpu.deallocate(one, b);
  }
  CHECK(device.destroy_stream(one));
  CHECK(device.destroy_stream(two));
  CHECK(machine.violations() == 0);
  CHECK(machine.is_clean());
}
