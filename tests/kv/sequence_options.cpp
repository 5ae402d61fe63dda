#include <tokenheap/kv/sequence_options.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

TEST_CASE("sequence_options: a request that says nothing reads the cache and shares within its tenant", "[kv]") {
  constexpr kv::sequence_options plain{};
  STATIC_REQUIRE((plain.read_cache && plain.recompute_last && !plain.partial));
  STATIC_REQUIRE((plain.share == kv::share_scope::tenant && plain.key.tenant == 0));
}

TEST_CASE("sequence_options: the key that is shared follows the scope", "[kv]") {
  kv::sequence_options with{.key = {.adapter = 3, .tenant = 7}};
  CHECK((with.shared_key(9).tenant == 7 && with.shared_key(9).request == 0 && with.shared_key(9).adapter == 3));
  with.share = kv::share_scope::process;
  CHECK((with.shared_key(9).tenant == 0 && with.shared_key(9).request == 0));
  with.share = kv::share_scope::request;
  CHECK((with.shared_key(9).tenant == 7 && with.shared_key(9).request == 9));
  CHECK((with.reusable(0) == 0 && with.reusable(5) == 4));
  with.recompute_last = false;
  CHECK(with.reusable(5) == 5);
  with.read_cache = false;
  CHECK(with.reusable(5) == 0);
}
