#include <tokenheap/device/sim_core.hpp>

#include <support/catch.hpp>

#include <string>
#include <vector>

using namespace tokenheap;

namespace {

struct asked {
  std::vector<std::string> steps;
  std::vector<sim_call> calls;
  device_error answer = device_error::ok;
};

}  // namespace

TEST_CASE("a call passes the modes first, then faults", "[device]") {
  sim_core core({});
  core.faults.fail_always(sim_call::record, device_error::failed);
  REQUIRE(sim_gate(core, sim_call::record, 0).status().error == device_error::failed);
  REQUIRE(sim_gate(core, sim_call::wait, 0));
  REQUIRE(sim_gate(core, sim_call::wait, 1).status().error == device_error::no_device);
  REQUIRE(sim_gate(core, sim_call::wait, -1).status().error == device_error::no_device);
  core.forked = true;
  REQUIRE(sim_gate(core, sim_call::record, 0).status().error == device_error::forked);
  REQUIRE(core.violations == 1);
  REQUIRE(core.kept[0].kind == sim_wrong::call_in_child);
  core.gone = true;
  REQUIRE(sim_gate(core, sim_call::record, 0).status().error == device_error::gone);
  REQUIRE(core.violations == 1);
  REQUIRE(core.faults.calls() == 6);
}

TEST_CASE("hooks are asked before each call, without the lock, and can make it fail", "[device]") {
  static sim_core* the_core = nullptr;
  asked a;
  const sim_hooks hooks{
      .user = &a,
      .step =
          [](void* user, const char* what) noexcept {
            const locked free_here(the_core->order.lock());
            static_cast<asked*>(user)->steps.emplace_back(what);
          },
      .fault =
          [](void* user, sim_call call) noexcept {
            static_cast<asked*>(user)->calls.push_back(call);
            return static_cast<asked*>(user)->answer;
          },
  };
  sim_core core({});
  the_core = &core;
  set_sim_hooks(&hooks);
  REQUIRE(sim_gate(core, sim_call::record, 0));
  a.answer = device_error::out_of_memory;
  REQUIRE(sim_gate(core, sim_call::allocate, 0).status() == device_status{device_error::out_of_memory, 2});
  set_sim_hooks(nullptr);
  REQUIRE(a.steps == std::vector<std::string>{"record", "allocate"});
  REQUIRE(a.calls == std::vector<sim_call>{sim_call::record, sim_call::allocate});
}

TEST_CASE("all findings are counted and the first are kept", "[device]") {
  sim_core core({});
  for (std::size_t k = 0; k != 100; ++k) core.wrong(sim_wrong::dead_event, sim_call::record, k);
  REQUIRE(core.violations == 100);
  REQUIRE(core.kept.size() == 64);
  REQUIRE(core.kept[63].address == 63);
}

TEST_CASE("a gate can give the lock up for a while", "[device]") {
  sim_core core({});
  sim_gate gate(core, sim_call::query_event, 0);
  REQUIRE(gate.without_lock([&] {
    const locked free_here(core.order.lock());
    return 42;
  }) == 42);
}
