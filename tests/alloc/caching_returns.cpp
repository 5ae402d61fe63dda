#include <tokenheap/alloc/caching_returns.hpp>

#include "caching_kit.hpp"

using namespace caching_kit;

// What comes back, pools for captures, and the end.

namespace {

template <class Policy>
constexpr bool is_fixed = Policy::kind_of(memory_class::general) == segment_kind::fixed;

bool is_first(void* first, std::uint64_t id) noexcept { return *static_cast<std::uint64_t*>(first) == id; }

}  // namespace

TEMPLATE_TEST_CASE("C37, S15: what must not come back is named and changes nothing", "[caching]", fixed_policy,
                   growable_policy) {
  rig<TestType> r;
  failure_counter failures;
  const allocation a = r.take(4096);
  const allocation b = r.take(4096);
  r.gpu().deallocate(allocation{});
  r.gpu().deallocate(r.streams[1], allocation{});
  const std::size_t cached = r.gpu().stats().cached_bytes;
  for (std::size_t by = 512; by != 4096; by += 512) r.gpu().deallocate({offset(a.data, by), 512});
  CHECK(failures[errc::interior_pointer] == 7);
  for (const std::size_t wrong : {std::size_t{0}, std::size_t{1}, std::size_t{512}, std::size_t{4095}, std::size_t{4097}})
    r.gpu().deallocate({a.data, wrong});
  CHECK(failures[errc::wrong_size] == 5);
  int local = 0;
  r.gpu().deallocate({&local, 4096});
  CHECK(failures[errc::foreign_pointer] == 1);
  CHECK(r.gpu().stats().cached_bytes == cached);
  CHECK(r.out() == 8192);
  r.give(a);
  r.gpu().deallocate(a);
  r.gpu().deallocate(r.streams[1], a);
  CHECK(failures[errc::double_free] == 2);
  r.give(b);
  r.gpu().deallocate(a);
  r.gpu().deallocate(b);
  CHECK(failures[errc::double_free] == 4);
  CHECK(r.gpu().is_valid());
}

TEMPLATE_TEST_CASE("S15: a pending piece cannot be given back again", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  failure_counter failures;
  const allocation a = r.take(4 * MiB);
  CHECK(r.gpu().record_stream(a, r.streams[1]) == errc::ok);
  r.give(a);
  r.give(a);
  CHECK(failures[errc::double_free] == 1);
  CHECK(r.gpu().record_stream(a, r.streams[2]) == errc::double_free);
  CHECK(r.gpu().stats().pending_bytes == 4 * MiB);
}

TEMPLATE_TEST_CASE("C40: a pool takes the streams of its filter, and its memory stays while it has users", "[caching]",
                   fixed_policy, growable_policy) {
  rig<TestType> r;
  const auto pool = r.gpu().create_pool();
  REQUIRE(pool);
  CHECK(r.gpu().pool_uses(*pool) == 1);
  CHECK(r.gpu().end_pool(*pool) == errc::not_open);
  REQUIRE(r.gpu().begin_pool(*pool, {&is_first, &r.streams[0].id}) == errc::ok);
  CHECK(r.gpu().begin_pool(*pool) == errc::in_use);
  const allocation inside = r.take(4 * MiB, 0);
  const allocation outside = r.take(4 * MiB, 1);
  CHECK(r.gpu().end_pool(*pool) == errc::ok);
  CHECK(r.gpu().end_pool(*pool) == errc::not_open);
  r.give(inside, 0);
  r.give(outside, 1);
  // nobody outside the pool gets its memory
  const allocation after = r.take(4 * MiB, 0);
  CHECK(after.data != inside.data);
  r.give(after, 0);
  r.gpu().trim();
  CHECK(r.reserved() == (is_fixed<TestType> ? 20 : 4) * MiB);
  REQUIRE(r.gpu().begin_pool(*pool, {&is_first, &r.streams[0].id}) == errc::ok);
  const allocation again = r.take(4 * MiB, 0);
  CHECK(again.data == inside.data);
  CHECK(r.gpu().end_pool(*pool) == errc::ok);
  r.give(again, 0);
  CHECK(r.gpu().retain_pool(*pool) == errc::ok);
  CHECK(r.gpu().release_pool(*pool) == errc::ok);
  CHECK(r.gpu().release_pool(*pool) == errc::ok);
  CHECK(r.gpu().release_pool(*pool) == errc::not_open);
  CHECK(r.gpu().trim() != 0);
  CHECK(r.reserved() == 0);
}

TEMPLATE_TEST_CASE("S6: nothing that a capture forbids is called while a pool is open", "[caching]", fixed_policy,
                   growable_policy) {
  sim_machine machine(sim_options{.capacity = 200 * MiB, .allocates_in_capture = true});
  sim_device device = machine.device();
  sim_device::stream streams[3];
  for (auto& s : streams) REQUIRE(device.create_stream(s));
  {
    caching_allocator<sim_device, TestType> gpu(device);
    const allocation used = gpu.allocate(streams[1], 4 * MiB);
    REQUIRE(used);
    CHECK(gpu.record_stream(used, streams[2]) == errc::ok);
    const auto pool = gpu.create_pool();
    REQUIRE(pool);
    REQUIRE(gpu.begin_pool(*pool) == errc::ok);
    REQUIRE(device.begin_capture(streams[0]));
    machine.reset_calls();
    const allocation a = gpu.allocate(streams[0], 40 * MiB);
    REQUIRE(a);
    CHECK(device.launch_write(streams[0], a.data, a.size));
    CHECK(gpu.record_stream(a, streams[1]) == errc::ok);
    gpu.deallocate(streams[0], a);
    gpu.deallocate(streams[1], used);
    CHECK(gpu.trim() == 0);
    CHECK(gpu.stats().pending_bytes == 44 * MiB);
    // too much: it fails without a wait, and the capture goes on
    CHECK_FALSE(gpu.allocate(streams[0], 190 * MiB));
    // pages that came for a request that failed go at once: no work has seen them, and no capture forbids it
    for (const sim_call call : {sim_call::record, sim_call::query_event, sim_call::synchronize_event, sim_call::synchronize_device,
                                sim_call::synchronize_stream, sim_call::deallocate}) {
      INFO(to_text(call));
      CHECK(machine.calls(call) == 0);
    }
    CHECK(device.end_capture(streams[0]));
    CHECK(gpu.end_pool(*pool) == errc::ok);
    CHECK(gpu.stats().num_events == 0);
    machine.complete(streams[1]);
    machine.complete(streams[2]);
    CHECK(gpu.release_pool(*pool) == errc::ok);
    // the first look after the capture records the events that it put off
    gpu.trim();
    CHECK(gpu.stats().num_events == 2);
    CHECK(gpu.stats().pending_bytes == 0);
    CHECK(gpu.is_valid());
  }
  for (auto& s : streams) CHECK(device.destroy_stream(s));
  CHECK(machine.violations() == 0);
  CHECK(machine.is_clean());
}

TEMPLATE_TEST_CASE("S9: the driver is gone before the allocator", "[caching]", fixed_policy, growable_policy) {
  failure_counter failures;
  sim_machine machine;
  sim_device device = machine.device();
  sim_device::stream s{};
  REQUIRE(device.create_stream(s));
  {
    caching_allocator<sim_device, TestType> gpu(device);
    const allocation a = gpu.allocate(s, 4 * MiB);
    const allocation b = gpu.allocate(s, 4 * MiB);
    REQUIRE(a);
    REQUIRE(b);
    gpu.deallocate(s, a);
    machine.unload();
    gpu.deallocate(s, b);
    shortage why{};
    CHECK_FALSE(gpu.allocate(s, device_request{.bytes = 400 * MiB}, &why));
    CHECK(why.code == errc::no_device);
    CHECK(why.device.error == device_error::gone);
    machine.reset_calls();
  }
  // it asks whether the device is there, and leaves the rest alone
  CHECK(machine.device_calls() <= 2);
  CHECK(machine.calls(sim_call::deallocate) + machine.calls(sim_call::unmap) + machine.calls(sim_call::destroy_event) == 0);
}

TEMPLATE_TEST_CASE("S10: a forked child is told so", "[caching]", fixed_policy, growable_policy) {
  failure_counter failures;
  sim_machine machine;
  sim_device device = machine.device();
  sim_device::stream s{};
  REQUIRE(device.create_stream(s));
  {
    caching_allocator<sim_device, TestType> gpu(device);
    const allocation a = gpu.allocate(s, 4 * MiB);
    REQUIRE(a);
    machine.fork_child();
    gpu.deallocate(s, a);
    shortage why{};
    CHECK_FALSE(gpu.allocate(s, device_request{.bytes = 400 * MiB}, &why));
    CHECK(why.code == errc::forked);
    machine.reset_calls();
  }
  CHECK(machine.calls(sim_call::deallocate) + machine.calls(sim_call::unmap) + machine.calls(sim_call::destroy_event) == 0);
}

TEST_CASE("RMM 7: what one thread or one allocator leaves is not stranded with another", "[caching]") {
  sim_machine machine;
  sim_device device = machine.device();
  sim_device::stream s{};
  REQUIRE(device.create_stream(s));
  {
    caching_allocator<sim_device, fixed_policy> one(device);
    {
      caching_allocator<sim_device, fixed_policy> two(device);
      const allocation a = one.allocate(s, 4 * MiB);
      const allocation b = two.allocate(s, 4 * MiB);
      CHECK_FALSE(one.owns(b.data));
      CHECK(two.owns(b.data));
      one.deallocate(s, a);
      two.deallocate(s, b);
      CHECK(machine.used() == 40 * MiB);
    }
    CHECK(machine.used() == 20 * MiB);
  }
  CHECK(machine.used() == 0);
  CHECK(device.destroy_stream(s));
  CHECK(machine.is_clean());
}

TEMPLATE_TEST_CASE("a leak is told at the end, with its bytes", "[caching]", fixed_policy, growable_policy) {
  failure_counter failures;
  {
    rig<TestType> r;
    CHECK(r.take(4 * MiB));
  }
  CHECK(failures[errc::leaked] == 1);
}
