#include <tokenheap/adapt/c.h>

#include <support/catch.hpp>

#include <type_traits>

TEST_CASE("the C header is C++ too: its calls are noexcept, and its handles are types that cannot be mixed up") {
  STATIC_REQUIRE(TOKENHEAP_C_VERSION == 1);
  STATIC_REQUIRE(noexcept(th_source_open(nullptr)));
  STATIC_REQUIRE(noexcept(th_sequence_append(nullptr, nullptr, 0)));
  STATIC_REQUIRE(!std::is_convertible_v<th_pool*, th_source*>);
  STATIC_REQUIRE(std::is_invocable_r_v<th_status, decltype(&th_pool_close), th_pool*>);
}
