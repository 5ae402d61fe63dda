#include <tokenheap/source/pinned.hpp>

#include <support/catch.hpp>
#include <support/recorder.hpp>
#include <support/verdict.hpp>

#include <thread>
#include <vector>

#include <tokenheap/check/contract.hpp>
#include <tokenheap/device/sim.hpp>

using namespace tokenheap;

namespace {
using sim_pinned = pinned_source<sim_device>;
}

TEST_CASE("pinned sources keep the contract, with a device and without, both ways") {
  for (const pinned_by by : {pinned_by::device, pinned_by::pages}) {
    sim_machine machine;
    {
      sim_pinned with({.device = machine.device(), .by = by});
      REQUIRE_CONTRACT(check_source(with, {.rounds = 300}));
      CHECK(with.pinned() == 0);
    }
    CHECK(machine.is_clean());
    CHECK(machine.violations() == 0);
    pinned_source<> without({.by = by});
    REQUIRE_CONTRACT(check_source(without, {.rounds = 300}));
  }
}

TEST_CASE("a device pins exactly what was asked, in one call") {
  sim_machine machine;
  sim_pinned s({.device = machine.device()});
  const allocation a = s.allocate(40 * KiB);
  CHECK(a.size == 40 * KiB);
  CHECK(machine.calls(sim_call::allocate_pinned) == 1);
  CHECK(machine.pinned_used() == 40 * KiB);
  CHECK(s.owns(a.data));
  CHECK_FALSE(s.owns(offset(a.data, a.size)));
  s.deallocate(a);
  CHECK(machine.calls(sim_call::deallocate_pinned) == 1);
  CHECK(machine.pinned_used() == 0);
}

TEST_CASE("pages are touched, then registered, and unregistered before they go") {
  sim_machine machine;
  sim_pinned s({.device = machine.device(), .by = pinned_by::pages, .touch_threads = 4});
  const allocation a = s.allocate(100'000);
  REQUIRE(a);
  CHECK(a.size == align_up(100'000, 4096));
  CHECK(machine.calls(sim_call::register_host) == 1);
  CHECK(machine.calls(sim_call::allocate_pinned) == 0);
  static_cast<unsigned char*>(a.data)[99'999] = 1;
  s.deallocate(a);
  CHECK(machine.calls(sim_call::unregister_host) == 1);
  CHECK(machine.is_clean());
}

TEST_CASE("a node or huge pages make the pages ours to choose") {
  sim_machine machine;
  sim_pinned huge({.device = machine.device(), .huge = huge_pages::transparent});
  const allocation a = huge.allocate(4 * MiB);
  REQUIRE(a);
  CHECK(address_of(a.data) % (2 * MiB) == 0);
  CHECK(machine.calls(sim_call::register_host) == 1);
  huge.deallocate(a);
  sim_pinned nowhere({.device = machine.device(), .node = 1000});
  CHECK_FALSE(nowhere.allocate(4096));
  CHECK(nowhere.last_failure().what == std::string("NUMA node by number"));
  CHECK(machine.is_clean());
}

TEST_CASE("what the device refuses is undone and explained") {
  sim_machine machine;
  for (const pinned_by by : {pinned_by::device, pinned_by::pages}) {
    sim_pinned s({.device = machine.device(), .by = by, .name = "staging"});
    const sim_call call = by == pinned_by::device ? sim_call::allocate_pinned : sim_call::register_host;
    for (const device_error error : {device_error::out_of_memory, device_error::no_device, device_error::failed}) {
      machine.fail(call, 1, error);
      CHECK(s.allocate(8192) == allocation{});
      CHECK(s.last_failure().code == to_errc(error));
      CHECK(s.last_failure().need == 8192);
      CHECK(s.last_failure().pool == std::string("staging"));
      CHECK(s.pinned() == 0);
    }
    const allocation a = s.allocate(8192);
    CHECK(a);
    s.deallocate(a);
  }
  CHECK(machine.is_clean());
}

TEST_CASE("memory that the device will not unpin stays ours, and can be given back later") {
  sim_machine machine;
  for (const pinned_by by : {pinned_by::device, pinned_by::pages}) {
    sim_pinned s({.device = machine.device(), .by = by});
    const allocation a = s.allocate(4096);
    const sim_call call = by == pinned_by::device ? sim_call::deallocate_pinned : sim_call::unregister_host;
    machine.fail(call, 1, device_error::capture_refused);
    s.deallocate(a);
    CHECK(s.last_failure().need == 4096);
    CHECK(s.owns(a.data));
    s.deallocate(a);
    CHECK_FALSE(s.owns(a.data));
    CHECK(s.is_valid());
  }
  CHECK(machine.is_clean());
}

TEST_CASE("a driver that has gone ends pinned memory without a crash") {
  sim_machine machine;
  sim_pinned s({.device = machine.device(), .by = pinned_by::pages});
  const allocation a = s.allocate(4096);
  machine.unload();
  s.deallocate(a);
  CHECK(s.pinned() == 0);
  CHECK_FALSE(s.allocate(4096));
}

TEST_CASE("misuse of pinned memory is named and unpins nothing") {
  sim_machine machine;
  sim_pinned s({.device = machine.device()});
  const allocation a = s.allocate(8192);
  support::recorder seen;
  s.deallocate({offset(a.data, 64), 8192});
  CHECK(seen.last().code == errc::interior_pointer);
  s.deallocate({a.data, 100});
  CHECK(seen.last().code == errc::wrong_size);
  int elsewhere = 0;
  s.deallocate({&elsewhere, 4});
  CHECK(seen.last().code == errc::foreign_pointer);
  CHECK(seen.count() == 3);
  CHECK(machine.calls(sim_call::deallocate_pinned) == 0);
  s.deallocate(a);
  s.deallocate(a);
  CHECK(seen.last().code == errc::foreign_pointer);
  CHECK(machine.calls(sim_call::deallocate_pinned) == 1);
}

TEST_CASE("without a device a lock beyond ulimit -l is refused with the way out") {
  pinned_source<> s({.by = pinned_by::pages});
  const std::size_t limit = linux_calls::lock_limit();
  if (limit == ~std::size_t{0} || ::geteuid() == 0) return;
  CHECK_FALSE(s.allocate(limit + 4096));
  CHECK(s.last_failure().code == errc::limit_reached);
  CHECK(s.last_failure().limit == limit);
}

TEST_CASE("threads share a pinned source") {
  sim_machine machine;
  {
    sim_pinned s({.device = machine.device()});
    std::vector<std::thread> threads;
    for (int t = 0; t != 4; ++t)
      threads.emplace_back([&] {
        for (int k = 0; k != 200; ++k) {
          const allocation a = s.allocate(64 + static_cast<std::size_t>(k));
          if (a) s.deallocate(a);
        }
      });
    for (std::thread& t : threads) t.join();
    CHECK(s.pinned() == 0);
    CHECK(s.is_valid());
  }
  CHECK(machine.is_clean());
}
