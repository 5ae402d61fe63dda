#include <tokenheap/alloc/event_pool.hpp>

#include <support/catch.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;

TEST_CASE("event_pool: what is put is taken again, and there is room for all that were expected", "[alloc]") {
  sim_machine machine;
  sim_device device = machine.device();
  event_pool<sim_device, host_source> pool(host_source{});
  sim_device::event e{};
  CHECK_FALSE(pool.take(e));
  sim_device::event made[100];
  for (auto& m : made) {
    REQUIRE(pool.expect_one());
    REQUIRE(device.create_event(m));
  }
  CHECK(pool.size() == 0);
  for (const auto& m : made) pool.put(m);
  CHECK(pool.size() == 100);
  std::size_t taken = 0;
  for (; pool.take(e); ++taken) CHECK(device.destroy_event(e));
  CHECK(taken == 100);
  CHECK(machine.live_events() == 0);
  CHECK(machine.violations() == 0);
}
