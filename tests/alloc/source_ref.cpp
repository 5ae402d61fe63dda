#include <tokenheap/alloc/source_ref.hpp>

#include <support/catch.hpp>
#include <support/sources.hpp>

#include <string_view>
#include <type_traits>

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>

using namespace tokenheap;
using support::counting_source;

TEST_CASE("a reference is two words and passes both calls on", "[alloc]") {
  STATIC_REQUIRE(sizeof(source_ref) == 2 * sizeof(void*));
  STATIC_REQUIRE(std::is_trivially_copyable_v<source_ref>);
  counting_source heap;
  source_ref ref = heap;
  REQUIRE(ref);
  REQUIRE(std::string_view(ref.name()) == "counting");
  const allocation a = ref.allocate(100, 256);
  REQUIRE(address_of(a.data) % 256 == 0);
  REQUIRE(heap.live_bytes == 100);
  source_ref copy = ref;
  REQUIRE(copy == ref);
  copy.deallocate(a);
  REQUIRE(heap.live == 0);
  counting_source other;
  REQUIRE_FALSE(source_ref(other) == ref);
}

TEST_CASE("a reference to nothing gives nothing", "[alloc][bad]") {
  source_ref none;
  REQUIRE_FALSE(none);
  REQUIRE_FALSE(none.allocate(64));
  none.deallocate({});
  int x = 0;
  none.deallocate({&x, sizeof x});
  REQUIRE(std::string_view(none.name()) == "nothing");
  layered<source_ref, arena<>> mem;
  REQUIRE_FALSE(mem.allocate(1));
}

TEST_CASE("a reference keeps its space: host and device do not mix", "[alloc]") {
  using device_ref = basic_source_ref<device_space>;
  STATIC_REQUIRE(std::is_constructible_v<device_ref, support::untouchable_source&>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<source_ref, support::untouchable_source&>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<device_ref, counting_source&>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<source_ref, counting_source>);  // a temporary would not outlive it
  support::failing_source nameless;
  REQUIRE(std::string_view(source_ref(nameless).name()) == "unnamed");
}
