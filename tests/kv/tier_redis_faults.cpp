// The Redis tier against servers that lie, stop in the middle, or say nothing: never a wrong byte, never a wait.
#if defined(TOKENHEAP_HAS_REDIS)
#include <tokenheap/kv/tier_redis.hpp>
#endif

#include <support/catch.hpp>

#if defined(TOKENHEAP_HAS_REDIS)

#include <mutex>

#include "redis_kit.hpp"
#include "tier_suite.hpp"

using namespace tokenheap::kv;
using namespace support;
using words = made_up_server::words;

namespace {

constexpr std::size_t block = 700;

std::string value_of(std::uint64_t n) {
  const std::vector<unsigned char> bytes = block_of(key_of(n), block);
  const tier_record header = seal({}, key_of(n), bytes.data(), block, 1, record_sum::xxh3);
  std::string out(sizeof header + block, '\0');
  std::memcpy(out.data(), &header, sizeof header);
  std::memcpy(out.data() + sizeof header, bytes.data(), block);
  return out;
}
std::string bulk(const std::string& text) { return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n"; }
const char* const alone = "-ERR This instance has cluster support disabled\r\n";
bool is_load(const words& w) { return w[0] == "GET" || w[0] == "GETEX"; }

struct faulty {
  made_up_server server;
  still_clock clock;
  std::string at = server.address();
  redis_tier<still_clock> tier = opened();

  explicit faulty(std::function<made_up_answer(const words&)> says) : server(std::move(says)) {}
  redis_tier<still_clock> opened() {
    auto made = redis_tier<still_clock>::open(
        {.servers = at.c_str(), .block_bytes = block, .recent_ns = 0, .breaker = {.failures = 1'000'000}}, clock);
    REQUIRE(made);
    return std::move(*made);
  }
  // real time passes for the other thread; when nothing has come, the deadline does
  void wait(tier_ticket which, int patience = 300) {
    for (int tries = 0; tries != patience && !tier.poll(which); ++tries) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    *clock.at += redis_tier_options{}.deadline_ns;
    CHECK(tier.poll(which));
    CHECK(tier.is_valid());
  }
  // loads a block; if it is a hit, its bytes are compared
  tier_answer load_one(std::uint64_t n = 1, int patience = 300) {
    std::vector<unsigned char> bytes(block, 0xEE);
    const tier_span span{bytes.data(), block};
    const tier_key key = key_of(n);
    tier_answer out = tier_answer::hit;
    const tier_ticket which = tier.prepare_load(&key, &span, 1);
    REQUIRE(which);
    wait(which, patience);
    (void)tier.complete_load(which, &out);
    if (out == tier_answer::hit) CHECK(bytes == block_of(key, block));
    // nobody writes to a span whose load is over
    const std::vector<unsigned char> then = bytes;
    for (int k = 0; k != 3; ++k) (void)tier.poll({});
    CHECK(bytes == then);
    return out;
  }
  tier_answer store_one(std::uint64_t n = 1, int patience = 300) {
    std::vector<unsigned char> bytes = block_of(key_of(n), block);
    const tier_span span{bytes.data(), block};
    const tier_key key = key_of(n);
    tier_answer out = tier_answer::hit;
    const tier_ticket which = tier.prepare_store(&key, &span, 1);
    REQUIRE(which);
    wait(which, patience);
    (void)tier.complete_store(which, true, &out);
    return out;
  }
};

}  // namespace

TEST_CASE("whatever a server says instead of an answer is a miss", "[kv]") {
  const std::string said = GENERATE(
      std::string(""), std::string("\r\n"), std::string("\n\n\n"), std::string("nonsense\r\n"),
      std::string("HTTP/1.1 200 OK\r\n\r\n"),
      std::string("$5\r\nhello\r\n"), std::string("$-2\r\n"), std::string("$\r\n"), std::string("$x\r\n"),
      std::string("$99999999999\r\n"),
      std::string("$536870911\r\nabc"), std::string("*2\r\n+a\r\n+b\r\n"), std::string("*2147483647\r\n"),
      std::string("*-1\r\n"),
      std::string(":\r\n"), std::string("-\r\n"), std::string("-ERR no\r\n"), std::string("+QUEUED\r\n"),
      std::string("%1\r\n+a\r\n+b\r\n"),
      std::string("_\r\n"), std::string("(123\r\n"), std::string(20'000, 'x'), std::string("\0\0\0\r\n", 5),
      std::string("+OK\r\n+OK\r\n+OK\r\n+OK\r\n"), std::string("$764\r\n"), std::string("-MOVED 5 127.0.0.1:1\r\n"),
      std::string("-ASK 5 nowhere:1\r\n"), std::string("-MOVED x\r\n"),
      std::string("$764\r\n") + std::string(764, 'y') + "zz",
      std::string("$764\r\n") + std::string(764, 'y') + "\r\n", std::string("$-1\r\n$-1\r\n$-1\r\n"));
  const bool hangs_up = GENERATE(false, true);
  CAPTURE(said, hangs_up);
  faulty f([&](const words&) -> made_up_answer { return {said, hangs_up}; });
  for (int round = 0; round != 2; ++round) {
    CHECK(f.load_one(1, 20) == tier_answer::miss);
    // a status is a good answer to a store, and nil says that it is there: there is no harm in believing either
    const tier_answer stored = f.store_one(2, 20);
    if (stored == tier_answer::hit) CHECK((said.rfind("+", 0) == 0 || said.rfind("$-1", 0) == 0));
    const tier_key key = key_of(3);
    tier_answer out{};
    CHECK(f.tier.lookup(&key, 1, &out) == 0);
    *f.clock.at += redis_tier_options{}.deadline_ns;
    (void)f.tier.poll({});
    CHECK(f.tier.is_valid());
  }
}

TEST_CASE("a value that ends early, at any byte, is a miss", "[kv]") {
  const std::string good = bulk(value_of(1));
  std::atomic<std::size_t> cut{0};
  faulty f([&](const words& w) -> made_up_answer {
    if (!is_load(w)) return {"-ERR no\r\n"};
    return {good.substr(0, cut), cut < good.size()};
  });
  for (std::size_t n = 0; n < good.size(); n += n < 80 ? 1 : 37) {
    cut = n;
    CAPTURE(n);
    CHECK(f.load_one() == tier_answer::miss);
  }
  cut = good.size();
  CHECK(f.load_one() == tier_answer::hit);
}

TEST_CASE("a value with any bit flipped, or of another block, is a miss", "[kv]") {
  const std::uint64_t seed = 7;
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::mutex lock;
  std::string said;
  faulty f([&](const words& w) -> made_up_answer {
    if (w[0] == "CLUSTER") return {alone};
    const std::lock_guard held(lock);
    return {is_load(w) ? said : ":1\r\n"};
  });
  const auto say = [&](const std::string& value) {
    const std::lock_guard held(lock);
    said = bulk(value);
  };
  for (std::uint64_t round = 0; round != 200; ++round) {
    std::string value = value_of(round);
    const std::size_t bit = random() % (8 * value.size());
    value[bit / 8] = static_cast<char>(value[bit / 8] ^ (1 << bit % 8));
    CAPTURE(bit);
    say(value);
    CHECK(f.load_one(round) == tier_answer::miss);
    say(value_of(round));
    CHECK(f.load_one(round + 1000) == tier_answer::miss);
  }
  CHECK(f.tier.stats().lost == 400);
}

TEST_CASE("values arrive in pieces of any size", "[kv]") {
  const std::size_t piece = GENERATE(1u, 2u, 63u, 64u, 65u, 500u);
  CAPTURE(piece);
  const std::string both = bulk(value_of(1)) + bulk(value_of(2));
  std::atomic<int> loads{0};
  faulty f([&](const words& w) -> made_up_answer {
    if (w[0] == "CLUSTER") return {alone};
    if (!is_load(w)) return {":764\r\n"};
    // the answer to the second comes with that to the first, as from a server that is asked for both at once
    return {++loads % 2 == 0 ? both : "", false, piece};
  });
  const std::vector<tier_key> keys = {key_of(1), key_of(2)};
  for (int round = 0; round != 3; ++round) {
    std::vector<std::vector<unsigned char>> bytes(2, std::vector<unsigned char>(block));
    const tier_span spans[2] = {{bytes[0].data(), block}, {bytes[1].data(), block}};
    tier_answer out[2] = {};
    const tier_ticket which = f.tier.prepare_load(keys.data(), spans, 2);
    REQUIRE(which);
    f.wait(which, 5000);
    CHECK(f.tier.complete_load(which, out) == 2);
    for (std::size_t k = 0; k != 2; ++k) CHECK(bytes[k] == block_of(keys[k], block));
  }
}

TEST_CASE("answers that nobody asked for are never another's", "[kv]") {
  const std::string extra = GENERATE(std::string("+OK\r\n"), std::string("$-1\r\n"),
  std::string(":1\r\n"), bulk(value_of(5)));
  faulty f([&](const words& w) -> made_up_answer {
    if (!is_load(w)) return {":1\r\n" + extra};
    return {bulk(value_of(1)) + extra};
  });
  for (int round = 0; round != 5; ++round) (void)f.load_one(1, 20);
  CHECK(f.tier.stats().adds_up(true));
}

TEST_CASE("a flood of answers at random is survived, and each hit has its own bytes", "[kv]") {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u);
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  faulty f([&](const words& w) -> made_up_answer {
    static const char* const words_of_servers[] = {"+OK\r\n", ":1\r\n", "$-1\r\n", "-ERR x\r\n", "-LOADING x\r\n",
    "*0\r\n", "$3\r\n", "\r\n"};
    if (w[0] == "CLUSTER") return {alone};
    if (is_load(w) && random() % 2 == 0) {
      std::string value = bulk(value_of(1 + random() % 2));
      if (random() % 4 == 0) value.resize(random() % value.size());
      if (random() % 4 == 0) value[random() % value.size()] = static_cast<char>(random());
      return {value, random() % 8 == 0};
    }
    if (w[0] == "SET" && random() % 4 != 0) return {"+OK\r\n"};
    if (w[0] != "SET" && !is_load(w) && random() % 4 != 0) return {":764\r\n"};
    return {words_of_servers[random() % 8], random() % 8 == 0};
  });
  std::size_t loaded = 0;
  for (int round = 0; round != 150; ++round) {
    loaded += f.load_one(1 + static_cast<std::uint64_t>(round) % 2, 5) == tier_answer::hit;
    (void)f.store_one(1 + static_cast<std::uint64_t>(round) % 3, 5);
    *f.clock.at += 1000;
  }
  CHECK(loaded > 0);
  CHECK(f.tier.stats().storing + f.tier.stats().loading == 0);
}

#else

#include <cstdio>
#include <cstdlib>

TEST_CASE("the Redis tier needs hiredis", "[kv]") {
  std::puts("SKIP: built without hiredis");
  std::exit(77);
}

#endif
