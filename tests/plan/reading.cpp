#include <tokenheap/plan/reading.hpp>

#include <support/catch.hpp>

namespace plan = tokenheap::plan;

TEST_CASE("reading: true until there is a complaint", "[plan]") {
  plan::reading<int> r{.value = 3, .error = {}};
  CHECK(r);
  CHECK(r.value == 3);
  r.error = "config.json: hidden_size is missing";
  CHECK_FALSE(r);
}
