#include <tokenheap/kv/redis_request.hpp>

#include <support/catch.hpp>

#include <string>

namespace kv = tokenheap::kv;

namespace {

std::string name_of(const kv::redis_names& names, const kv::tier_key& key) {
  char out[kv::redis_names::most + 1];
  const std::size_t n = names.write(key, out);
  CHECK(out[n] == '\0');
  return out;
}
kv::redis_names named(const char* prefix, kv::siphash_key secret = {}, std::size_t bytes = 100) {
  kv::redis_names made;
  REQUIRE(made.open(prefix, secret, bytes));
  return made;
}
std::string text_of(const kv::redis_phrases& all, kv::redis_verb verb, bool asks = false) {
  kv::redis_request r;
  r.verb = verb;
  r.key = {0xAB, 0xCD, 7};
  r.asks = asks;
  all.write(r);
  return std::string(r.head, r.head_bytes);
}

}  // namespace

TEST_CASE("names hold the prefix, the kind of blocks, the hash and the group", "[kv]") {
  const std::string one = name_of(named("th"), {0x123, 0xfedcba9876543210, 0x1f});
  CHECK(one.size() == 2 + 1 + 16 + 1 + 32 + 1 + 8);
  CHECK(one.substr(0, 3) == "th:");
  CHECK(one.substr(19) == ":fedcba98765432100000000000000123:0000001f");
  // another secret, and another size, never meet
  CHECK(name_of(named("th"), {1, 2, 3}).substr(3, 16) != name_of(named("th", {1, 0}), {1, 2, 3}).substr(3, 16));
  CHECK(name_of(named("th"), {1, 2, 3}).substr(3, 16) != name_of(named("th", {}, 101), {1, 2, 3}).substr(3, 16));
  CHECK(name_of(named("th"), {1, 2, 3}) == name_of(named("th"), {1, 2, 3}));
  const std::string longest(kv::redis_names::most_prefix, 'p');
  CHECK(name_of(named(longest.c_str()), {}).size() <= kv::redis_names::most);
  kv::redis_names none;
  CHECK_FALSE(none.open("", {}, 100));
  CHECK_FALSE(none.open((longest + "p").c_str(), {}, 100));
}

TEST_CASE("requests are what the protocol says, with and without a time to live", "[kv]") {
  const kv::redis_names names = named("th");
  const std::string name = name_of(names, {0xAB, 0xCD, 7});
  const std::string key = "$" + std::to_string(name.size()) + "\r\n" + name + "\r\n";
  kv::redis_phrases timed, endless, fixed;
  timed.open(names, 164, 60'000, true);
  endless.open(names, 164, 0, true);
  fixed.open(names, 164, 5, false);
  using verb = kv::redis_verb;
  CHECK(text_of(timed, verb::load) == "*4\r\n$5\r\nGETEX\r\n" + key + "$2\r\nPX\r\n$5\r\n60000\r\n");
  CHECK(text_of(endless, verb::load) == "*2\r\n$3\r\nGET\r\n" + key);
  CHECK(text_of(fixed, verb::load) == "*2\r\n$3\r\nGET\r\n" + key);
  CHECK(text_of(timed, verb::store) == "*6\r\n$3\r\nSET\r\n" + key + "$164\r\n");
  CHECK(std::string(timed.tail(), timed.tail_bytes()) == "\r\n$2\r\nNX\r\n$2\r\nPX\r\n$5\r\n60000\r\n");
  CHECK(text_of(endless, verb::store) == "*4\r\n$3\r\nSET\r\n" + key + "$164\r\n");
  CHECK(std::string(endless.tail(), endless.tail_bytes()) == "\r\n$2\r\nNX\r\n");
  CHECK(text_of(fixed, verb::touch) == "*3\r\n$7\r\nPEXPIRE\r\n" + key + "$1\r\n5\r\n");
  CHECK(text_of(endless, verb::touch) == "*2\r\n$6\r\nSTRLEN\r\n" + key);
  CHECK(text_of(timed, verb::probe) == "*2\r\n$6\r\nSTRLEN\r\n" + key);
  CHECK(text_of(timed, verb::remove, true) == "*1\r\n$6\r\nASKING\r\n*2\r\n$6\r\nUNLINK\r\n" + key);
  CHECK(text_of(timed, verb::topology) == "*2\r\n$7\r\nCLUSTER\r\n$5\r\nSLOTS\r\n");
}

TEST_CASE("the longest request fits", "[kv]") {
  const std::string longest(kv::redis_names::most_prefix, 'p');
  kv::redis_phrases all;
  all.open(named(longest.c_str()), ~std::size_t{0}, ~std::uint64_t{0}, true);
  for (const kv::redis_verb verb : {kv::redis_verb::load, kv::redis_verb::store, kv::redis_verb::touch}) {
    const std::string text = text_of(all, verb, true);
    CHECK(text.size() < sizeof(kv::redis_request::head) - 1);
    CHECK(text.substr(text.size() - 2) == "\r\n");
  }
  const std::string tail(all.tail(), all.tail_bytes());
  CHECK(tail.substr(tail.size() - 22) == "18446744073709551615\r\n");
}
