#include <tokenheap/kv/elastic_memory.hpp>

#include <support/catch.hpp>

#include <string>

#include <tokenheap/device/host.hpp>
#include <tokenheap/device/sim.hpp>

using namespace tokenheap;
namespace kv = tokenheap::kv;

namespace {
using memory_type = kv::elastic_memory<sim_device>;
template <class D>
concept can_be_elastic = requires { typename kv::elastic_memory<D>; };
}  // namespace

static_assert(can_be_elastic<sim_device> && !can_be_elastic<host_device>);

TEST_CASE("granules are mapped under the blocks that need them, and go when no block is on them", "[kv][elastic]") {
  sim_machine machine({.capacity = 64 * MiB});
  {
    // blocks of 3 MiB over granules of 2: block 1 lies in granules 1 and 2
    auto opened = memory_type::open(machine.device(), 8, 3 * MiB);
    REQUIRE(opened);
    memory_type& m = *opened;
    CHECK(m.addresses() == 24 * MiB);
    CHECK(m.granules() == 12);
    CHECK(machine.used() == 0);
    CHECK(m.granules_of(1).first == 1);
    CHECK(m.granules_of(1).end == 3);
    REQUIRE(m.map(1));
    m.keep();
    m.enter(1);
    CHECK(m.is_mapped(1));
    CHECK_FALSE(m.is_mapped(0));
    CHECK(machine.used() == 4 * MiB);
    REQUIRE(m.map(0));
    m.undo();
    CHECK(machine.used() == 4 * MiB);
    REQUIRE(m.map(0));
    m.keep();
    m.enter(0);
    CHECK(m.mapped() == 6 * MiB);
    CHECK(m.users(1) == 2);
    CHECK_FALSE(m.has_unused());
    CHECK(m.unmap_unused(GiB) == 0);
    m.leave(1);
    CHECK(m.has_unused());
    CHECK(m.unmap_unused(1) == 2 * MiB);
    CHECK(m.unmap_unused(1) == 0);  // granule 1 is under block 0 as well
    CHECK(m.is_mapped(0));
    CHECK(m.uses() == 2);
    CHECK(m.is_valid());
    memory_type moved(std::move(m));
    CHECK(moved.is_mapped(0));
  }
  CHECK(machine.is_clean());
  CHECK(machine.violations() == 0);
}

TEST_CASE("many blocks on a granule, unmapped from the end and in pieces", "[kv][elastic]") {
  sim_machine machine({.capacity = 64 * MiB});
  auto opened = memory_type::open(machine.device(), 100, 1 * MiB, {.granule = 5 * MiB});
  REQUIRE(opened);
  memory_type& m = *opened;
  CHECK(m.granule_bytes() == 6 * MiB);
  CHECK(m.addresses() == 102 * MiB);
  for (kv::block_id id = 0; id < 30; ++id) REQUIRE(m.map(id));
  m.keep();
  CHECK(machine.calls(sim_call::map) == 5);
  CHECK(machine.used() == 30 * MiB);
  m.enter(13);
  CHECK(m.unmap_unused(7 * MiB) == 12 * MiB);
  CHECK_FALSE(m.is_mapped(18));
  CHECK(m.is_mapped(17));
  CHECK(m.unmap_unused(GiB) == 12 * MiB);
  CHECK(m.is_mapped(13));
  CHECK(m.mapped() == 6 * MiB);
  CHECK(m.is_valid());
}

TEST_CASE("pages that the device does not take back are stuck until it does", "[kv][elastic]") {
  sim_machine machine({.capacity = 64 * MiB});
  {
    auto opened = memory_type::open(machine.device(), 4, 2 * MiB);
    REQUIRE(opened);
    memory_type& m = *opened;
    REQUIRE(m.map(0));
    m.keep();
    machine.fail(sim_call::unmap, 1, device_error::failed);
    CHECK(m.unmap_unused(GiB) == 0);
    CHECK(m.stuck() == 2 * MiB);
    CHECK(m.mapped() == 2 * MiB);
    CHECK_FALSE(m.is_mapped(0));
    CHECK(m.is_stuck(0));
    machine.fail(sim_call::unmap, 1, device_error::failed);
    CHECK_FALSE(m.map(0));
    CHECK(m.map(0));
    CHECK(m.is_mapped(0));
    m.keep();
    CHECK(machine.used() == 2 * MiB);
    // a handle that is not released: its pages are the first to be used again
    machine.fail_always(sim_call::release_pages, device_error::failed);
    REQUIRE(m.map(1));
    m.keep();
    CHECK(m.unmap_unused(GiB) == 4 * MiB);
    CHECK(machine.used() == 2 * MiB);
    REQUIRE(m.map(1));
    m.keep();
    CHECK(machine.used() == 2 * MiB);
    machine.clear_faults();
    CHECK(m.unmap_unused(GiB) == 2 * MiB);
    CHECK(machine.used() == 0);
    CHECK(m.is_valid());
  }
  CHECK(machine.is_clean());
}

TEST_CASE("rows of blocks that no device could hold are refused", "[kv][elastic][bad]") {
  sim_machine machine;
  sim_machine flat({.page_bytes = 0});
  CHECK(memory_type::open(flat.device(), 1, 1).error() == errc::unsupported);
  CHECK(memory_type::open(machine.device(), 0, 1).error() == errc::size_overflow);
  CHECK(memory_type::open(machine.device(), ~std::size_t{0}, 2).error() == errc::size_overflow);
  CHECK(memory_type::open(machine.device(), 1, 1, {.granule = ~std::size_t{0}}).error() == errc::size_overflow);
  machine.fail(sim_call::reserve, 1, device_error::out_of_memory);
  const auto no = memory_type::open(machine.device(), 1, 1);
  CHECK(no.error() == errc::out_of_memory);
  CHECK(std::string(no.why().what) == "bytes of addresses");
  CHECK(machine.is_clean());
}
