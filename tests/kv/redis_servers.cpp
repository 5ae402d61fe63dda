#if defined(TOKENHEAP_HAS_REDIS)
#include <tokenheap/kv/redis_servers.hpp>
#endif

#include <support/catch.hpp>

#if defined(TOKENHEAP_HAS_REDIS)

#include "redis_kit.hpp"

namespace kv = tokenheap::kv;
using namespace support;
using kind = kv::redis_answer::kind;
using words = made_up_server::words;

namespace {

struct asked {
  kv::redis_servers to;
  kind last = kind::refused;
  int answers = 0;

  explicit asked(const std::string& list) {
    kv::redis_names names;
    REQUIRE(names.open("th", {}, 100));
    to.wire().block_bytes = 100;
    to.wire().phrases.open(names, 164, 0, false);
    REQUIRE(to.open(list.c_str(), 8, 1'000'000, {}));
  }
  // one probe, and what became of it
  kind probe(std::uint64_t now = 0) {
    const std::uint32_t request = to.take();
    REQUIRE(request != kv::redis_servers::none);
    to[request].verb = kv::redis_verb::probe;
    to[request].key = {1, 2, 3};
    to[request].deadline = now + 1'000'000;
    last = kind::refused;
    const int before = answers;
    if (!to.submit(request, now)) return to.give(request), last;
    wait(now, [&] { return answers != before; });
    return last;
  }
  template <class Is>
  void wait(std::uint64_t now, Is is) {
    for (int tries = 0; tries != 5000 && !is(); ++tries) {
      to.pump(now, [this](std::uint32_t request, const kv::redis_answer& a) {
        last = a.what;
        ++answers;
        to.give(request);
      });
      CHECK(to.is_valid());
      if (!is()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    CHECK(is());
  }
};

const made_up_answer alone{"-ERR This instance has cluster support disabled\r\n"};

}  // namespace

TEST_CASE("lists of servers", "[kv]") {
  for (const char* bad : {"", "host", ":1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:1,,", ",",
                          "127.0.0.1:x", "[::1:5", "[]:1"}) {
    CAPTURE(bad);
    kv::redis_servers none;
    CHECK_FALSE(none.open(bad, 8, 1, {}));
  }
  kv::redis_servers two;
  REQUIRE(two.open("127.0.0.1:1,[::1]:2", 8, 1, {}));
  CHECK(two.table().servers() == 2);
  CHECK(std::string(two.table().server(1).host) == "::1");
  CHECK(two.table().uncovered() == 0);
  kv::redis_servers none;
  CHECK_FALSE(none.open("127.0.0.1:1", 0, 1, {}));
}

TEST_CASE("requests come from a pool, and one is kept for the table of slots", "[kv]") {
  kv::redis_servers all;
  REQUIRE(all.open("127.0.0.1:1", 3, 1, {}));
  CHECK(all.spare() == 3);
  std::vector<std::uint32_t> taken;
  for (int k = 0; k != 3; ++k) taken.push_back(all.take());
  CHECK(all.take() == kv::redis_servers::none);
  for (const std::uint32_t r : taken) all.give(r);
  CHECK(all.spare() == 3);
  CHECK(all.is_valid());
}

TEST_CASE("MOVED is followed and remembered, and the table is read", "[kv]") {
  std::atomic<int> moved{0}, tables{0};
  made_up_server second([&](const words& w) -> made_up_answer { return w[0] == "CLUSTER" ? alone : made_up_answer{":164\r\n"}; });
  made_up_server first([&](const words& w) -> made_up_answer {
    if (w[0] == "CLUSTER") {
      ++tables;
      return {"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:" + std::to_string(second.port()) + "\r\n"};
    }
    ++moved;
    return {"-MOVED 1 " + second.address() + "\r\n"};
  });
  asked c(first.address());
  CHECK(c.probe() == kind::number);
  c.wait(0, [&] { return c.to.wire().stats.refreshed >= 1; });
  CHECK(c.probe() == kind::number);
  CHECK(c.probe() == kind::number);
  CHECK(moved <= 1);
  CHECK(tables >= 1);
  CHECK(c.to.table().servers() == 2);
}

TEST_CASE("ASK is followed once, with the word before it", "[kv]") {
  std::atomic<int> asking{0};
  made_up_server second([&](const words& w) -> made_up_answer {
    if (w[0] == "ASKING") return ++asking, made_up_answer{"+OK\r\n"};
    return {asking != 0 ? ":164\r\n" : "-MOVED 1 127.0.0.1:1\r\n"};
  });
  made_up_server first([&](const words& w) -> made_up_answer {
    if (w[0] == "CLUSTER") return alone;
    return {"-ASK 1 " + second.address() + "\r\n"};
  });
  asked c(first.address());
  CHECK(c.probe() == kind::number);
  CHECK(c.probe() == kind::number);
  CHECK(asking == 2);
  CHECK(c.to.wire().stats.redirected == 2);
}

TEST_CASE("redirections in a circle, to names, and to nowhere, end", "[kv]") {
  const std::string to = GENERATE(std::string(""), std::string("name.example:7000"), std::string("127.0.0.1:1"), std::string("0"));
  std::unique_ptr<made_up_server> server;
  server = std::make_unique<made_up_server>([&](const words& w) -> made_up_answer {
    if (w[0] == "CLUSTER") return alone;
    return {"-MOVED 1 " + (to.empty() ? ":" + std::to_string(server->port()) : to) + "\r\n"};
  });
  asked c(server->address());
  const kind got = c.probe();
  CHECK((got == kind::error || got == kind::lost));
  CHECK(c.to.is_valid());
  // the table of slots may still be asked for
  c.wait(0, [&] { return c.to.spare() == 8; });
}

TEST_CASE("a server that says that it is down is not asked for a while", "[kv]") {
  std::atomic<bool> down{false};
  std::atomic<int> probes{0};
  made_up_server server([&](const words& w) -> made_up_answer {
    if (w[0] == "CLUSTER") return alone;
    ++probes;
    return {down ? "-LOADING Redis is loading the dataset in memory\r\n" : ":0\r\n"};
  });
  asked c(server.address());
  CHECK(c.probe() == kind::number);
  c.wait(0, [&] { return c.to.spare() == 8; });  // the question for the table of slots is answered too
  down = true;
  probes = 0;
  for (int k = 0; k != 3; ++k) CHECK(c.probe() == kind::error);
  CHECK(c.to.state_of(0) == kv::breaker_state::open);
  CHECK(c.probe() == kind::refused);
  CHECK(probes == 3);
  const std::uint64_t later = kv::breaker_options{}.wait_ns;
  CHECK(c.probe(later) == kind::error);
  CHECK(c.probe(later) == kind::refused);
  down = false;
  CHECK(c.probe(4 * later) == kind::number);
  CHECK(c.to.state_of(0) == kv::breaker_state::closed);
}

#else

#include <cstdio>
#include <cstdlib>

TEST_CASE("the Redis tier needs hiredis", "[kv]") {
  std::puts("SKIP: built without hiredis");
  std::exit(77);
}

#endif
