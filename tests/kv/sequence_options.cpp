#include <tokenheap/kv/sequence_options.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

TEST_CASE("sequence_options: a request that says nothing reads the cache and shares within its tenant", "[kv]") {
  constexpr kv::sequence_options plain{};
  STATIC_REQUIRE((plain.read_cache && plain.recompute_last && !plain.partial));
  STATIC_REQUIRE((plain.share == kv::share_scope::tenant && plain.key.tenant == 0));
}
