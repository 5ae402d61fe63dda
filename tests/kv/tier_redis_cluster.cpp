// The Redis tier over three nodes: slots that move, and a node that dies.
#if defined(TOKENHEAP_HAS_REDIS)
#include <tokenheap/kv/tier_redis.hpp>
#endif

#include <support/catch.hpp>

#if defined(TOKENHEAP_HAS_REDIS)

#include <algorithm>

#include "redis_kit.hpp"
#include "tier_suite.hpp"

using namespace tokenheap::kv;
using namespace support;

namespace {

constexpr std::size_t block = 5000;
constexpr tier_limits patient{.shared = true, .patience = 100'000'000};

std::string name_of(std::uint64_t n) {
  redis_names names;
  REQUIRE(names.open("tokenheap", {}, block));
  char out[redis_names::most + 1];
  names.write(key_of(n), out);
  return out;
}
std::size_t home_of(std::uint64_t n) {
  const std::string name = name_of(n);
  const std::uint16_t slot = redis_slot(name.data(), name.size());
  return slot < 5461 ? 0 : slot < 10923 ? 1 : 2;
}
std::vector<tier_key> some(std::uint64_t n, std::uint64_t from = 0) {
  std::vector<tier_key> keys;
  for (std::uint64_t k = from; k != from + n; ++k) keys.push_back(key_of(k));
  return keys;
}
std::size_t hits(const std::vector<tier_answer>& got) {
  return static_cast<std::size_t>(std::count(got.begin(), got.end(), tier_answer::hit));
}
redis_tier_options of(const std::string& servers) {
  return {.servers = servers.c_str(), .block_bytes = block, .deadline_ns = 60'000'000'000};
}

}  // namespace

TEST_CASE("a node that dies costs its blocks, never a wrong byte, and comes back", "[kv]") {
  if (no_redis()) std::exit(77);
  redis_trio trio;
  const std::string list = trio.nodes[0]->address() + "," + trio.nodes[1]->address();
  redis_tier_options with = of(list);
  with.breaker = {.failures = 3, .wait_ns = 1'000'000};  // tests do not wait long for a trial
  with.recent_ns = 0;
  auto t = redis_tier<>::open(with);
  REQUIRE(t);
  const std::vector<tier_key> keys = some(60);
  REQUIRE(hits(store(*t, keys, true, patient)) == 60);
  REQUIRE(hits(load(*t, keys, patient)) == 60);
  const std::size_t dead = GENERATE(std::size_t{0}, std::size_t{2});

  // in the middle of a load
  std::vector<std::vector<unsigned char>> bytes(60, std::vector<unsigned char>(block));
  std::vector<tier_span> spans;
  for (auto& b : bytes) spans.push_back({b.data(), b.size()});
  std::vector<tier_answer> out(60, tier_answer::miss);
  trio.nodes[dead]->pause();
  const tier_ticket ticket = t->prepare_load(keys.data(), spans.data(), 60);
  REQUIRE(ticket);
  trio.nodes[dead]->kill();
  wait_for(*t, ticket, patient);
  t->complete_load(ticket, out.data());
  for (std::size_t k = 0; k != 60; ++k) {
    CAPTURE(k);
    CHECK((out[k] == tier_answer::hit) == (home_of(k) != dead));
    if (out[k] == tier_answer::hit) CHECK(bytes[k] == block_of(keys[k], block));
  }
  CHECK(t->is_valid());

  // the rest goes on, whether or not the cluster has noticed
  for (int round = 0; round != 20; ++round) {
    const std::vector<tier_answer> got = load(*t, keys, patient);
    for (std::size_t k = 0; k != 60; ++k)
      if (home_of(k) != dead) CHECK(got[k] == tier_answer::hit);
      else CHECK(got[k] != tier_answer::hit);
    const std::vector<tier_answer> stored = store(*t, some(6, 100 + 6 * static_cast<std::uint64_t>(round)), true, patient);
    for (std::size_t k = 0; k != 6; ++k)
      CHECK((stored[k] == tier_answer::hit) == (home_of(100 + 6 * static_cast<std::uint64_t>(round) + k) != dead));
  }
  CHECK(t->stats().adds_up(true));
  trio.nodes[dead]->start();
  redis_trio::wait_until([&] { return hits(store(*t, keys, true, patient)) == 60; });
  CHECK(hits(load(*t, keys, patient)) == 60);
  CHECK(t->is_valid());
}

TEST_CASE("a slot that moves is followed, while it moves and afterwards", "[kv]") {
  if (no_redis()) std::exit(77);
  const redis_trio trio;
  const std::string at = trio.nodes[0]->address();
  auto t = redis_tier<>::open(of(at));
  REQUIRE(t);
  const std::string name = name_of(1);
  const std::size_t from = home_of(1), to = (from + 1) % 3;
  const std::string slot = std::to_string(redis_slot(name.data(), name.size()));
  REQUIRE(hits(store(*t, some(1, 1), true, patient)) == 1);
  redis_trio::wait_until([&] { return (void)t->poll({}), t->wire_stats().refreshed != 0; });
  const std::uint64_t before = t->wire_stats().redirected;

  CHECK(trio.nodes[to]->say({"CLUSTER", "SETSLOT", slot, "IMPORTING", trio.id(from)}) == "OK");
  CHECK(trio.nodes[from]->say({"CLUSTER", "SETSLOT", slot, "MIGRATING", trio.id(to)}) == "OK");
  CHECK(hits(load(*t, some(1, 1), patient)) == 1);
  CHECK(t->wire_stats().redirected == before);
  CHECK(trio.nodes[from]->say({"MIGRATE", "127.0.0.1", std::to_string(trio.nodes[to]->port()), name, "0", "5000"}) == "OK");
  CHECK(hits(load(*t, some(1, 1), patient)) == 1);
  CHECK(t->wire_stats().redirected == before + 1);  // ASK: for this once
  CHECK(hits(load(*t, some(1, 1), patient)) == 1);
  CHECK(t->wire_stats().redirected == before + 2);

  for (const std::size_t k : {to, from, 3 - to - from})
    CHECK(trio.nodes[k]->say({"CLUSTER", "SETSLOT", slot, "NODE", trio.id(to)}) == "OK");
  CHECK(hits(load(*t, some(1, 1), patient)) == 1);
  CHECK(t->wire_stats().redirected == before + 3);  // MOVED: for good
  CHECK(hits(load(*t, some(1, 1), patient)) == 1);
  CHECK(t->wire_stats().redirected == before + 3);
  CHECK(t->is_valid());
  // what is taken back is taken back where it is now
  CHECK(t->remove(some(1, 1).data(), 1) == 1);
  redis_trio::wait_until([&] { return (void)t->poll({}), trio.nodes[to]->say({"EXISTS", name}) == "0"; });
}

#else

#include <cstdio>
#include <cstdlib>

TEST_CASE("the Redis tier needs hiredis", "[kv]") {
  std::puts("SKIP: built without hiredis");
  std::exit(77);
}

#endif
