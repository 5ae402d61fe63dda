#include <tokenheap/adapt/c_tier_symbols.hpp>

#include <support/catch.hpp>

#include <cstring>
#include <random>
#include <vector>

#include "c_kit.hpp"

using namespace tokenheap;
using c_kit::fresh;

namespace {

constexpr std::size_t bytes = 64;

th_tier* open_host(std::uint64_t blocks) {
  auto with = fresh<th_host_tier_options>();
  with.block_bytes = bytes;
  with.blocks = blocks;
  return th_host_tier_open(&with);
}

}  // namespace

TEST_CASE("a chain of C answers every key as a chain of the library does") {
  const unsigned seed = 4;
  CAPTURE(seed);
  std::mt19937 random(seed);
  host_source heap;
  auto near = kv::host_tier<>::open({.block_bytes = bytes, .room = {.blocks = 8}}, heap);
  auto far = kv::host_tier<>::open({.block_bytes = bytes, .room = {.blocks = 24}}, heap);
  REQUIRE((near && far));
  const kv::tier_ref refs[] = {*near, *far};
  auto direct = kv::tier_chain<>::open({.threshold = 2, .write = kv::tier_write::on_eviction}, refs, 2, heap);
  REQUIRE(direct);
  th_tier* below[] = {open_host(8), open_host(24)};
  auto with = fresh<th_chain_options>();
  with.threshold = 2;
  with.write = th_tier_write_on_eviction;
  th_tier* const by_c = th_chain_open(below, 2, &with);
  REQUIRE(by_c != nullptr);

  for (int round = 0; round != 3000; ++round) {
    const std::size_t n = 1 + random() % 3;
    th_block_name names[3];
    kv::tier_key keys[3];
    unsigned char c_bytes[3][bytes], own_bytes[3][bytes];
    th_block_span c_spans[3];
    kv::tier_span own_spans[3];
    for (std::size_t k = 0; k != n; ++k) {
      const std::uint64_t low = random() % 40;
      names[k] = {.hash = {low, 1}, .group = 2, .reserved = 0};
      keys[k] = {low, 1, 2};
      std::memset(c_bytes[k], static_cast<int>(low), bytes);
      std::memset(own_bytes[k], static_cast<int>(low), bytes);
      c_spans[k] = {c_bytes[k], bytes};
      own_spans[k] = {own_bytes[k], bytes};
    }
    std::uint8_t c_answers[3] = {};
    kv::tier_answer own_answers[3] = {};
    std::size_t hits = 0, own_hits = 0;
    switch (random() % 4) {
      case 0:
        REQUIRE(th_tier_lookup(by_c, names, n, c_answers, &hits) == th_ok);
        own_hits = direct->lookup(keys, n, own_answers);
        break;
      case 1:
        REQUIRE(th_tier_load(by_c, names, c_spans, n, c_answers, &hits) == th_ok);
        own_hits = direct->complete_load(direct->prepare_load(keys, own_spans, n), own_answers);
        break;
      case 2:
        REQUIRE(th_tier_remove(by_c, names, 1, &hits) == th_ok);
        own_hits = direct->remove(keys, 1);
        break;
      default:
        REQUIRE(th_tier_store(by_c, names, c_spans, n, c_answers, &hits) == th_ok);
        own_hits = direct->complete_store(direct->prepare_store(keys, own_spans, n), true, own_answers);
    }
    REQUIRE(hits == own_hits);
    for (std::size_t k = 0; k != n; ++k) {
      REQUIRE(c_answers[k] == static_cast<std::uint8_t>(own_answers[k]));
      REQUIRE(std::memcmp(c_bytes[k], own_bytes[k], bytes) == 0);
    }
  }
  const kv::tier_stats own = direct->stats();
  auto now = fresh<th_tier_stats>();
  REQUIRE(th_tier_stats_of(by_c, &now) == th_ok);
  REQUIRE((now.stored == own.stored && now.loaded == own.loaded && now.hits == own.hits && now.misses == own.misses));
  REQUIRE((now.loaded > 100 && now.refused == own.refused && now.refused > 0));
  REQUIRE(th_tier_close(by_c) == th_ok);
  REQUIRE((th_tier_close(below[0]) == th_ok && th_tier_close(below[1]) == th_ok));
}
