#include <tokenheap/alloc/caching_sleep.hpp>

#include <support/catch.hpp>

#include <cstring>
#include <optional>
#include <thread>

#include "caching_kit.hpp"

using namespace caching_kit;

namespace {

/// Weights are pieces of 5 MiB with known bytes, KV one piece; memory holds bytes.
struct bedroom {
  using allocator = caching_allocator<sim_device, growable_policy>;

  explicit bedroom(std::size_t capacity = 128 * MiB, const caching_options& with = {})
      : machine(sim_options{.capacity = capacity, .backed = true}), device(machine.device()), gpu(std::in_place, device, with) {
    REQUIRE(device.create_stream(one));
    for (int k = 0; k != 4; ++k) {
      weights[k] = gpu->allocate(one, {.bytes = 5 * MiB, .of = memory_class::weights});
      REQUIRE(weights[k]);
      REQUIRE(device.fill(weights[k].data, byte_of(k), weights[k].size, one));
    }
    kv = gpu->allocate(one, {.bytes = 3 * MiB, .of = memory_class::kv});
    REQUIRE(kv);
    REQUIRE(device.fill(kv.data, 0x77, kv.size, one));
    // a hole in the middle, and a warm piece
    gpu->deallocate(one, weights[1]);
    REQUIRE(gpu->is_valid());
  }
  bedroom(const bedroom&) = delete;
  bedroom& operator=(const bedroom&) = delete;
  ~bedroom() {
    gpu.reset();
    CHECK(device.destroy_stream(one));
    CHECK(machine.violations() == 0);
    CHECK(machine.is_clean());
  }

  static unsigned char byte_of(int k) { return static_cast<unsigned char>(0x10 + k); }
  std::size_t reserved() { return gpu->stats().all.reserved_bytes.current; }
  bool holds(allocation a, unsigned char byte) {
    std::vector<unsigned char> bytes(a.size);
    if (!device.copy(bytes.data(), a.data, a.size, one)) return false;
    for (const unsigned char b : bytes)
      if (b != byte) return false;
    return true;
  }
  bool is_whole() { return holds(weights[0], byte_of(0)) && holds(weights[2], byte_of(2)) && holds(weights[3], byte_of(3)); }
  void give_all() {
    for (int k : {0, 2, 3}) gpu->deallocate(one, weights[k]);
    gpu->deallocate(one, kv);
    CHECK(gpu->is_valid());
    CHECK(gpu->stats().all.allocated_bytes.current == 0);
  }

  sim_machine machine;
  sim_device device;
  std::optional<allocator> gpu;
  sim_device::stream one;
  allocation weights[4], kv;
};

constexpr sim_call asked[] = {sim_call::synchronize_device, sim_call::allocate_pinned, sim_call::create_stream, sim_call::copy,
                              sim_call::synchronize_stream, sim_call::unmap, sim_call::create_pages, sim_call::map,
                              sim_call::set_access};

}  // namespace

TEST_CASE("caching_sleep: contents and addresses come back", "[caching_sleep]") {
  bedroom r;
  const std::size_t before = r.reserved();
  const std::size_t used = r.machine.used();
  const auto gone = r.gpu->sleep(memory_class::weights);
  REQUIRE(gone);
  CHECK(*gone >= 20 * MiB);
  CHECK(r.reserved() == before - *gone);
  CHECK(r.machine.used() == used - *gone);
  CHECK(r.gpu->asleep() == *gone);
  CHECK(r.machine.pinned_used() == 15 * MiB);
  CHECK(r.gpu->is_valid());
  CHECK(r.holds(r.kv, 0x77));
  shortage why{};
  CHECK_FALSE(r.gpu->allocate(r.one, {.bytes = 1 * MiB, .of = memory_class::weights}, &why));
  CHECK(why.code == errc::in_use);
  CHECK(std::string(why.fix) == "wake the class first");
  CHECK_FALSE(r.gpu->try_allocate(r.one, {.bytes = 5 * MiB, .of = memory_class::weights}));
  CHECK_FALSE(r.gpu->would_fit(r.one, {.bytes = 1 * MiB, .of = memory_class::weights}));
  const allocation other = r.gpu->allocate(r.one, {.bytes = 1 * MiB, .of = memory_class::kv});
  CHECK(other);
  r.gpu->deallocate(r.one, other);
  CHECK(r.gpu->trim() != 0);
  const auto again = r.gpu->sleep(memory_class::weights);
  REQUIRE(again);
  CHECK(*again == 0);
  const auto back = r.gpu->wake(memory_class::weights | memory_class::scratch);
  REQUIRE(back);
  CHECK(*back == *gone);
  CHECK(r.gpu->asleep() == 0);
  CHECK(r.machine.pinned_used() == 0);
  CHECK(r.gpu->is_valid());
  CHECK(r.is_whole());
  const allocation hole = r.gpu->allocate(r.one, {.bytes = 5 * MiB, .of = memory_class::weights});
  CHECK(hole.data == r.weights[1].data);
  r.gpu->deallocate(r.one, hole);
  r.give_all();
}

TEST_CASE("caching_sleep: what is given back asleep is free afterwards", "[caching_sleep]") {
  bedroom r;
  failure_counter failures;
  REQUIRE(r.gpu->sleep(class_set::all(), {.keep_contents = false}));
  CHECK(r.reserved() == 0);
  CHECK(r.machine.used() == 0);
  CHECK(r.machine.pinned_used() == 0);
  r.gpu->deallocate(r.one, r.weights[0]);
  r.gpu->deallocate(r.one, r.weights[0]);
  CHECK(failures[errc::double_free] == 1);
  CHECK(r.gpu->is_valid());
  CHECK(r.gpu->stats().all.allocated_bytes.current == 13 * MiB);
  REQUIRE(r.gpu->wake(class_set::all()));
  CHECK(r.gpu->is_valid());
  // the freed piece and the hole behind it are one
  const std::size_t calls = r.machine.calls(sim_call::map);
  r.weights[0] = r.gpu->allocate(r.one, {.bytes = 10 * MiB, .of = memory_class::weights});
  CHECK(r.weights[0]);
  CHECK(r.machine.calls(sim_call::map) == calls);
  CHECK(r.device.launch_write(r.one, r.weights[0].data, r.weights[0].size));
  r.give_all();
}

TEST_CASE("caching_sleep: a piece that another stream uses comes back in its sleep", "[caching_sleep]") {
  bedroom r;
  sim_device::stream two;
  REQUIRE(r.device.create_stream(two));
  REQUIRE(r.gpu->record_stream(r.weights[2], two) == errc::ok);
  r.gpu->deallocate(r.one, r.weights[2]);
  CHECK(r.gpu->stats().pending_bytes == 5 * MiB);
  REQUIRE(r.gpu->sleep(memory_class::weights));
  CHECK(r.machine.pinned_used() == 10 * MiB);
  CHECK(r.gpu->is_valid());
  CHECK(r.gpu->trim() == 0);
  CHECK(r.gpu->stats().pending_bytes == 0);
  CHECK(r.gpu->is_valid());
  REQUIRE(r.gpu->wake(memory_class::weights));
  CHECK(r.holds(r.weights[0], r.byte_of(0)));
  CHECK(r.holds(r.weights[3], r.byte_of(3)));
  r.weights[2] = r.gpu->allocate(r.one, {.bytes = 5 * MiB, .of = memory_class::weights});
  CHECK(r.weights[2]);
  r.give_all();
  CHECK(r.device.destroy_stream(two));
}

TEST_CASE("caching_sleep: an end in the sleep leaves nothing behind", "[caching_sleep]") {
  bedroom r;
  failure_counter failures;
  REQUIRE(r.gpu->sleep(memory_class::weights));
  CHECK(r.machine.pinned_used() != 0);
  r.gpu.reset();
  CHECK(failures[errc::leaked] == 1);
  CHECK(r.machine.live_mappings() == 0);
}

TEST_CASE("caching_sleep: no memory left to wake up with", "[caching_sleep]") {
  bedroom r(32 * MiB);
  const auto gone = r.gpu->sleep(memory_class::weights);
  REQUIRE(gone);
  // scratch takes the place of the weights; idle scratch gives way, used scratch does not
  const allocation scratch = r.gpu->allocate(r.one, {.bytes = 24 * MiB, .of = memory_class::scratch});
  REQUIRE(scratch);
  const auto refused = r.gpu->wake(memory_class::weights);
  CHECK(refused.error() == errc::out_of_memory);
  CHECK(refused.why().need == *gone);
  CHECK(r.gpu->asleep() == *gone);
  CHECK(r.gpu->is_valid());
  r.gpu->deallocate(r.one, scratch);
  REQUIRE(r.gpu->wake(memory_class::weights));
  CHECK(r.is_whole());
  r.give_all();
}

TEST_CASE("caching_sleep: not while a pool is open, not on fixed segments", "[caching_sleep]") {
  bedroom r;
  const auto pool = r.gpu->create_pool();
  REQUIRE(pool);
  REQUIRE(r.gpu->begin_pool(*pool) == errc::ok);
  CHECK(r.gpu->sleep(class_set::all()).error() == errc::in_use);
  CHECK(r.gpu->wake(class_set::all()).error() == errc::in_use);
  REQUIRE(r.gpu->end_pool(*pool) == errc::ok);
  REQUIRE(r.gpu->release_pool(*pool) == errc::ok);
  r.give_all();
  rig<fixed_policy> fixed;
  const allocation a = fixed.take(1 * MiB);
  const auto none = fixed.gpu().sleep(class_set::all());
  REQUIRE(none);
  CHECK(*none == 0);
  const allocation b = fixed.take(1 * MiB);
  CHECK(b);
  fixed.give(a);
  fixed.give(b);
}

TEST_CASE("caching_sleep: a call that fails leaves it awake", "[caching_sleep]") {
  for (const sim_call call : asked) {
    for (std::size_t nth = 1; nth != 4; ++nth) {
      for (const device_error error : {device_error::out_of_memory, device_error::failed}) {
        CAPTURE(to_text(call), nth, to_text(error));
        bedroom r;
        const std::size_t before = r.reserved();
        r.machine.fail(call, nth, error);
        const auto gone = r.gpu->sleep(memory_class::weights | memory_class::kv);
        r.machine.clear_faults();
        CHECK(r.gpu->is_valid());
        if (gone) {
          CHECK(r.reserved() == before - *gone);
          REQUIRE(r.gpu->wake(class_set::all()));
        }
        CHECK(r.reserved() == before);
        CHECK(r.gpu->asleep() == 0);
        CHECK(r.machine.pinned_used() == 0);
        CHECK(r.is_whole());
        CHECK(r.holds(r.kv, 0x77));
        r.give_all();
      }
    }
  }
}

TEST_CASE("caching_sleep: a call that fails leaves it asleep", "[caching_sleep]") {
  for (const sim_call call : asked) {
    for (std::size_t nth = 1; nth != 4; ++nth) {
      for (const device_error error : {device_error::out_of_memory, device_error::failed}) {
        CAPTURE(to_text(call), nth, to_text(error));
        bedroom r;
        const std::size_t before = r.reserved();
        const auto gone = r.gpu->sleep(memory_class::weights | memory_class::kv);
        REQUIRE(gone);
        r.machine.fail(call, nth, error);
        const auto back = r.gpu->wake(class_set::all());
        r.machine.clear_faults();
        CHECK(r.gpu->is_valid());
        if (!back) {
          CHECK(r.reserved() == 0);
          CHECK(r.gpu->asleep() == *gone);
          REQUIRE(r.gpu->wake(class_set::all()));
        }
        CHECK(r.reserved() == before);
        CHECK(r.machine.pinned_used() == 0);
        CHECK(r.is_whole());
        CHECK(r.holds(r.kv, 0x77));
        r.give_all();
      }
    }
  }
}

TEST_CASE("caching_sleep: a device that refuses the way back too", "[caching_sleep]") {
  constexpr sim_call undone[] = {sim_call::create_pages, sim_call::map, sim_call::set_access, sim_call::create_stream,
                                 sim_call::copy};
  for (const sim_call undo : undone) {
    CAPTURE(to_text(undo));
    bedroom r;
    const std::size_t before = r.reserved();
    r.machine.fail(sim_call::unmap, 2, device_error::failed);
    if (undo == sim_call::create_stream || undo == sim_call::copy) {
      // the first ones save, the ones after undo
      const std::size_t first = undo == sim_call::copy ? 4 : 2;
      for (std::size_t nth = first; nth != first + 5; ++nth) r.machine.fail(undo, nth, device_error::failed);
    } else {
      r.machine.fail_always(undo, device_error::failed);
    }
    const auto gone = r.gpu->sleep(memory_class::weights | memory_class::kv);
    r.machine.clear_faults();
    CHECK_FALSE(gone);
    CHECK(r.gpu->is_valid());
    CHECK(r.gpu->asleep() != 0);
    CHECK_FALSE(r.gpu->allocate(r.one, {.bytes = 5 * MiB, .of = memory_class::weights}));
    REQUIRE(r.gpu->wake(class_set::all()));
    CHECK(r.reserved() == before);
    CHECK(r.is_whole());
    CHECK(r.holds(r.kv, 0x77));
    r.give_all();
  }
}

TEST_CASE("caching_sleep: others go on while a class sleeps and wakes", "[caching_sleep]") {
  struct threaded : default_caching_policy {};
  sim_machine machine(sim_options{.capacity = 256 * MiB, .one_host = true});
  sim_device device = machine.device();
  sim_device::stream streams[4];
  for (auto& s : streams) REQUIRE(device.create_stream(s));
  {
    caching_allocator<sim_device, threaded> gpu(device);
    std::size_t refused[4] = {};
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t != 4; ++t) {
      threads.emplace_back([&, t] {
        allocation held[8] = {};
        std::uint32_t seed = static_cast<std::uint32_t>(t) + 1;
        for (int k = 0; k != 1500; ++k) {
          seed = seed * 1664525 + 1013904223;
          allocation& a = held[seed >> 29];
          // two threads use scratch, two only hold weights: these may be asleep
          const bool uses = t < 2;
          const memory_class of = uses ? memory_class::scratch : memory_class::weights;
          const device_request with{.bytes = 512 + (seed >> 8) % (2 * MiB), .of = of};
          gpu.deallocate(streams[t], a);
          shortage why{};
          a = gpu.allocate(streams[t], with, &why);
          if (!a) refused[t] += why.code == errc::in_use;
          if (a && uses) static_cast<void>(device.launch_write(streams[t], a.data, a.size));
        }
        for (const allocation& a : held) gpu.deallocate(streams[t], a);
      });
    }
    std::size_t failed = 0;
    for (int k = 0; k != 60; ++k) {
      failed += !gpu.sleep(memory_class::weights, {.keep_contents = k % 2 == 0});
      failed += !gpu.wake(memory_class::weights);
    }
    for (std::thread& t : threads) t.join();
    CHECK(failed == 0);
    CHECK(refused[0] + refused[1] == 0);
    CHECK(gpu.is_valid());
    CHECK(gpu.stats().all.allocated_bytes.current == 0);
    CHECK(gpu.asleep() == 0);
    const device_stats now = gpu.stats();
    CHECK(now.cached_bytes == now.all.reserved_bytes.current);
  }
  for (auto& s : streams) CHECK(device.destroy_stream(s));
  CHECK(machine.violations() == 0);
  CHECK(machine.is_clean());
}
