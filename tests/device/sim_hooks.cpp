#include <tokenheap/device/sim_hooks.hpp>

#include <support/catch.hpp>

#include <set>
#include <string>

using namespace tokenheap;

TEST_CASE("every call of a simulated device has a name of its own", "[device]") {
  std::set<std::string> names;
  for (unsigned k = 0; k != sim_calls; ++k) names.insert(to_text(static_cast<sim_call>(k)));
  REQUIRE(names.size() == sim_calls);
  REQUIRE(std::string(to_text(sim_call::allocate)) == "allocate");
  REQUIRE(std::string(to_text(sim_call::end_capture)) == "end_capture");
}

TEST_CASE("hooks are installed and taken away", "[device]") {
  const sim_hooks mine;
  REQUIRE(installed_sim_hooks() == nullptr);
  REQUIRE(set_sim_hooks(&mine) == nullptr);
  REQUIRE(installed_sim_hooks() == &mine);
  REQUIRE(set_sim_hooks(nullptr) == &mine);
  REQUIRE(installed_sim_hooks() == nullptr);
}
