#include <tokenheap/core/config.hpp>

#include <support/catch.hpp>

TEST_CASE("the version is 0.1.0, as macro and as value", "[core]") {
  STATIC_REQUIRE(tokenheap::library_version == tokenheap::version{0, 1, 0});
  STATIC_REQUIRE(tokenheap::library_version != tokenheap::version{0, 2, 0});
  STATIC_REQUIRE(TOKENHEAP_VERSION_MAJOR == 0);
  STATIC_REQUIRE(TOKENHEAP_VERSION_MINOR == 1);
  STATIC_REQUIRE(TOKENHEAP_VERSION_PATCH == 0);
}

TEST_CASE("a check above the assert level is not even evaluated", "[core]") {
  int looked = 0;
  TOKENHEAP_CHECK_(TOKENHEAP_ASSERT_LEVEL + 1, ++looked == 0);
  REQUIRE(looked == 0);
  TOKENHEAP_CHECK_(TOKENHEAP_ASSERT_LEVEL, ++looked != 0);
  REQUIRE(looked == 1);
}
