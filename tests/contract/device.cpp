// Every device goes through the suite of its concept. A new device: add a world that makes it to the list.
#include <tokenheap/check/device_contract.hpp>

#include <support/catch.hpp>
#include <support/verdict.hpp>

#include <tuple>

#include <tokenheap/device/sim.hpp>

using namespace tokenheap;

namespace {

// what a device lives in, and what must hold when the suite is through
struct sim_world {
  explicit sim_world(const sim_options& chosen) : machine(chosen) {}
  sim_device device() noexcept { return machine.device(machine.options().devices - 1); }
  [[nodiscard]] device_contract_options with() const noexcept { return {.holds_bytes = machine.options().backed}; }
  [[nodiscard]] bool is_clean() const noexcept { return machine.is_clean() && machine.violations() == 0; }
  sim_machine machine;
};
struct addresses_alone : sim_world {
  addresses_alone() : sim_world({}) {}
};
struct backed : sim_world {
  backed() : sim_world({.capacity = 64 * MiB, .page_bytes = 64 * KiB, .backed = true}) {}
};
struct second_device : sim_world {
  second_device() : sim_world({.alignment = 256, .devices = 2, .reuse_handles = false}) {}
};
struct without_pages : sim_world {
  without_pages() : sim_world({.page_bytes = 0, .race_check = false}) {}
};

using every_world = std::tuple<addresses_alone, backed, second_device, without_pages>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("device contract", "[contract]", every_world) {
  TestType world;
  auto d = world.device();
  REQUIRE_CONTRACT(check_device(d, world.with()));
  REQUIRE(world.is_clean());
}
