#include <tokenheap/policy/none.hpp>

#include <support/catch.hpp>
#include <support/recorder.hpp>

#include <type_traits>

using namespace tokenheap;

TEST_CASE("policies that do nothing take no space and say nothing", "[policy]") {
  STATIC_REQUIRE(std::is_empty_v<no_lock>);
  STATIC_REQUIRE(std::is_empty_v<no_stats>);
  STATIC_REQUIRE(std::is_empty_v<no_limit>);
  STATIC_REQUIRE(std::is_empty_v<no_guard>);
  STATIC_REQUIRE(std::is_empty_v<no_trace>);
  STATIC_REQUIRE(std::is_empty_v<default_policy>);

  const support::recorder seen;
  no_guard{}.on_misuse({.code = errc::double_free});
  REQUIRE(seen.count() == 0);
  REQUIRE(no_limit{}.admit(~std::size_t{0}));
  REQUIRE_FALSE(no_limit{}.relieve(1, true));
}

TEST_CASE("a bundle overrides one choice and keeps the rest", "[policy]") {
  struct own_limit : no_limit {};
  struct bundle : default_policy {
    using limit = own_limit;
  };
  STATIC_REQUIRE(allocator_policy<bundle>);
  STATIC_REQUIRE(std::is_same_v<bundle::limit, own_limit>);
  STATIC_REQUIRE(std::is_same_v<bundle::lock, no_lock>);
}
