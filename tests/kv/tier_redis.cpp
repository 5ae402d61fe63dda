#if defined(TOKENHEAP_HAS_REDIS)
#include <tokenheap/kv/tier_redis.hpp>
#endif

#include <support/catch.hpp>

#if defined(TOKENHEAP_HAS_REDIS)

#include <algorithm>

#include "redis_kit.hpp"
#include "tier_suite.hpp"

using namespace tokenheap;
using namespace tokenheap::kv;
using namespace support;

namespace {

constexpr std::size_t block = 5000;
constexpr tier_limits patient{.shared = true, .patience = 100'000'000};

redis_tier_options of(const std::string& servers, std::size_t bytes = block) {
  return {.servers = servers.c_str(), .block_bytes = bytes, .deadline_ns = 60'000'000'000};
}
std::string name_of(std::uint64_t n, std::size_t bytes = block, siphash_key secret = {}) {
  redis_names names;
  REQUIRE(names.open("tokenheap", secret, bytes));
  char out[redis_names::most + 1];
  names.write(key_of(n), out);
  return out;
}
std::vector<tier_key> some(std::uint64_t n, std::uint64_t from = 0) {
  std::vector<tier_key> keys;
  for (std::uint64_t k = from; k != from + n; ++k) keys.push_back(key_of(k));
  return keys;
}
std::size_t hits(const std::vector<tier_answer>& got) {
  return static_cast<std::size_t>(std::count(got.begin(), got.end(), tier_answer::hit));
}
const std::vector<tier_answer> one_hit = {tier_answer::hit}, one_miss = {tier_answer::miss};

// what was removed leaves the server after the call
void until_gone(const redis_server& server, const std::string& name, redis_tier<>& t) {
  redis_trio::wait_until([&] { return (void)t.poll({}), server.say({"EXISTS", name}) == "0"; });
}

}  // namespace

TEST_CASE("a Redis tier keeps the contract, with one server and with a cluster", "[kv]") {
  if (no_redis()) std::exit(77);
  SECTION("one") {
    const redis_server server;
    const std::string at = server.address();
    redis_tier_options with = of(at);
    with.key = GENERATE(siphash_key{}, siphash_key{5, 6});
    auto t = redis_tier<>::open(with);
    REQUIRE(t);
    check_tier(*t, patient);
    CHECK(t->wire_stats().cut == 0);
  }
  SECTION("three") {
    const redis_trio trio;
    const std::string at = trio.nodes[1]->address();
    auto t = redis_tier<>::open(of(at));
    REQUIRE(t);
    check_tier(*t, patient);
    CHECK(t->wire_stats().refreshed >= 1);
    CHECK(t->servers().table().servers() == 3);
    CHECK(t->wire_stats().cut == 0);
    std::size_t keys = 0;
    for (const auto& n : trio.nodes) keys += n->say({"DBSIZE"}) != "0";
    CHECK(keys == 3);
  }
}

TEST_CASE("blocks below a power of two cost what they are; 128 bytes more cost a quarter", "[kv]") {
  if (no_redis()) std::exit(77);
  const redis_server server;
  const std::string at = server.address();
  constexpr std::size_t fits = redis_payload(1 * MiB);
  for (const std::size_t bytes : {fits, std::size_t{1 * MiB}}) {
    CAPTURE(bytes);
    auto t = redis_tier<>::open(of(at, bytes));
    REQUIRE(t);
    REQUIRE(store(*t, some(2), true, patient) == all(2, tier_answer::hit));
    CHECK(load(*t, some(2), patient) == all(2, tier_answer::hit));
    const std::string used = server.say({"MEMORY", "USAGE", name_of(0, bytes)});
    CAPTURE(used);
    if (bytes == fits) {
      CHECK(std::stoul(used) < 1 * MiB + 512);
    } else {
      CHECK(std::stoul(used) > MiB + MiB / 5);
    }
    CHECK(fits_redis(bytes) == (bytes == fits));
  }
}

TEST_CASE("blocks live for their time, and longer when they are used", "[kv]") {
  if (no_redis()) std::exit(77);
  const redis_server server;
  const std::string at = server.address();
  const auto left = [&] { return std::stol(server.say({"PTTL", name_of(1)})); };
  redis_tier_options with = of(at);
  with.ttl_ms = 1'000'000;
  auto t = redis_tier<>::open(with);
  REQUIRE(t);
  REQUIRE(store(*t, {key_of(1)}, true, patient) == one_hit);
  CHECK((left() > 900'000 && left() <= 1'000'000));
  for (const bool by_load : {true, false}) {
    CHECK(server.say({"PEXPIRE", name_of(1), "100000"}) == "1");
    CHECK((by_load ? load(*t, {key_of(1)}, patient) : store(*t, {key_of(1)}, true, patient)) == one_hit);
    CHECK(left() > 900'000);
  }
  with.renew = false;
  auto still = redis_tier<>::open(with);
  REQUIRE(still);
  CHECK(server.say({"PEXPIRE", name_of(1), "100000"}) == "1");
  CHECK(load(*still, {key_of(1)}, patient) == one_hit);
  CHECK(left() <= 100'000);
  with.ttl_ms = 0;
  auto endless = redis_tier<>::open(with);
  REQUIRE(endless);
  CHECK(server.say({"DEL", name_of(1)}) == "1");
  CHECK(store(*endless, {key_of(1)}, true, patient) == one_hit);
  CHECK(left() == -1);
  CHECK(server.say({"PEXPIRE", name_of(1), "1"}) == "1");
  redis_trio::wait_until([&] { return server.say({"EXISTS", name_of(1)}) == "0"; });
  CHECK(load(*endless, {key_of(1)}, patient) == one_miss);
  CHECK(lookup(*endless, {key_of(1)}) == one_miss);
}

TEST_CASE("a block that left is stored again, though it was believed to be there", "[kv]") {
  if (no_redis()) std::exit(77);
  const redis_server server;
  const std::string at = server.address();
  redis_tier_options with = of(at);
  with.recent_ns = ~std::uint64_t{0};
  with.ttl_ms = GENERATE(std::uint64_t{0}, std::uint64_t{100'000});
  auto t = redis_tier<>::open(with);
  REQUIRE(t);
  REQUIRE(store(*t, {key_of(1)}, true, patient) == one_hit);
  CHECK(server.say({"DEL", name_of(1)}) == "1");
  CHECK(lookup(*t, {key_of(1)}) == one_hit);
  CHECK(store(*t, {key_of(1)}, true, patient) == one_hit);
  CHECK(t->stats().stored == 2);
  CHECK(load(*t, {key_of(1)}, patient) == one_hit);
}

TEST_CASE("damaged and foreign values are misses, and make way for good ones", "[kv]") {
  if (no_redis()) std::exit(77);
  const redis_server server;
  const std::string at = server.address();
  auto t = redis_tier<>::open(of(at));
  REQUIRE(t);
  const auto spoil = GENERATE(0, 1, 2, 3, 4);
  REQUIRE(store(*t, some(2), true, patient) == all(2, tier_answer::hit));
  const std::string name = name_of(0);
  if (spoil == 0) CHECK(server.say({"SETRANGE", name, "100", "spoilt"}) == std::to_string(block + 64));
  if (spoil == 1) CHECK(server.say({"SETRANGE", name, "9", "x"}) == std::to_string(block + 64));
  if (spoil == 2) CHECK(server.say({"APPEND", name, "x"}) == std::to_string(block + 65));
  if (spoil == 3) CHECK(server.say({"SET", name, ""}) == "OK");
  if (spoil == 4) CHECK(server.say({"COPY", name_of(1), name, "REPLACE"}) == "1");
  CHECK(load(*t, some(2), patient) == std::vector{tier_answer::miss, tier_answer::hit});
  CHECK(t->stats().lost == 1);
  CHECK(t->wire_stats().damaged == 1);
  until_gone(server, name, *t);
  CHECK(store(*t, some(2), true, patient) == all(2, tier_answer::hit));
  CHECK(load(*t, some(2), patient) == all(2, tier_answer::hit));
  CHECK(t->is_valid());
  // a key of another type is no block either
  CHECK(server.say({"DEL", name}) == "1");
  CHECK(server.say({"RPUSH", name, "x"}) == "1");
  CHECK(load(*t, some(1), patient) == one_miss);
  auto fresh = redis_tier<>::open(of(at));
  REQUIRE(fresh);
  CHECK(lookup(*fresh, some(2)) == std::vector{tier_answer::miss, tier_answer::hit});
}

TEST_CASE("what one tier stores another finds, with the same secret and size alone", "[kv]") {
  if (no_redis()) std::exit(77);
  const redis_server server;
  const std::string at = server.address();
  redis_tier_options with = of(at);
  with.key = {1, 2};
  auto a = redis_tier<>::open(with);
  auto b = redis_tier<>::open(with);
  REQUIRE((a && b));
  REQUIRE(hits(store(*a, some(3), true, patient)) == 3);
  CHECK(lookup(*b, some(4)) == std::vector{tier_answer::hit, tier_answer::hit, tier_answer::hit, tier_answer::miss});
  CHECK(hits(load(*b, some(3), patient)) == 3);
  // who did not put it there does not take it back
  CHECK(hits(store(*b, some(3), false, patient)) == 3);
  CHECK(b->stats().present == 3);
  auto third = redis_tier<>::open(with);
  REQUIRE(third);
  CHECK(hits(store(*third, some(3), false, patient)) == 3);
  CHECK(hits(load(*a, some(3), patient)) == 3);
  CHECK(hits(store(*third, some(1, 9), false, patient)) == 0);
  until_gone(server, name_of(9, block, {1, 2}), *third);
  const tier_key gone = key_of(1);
  CHECK(a->remove(&gone, 1) == 1);
  until_gone(server, name_of(1, block, {1, 2}), *a);
  CHECK(load(*b, some(3), patient) == std::vector{tier_answer::hit, tier_answer::miss, tier_answer::hit});
  for (const siphash_key other : {siphash_key{1, 3}, siphash_key{}}) {
    with.key = other;
    auto stranger = redis_tier<>::open(with);
    REQUIRE(stranger);
    CHECK(hits(lookup(*stranger, some(3))) == 0);
    CHECK(hits(load(*stranger, some(3), patient)) == 0);
    CHECK(stranger->stats().lost == 0);
  }
  with.key = {1, 2};
  with.block_bytes = block + 1;
  auto larger = redis_tier<>::open(with);
  REQUIRE(larger);
  CHECK(hits(load(*larger, some(3), patient)) == 0);
  CHECK(hits(load(*a, some(1), patient)) == 1);
}

TEST_CASE("a full server refuses stores and serves what it has", "[kv]") {
  if (no_redis()) std::exit(77);
  const redis_server server;
  const std::string at = server.address();
  auto t = redis_tier<>::open(of(at));
  REQUIRE(t);
  REQUIRE(hits(store(*t, some(4), true, patient)) == 4);
  CHECK(server.say({"CONFIG", "SET", "maxmemory", "1"}) == "OK");
  CHECK(hits(store(*t, some(2, 10), true, patient)) == 0);
  CHECK(t->stats().refused == 2);
  CHECK(hits(load(*t, some(4), patient)) == 4);
  CHECK(t->wire_stats().cut == 0);
  CHECK(t->is_valid());
  CHECK(server.say({"CONFIG", "SET", "maxmemory", "0"}) == "OK");
  CHECK(hits(store(*t, some(2, 10), true, patient)) == 2);
}

TEST_CASE("a password is said first; without it there are misses", "[kv]") {
  if (no_redis()) std::exit(77);
  const redis_server server({"--requirepass", "open sesame"});
  const std::string at = server.address();
  redis_tier_options with = of(at);
  for (const char* password : {"open sesame", "wrong", ""}) {
    with.password = password;
    with.user = std::string(password) == "wrong" ? "default" : "";
    const bool right = std::string(password) == "open sesame";
    auto t = redis_tier<>::open(with);
    REQUIRE(t);
    CHECK(hits(store(*t, some(2), true, patient)) == (right ? 2 : 0));
    CHECK(hits(load(*t, some(2), patient)) == (right ? 2 : 0));
    CHECK(t->is_valid());
  }
}

TEST_CASE("a server that restarts is found again; one that hung up while idle costs nothing", "[kv]") {
  if (no_redis()) std::exit(77);
  redis_server server;
  const std::string at = server.address();
  redis_tier_options with = of(at);
  with.breaker = {.failures = 1000};
  auto t = redis_tier<>::open(with);
  REQUIRE(t);
  REQUIRE(hits(store(*t, some(3), true, patient)) == 3);
  (void)server.say({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
  CHECK(hits(load(*t, some(3), patient)) == 3);
  CHECK(t->wire_stats().cut == 0);
  CHECK(t->wire_stats().connects >= 2);
  server.kill();
  CHECK(hits(load(*t, some(3), patient)) == 0);
  CHECK(hits(store(*t, some(3, 10), true, patient)) == 0);
  server.start();
  CHECK(hits(store(*t, some(3, 20), true, patient)) == 3);
  CHECK(hits(load(*t, some(3, 20), patient)) == 3);
  CHECK(t->is_valid());
}

TEST_CASE("a server that stands still costs a deadline, then nothing", "[kv]") {
  if (no_redis()) std::exit(77);
  const redis_server server;
  const std::string at = server.address();
  const still_clock clock;
  redis_tier_options with = of(at, 3 * MiB);
  with.breaker = {.failures = 2, .wait_ns = 1000};
  auto t = redis_tier<still_clock>::open(with, clock);
  REQUIRE(t);
  REQUIRE(hits(store(*t, some(2), true, patient)) == 2);
  server.pause();
  const std::vector<tier_key> keys = some(4, 10);
  std::vector<unsigned char> bytes(3 * MiB, 1);
  const std::vector<tier_span> spans(4, tier_span{bytes.data(), bytes.size()});
  std::vector<tier_answer> out(4, tier_answer::hit);
  for (int round = 0; round != 2; ++round) {
    const tier_ticket ticket = t->prepare_store(keys.data(), spans.data(), 4);
    REQUIRE(ticket);
    for (int k = 0; k != 100; ++k) CHECK_FALSE(t->poll(ticket));
    CHECK(t->lookup(keys.data(), 4, out.data()) == 0);
    CHECK(out == all(4, tier_answer::pending));
    CHECK(t->complete_store(ticket, true, out.data()) == 0);
    *clock.at += with.deadline_ns;
    CHECK(t->poll(ticket));
    CHECK(t->complete_store(ticket, true, out.data()) == 0);
    CHECK(out == all(4, tier_answer::miss));
  }
  // two failures: from now on it says so at once
  CHECK(t->servers().state_of(0) == breaker_state::open);
  const tier_ticket refused = t->prepare_load(some(2).data(), spans.data(), 2);
  CHECK(t->poll(refused));
  CHECK(t->complete_load(refused, out.data()) == 0);
  CHECK(out[0] == tier_answer::retry);
  server.resume();
  *clock.at += 1000;
  CHECK(hits(load(*t, some(1), patient)) == 1);
  CHECK(t->servers().state_of(0) == breaker_state::closed);
  CHECK(hits(load(*t, some(2), patient)) == 2);
  CHECK(t->is_valid());
}

TEST_CASE("more than may be in flight is told to come again", "[kv]") {
  if (no_redis()) std::exit(77);
  const redis_server server;
  const std::string at = server.address();
  redis_tier_options with = of(at);
  with.in_flight = 3;
  with.batches = 2;
  auto t = redis_tier<>::open(with);
  REQUIRE(t);
  CHECK(store(*t, some(5), true, patient) == std::vector{tier_answer::hit, tier_answer::hit, tier_answer::hit, tier_answer::retry,
                                                         tier_answer::retry});
  std::vector<unsigned char> bytes(block);
  const tier_span span{bytes.data(), block};
  const tier_key key = key_of(0);
  server.pause();
  tier_ticket kept[2] = {t->prepare_load(&key, &span, 1), t->prepare_load(&key, &span, 1)};
  CHECK((kept[0] && kept[1]));
  CHECK_FALSE(t->prepare_load(&key, &span, 1));
  CHECK(t->remove(&key, 1) == 0);  // it is being loaded
  server.resume();
  for (const tier_ticket k : kept) {
    wait_for(*t, k, patient);
    tier_answer out{};
    CHECK(t->complete_load(k, &out) == 1);
  }
  CHECK(t->is_valid());
}

TEST_CASE("a Redis tier that cannot be says why; a server that is down is no reason", "[kv]") {
  CHECK(redis_tier<>::open({}).error() == errc::invalid_argument);
  CHECK(redis_tier<>::open({.block_bytes = 512 * MiB}).error() == errc::invalid_argument);
  CHECK(redis_tier<>::open({.servers = "nowhere", .block_bytes = block}).error() == errc::invalid_argument);
  CHECK(redis_tier<>::open({.block_bytes = block, .prefix = ""}).error() == errc::invalid_argument);
  CHECK(redis_tier<>::open({.block_bytes = block, .recent = 0}).error() == errc::out_of_memory);
  CHECK(redis_tier<>::open({.block_bytes = block, .batches = 0}).error() == errc::out_of_memory);
  std::string at;
  {
    const listening gone;
    at = at_port(gone.port);
  }
  auto t = redis_tier<>::open({.servers = at.c_str(), .block_bytes = block});
  REQUIRE(t);
  CHECK(hits(load(*t, some(2), patient)) == 0);
  CHECK(hits(store(*t, some(2), true, patient)) == 0);
  CHECK(t->is_valid());
}

#else

#include <cstdio>
#include <cstdlib>

TEST_CASE("the Redis tier needs hiredis", "[kv]") {
  std::puts("SKIP: built without hiredis");
  std::exit(77);
}

#endif
