#include <tokenheap/alloc/range_nodes.hpp>

#include <support/catch.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;

namespace {
using nodes_type = range_nodes<range_shape{.granularity = 1, .scan = 2}, host_source>;
}

TEST_CASE("range_nodes: splits on the left, merges on both sides", "[range_nodes]") {
  nodes_type nodes{host_source{}};
  REQUIRE(nodes.spare(1));
  const std::uint32_t first = nodes.lay(1000, 300);
  REQUIRE(nodes.spare(1));
  nodes.take(first, 100);
  const std::uint32_t second = nodes.find(100);
  REQUIRE(nodes.spare(1));
  nodes.take(second, 100);
  CHECK(nodes[first].offset == 1000);
  CHECK(nodes[second].offset == 1100);
  CHECK(nodes.available() == 100);
  CHECK(nodes.count() == 3);
  CHECK(nodes.largest() == 100);
  nodes.take_back(first);
  CHECK(nodes.count() == 3);
  CHECK(nodes.is_valid(2));
  nodes.take_back(second);
  CHECK(nodes.count() == 1);
  CHECK(nodes.largest() == 300);
  CHECK(nodes.is_valid(1));
  nodes.lift(first);
  CHECK(nodes.available() == 0);
  CHECK(nodes.largest() == 0);
  CHECK(nodes.is_valid(0));
}

TEST_CASE("range_nodes: a fit hidden behind the scan is found before a refusal", "[range_nodes]") {
  nodes_type nodes{host_source{}};
  // one class, 1024..1039; the only one that is long enough is the last on its list
  REQUIRE(nodes.spare(1));
  const std::uint32_t longest = nodes.lay(1 << 20, 1030);
  for (std::size_t k = 0; k != 5; ++k) {
    REQUIRE(nodes.spare(1));
    nodes.lay(k * 4096, 1024);
  }
  CHECK(nodes.find(1030) == longest);
  CHECK(nodes.find(1031) == nodes.none);
  CHECK(nodes.find(1030, 2) == longest);
  CHECK(nodes.find(1031, 2) == nodes.none);
}

TEST_CASE("range_nodes: the largest is exact after it went and came", "[range_nodes]") {
  nodes_type nodes{host_source{}};
  REQUIRE(nodes.spare(2));
  const std::uint32_t a = nodes.lay(0, 500);
  const std::uint32_t b = nodes.lay(1000, 400);
  nodes.take(a, 500);
  CHECK(nodes.largest() == 400);
  CHECK(nodes.is_valid(1));
  nodes.take(b, 400);
  CHECK(nodes.largest() == 0);
  nodes.take_back(b);
  CHECK(nodes.largest() == 400);
  nodes.take_back(a);
  CHECK(nodes.largest() == 500);
}
