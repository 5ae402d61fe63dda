#include <tokenheap/alloc/range.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

TEST_CASE("range: an empty one is false, one at offset 0 is not", "[range]") {
  CHECK_FALSE(range{});
  CHECK(range{.offset = 0, .node = 1, .generation = 1});
  CHECK(range{.offset = 0, .node = 1, .generation = 1} != range{.offset = 0, .node = 1, .generation = 3});
  CHECK(sizeof(range) == 16);
}

TEST_CASE("range: fragmentation is the share that one request cannot have", "[range]") {
  CHECK(range_stats{}.fragmentation() == 0.0);
  CHECK(range_stats{.available = 400, .largest_free = 400}.fragmentation() == 0.0);
  CHECK(range_stats{.available = 400, .largest_free = 100}.fragmentation() == 0.75);
}
