#include <tokenheap/check/explore_options.hpp>

#include <support/catch.hpp>

#include <set>

using namespace tokenheap;

TEST_CASE("every call has four different errors to fail with, none of them an answer", "[check]") {
  for (unsigned k = 0; k != sim_calls; ++k) {
    const fault_list list = usual_faults(static_cast<sim_call>(k));
    INFO(to_text(static_cast<sim_call>(k)));
    CHECK(list.count == 4);
    CHECK(std::set<device_error>(list.errors, list.errors + list.count).size() == 4);
    for (const device_error e : list.errors) CHECK((e != device_error::ok && e != device_error::not_ready));
  }
  static_assert(usual_faults(sim_call::allocate).errors[0] == device_error::out_of_memory);
}

TEST_CASE("a report is good only if all was run and nothing broke", "[check]") {
  explore_report r;
  CHECK_FALSE(r);
  r.schedules = 3;
  CHECK_FALSE(r);
  r.complete = true;
  CHECK(r);
  r.violations = 1;
  CHECK_FALSE(r);
}
