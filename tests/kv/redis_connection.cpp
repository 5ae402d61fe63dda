#if defined(TOKENHEAP_HAS_REDIS)
#include <tokenheap/kv/redis_connection.hpp>
#endif

#include <support/catch.hpp>

#if defined(TOKENHEAP_HAS_REDIS)

#include "redis_kit.hpp"

namespace kv = tokenheap::kv;
using namespace support;
using kind = kv::redis_answer::kind;

namespace {

constexpr std::size_t block = 3000;

struct wired {
  kv::redis_wire wire;
  kv::redis_connection to;
  std::vector<std::pair<std::uint32_t, kind>> answers;
  std::vector<unsigned char> bytes = std::vector<unsigned char>(block, 7);

  explicit wired(std::uint16_t port, const char* greeting = "") {
    kv::redis_names names;
    kv::redis_address at;
    REQUIRE((names.open("th", {}, block) && at.assign("127.0.0.1", 9, port)));
    wire.block_bytes = block;
    wire.greeting = greeting;
    wire.greeting_bytes = std::strlen(greeting);
    wire.phrases.open(names, block + 64, 0, false);
    REQUIRE(wire.requests.open(16));
    REQUIRE(to.open(at, 16, {}));
  }
  bool submit(std::uint32_t request, kv::redis_verb verb, std::uint64_t deadline = 100) {
    kv::redis_request& r = wire.requests[request];
    r = {};
    r.verb = verb;
    r.key = {5, 6, 7};
    r.payload = bytes.data();
    r.deadline = deadline;
    wire.phrases.write(r);
    return to.submit(wire, request, 0);
  }
  void pump(std::uint64_t now = 0) {
    to.pump(wire, now, [this](std::uint32_t request, const kv::redis_answer& a) { answers.push_back({request, a.what}); });
    CHECK(to.is_valid());
  }
  void pump_until(std::size_t n) {
    for (int tries = 0; tries != 5000 && answers.size() < n; ++tries) {
      pump();
      if (answers.size() < n) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    CHECK(answers.size() == n);
  }
};

using pairs = std::vector<std::pair<std::uint32_t, kind>>;

}  // namespace

TEST_CASE("answers come in the order of their requests, and none is asked for twice", "[kv]") {
  std::string value;
  made_up_server server([&](const made_up_server::words& w) -> made_up_answer {
    if (w[0] == "SET") return value = w[2], made_up_answer{"+OK\r\n"};
    if (w[0] == "GET") return {"$" + std::to_string(value.size()) + "\r\n" + value + "\r\n"};
    return {":1\r\n"};
  });
  wired c(server.port());
  REQUIRE(c.submit(3, kv::redis_verb::store));
  REQUIRE(c.submit(1, kv::redis_verb::probe));
  REQUIRE(c.submit(2, kv::redis_verb::load));
  REQUIRE(c.submit(0, kv::redis_verb::remove));
  CHECK(c.to.is_busy());
  c.pump_until(4);
  CHECK(c.answers == pairs{{3, kind::done}, {1, kind::number}, {2, kind::whole}, {0, kind::number}});
  CHECK(c.bytes == std::vector<unsigned char>(block, 7));
  CHECK_FALSE(c.to.is_busy());
  CHECK(c.wire.stats.connects == 1);
  CHECK(c.wire.stats.cut == 0);
}

TEST_CASE("a deadline ends the connection, and all that was on it is lost", "[kv]") {
  made_up_server server([](const made_up_server::words&) -> made_up_answer { return {}; });
  wired c(server.port());
  REQUIRE(c.submit(0, kv::redis_verb::load, 100));
  REQUIRE(c.submit(1, kv::redis_verb::store, 50));
  c.pump(49);
  CHECK(c.answers.empty());
  c.pump(50);
  CHECK(c.answers == pairs{{0, kind::lost}, {1, kind::lost}});
  CHECK(c.wire.stats.late == 1);
  CHECK(c.wire.stats.cut == 1);
  // and the next request opens another one
  REQUIRE(c.submit(2, kv::redis_verb::probe));
  CHECK(c.wire.stats.connects == 2);
}

TEST_CASE("nobody listens: what was submitted is lost, and the breaker opens", "[kv]") {
  std::uint16_t port = 0;
  {
    const listening gone;
    port = gone.port;
  }
  wired c(port);
  std::size_t lost = 0;
  for (int k = 0; k != 3; ++k) {
    REQUIRE(c.to.allows(0));
    lost += c.submit(0, kv::redis_verb::probe);
    c.pump_until(lost);
  }
  CHECK(c.to.breaker().state() == kv::breaker_state::open);
  CHECK_FALSE(c.to.allows(0));
}

TEST_CASE("a server that hung up on who was idle is met anew, and it is no failure", "[kv]") {
  std::atomic<bool> hang_up{true};
  made_up_server server([&](const made_up_server::words&) -> made_up_answer { return {":1\r\n", hang_up.exchange(false)}; });
  wired c(server.port());
  REQUIRE(c.submit(0, kv::redis_verb::probe));
  c.pump_until(1);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  REQUIRE(c.submit(1, kv::redis_verb::probe));
  c.pump_until(2);
  CHECK(c.answers == pairs{{0, kind::number}, {1, kind::number}});
  CHECK(c.wire.stats.cut == 0);
}

TEST_CASE("a greeting goes before all else, and its refusal ends the connection", "[kv]") {
  const bool right = GENERATE(true, false);
  made_up_server server([&](const made_up_server::words& w) -> made_up_answer {
    if (w[0] == "AUTH") return {right ? "+OK\r\n" : "-WRONGPASS no\r\n"};
    return {":1\r\n"};
  });
  wired c(server.port(), "*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n");
  REQUIRE(c.submit(0, kv::redis_verb::probe));
  c.pump_until(1);
  CHECK(c.answers == pairs{{0, right ? kind::number : kind::lost}});
}

TEST_CASE("an answer of the wrong kind ends the connection", "[kv]") {
  const auto [verb, bytes] = GENERATE(table<kv::redis_verb, const char*>({
      {kv::redis_verb::load, "+OK\r\n"}, {kv::redis_verb::load, ":1\r\n"}, {kv::redis_verb::load, "$536870913\r\n"},
      {kv::redis_verb::load, "$3x\r\nabc\r\n"}, {kv::redis_verb::store, ":1\r\n"}, {kv::redis_verb::store, "$2\r\nOK\r\n"},
      {kv::redis_verb::probe, "+OK\r\n"}, {kv::redis_verb::probe, "$-1\r\n"}, {kv::redis_verb::topology, ":1\r\n"},
      {kv::redis_verb::probe, "*0\r\n"}, {kv::redis_verb::probe, "\r\n"}, {kv::redis_verb::probe, "HTTP/1.1 400 Bad Request\r\n"},
  }));
  CAPTURE(bytes);
  made_up_server server([&, said = std::string(bytes)](const made_up_server::words&) -> made_up_answer { return {said}; });
  wired c(server.port());
  REQUIRE(c.submit(0, verb));
  c.pump_until(1);
  CHECK(c.answers == pairs{{0, kind::lost}});
  CHECK(c.wire.stats.garbage == 1);
}

#else

#include <cstdio>
#include <cstdlib>

TEST_CASE("the Redis tier needs hiredis", "[kv]") {
  std::puts("SKIP: built without hiredis");
  std::exit(77);
}

#endif
