#include <tokenheap/device/sim_work.hpp>

#include <support/catch.hpp>

#include <cstring>
#include <vector>

#include <tokenheap/device/sim.hpp>

using namespace tokenheap;
using enum device_error;

namespace {

struct bench {
  sim_machine machine;
  sim_device d = machine.device();
  sim_stream a;
  sim_stream b;
  void* p = nullptr;
  void* pinned = nullptr;

  explicit bench(const sim_options& chosen = {}) : machine(chosen) {
    REQUIRE((d.create_stream(a) && d.create_stream(b) && d.allocate(4096, p) && d.allocate_pinned(4096, pinned)));
  }
  void expect(std::size_t n, sim_wrong kind = sim_wrong::race) const {
    REQUIRE(machine.violations() == n);
    if (n != 0) REQUIRE(machine.violation(n - 1).kind == kind);
  }
};

}  // namespace

TEST_CASE("a copy reads pinned memory late: the host must not write it before the stream is done", "[device]") {
  bench t;
  t.machine.host_writes(t.pinned, 4096);
  REQUIRE(t.d.copy(t.p, t.pinned, 4096, t.a));
  t.machine.host_reads(t.pinned, 4096);
  t.expect(0);
  const bool waits = GENERATE(false, true);
  if (waits) REQUIRE(t.d.synchronize(t.a));
  t.machine.host_writes(t.pinned, 16);
  t.expect(waits ? 0 : 1);
  if (waits) return;
  REQUIRE(t.machine.violation().first.call == static_cast<std::uint8_t>(sim_call::copy));
  REQUIRE((t.machine.violation().second.call == sim_host_access && t.machine.violation().second.is_host));
}

TEST_CASE("a copy writes pinned memory late: the host must not read it before", "[device]") {
  bench t;
  REQUIRE(t.d.copy(t.pinned, t.p, 4096, t.a));
  const bool waits = GENERATE(false, true);
  if (waits) REQUIRE(t.d.synchronize(t.a));
  t.machine.host_reads(t.pinned, 4096);
  t.expect(waits ? 0 : 1);
}

TEST_CASE("registered memory is read late, pageable memory is not", "[device]") {
  bench t;
  std::vector<unsigned char> host(4096);
  const bool registers = GENERATE(false, true);
  if (registers) REQUIRE(t.d.register_host(host.data(), host.size()));
  REQUIRE(t.d.copy(t.p, host.data(), 4096, t.a));
  t.machine.host_writes(host.data(), 4096);
  t.expect(registers ? 1 : 0);
  REQUIRE(t.d.query(t.a).error == not_ready);
}

TEST_CASE("a copy into pageable memory returns when it is done", "[device]") {
  bench t;
  std::vector<unsigned char> host(4096);
  REQUIRE(t.d.launch_write(t.a, t.p, 4096));
  REQUIRE(t.d.copy(host.data(), t.p, 4096, t.a));
  REQUIRE(t.d.query(t.a));
  REQUIRE(t.d.launch_write(t.b, t.p, 4096));
  t.expect(0);
}

TEST_CASE("copies and fills touch what they say, in the order of their stream", "[device]") {
  bench t;
  REQUIRE(t.d.fill(t.p, 7, 2048, t.a));
  REQUIRE(t.d.copy(offset(t.p, 2048), t.p, 2048, t.a));
  REQUIRE(t.d.copy(offset(t.p, 1024), t.p, 2048, t.a));  // over itself
  t.expect(0);
  REQUIRE(t.d.launch_read(t.b, offset(t.p, 3072), 1));
  t.expect(1);
  REQUIRE(t.d.fill(t.p, 7, 0, t.b));
  REQUIRE(t.d.copy(t.p, t.pinned, 0, t.b));
  t.expect(1);
}

TEST_CASE("many streams may read what one has written, and who writes next waits for all", "[device]") {
  bench t;
  sim_event e{};
  REQUIRE(t.d.create_event(e));
  REQUIRE((t.d.launch_write(t.a, t.p, 512) && t.d.record(e, t.a) && t.d.wait(t.b, e)));
  REQUIRE((t.d.launch_read(t.a, t.p, 512) && t.d.launch_read(t.b, t.p, 512)));
  t.expect(0);
  const bool waits = GENERATE(false, true);
  if (waits) REQUIRE((t.d.record(e, t.b) && t.d.wait(t.a, e)));
  REQUIRE(t.d.launch(t.a, {{t.p, 64, sim_access::read}, {t.p, 64, sim_access::write}}));
  t.expect(waits ? 0 : 1);
}

TEST_CASE("memory that is not there is touched by nobody", "[device]") {
  bench t({.devices = 2, .peers = false});
  SECTION("behind the end") {
    REQUIRE(t.d.launch_write(t.a, t.p, 4097));
    t.expect(1, sim_wrong::no_memory);
    REQUIRE((t.machine.violation().address == address_of(t.p) + 4096 && t.machine.violation().bytes == 1));
  }
  SECTION("pageable memory by a kernel") {
    int x = 0;
    REQUIRE(t.d.launch_read(t.a, &x, sizeof x));
    t.expect(1, sim_wrong::no_memory);
    REQUIRE(t.d.fill(&x, 1, sizeof x, t.a).error == invalid_value);
    t.expect(2, sim_wrong::no_memory);
  }
  SECTION("given back") {
    REQUIRE(t.d.deallocate(t.p));
    REQUIRE(t.d.launch_read(t.a, t.p, 1));
    t.expect(1, sim_wrong::freed_memory);
    REQUIRE(t.d.copy(t.pinned, t.p, 1, t.a));
    t.expect(2, sim_wrong::freed_memory);
  }
  SECTION("by the host") {
    t.machine.host_writes(t.p, 1);
    t.expect(1, sim_wrong::host_on_device);
  }
  SECTION("of a device that is no peer; copies may") {
    void* far = nullptr;
    REQUIRE(t.machine.device(1).allocate(512, far));
    REQUIRE(t.d.copy(t.p, far, 512, t.a));
    t.expect(0);
    REQUIRE(t.d.launch_read(t.a, far, 512));
    t.expect(1, sim_wrong::no_access);
  }
}

TEST_CASE("a null pointer cannot be copied", "[device]") {
  bench t;
  REQUIRE(t.d.copy(t.p, nullptr, 1, t.a).error == invalid_value);
  REQUIRE(t.d.copy(nullptr, t.p, 1, t.a).error == invalid_value);
}

TEST_CASE("a peer may touch memory, and is checked as all others", "[device]") {
  bench t({.devices = 2});
  sim_device far = t.machine.device(1);
  sim_stream s;
  REQUIRE(far.create_stream(s));
  REQUIRE(t.d.launch_write(t.a, t.p, 512));
  REQUIRE(far.launch_read(s, t.p, 512));
  t.expect(1);
  // freeing waits for the device of the memory alone
  REQUIRE(far.launch_read(s, t.p, 512));
  REQUIRE(t.d.deallocate(t.p));
  t.expect(3);
}

TEST_CASE("a host callback runs in stream order", "[device]") {
  struct callback {
    sim_machine* machine;
    void* bytes;
    int runs = 0;
  };
  bench t;
  callback c{&t.machine, t.pinned};
  REQUIRE(t.d.copy(t.pinned, t.p, 4096, t.a));
  REQUIRE(t.d.call_host(
      t.a,
      [](void* user) noexcept {
        auto& mine = *static_cast<callback*>(user);
        ++mine.runs;
        mine.machine->host_writes(mine.bytes, 4096);
      },
      &c));
  REQUIRE(c.runs == 1);
  REQUIRE(t.d.copy(t.p, t.pinned, 4096, t.a));
  t.expect(0);
  REQUIRE(t.d.query(t.a).error == not_ready);
  const bool waits = GENERATE(false, true);
  if (waits) REQUIRE(t.d.synchronize(t.a));
  t.machine.host_writes(t.pinned, 1);
  t.expect(waits ? 0 : 1);
}

TEST_CASE("a host callback must not call the device", "[device]") {
  bench t;
  REQUIRE(t.d.call_host(
      t.a, [](void* user) noexcept { (void)static_cast<bench*>(user)->d.synchronize(); }, &t));
  t.expect(1, sim_wrong::call_in_callback);
  REQUIRE(t.d.synchronize());
  REQUIRE(t.d.call_host(t.a, nullptr, nullptr).error == invalid_value);
}

TEST_CASE("memory that is only addresses is never read or written; pinned memory is real", "[device]") {
  bench t;
  REQUIRE(t.d.fill(t.pinned, 42, 4096, t.a));
  REQUIRE(static_cast<unsigned char*>(t.pinned)[4095] == 42);
  REQUIRE(t.d.copy(t.p, t.pinned, 4096, t.a));
  REQUIRE(t.d.fill(t.p, 1, 4096, t.a));
  REQUIRE(t.d.copy(t.pinned, t.p, 4096, t.a));
  REQUIRE(static_cast<unsigned char*>(t.pinned)[4095] == 42);
  unsigned char from[8] = {1, 2, 3};
  unsigned char to[8] = {};
  REQUIRE(t.d.copy(to, from, 8, t.a));
  REQUIRE(std::memcmp(from, to, 8) == 0);
}

TEST_CASE("backed memory holds bytes", "[device]") {
  bench t({.capacity = 16 * MiB, .backed = true});
  auto* const bytes = static_cast<unsigned char*>(t.p);
  REQUIRE((bytes[0] == 0xCD && bytes[4095] == 0xCD));
  unsigned char host[4096];
  REQUIRE(t.d.fill(t.p, 9, 4096, t.a));
  REQUIRE(t.d.copy(host, t.p, 4096, t.a));
  REQUIRE((host[0] == 9 && host[4095] == 9));
  host[100] = 77;
  REQUIRE(t.d.copy(t.p, host, 4096, t.a));
  REQUIRE(t.d.copy(t.pinned, t.p, 4096, t.a));
  REQUIRE(static_cast<unsigned char*>(t.pinned)[100] == 77);
  t.expect(0);
  // a copy out of memory that is gone moves nothing
  REQUIRE(t.d.deallocate(t.p));
  REQUIRE(t.d.copy(host, t.p, 4096, t.a));
  REQUIRE(host[100] == 77);
  t.expect(1, sim_wrong::freed_memory);
}

TEST_CASE("without the race check nothing is a race, and what is not there is still not there", "[device]") {
  bench t({.race_check = false});
  REQUIRE((t.d.launch_write(t.a, t.p, 512) && t.d.launch_write(t.b, t.p, 512)));
  t.expect(0);
  REQUIRE(t.d.launch_write(t.b, offset(t.p, 8192), 512));
  t.expect(1, sim_wrong::no_memory);
}

TEST_CASE("work in a capture does not run", "[device]") {
  bench t;
  REQUIRE(t.d.launch_write(t.a, t.p, 512));
  REQUIRE(t.d.begin_capture(t.b));
  REQUIRE(t.d.launch_write(t.b, t.p, 512));
  REQUIRE(t.d.fill(t.pinned, 1, 16, t.b));
  REQUIRE(t.d.call_host(t.b, [](void*) noexcept { __builtin_trap(); }, nullptr));
  REQUIRE(t.d.end_capture(t.b));
  REQUIRE(static_cast<unsigned char*>(t.pinned)[0] == 0);
  t.expect(0);
}
