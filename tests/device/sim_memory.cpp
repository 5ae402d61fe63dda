#include <tokenheap/device/sim_memory.hpp>

#include <support/catch.hpp>

#include <vector>

#include <tokenheap/device/sim.hpp>

using namespace tokenheap;
using enum device_error;

TEST_CASE("memory is given lowest first, aligned, until the capacity is out", "[device]") {
  const bool backed = GENERATE(false, true);
  sim_machine m({.capacity = 64 * KiB, .alignment = 4096, .backed = backed});
  sim_device d = m.device();
  REQUIRE(d.alignment() == 4096);
  void* p[3] = {};
  REQUIRE((d.allocate(1, p[0]) && d.allocate(40 * KiB, p[1])));
  REQUIRE(address_of(p[0]) % 4096 == 0);
  REQUIRE(address_of(p[1]) == address_of(p[0]) + 4096);
  if (!backed) REQUIRE(address_of(p[0]) == std::uintptr_t{0x2000} << 32);
  REQUIRE(m.used() == 44 * KiB);
  device_memory memory;
  REQUIRE((d.memory(memory) && memory.available == 20 * KiB && memory.total == 64 * KiB));
  REQUIRE(d.allocate(20 * KiB + 1, p[2]).error == out_of_memory);
  REQUIRE(d.allocate(~std::size_t{0}, p[2]).error == out_of_memory);
  REQUIRE(d.allocate(0, p[2]).error == invalid_value);
  REQUIRE(p[2] == nullptr);
  // memory is pages: what is free in two places serves one request
  REQUIRE(d.deallocate(p[0]));
  REQUIRE(d.allocate(24 * KiB, p[2]));
  REQUIRE((m.used() == 64 * KiB && m.peak_used() == 64 * KiB && m.live_allocations() == 2));
  REQUIRE((d.deallocate(p[1]) && d.deallocate(p[2]) && d.deallocate(nullptr)));
  REQUIRE((m.used() == 0 && m.is_clean() && m.violations() == 0));
}

TEST_CASE("what is given back wrongly is refused, and nothing changes", "[device]") {
  sim_machine m;
  sim_device d = m.device();
  void* p = nullptr;
  void* pinned = nullptr;
  int x = 0;
  REQUIRE((d.allocate(4096, p) && d.allocate_pinned(64, pinned)));
  const auto expect = [&](device_status s, sim_wrong kind, std::size_t n) {
    REQUIRE(s.error == invalid_value);
    REQUIRE(m.violations() == n);
    REQUIRE(m.violation(n - 1).kind == kind);
  };
  expect(d.deallocate(&x), sim_wrong::foreign_free, 1);
  expect(d.deallocate(offset(p, 512)), sim_wrong::foreign_free, 2);
  expect(d.deallocate(pinned), sim_wrong::foreign_free, 3);
  expect(d.deallocate_pinned(p), sim_wrong::foreign_free, 4);
  expect(d.unregister_host(pinned), sim_wrong::foreign_free, 5);
  REQUIRE((d.deallocate(p) && d.deallocate_pinned(pinned)));
  expect(d.deallocate(p), sim_wrong::double_free, 6);
  REQUIRE(m.is_clean());
}

TEST_CASE("giving memory back waits for its device", "[device]") {
  sim_machine m({.devices = 2});
  sim_device d = m.device();
  sim_stream a;
  void* p = nullptr;
  void* q = nullptr;
  REQUIRE((d.create_stream(a) && d.allocate(512, p) && d.allocate(512, q)));
  REQUIRE(d.launch_write(a, p, 512));
  REQUIRE(d.deallocate(q));
  REQUIRE(d.query(a));
  // what was touched before is forgotten with the memory
  REQUIRE(d.launch_write(a, p, 512));
  REQUIRE((d.deallocate(p) && d.allocate(512, q) && q == p));
  sim_stream b;
  REQUIRE((d.create_stream(b) && d.launch_write(b, q, 512)));
  REQUIRE(m.violations() == 0);
}

TEST_CASE("pinned memory is zeroed, counted, and capped", "[device]") {
  sim_machine m({.pinned_capacity = 1 * MiB});
  sim_device d = m.device();
  void* p = nullptr;
  void* q = nullptr;
  REQUIRE(d.allocate_pinned(1 * MiB - 4096, p));
  REQUIRE(static_cast<unsigned char*>(p)[1 * MiB - 4097] == 0);
  REQUIRE(d.allocate_pinned(4097, q).error == out_of_memory);
  REQUIRE(d.allocate_pinned(0, q).error == invalid_value);
  std::vector<char> host(8192);
  REQUIRE(d.register_host(host.data(), 4097).error == out_of_memory);
  REQUIRE(d.register_host(host.data(), 4096));
  REQUIRE(d.register_host(host.data() + 100, 10).error == invalid_value);
  REQUIRE(d.register_host(nullptr, 10).error == invalid_value);
  REQUIRE((m.pinned_used() == 1 * MiB && m.live_pinned() == 2));
  REQUIRE((d.unregister_host(host.data()) && d.deallocate_pinned(p) && d.deallocate_pinned(nullptr)));
  REQUIRE((m.is_clean() && m.violations() == 0 && q == nullptr));
}

TEST_CASE("pinned memory that is given back waits for all devices; unregistering waits for none", "[device]") {
  sim_machine m({.devices = 2});
  sim_device d = m.device(1);
  sim_stream a;
  void* p = nullptr;
  void* pinned = nullptr;
  std::vector<char> host(64);
  REQUIRE((d.create_stream(a) && d.allocate(512, p) && d.allocate_pinned(64, pinned) && d.register_host(host.data(), 64)));
  REQUIRE(d.copy(p, pinned, 64, a));
  REQUIRE(m.device(0).deallocate_pinned(pinned));
  REQUIRE(d.query(a));
  REQUIRE(d.copy(p, host.data(), 64, a));
  const bool waits = GENERATE(false, true);
  if (waits) REQUIRE(d.synchronize(a));
  REQUIRE(d.unregister_host(host.data()));
  REQUIRE(m.violations() == (waits ? 0 : 1));
  if (!waits) REQUIRE(m.violation().kind == sim_wrong::unmapped_in_use);
}

TEST_CASE("every device has memory of its own", "[device]") {
  sim_machine m({.capacity = 1 * MiB, .devices = 3});
  void* p[3] = {};
  for (int k = 0; k != 3; ++k) REQUIRE(m.device(k).allocate(1 * MiB, p[k]));
  REQUIRE((p[0] < p[1] && p[1] < p[2]));
  for (int k = 0; k != 3; ++k) REQUIRE(m.used(k) == 1 * MiB);
  REQUIRE(m.used(3) == 0);
  // any device can give it back
  REQUIRE(m.device(0).deallocate(p[2]));
  REQUIRE(m.used(2) == 0);
}
