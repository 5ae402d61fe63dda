#include <tokenheap/source/vmm.hpp>

#include <support/catch.hpp>
#include <support/recorder.hpp>
#include <support/verdict.hpp>

#include <cstring>
#include <type_traits>

#include <tokenheap/check/contract.hpp>
#include <tokenheap/device/host.hpp>
#include <tokenheap/device/sim.hpp>

using namespace tokenheap;

namespace {
using sim_vmm = vmm_source<sim_device>;
template <class D>
concept can_be_mapped = requires { typename vmm_source<D>; };
}  // namespace

static_assert(source<sim_vmm> && growable<sim_vmm> && owner<sim_vmm> && self_checking<sim_vmm>);
static_assert(!cpu_accessible<sim_vmm>);
static_assert(can_be_mapped<sim_device> && !can_be_mapped<host_device>);

TEST_CASE("mapped memory keeps the contract of sources") {
  sim_machine machine({.capacity = 64 * GiB});
  {
    sim_vmm s({.device = machine.device(), .room = 16 * MiB});
    REQUIRE_CONTRACT(check_source(s, {.rounds = 300}));
    CHECK(s.mapped() == 0);
  }
  CHECK(machine.is_clean());
  CHECK(machine.violations() == 0);
}

TEST_CASE("a piece grows where it lies, page by page, and one access call covers a growth") {
  sim_machine machine({.capacity = GiB});
  sim_vmm s({.device = machine.device(), .room = 256 * MiB, .step = 64 * MiB});
  allocation a = s.allocate(100 * MiB);
  REQUIRE(a.size == 100 * MiB);
  CHECK(machine.used() == 100 * MiB);
  CHECK(machine.calls(sim_call::create_pages) == 2);
  CHECK(machine.calls(sim_call::set_access) == 1);
  void* const start = a.data;
  REQUIRE(s.try_grow(a, 101 * MiB));
  CHECK(a.data == start);
  CHECK(a.size == 102 * MiB);
  CHECK(machine.used() == 102 * MiB);
  CHECK(machine.calls(sim_call::set_access) == 2);
  CHECK_FALSE(s.try_grow(a, 257 * MiB));
  CHECK(s.last_failure().code == errc::too_large);
  CHECK(s.last_failure().limit == 256 * MiB);
  CHECK(a.size == 102 * MiB);
  sim_stream stream;
  REQUIRE(machine.device().create_stream(stream));
  CHECK(machine.device().launch_write(stream, a.data, a.size));
  CHECK(machine.violations() == 0);
  s.deallocate(a);
  CHECK(machine.used() == 0);
  CHECK(machine.live_reservations() == 0);
  CHECK(machine.violations() == 0);
  REQUIRE(machine.device().destroy_stream(stream));
}

TEST_CASE("trim gives whole handles back behind what is kept") {
  sim_machine machine({.capacity = GiB});
  sim_vmm s({.device = machine.device(), .room = 256 * MiB, .step = 32 * MiB});
  allocation a = s.allocate(128 * MiB);
  CHECK(s.trim(a, 70 * MiB) == 32 * MiB);
  CHECK(a.size == 96 * MiB);
  CHECK(machine.used() == 96 * MiB);
  CHECK(s.trim(a, 70 * MiB) == 0);
  CHECK(s.trim(a, 0) == 64 * MiB);
  CHECK(a.size == 32 * MiB);
  CHECK(s.try_grow(a, 64 * MiB));
  CHECK(machine.used() == 64 * MiB);
  CHECK(s.is_valid());
  s.deallocate(a);
  CHECK(machine.is_clean());
}

TEST_CASE("each device call of a growth can fail: all is undone and the retry succeeds") {
  for (const sim_call call : {sim_call::reserve, sim_call::create_pages, sim_call::map, sim_call::set_access})
    for (std::size_t nth = 1; nth != 4; ++nth)
      for (const device_error error : {device_error::out_of_memory, device_error::failed, device_error::invalid_value}) {
        CAPTURE(to_text(call), nth, to_text(error));
        sim_machine machine({.capacity = GiB});
        {
          sim_vmm s({.device = machine.device(), .room = 64 * MiB, .step = 4 * MiB});
          machine.fail(call, nth, error);
          allocation a = s.allocate(12 * MiB);
          if (!a) {
            CHECK(s.last_failure().code == to_errc(error));
            CHECK(machine.is_clean());
            a = s.allocate(12 * MiB);
          }
          REQUIRE(a.size == 12 * MiB);
          const std::size_t before = a.size;
          if (!s.try_grow(a, 24 * MiB)) {
            CHECK(a.size == before);
            CHECK(machine.used() == before);
            CHECK(s.is_valid());
            CHECK(s.try_grow(a, 24 * MiB));
          }
          CHECK(machine.used() == 24 * MiB);
          machine.clear_faults();
          s.deallocate(a);
        }
        CHECK(machine.is_clean());
        CHECK(machine.violations() == 0);
      }
}

TEST_CASE("pages do not go while the device may use them, nor when it refuses to wait") {
  sim_machine machine({.capacity = GiB});
  sim_device d = machine.device();
  sim_vmm s({.device = d});
  sim_stream stream;
  REQUIRE(d.create_stream(stream));
  const allocation a = s.allocate(4 * MiB);
  REQUIRE(d.launch_write(stream, a.data, a.size));
  machine.fail(sim_call::synchronize_device, 1, device_error::capture_refused);
  s.deallocate(a);
  CHECK(s.owns(a.data));
  CHECK(machine.used() == 4 * MiB);
  s.deallocate(a);
  CHECK(machine.used() == 0);
  CHECK(machine.violations() == 0);
  REQUIRE(d.destroy_stream(stream));
}

TEST_CASE("misuse of mapped memory is named and unmaps nothing") {
  sim_machine machine({.capacity = GiB});
  sim_vmm s({.device = machine.device()});
  allocation a = s.allocate(4 * MiB);
  support::recorder seen;
  s.deallocate({offset(a.data, 2 * MiB), 2 * MiB});
  CHECK(seen.last().code == errc::interior_pointer);
  s.deallocate({a.data, 5});
  CHECK(seen.last().code == errc::wrong_size);
  allocation other{reinterpret_cast<void*>(std::uintptr_t{4096}), 2 * MiB};
  CHECK_FALSE(s.try_grow(other, 4 * MiB));
  CHECK(seen.last().code == errc::foreign_pointer);
  CHECK(s.trim(other, 0) == 0);
  CHECK(seen.count() == 4);
  CHECK(machine.used() == 4 * MiB);
  s.deallocate(a);
}

TEST_CASE("a device that cannot map says so") {
  sim_machine machine({.page_bytes = 0});
  sim_vmm s({.device = machine.device()});
  CHECK_FALSE(s.can_map());
  CHECK_FALSE(s.allocate(4096));
  CHECK(s.last_failure().code == errc::unsupported);
}

TEST_CASE("what is still out at the end goes back, also when the driver is gone") {
  sim_machine machine({.capacity = GiB});
  {
    sim_vmm s({.device = machine.device()});
    REQUIRE(s.allocate(4 * MiB));
    REQUIRE(s.allocate(6 * MiB));
  }
  CHECK(machine.is_clean());
  sim_vmm late({.device = machine.device()});
  REQUIRE(late.allocate(4 * MiB));
  machine.unload();
}
