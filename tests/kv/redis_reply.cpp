#if defined(TOKENHEAP_HAS_REDIS)
#include <tokenheap/kv/redis_reply.hpp>
#endif

#include <support/catch.hpp>

#if defined(TOKENHEAP_HAS_REDIS)

#include <memory>
#include <random>
#include <string>

namespace kv = tokenheap::kv;
using kind = kv::redis_answer::kind;
using got = kv::redis_lines::got;

namespace {

struct heard {
  got last = got::more;
  int replies = 0;
  kv::redis_answer answer = {};
  std::string text = {};
};

// gives a text to the reader line by line, until a line ends something
template <class See>
heard feed(const std::string& text, bool tree, See see) {
  const std::unique_ptr<redisReader, void (*)(redisReader*)> reader(redisReaderCreate(), redisReaderFree);
  kv::redis_lines lines;
  heard out;
  for (std::size_t at = 0; at < text.size() && out.last == got::more;) {
    const std::size_t end = text.find('\n', at);
    if (end == std::string::npos) break;
    out.last = lines.feed(reader.get(), text.data() + at, end + 1 - at, tree, [&](const kv::redis_answer& a) {
      ++out.replies;
      out.answer = a;
      out.text.assign(a.text, a.length);
      see(a);
    });
    at = end + 1;
  }
  return out;
}
heard feed(const std::string& text, bool tree = false) {
  return feed(text, tree, [](const kv::redis_answer&) {});
}

const std::string range = "*3\r\n:0\r\n:99\r\n*3\r\n$9\r\n127.0.0.2\r\n:7000\r\n$2\r\nid\r\n";

bool slots(const std::string& text, kv::slot_table& into) {
  kv::redis_address asked;
  REQUIRE(asked.assign("127.0.0.1", 9, 6379));
  bool good = false;
  (void)feed(text, true, [&](const kv::redis_answer& a) { good = a.tree != nullptr && kv::read_slots(*a.tree, asked, into); });
  return good;
}
kv::slot_table table() {
  kv::slot_table made;
  kv::redis_address first;
  REQUIRE(first.assign("127.0.0.1", 9, 6379));
  REQUIRE(made.open(first));
  return made;
}

}  // namespace

TEST_CASE("short replies are read", "[kv]") {
  CHECK(feed("+OK\r\n").answer.what == kind::done);
  CHECK(feed(":42\r\n").answer.what == kind::number);
  CHECK(feed(":42\r\n").answer.number == 42);
  CHECK(feed(":-1\r\n").answer.number == -1);
  CHECK(feed("$-1\r\n").answer.what == kind::absent);
  CHECK(feed("-ERR it is so\r\n").answer.what == kind::error);
  CHECK(feed("-ERR it is so\r\n").text == "ERR it is so");
  CHECK(feed("*-1\r\n").last == got::garbage);
}

TEST_CASE("what cannot be an answer is garbage, and costs no memory", "[kv]") {
  for (const char* text : {"\r\n", "\n", "x\r\n", "OK\r\n", "+OK\n", ":\r\n", ":x\r\n", "$5\r\n", "$0\r\n", "$-2\r\n",
                           "*1\r\n", "*0\r\n", "$99999999999999999999\r\n", "*2147483647\r\n"}) {
    CAPTURE(text);
    CHECK(feed(text).last == got::garbage);
    CHECK(feed(text).replies == 0);
  }
  for (const char* text : {"*2147483647\r\n", "*99999\r\n", "*-2\r\n", "*1\r\n$536870912\r\n", "*1\r\n*1\r\n*65537\r\n",
                           "$3\r\nabc\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"}) {
    CAPTURE(text);
    CHECK(feed(text, true).last == got::garbage);
  }
  CHECK(feed("*2\r\n:1\r\n", true).last == got::more);
}

TEST_CASE("a tree without an end is given up", "[kv]") {
  std::string text = "*60000\r\n";
  for (int k = 0; k != 50'000; ++k) text += "$100\r\n" + std::string(100, 'x') + "\r\n";
  CHECK(feed(text, true).last == got::garbage);
}

TEST_CASE("the slots of a cluster are read, or nothing is", "[kv]") {
  kv::slot_table t = table();
  CHECK(slots("*2\r\n" + range + "*3\r\n:100\r\n:16383\r\n*2\r\n$0\r\n\r\n:7001\r\n", t));
  CHECK(std::string(t.server(t.owner(5)).host) == "127.0.0.2");
  CHECK(t.server(t.owner(5)).port == 7000);
  // without an address: where it was asked
  CHECK(std::string(t.server(t.owner(16'383)).host) == "127.0.0.1");
  CHECK(t.server(t.owner(16'383)).port == 7001);
  CHECK(t.uncovered() == 0);
  CHECK(slots("*1\r\n" + range, t));
  CHECK(t.uncovered() == 16'284);
  CHECK(slots("*1\r\n*3\r\n:0\r\n:9\r\n*2\r\n$-1\r\n:7002\r\n", t));
  CHECK(std::string(t.server(t.owner(9)).host) == "127.0.0.1");
  // a name would have to be looked up: nobody serves those slots
  CHECK(slots("*1\r\n*3\r\n:0\r\n:9\r\n*2\r\n$6\r\nserver\r\n:7002\r\n", t));
  CHECK(t.owner(0) == kv::slot_table::no_server);
  CHECK(t.is_valid());

  kv::slot_table kept = table();
  for (const std::string& bad :
       {std::string("*1\r\n:1\r\n"), std::string("*1\r\n*0\r\n"),
       std::string("*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\n1\r\n:1\r\n"),
        std::string("*1\r\n*3\r\n:-1\r\n:5\r\n*2\r\n$1\r\n1\r\n:1\r\n"),
        std::string("*1\r\n*3\r\n:7\r\n:5\r\n*2\r\n$1\r\n1\r\n:1\r\n"),
        std::string("*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\n1\r\n:70000\r\n"),
        std::string("*1\r\n*3\r\n:0\r\n:5\r\n*2\r\n:1\r\n:1\r\n"),
        std::string("*1\r\n*3\r\n:0\r\n:5\r\n:1\r\n"), "*2\r\n" + range + "*3\r\n:0\r\n:5\r\n*1\r\n:1\r\n"}) {
    CAPTURE(bad);
    CHECK_FALSE(slots(bad, kept));
    CHECK(kept.uncovered() == 0);
    CHECK(kept.server(kept.owner(0)).port == 6379);
  }
}

TEST_CASE("noise is never more than garbage", "[kv]") {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u);
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const std::string good = "*2\r\n" + range + range;
  for (int round = 0; round != 2000; ++round) {
    std::string text = good;
    for (std::uint64_t n = 1 + random() % 4; n != 0; --n) text[random() % text.size()] = "0123456789*$:+-\r\nx"[random() % 18];
    kv::slot_table t = table();
    (void)slots(text, t);
    REQUIRE(t.is_valid());
  }
}

TEST_CASE("digits are addresses, names are not", "[kv]") {
  const auto is = [](const std::string& host) {
    kv::redis_address a;
    REQUIRE(a.assign(host.data(), host.size(), 1));
    return kv::is_numeric(a);
  };
  CHECK(is("10.0.0.1"));
  CHECK(is("::1"));
  CHECK(is("fe80::abCD"));
  for (const char* name : {"", "localhost", "face.dead", "a.b", "::g", "1.2.3.4x"}) CHECK_FALSE(is(name));
}

#else

#include <cstdio>
#include <cstdlib>

TEST_CASE("the Redis tier needs hiredis", "[kv]") {
  std::puts("SKIP: built without hiredis");
  std::exit(77);
}

#endif
