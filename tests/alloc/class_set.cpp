#include <tokenheap/alloc/class_set.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

TEST_CASE("class_set: one, several, all and none", "[class_set]") {
  constexpr class_set two = memory_class::weights | memory_class::kv;
  STATIC_REQUIRE(two.has(memory_class::weights));
  STATIC_REQUIRE(two.has(memory_class::kv));
  STATIC_REQUIRE_FALSE(two.has(memory_class::general));
  STATIC_REQUIRE_FALSE(class_set{}.has(memory_class::general));
  STATIC_REQUIRE(two.without(memory_class::kv) == class_set(memory_class::weights));
  STATIC_REQUIRE((two | memory_class::scratch).has(memory_class::scratch));
  for (std::size_t c = 0; c != memory_classes; ++c) CHECK(class_set::all().has(static_cast<memory_class>(c)));
  CHECK(class_set::all().without(class_set::all()) == class_set{});
}
