#include <tokenheap/device/sim_violation.hpp>

#include <support/catch.hpp>

#include <set>
#include <string>

using namespace tokenheap;

namespace {

std::string line(const sim_violation& v) {
  char text[256];
  const std::size_t length = describe(v, text, sizeof text);
  REQUIRE(length == std::string(text).size());
  return text;
}

}  // namespace

TEST_CASE("a finding is one line that says who was there first and second", "[device]") {
  const sim_party kernel{static_cast<std::uint8_t>(sim_call::launch), false, true, 0, 3};
  const sim_party copy{static_cast<std::uint8_t>(sim_call::copy), false, false, 1, 4};
  REQUIRE(line({sim_wrong::race, 0x2000, 512, kernel, copy}) ==
          "race at 0x2000, 512 bytes: launch writes on stream 3 of device 0; then copy reads on stream 4 of device 1");
  const sim_party program{sim_host_access, true, true, 0, 7};
  REQUIRE(line({sim_wrong::host_on_device, 0x10, 1, {}, program}) ==
          "host on device at 0x10, 1 bytes: the program writes on host thread 7");
  const sim_party record{static_cast<std::uint8_t>(sim_call::record), true, false, 0, 1};
  REQUIRE(line({sim_wrong::dead_event, 0, 0, {}, record}) == "dead event: record on host thread 1");
}

TEST_CASE("a line is cut where the buffer ends", "[device]") {
  char text[8];
  REQUIRE(describe({sim_wrong::freed_memory, 1, 1, {}, {}}, text, sizeof text) == 7);
  REQUIRE(std::string(text) == "freed m");
}

TEST_CASE("every kind of finding has a name of its own", "[device]") {
  std::set<std::string> names;
  const auto last = static_cast<unsigned>(sim_wrong::call_in_child);
  for (unsigned k = 0; k <= last; ++k) names.insert(to_text(static_cast<sim_wrong>(k)));
  REQUIRE(names.size() == last + 1);
}
