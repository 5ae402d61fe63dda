// the same choice as in c_plan_symbols.cpp: functions of one program must agree
#if __has_include(<nlohmann/json.hpp>)
#define TOKENHEAP_C_PLAN 1
#endif
#include <tokenheap/adapt/c_library.hpp>

#include <support/catch.hpp>

#include <vector>

TEST_CASE("one include gives all of the C interface: memory, a pool over it, a request, and what it says in the end") {
  th_source* const heap = th_source_open(nullptr);
  th_pool_options with{};
  with.size = sizeof with;
  with.version = TOKENHEAP_C_VERSION;
  with.blocks = 4;
  with.block_bytes = 256;
  with.source = heap;
  th_pool* const pool = th_pool_open(&with);
  const std::vector<std::uint32_t> prompt(20, 7);
  th_sequence* const one = th_sequence_open(pool, prompt.data(), prompt.size(), nullptr);
  REQUIRE(one != nullptr);
  REQUIRE(th_source_close(heap) == th_in_use);
  REQUIRE(th_pool_close(pool) == th_in_use);
  REQUIRE(th_sequence_close(one) == th_ok);
  REQUIRE(th_pool_close(pool) == th_ok);
  REQUIRE(th_source_close(heap) == th_ok);
  REQUIRE(th_last_error()[0] != '\0');
}
