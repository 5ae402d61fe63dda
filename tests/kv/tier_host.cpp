#include <tokenheap/kv/tier_host.hpp>

#include <support/catch.hpp>
#include <support/sources.hpp>

#include "tier_suite.hpp"

using namespace tokenheap;
using namespace tokenheap::kv;
using namespace support;

namespace {

using small_tier = host_tier<counting_source>;
using arc_tier = host_tier<counting_source, memory_copier, tier_arc>;

host_tier_options room_for(std::size_t blocks) { return {.block_bytes = 192, .room = {.blocks = blocks}}; }

}  // namespace

TEST_CASE("a host tier keeps the contract, with either order and any room, and gives its memory back") {
  counting_source from;
  for (const std::size_t blocks : {4u, 7u, 64u}) {
    {
      auto lru = small_tier::open(room_for(blocks), from);
      REQUIRE(lru);
      CHECK(from.live == 1);
      check_tier(*lru);
    }
    auto arc = arc_tier::open(room_for(blocks), from);
    REQUIRE(arc);
    check_tier(*arc);
  }
  CHECK(from.live == 0);
}

TEST_CASE("the least recently used block leaves, and the numbers say so") {
  counting_source from;
  auto t = small_tier::open(room_for(3), from);
  REQUIRE(t);
  store(*t, {key_of(1), key_of(2), key_of(3)});
  load(*t, {key_of(1)});
  CHECK(store(*t, {key_of(4)}) == all(1, tier_answer::hit));
  CHECK(lookup(*t, {key_of(1), key_of(2), key_of(3), key_of(4)}) ==
        std::vector{tier_answer::hit, tier_answer::miss, tier_answer::hit, tier_answer::hit});
  const tier_stats s = t->stats();
  CHECK(s.stored == 4);
  CHECK(s.evicted == 1);
  CHECK(s.blocks == 3);
  CHECK(s.adds_up());
}

TEST_CASE("a batch larger than the tier never pushes its own keys out: the rest is asked to retry") {
  counting_source from;
  auto t = small_tier::open(room_for(2), from);
  REQUIRE(t);
  CHECK(store(*t, {key_of(1), key_of(2), key_of(3)}) == std::vector{tier_answer::hit, tier_answer::hit, tier_answer::retry});
  CHECK(lookup(*t, {key_of(1), key_of(2), key_of(3)}) ==
        std::vector{tier_answer::hit, tier_answer::hit, tier_answer::miss});
}

TEST_CASE("a block is pending while it is stored, stays while it is loaded, and cannot be loaded too early") {
  counting_source from;
  auto t = small_tier::open(room_for(2), from);
  REQUIRE(t);
  std::vector<unsigned char> bytes = block_of(key_of(1), 192);
  std::vector<unsigned char> target(192);
  const tier_key keys[2] = {key_of(1), key_of(1)};
  const tier_span spans[2] = {{bytes.data(), 192}, {bytes.data(), 192}};
  const tier_span to{target.data(), 192};
  tier_answer out[2]{};
  const tier_ticket storing = t->prepare_store(keys, spans, 2);
  CHECK(lookup(*t, {key_of(1)}) == all(1, tier_answer::pending));
  CHECK(load(*t, {key_of(1)}) == all(1, tier_answer::miss));
  CHECK(t->remove(keys, 1) == 0);
  CHECK(t->stats().storing == 1);
  CHECK(t->complete_store(storing, true, out) == 1);
  CHECK(out[1] == tier_answer::pending);

  const tier_ticket loading = t->prepare_load(keys, &to, 1);
  CHECK(t->remove(keys, 1) == 0);
  CHECK(store(*t, {key_of(2)}) == all(1, tier_answer::hit));
  CHECK(store(*t, {key_of(3)}) == all(1, tier_answer::hit));  // 2 leaves, not the older 1
  CHECK(lookup(*t, {key_of(1), key_of(2)}) == std::vector{tier_answer::hit, tier_answer::miss});
  CHECK(t->is_valid());
  CHECK(t->complete_load(loading, out) == 1);
  CHECK(t->remove(keys, 1) == 1);
}

TEST_CASE("between its two marks a tier evicts in one go") {
  counting_source from;
  auto t = small_tier::open({.block_bytes = 192, .room = {.blocks = 10, .high = 8, .low = 4}}, from);
  REQUIRE(t);
  for (std::uint64_t n = 0; n != 8; ++n) store(*t, {key_of(n)});
  CHECK(t->stats().blocks == 8);
  store(*t, {key_of(8)});
  CHECK(t->stats().blocks == 5);
  CHECK(t->stats().evicted == 4);
  CHECK(t->is_valid());
}

TEST_CASE("more batches than room for them are refused, and nothing has happened") {
  counting_source from;
  auto t = small_tier::open({.block_bytes = 192, .room = {.blocks = 4}, .batches = 1}, from);
  REQUIRE(t);
  std::vector<unsigned char> bytes = block_of(key_of(1), 192);
  const tier_key key = key_of(1);
  const tier_span span{bytes.data(), 192};
  tier_answer out{};
  const tier_ticket first = t->prepare_store(&key, &span, 1);
  const tier_stats before = t->stats();
  CHECK(!t->prepare_store(&key, &span, 1));
  CHECK(t->stats().stores == before.stores);
  CHECK(t->complete_store(first, true, &out) == 1);
  CHECK(t->prepare_load(&key, &span, 1));
}

TEST_CASE("a host tier that cannot be says why, and keeps nothing") {
  failing_source none({.after = 0});
  const auto empty = host_tier<failing_source>::open({}, none);
  CHECK(empty.error() == errc::invalid_argument);
  const auto huge = host_tier<failing_source>::open({.block_bytes = ~std::size_t{0} / 2, .room = {.blocks = 4}}, none);
  CHECK(huge.error() == errc::size_overflow);
  const auto refused = host_tier<failing_source>::open(room_for(4), none);
  CHECK(refused.error() == errc::out_of_memory);
  CHECK(refused.why().need == 4 * 192);
}
