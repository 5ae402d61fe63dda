#include <tokenheap/kv/sequence.hpp>

#include <support/catch.hpp>
#include <tokenheap/kv/hash_chain.hpp>

#include <string>
#include <vector>

#include <kv/kit.hpp>

// scenarios of identity: who may share what, and what is found, each with its exact numbers, and with either index

using namespace kit;

namespace {

template <class Policy>
using pool_with = kv::block_pool<Policy>;

struct chained : kv::default_policy {
  using prefixes = kv::hash_chain_index<>;
};

// publishes a prompt and lets it go
template <class Pool>
void remember(Pool& pool, const std::vector<kv::token>& prompt, const kv::sequence_options& with = {}) {
  auto s = opened(pool, prompt, with);
  REQUIRE(s.publish(prompt.size()) == errc::ok);
}

}  // namespace

TEMPLATE_TEST_CASE("13: two equal blocks are both published, and either one keeps the content findable",
                   "[kv][scenario]", kv::default_policy, chained) {
  auto pool = pool_of<pool_with<TestType>>(2, 4);
  const auto prompt = count_up(4);
  auto first = opened(pool, prompt, {.read_cache = false});
  auto second = opened(pool, prompt, {.read_cache = false});
  REQUIRE(first.publish(4) == errc::ok);
  REQUIRE(second.publish(4) == errc::ok);
  CHECK(pool.stats().published == 2);
  CHECK(pool.is_valid());

  SECTION("the one that is found goes first") {
    first.close();
    second.close();
  }
  SECTION("the other one goes first") {
    second.close();
    first.close();
  }
  CHECK(pool.match(prompt) == 4);
  CHECK(pool.evict(1) == 1);
  CHECK(pool.is_valid());
  CHECK(pool.match(prompt) == 4);
  CHECK(pool.stats().published == 1);
  CHECK(pool.evict(1) == 1);
  CHECK(pool.match(prompt) == 0);
  CHECK(pool.stats().published == 0);
  CHECK(pool.is_valid());
}

TEMPLATE_TEST_CASE("13: a duplicate takes over the children of the block that goes",
                   "[kv][scenario]", kv::default_policy, chained) {
  auto pool = pool_of<pool_with<TestType>>(16, 4);
  const auto head = count_up(4);
  auto first = opened(pool, head, {.read_cache = false});
  REQUIRE(first.publish(4) == errc::ok);
  // three continuations hang below the first block, and one holder of a duplicate adds a fourth
  std::vector<kv::sequence<pool_with<TestType>>> running;
  auto twin = opened(pool, joined(head, count_up(4, 40)), {.read_cache = false});
  REQUIRE(twin.publish(8) == errc::ok);
  for (kv::token n = 1; n < 4; ++n) remember(pool, joined(head, count_up(4, 100 * n)), {.read_cache = false});
  first.close();
  CHECK(pool.is_valid());
  // twin is live; all the others leave, the first block among them
  CHECK(pool.evict(16) == 7);
  CHECK(pool.is_valid());
  CHECK(pool.match(joined(head, count_up(4, 40))) == 8);
  CHECK(pool.match(joined(head, count_up(4, 100))) == 4);
  CHECK(pool.stats().published == 2);
}

TEMPLATE_TEST_CASE("23: salts separate equal tokens, and no salt is another one",
                   "[kv][scenario]", kv::default_policy, chained) {
  auto pool = pool_of<pool_with<TestType>>(32, 16);
  const auto prompt = count_up(55);
  const std::string one = "tenant one";
  const std::string two("tenant\0one", 10);
  remember(pool, prompt, {.key = salted(one)});
  CHECK(opened(pool, prompt, {.key = salted(one)}).cached_tokens() == 48);
  CHECK(opened(pool, prompt, {.key = salted(two)}).cached_tokens() == 0);
  CHECK(opened(pool, prompt).cached_tokens() == 0);
  remember(pool, prompt);
  CHECK(opened(pool, prompt).cached_tokens() == 48);
  CHECK(opened(pool, prompt, {.key = salted("")}).cached_tokens() == 48);
  CHECK(opened(pool, prompt, {.key = salted(one)}).cached_tokens() == 48);
  CHECK(pool.is_valid());
  // a salt may be of any length
  const std::string long_salt(100'000, 'x');
  remember(pool, prompt, {.key = salted(long_salt)});
  CHECK(opened(pool, prompt, {.key = salted(long_salt)}).cached_tokens() == 48);
  CHECK(opened(pool, prompt, {.key = salted(long_salt + "y")}).cached_tokens() == 0);
  CHECK(pool.is_valid());
}

TEMPLATE_TEST_CASE("24: two adapters never share, one adapter does",
                   "[kv][scenario]", kv::default_policy, chained) {
  auto pool = pool_of<pool_with<TestType>>(32, 16);
  const auto prompt = count_up(55);
  remember(pool, prompt, {.key = {.adapter = 1}});
  CHECK(opened(pool, prompt, {.key = {.adapter = 2}}).cached_tokens() == 0);
  CHECK(opened(pool, prompt, {.key = {.adapter = 1}}).cached_tokens() == 48);
  CHECK(opened(pool, prompt).cached_tokens() == 0);
  CHECK(opened(pool, prompt, {.key = salted("s", 1)}).cached_tokens() == 0);
  CHECK(pool.is_valid());
}

namespace {

// every block looks the same to this hash
struct one_bucket {
  std::uint64_t operator()(const kv::token*, std::size_t, std::uint64_t) const noexcept { return ~std::uint64_t{0}; }
};
struct colliding : kv::default_policy {
  using prefixes = kv::radix_index<one_bucket>;
};
// and every prefix has the same name
struct one_name : kv::sip128 {
  static one_name open(const void*, std::size_t) noexcept { return {}; }
  kv::hash128 root(const void*, std::size_t) const noexcept { return {}; }
  kv::hash128 operator()(kv::hash128, const kv::token*, std::size_t) const noexcept { return {}; }
};
struct nameless : kv::default_policy {
  using prefixes = kv::hash_chain_index<one_name>;
};

}  // namespace

TEMPLATE_TEST_CASE("27: equal hashes never make a wrong hit", "[kv][scenario]", colliding, nameless) {
  auto pool = pool_of<pool_with<TestType>>(64, 4);
  for (kv::token n = 0; n < 8; ++n) remember(pool, joined(count_up(4, n), count_up(4, 50 * n)));
  CHECK(pool.stats().published == 16);
  CHECK(pool.is_valid());
  for (kv::token n = 0; n < 8; ++n) {
    CHECK(pool.match(joined(count_up(4, n), count_up(4, 50 * n))) == 8);
    CHECK(pool.match(joined(count_up(4, n), count_up(4, 50 * n + 1))) == 4);
    CHECK(pool.match(count_up(4, n + 8)) == 0);
  }
  // taking entries out of one long cluster leaves the others findable
  for (std::size_t left = 16; left > 0; --left) {
    CHECK(pool.evict(1) == 1);
    REQUIRE(pool.is_valid());
    std::size_t found = 0;
    for (kv::token n = 0; n < 8; ++n) found += pool.match(joined(count_up(4, n), count_up(4, 50 * n))) / 4;
    CHECK(found == left - 1);
  }
}

TEMPLATE_TEST_CASE("29: a request that must not read the cache still publishes",
                   "[kv][scenario]", kv::default_policy, chained) {
  auto pool = pool_of<pool_with<TestType>>(16, 16);
  const auto prompt = count_up(55);
  remember(pool, prompt);
  auto blind = opened(pool, prompt, {.read_cache = false});
  CHECK(blind.cached_tokens() == 0);
  CHECK(pool.stats().live == 4);
  REQUIRE(blind.publish(55) == errc::ok);
  CHECK(blind.published_tokens() == 48);
  CHECK(pool.stats().published == 6);
  // the same identities: one match finds the prefix once
  CHECK(pool.match(prompt) == 48);
  CHECK(pool.is_valid());
  blind.close();
  CHECK(pool.stats().cached == 6);
  CHECK(pool.evict(3) == 3);
  CHECK(pool.match(prompt) == 48);
}

TEMPLATE_TEST_CASE("31: four keys over the same tokens stay unmixed",
                   "[kv][scenario]", kv::default_policy, chained) {
  auto pool = pool_of<pool_with<TestType>>(16, 1);
  const auto three = count_up(3);
  const std::string key1 = "key1";
  const std::string key2 = "key2";
  auto a = opened(pool, three, {.key = salted(key1)});
  auto b = opened(pool, three, {.key = salted(key2)});
  auto c = opened(pool, three);
  for (auto* s : {&a, &b, &c}) REQUIRE(s->publish(3) == errc::ok);
  const auto ids_a = ids_of(a);
  const auto ids_b = ids_of(b);
  const auto ids_c = ids_of(c);
  a.close();
  b.close();
  c.close();
  const kv::sequence_options whole{.recompute_last = false};
  auto with = whole;
  with.key = salted(key1);
  CHECK(ids_of(opened(pool, three, with)) == ids_a);
  with.key = salted(key2);
  CHECK(ids_of(opened(pool, three, with)) == ids_b);
  CHECK(ids_of(opened(pool, three, whole)) == ids_c);
  CHECK(pool.match(three, salted("unknown")) == 0);
  CHECK(pool.is_valid());
}

TEMPLATE_TEST_CASE("64: evicting everything leaves what is held, and frees exactly what was asked",
                   "[kv][scenario]", kv::default_policy, chained) {
  auto pool = pool_of<pool_with<TestType>>(9, 4);
  remember(pool, count_up(28));
  auto held = opened(pool, count_up(8), {.recompute_last = false});
  CHECK(held.cached_tokens() == 8);
  CHECK(pool.stats().cached == 5);
  remember(pool, count_up(8, 900));
  CHECK(pool.stats().published == 9);
  CHECK(pool.evict(100) == 7);
  CHECK(pool.stats().published == 2);
  CHECK(pool.stats().live == 2);
  CHECK(pool.match(count_up(28)) == 8);
  held.close();
  CHECK(pool.evict(100) == 2);
  CHECK(pool.stats().free == 9);
  CHECK(pool.stats().published == 0);
  for (std::size_t k = 0; k <= 9; ++k) {
    remember(pool, count_up(36));
    CHECK(pool.evict(k) == k);
    const auto now = pool.stats();
    CHECK(now.cached + now.free == 9);
    CHECK(now.cached == 9 - k);
    REQUIRE(pool.is_valid());
  }
}

TEMPLATE_TEST_CASE("65: sizes move between evictable and held, page by page",
                   "[kv][scenario]", kv::default_policy, chained) {
  auto pool = pool_of<pool_with<TestType>>(8, 1);
  auto s = opened(pool, count_up(3));
  CHECK(s.cached_tokens() == 0);
  REQUIRE(s.publish(3) == errc::ok);
  const auto values = ids_of(s);
  CHECK(pool.stats().published == 3);
  s.close();
  CHECK(pool.stats().cached == 3);
  {
    auto lock = opened(pool, count_up(2), {.recompute_last = false});
    CHECK(ids_of(lock) == ids(values.begin(), values.begin() + 2));
    CHECK(pool.stats().cached == 1);
    CHECK(pool.stats().published - pool.stats().cached == 2);
  }
  CHECK(pool.stats().cached == 3);

  auto all = opened(pool, count_up(3), {.recompute_last = false});
  CHECK(pool.stats().cached == 0);
  CHECK(pool.stats().published - pool.stats().cached == 3);
  all.close();
  CHECK(pool.stats().cached == 3);

  auto off = pool_of<pool_with<TestType>>(8, 1, false);
  remember(off, count_up(3));
  CHECK(off.stats().published == 0);
  CHECK(off.match(count_up(3)) == 0);

  auto pages = pool_of<pool_with<TestType>>(8, 4);
  remember(pages, count_up(6));
  CHECK(pages.match(count_up(6)) == 4);
}
