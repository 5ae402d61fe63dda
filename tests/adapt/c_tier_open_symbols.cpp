#include <tokenheap/adapt/c_tier_open_symbols.hpp>

#include <support/catch.hpp>

#include <string>

#include <tokenheap/adapt/c_tier_symbols.hpp>

using namespace tokenheap;

namespace {

th_host_tier_options two_blocks() {
  th_host_tier_options with{};
  with.size = sizeof with;
  with.version = TOKENHEAP_C_VERSION;
  with.block_bytes = 64;
  with.blocks = 2;
  return with;
}

}  // namespace

TEST_CASE("a file tier of C keeps its path, and says no in the words of the library") {
  const std::string path = "c_tier_open_symbols.kv";
  th_file_tier_options with{};
  with.size = sizeof with;
  with.version = TOKENHEAP_C_VERSION;
  with.block_bytes = 512;
  with.max_bytes = 4096;
  {
    const std::string given = path;
    with.path = given.c_str();
    REQUIRE(th_file_tier_open(&with) == nullptr);
  }
  REQUIRE(std::string(adapt::c_last_reason().fix) == "set max_bytes to hold 1 to 2^30 - 2 blocks");
  REQUIRE(std::string(adapt::c_last_reason().pool) == "file");
  with.path = path.c_str();
  with.max_bytes = 1 << 20;
  th_tier* const tier = th_file_tier_open(&with);
  REQUIRE(tier != nullptr);
  REQUIRE(th_file_tier_open(&with) == nullptr);  // one process has the file at a time
  REQUIRE(th_tier_close(tier) == th_ok);
  std::remove(path.c_str());
}

TEST_CASE("tiers of C with other block sizes make no chain, and are free again") {
  auto with = two_blocks();
  th_tier* const one = th_host_tier_open(&with);
  with.block_bytes = 128;
  th_tier* const two = th_host_tier_open(&with);
  th_tier* both[] = {one, two};
  REQUIRE(th_chain_open(both, 2, nullptr) == nullptr);
  REQUIRE(std::string(adapt::c_last_reason().fix) == "give tiers with one block size");
  th_tier* const chain = th_chain_open(both, 1, nullptr);
  REQUIRE(chain != nullptr);
  REQUIRE(th_tier_close(one) == th_in_use);
  REQUIRE((th_tier_close(chain) == th_ok && th_tier_close(one) == th_ok && th_tier_close(two) == th_ok));
  REQUIRE(th_chain_open(both, 1, nullptr) == nullptr);
  REQUIRE(adapt::c_last_reason().status == th_stale_handle);
}

#if !TOKENHEAP_C_REDIS
TEST_CASE("a build without Redis says what it lacks") {
  th_redis_tier_options with{};
  with.size = sizeof with;
  with.version = TOKENHEAP_C_VERSION;
  with.name = "far";
  REQUIRE(th_redis_tier_open(&with) == nullptr);
  REQUIRE((adapt::c_last_reason().status == th_unsupported && std::string(adapt::c_last_reason().pool) == "far"));
}
#endif
