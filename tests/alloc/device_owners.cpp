#include <tokenheap/alloc/device_owners.hpp>

#include <string>

#include <support/catch.hpp>

using namespace tokenheap;

TEST_CASE("device_owners: the first owners are the memory classes", "[alloc]") {
  device_owners<host_source> owners(host_source{});
  REQUIRE(owners.prepare());
  CHECK(owners.count() == memory_classes);
  CHECK(std::string(owners.held(2).name) == "kv");
  CHECK(owners.knows(5));
  CHECK_FALSE(owners.knows(6));
  const auto number = owners.add({.name = "tenant", .hard = 1000, .soft = 500});
  REQUIRE(number);
  CHECK(*number == memory_classes);
}

TEST_CASE("device_owners: room, peaks, and a soft limit that is told once each time it is passed", "[alloc]") {
  device_owners<host_source> owners(host_source{});
  const auto number = owners.add({.name = "tenant", .hard = 1000, .soft = 500});
  REQUIRE(number);
  CHECK(owners.room(*number) == 1000);
  CHECK_FALSE(owners.take(*number, 500));
  CHECK(owners.take(*number, 1));
  CHECK_FALSE(owners.take(*number, 1));
  CHECK(owners.room(*number) == 498);
  owners.give(*number, 500);
  CHECK(owners.held(*number).current == 2);
  CHECK(owners.held(*number).peak == 502);
  CHECK(owners.held(*number).pieces == 2);
  CHECK(owners.total() == 2);
  CHECK(owners.take(*number, 499));
  REQUIRE(owners.set_limits(*number, 100, 50));
  CHECK(owners.room(*number) == 0);
  CHECK_FALSE(owners.set_limits(77, 1, 1));
}
