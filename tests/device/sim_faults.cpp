#include <tokenheap/device/sim_faults.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

TEST_CASE("the nth call fails once", "[device]") {
  sim_faults f;
  f.fail(sim_call::record, 3, device_error::failed);
  f.fail(sim_call::record, 1, device_error::gone);
  REQUIRE(f.note(sim_call::record) == device_error::gone);
  REQUIRE(f.note(sim_call::wait) == device_error::ok);
  REQUIRE(f.note(sim_call::record) == device_error::ok);
  REQUIRE(f.note(sim_call::record) == device_error::failed);
  REQUIRE(f.note(sim_call::record) == device_error::ok);
}

TEST_CASE("the 0th call is the next one", "[device]") {
  sim_faults f;
  f.fail(sim_call::copy, 0, device_error::failed);
  REQUIRE(f.note(sim_call::copy) == device_error::failed);
  REQUIRE(f.note(sim_call::copy) == device_error::ok);
}

TEST_CASE("two faults for the same call are used up together; the older one is the answer", "[device]") {
  sim_faults f;
  f.fail(sim_call::copy, 1, device_error::failed);
  f.fail(sim_call::copy, 1, device_error::gone);
  REQUIRE(f.note(sim_call::copy) == device_error::failed);
  REQUIRE(f.note(sim_call::copy) == device_error::ok);
}

TEST_CASE("a call can fail for ever, until faults are cleared", "[device]") {
  sim_faults f;
  f.fail_always(sim_call::allocate, device_error::out_of_memory);
  for (int k = 0; k != 5; ++k) REQUIRE(f.note(sim_call::allocate) == device_error::out_of_memory);
  REQUIRE(f.note(sim_call::deallocate) == device_error::ok);
  f.clear();
  REQUIRE(f.note(sim_call::allocate) == device_error::ok);
}

TEST_CASE("calls are counted, failed ones too", "[device]") {
  sim_faults f;
  f.fail_always(sim_call::allocate, device_error::out_of_memory);
  for (int k = 0; k != 5; ++k) (void)f.note(sim_call::allocate);
  (void)f.note(sim_call::wait);
  REQUIRE(f.calls(sim_call::allocate) == 5);
  REQUIRE(f.calls(sim_call::wait) == 1);
  REQUIRE(f.calls() == 6);
  f.reset_calls();
  REQUIRE(f.calls() == 0);
  REQUIRE(f.note(sim_call::allocate) == device_error::out_of_memory);
}
