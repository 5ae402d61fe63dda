#include <tokenheap/kv/events.hpp>

#include <support/catch.hpp>

#include <kv/event_kit.hpp>
#include <tokenheap/kv/sha256.hpp>
#include <tokenheap/kv/xxh3.hpp>

// the scenarios 32 and 49 to 52 of engines that tell routers about their caches, and what follows from the contract

using namespace kit;

namespace {

template <class Pool>
struct told_pool {
  Pool pool;
  kv::event_feed feed = feed_of();
  explicit told_pool(std::size_t blocks, std::size_t block_tokens = 4) : pool(pool_of<Pool>(blocks, block_tokens)) {
    REQUIRE(lines() == std::vector<std::string>{"snapshot cleared"});
  }
  std::vector<std::string> lines() { return lines_of(feed, pool); }
  std::vector<kv::event> events() {
    REQUIRE(feed.poll(pool) == kv::feed_answer::news);
    return events_of(feed.batch());
  }
};

template <class Pool>
kv::hash128 name_at(Pool& pool, kv::block_id id) {
  kv::hash128 name;
  pool.with_events([&](const auto& stream, const auto&) { name = stream.name_of(id); });
  return name;
}

using lines = std::vector<std::string>;

}  // namespace

static_assert(kv::hears_of_publishing<kv::event_stream<>, kv::radix_index<>>);
static_assert(kv::hears_of_publishing<kv::event_stream<>, kv::hash_chain_index<>>);
static_assert(kv::keeps_rows_of_blocks<kv::event_stream<>>);
static_assert(!kv::hears_of_publishing<kv::no_events, kv::radix_index<>>);

TEMPLATE_TEST_CASE("events 49: one publish is one event, and what is evicted for it leaves before", "[kv][events]",
                   telling_radix, telling_chain) {
  told_pool<TestType> at(3);
  const auto prompt = count_up(12);
  {
    auto s = opened(at.pool, prompt);
    REQUIRE(s.publish(12) == errc::ok);
    CHECK(at.lines() == lines{"stored 3 12"});
    CHECK(at.lines().empty());
  }
  // the same prompt, without a look-up, in a pool that it fills
  auto again = opened(at.pool, prompt, {.read_cache = false});
  REQUIRE(again.publish(12) == errc::ok);
  CHECK(at.lines() == lines{"removed evicted 1 0", "removed evicted 1 0", "removed evicted 1 0", "stored 3 12"});
}

TEMPLATE_TEST_CASE("events 32: a stored event is enough to make its names again", "[kv][events]", telling_radix,
                   telling_chain) {
  told_pool<TestType> at(16);
  const std::uint64_t seed = 0;  // of the pool
  const auto hash = kv::sip128::open(&seed, sizeof seed);
  const std::string salt = "secret of a tenant";
  const kv::prefix_key keys[] = {{}, {.adapter = 7}, salted(salt), {.tenant = 3}};
  for (const kv::prefix_key& key : keys) {
    auto s = opened(at.pool, count_up(12), {.key = key});
    REQUIRE(s.publish(4) == errc::ok);
    REQUIRE(s.publish(12) == errc::ok);
    const auto events = at.events();
    REQUIRE(events.size() == 2);
    CHECK(events[0].parent == kv::name_of_root(hash, key));
    CHECK((events[0].at_root && !events[1].at_root));
    CHECK(events[1].parent == events[0].names[0]);
    for (const kv::event& e : events) {
      kv::hash128 parent = e.parent;
      REQUIRE(e.tokens.size() == e.names.size() * e.block_tokens);
      for (std::size_t n = 0; n != e.names.size(); ++n) {
        parent = hash(parent, e.tokens.data() + n * e.block_tokens, e.block_tokens);
        CHECK(parent == e.names[n]);
      }
      CHECK(e.adapter == key.adapter);
      CHECK(e.tenant == key.tenant);
      CHECK(e.keyed == (key.salt_bytes != 0 || key.tenant != 0));
    }
    CHECK(std::vector<kv::token>(events[1].tokens.begin(), events[1].tokens.end()) == count_up(8, 4));
  }
}

TEST_CASE("events 32: a hash chain with the stream's own hash says the same names", "[kv][events]") {
  told_pool<telling_chain> at(16);
  auto s = opened(at.pool, count_up(24), {.key = {.adapter = 2}});
  REQUIRE(s.publish(24) == errc::ok);
  at.pool.with_events([&](const auto& stream, const auto& index) {
    for (const kv::block_id id : s.blocks()) CHECK(stream.name_of(id) == index.hash_of(id));
  });
  // the radix index has no names: the stream makes the same ones
  told_pool<telling_radix> other(16);
  auto t = opened(other.pool, count_up(24), {.key = {.adapter = 2}});
  REQUIRE(t.publish(24) == errc::ok);
  for (std::size_t n = 0; n != 6; ++n) {
    CHECK(name_at(at.pool, s.blocks()[n]) == name_at(other.pool, t.blocks()[n]));
  }
}

namespace {

template <class Hash>
struct named_by : kv::default_policy {
  using prefixes = kv::hash_chain_index<>;
  using events = kv::event_stream<kv::event_shape{.bytes = 4096}, Hash>;
};

}  // namespace

TEMPLATE_TEST_CASE("a stream with another hash than its index makes names of its own", "[kv][events]", kv::xxh3_128,
                   kv::sha256_128) {
  auto pool = kv::block_pool<named_by<TestType>>::open({.blocks = 4, .block_tokens = 4, .seed = 9});
  REQUIRE(pool);
  auto s = opened(*pool, count_up(9));
  REQUIRE(s.publish(9) == errc::ok);
  const std::uint64_t seed = 9;
  const auto hash = TestType::open(&seed, sizeof seed);
  const auto tokens = count_up(8);
  const kv::hash128 first = hash(kv::name_of_root(hash, {}), tokens.data(), 4);
  CHECK(name_at(*pool, s.blocks()[0]) == first);
  CHECK(name_at(*pool, s.blocks()[1]) == hash(first, tokens.data() + 4, 4));
}

TEMPLATE_TEST_CASE("events 50: later blocks name their logical parent, and the null block has no name", "[kv][events]",
                   telling_radix, telling_chain) {
  auto pool = pool_of<TestType>(8, 4, true, true);
  auto feed = feed_of();
  CHECK(lines_of(feed, pool) == lines{"snapshot cleared"});
  auto s = opened(pool, count_up(24));
  REQUIRE(s.publish(12) == errc::ok);
  REQUIRE(s.publish(24) == errc::ok);
  REQUIRE(feed.poll(pool) == kv::feed_answer::news);
  const auto events = events_of(feed.batch());
  REQUIRE(events.size() == 2);
  CHECK(events[1].parent == events[0].names[2]);
  CHECK(name_at(pool, 0) == kv::hash128{});
}

TEMPLATE_TEST_CASE("events 51: nothing new is no event, and what is announced changes nothing", "[kv][events]",
                   telling_radix, telling_chain) {
  told_pool<TestType> at(8);
  auto s = opened(at.pool, count_up(11));
  REQUIRE(s.publish(3) == errc::ok);
  REQUIRE(s.publish(8) == errc::ok);
  REQUIRE(s.publish(8) == errc::ok);
  REQUIRE(s.publish(11) == errc::ok);
  auto twin = s.fork();
  REQUIRE(twin);
  REQUIRE(twin->publish(11) == errc::ok);
  CHECK(at.lines() == lines{"stored 2 8"});

  const auto before = at.pool.stats().published;
  const kv::hash128 names[] = {name_at(at.pool, s.blocks()[0]), name_at(at.pool, s.blocks()[1])};
  at.pool.with_events([&](auto& stream, const auto&) {
    CHECK(stream.announce({.medium = kv::event_medium::host, .block_tokens = 4, .names = names}));
  });
  const auto events = at.events();
  REQUIRE(events.size() == 1);
  CHECK(line_of(events[0]) == "stored 2 0");
  CHECK((events[0].names[1] == names[1] && events[0].medium == kv::event_medium::host));
  CHECK(at.pool.stats().published == before);
}

TEMPLATE_TEST_CASE("events 52: what is evicted leaves under the names it came with, also where prefixes part",
                   "[kv][events]", telling_radix, telling_chain) {
  told_pool<TestType> at(8, 2);
  auto mirror = mirror_of(8, 2);
  auto feed = feed_of();
  {
    auto a = opened(at.pool, std::vector<kv::token>{1, 2, 3, 4, 5});
    REQUIRE(a.publish(5) == errc::ok);
    auto b = opened(at.pool, std::vector<kv::token>{1, 2, 8, 9});
    REQUIRE(b.publish(4) == errc::ok);
  }
  CHECK(at.lines() == lines{"stored 2 4", "stored 1 2"});
  static_cast<void>(follow(feed, at.pool, mirror));
  CHECK(mirror.size() == 3);
  CHECK(at.pool.evict(3) == 3);
  CHECK(at.lines() == lines{"removed asked 1 0", "removed asked 1 0", "removed asked 1 0"});
  static_cast<void>(follow(feed, at.pool, mirror));
  CHECK(mirror.size() == 0);
}

TEMPLATE_TEST_CASE("a prefix that two blocks hold is stored once, and leaves with the last of them", "[kv][events]",
                   telling_radix, telling_chain) {
  told_pool<TestType> at(6);
  {
    auto a = opened(at.pool, count_up(8));
    auto b = opened(at.pool, joined(count_up(8), {50, 51, 52, 53}), {.read_cache = false});
    REQUIRE(a.publish(8) == errc::ok);
    REQUIRE(b.publish(12) == errc::ok);
    CHECK(at.lines() == lines{"stored 2 8", "stored 1 4"});
  }
  CHECK(at.pool.evict(5) == 5);
  CHECK(at.lines() == lines{"removed asked 1 0", "removed asked 1 0", "removed asked 1 0"});
}

TEMPLATE_TEST_CASE("a reset is one event, heard in its place", "[kv][events]", telling_radix, telling_chain) {
  told_pool<TestType> at(4);
  {
    auto s = opened(at.pool, count_up(16));
    REQUIRE(s.publish(16) == errc::ok);
    CHECK(at.pool.reset() == errc::in_use);
  }
  REQUIRE(at.pool.reset() == errc::ok);
  auto s = opened(at.pool, count_up(4, 90), {.recompute_last = false});
  REQUIRE(s.publish(4) == errc::ok);
  CHECK(at.lines() == lines{"stored 4 16", "cleared", "stored 1 4"});
}

TEST_CASE("labels stand in the events that follow", "[kv][events]") {
  told_pool<telling_radix> at(4);
  at.pool.with_events([](auto& stream, const auto&) { stream.label(3, kv::event_medium::host); });
  auto s = opened(at.pool, count_up(5));
  REQUIRE(s.publish(4) == errc::ok);
  const auto events = at.events();
  REQUIRE(events.size() == 1);
  CHECK((events[0].group == 3 && events[0].medium == kv::event_medium::host));
}

TEMPLATE_TEST_CASE("a snapshot tells each prefix once, and its parent before it", "[kv][events]", telling_radix,
                   telling_chain) {
  auto pool = pool_of<TestType>(64, 2);
  std::vector<kv::sequence<TestType>> held;
  // three branches below a common prefix, one of them twice, and one under a key
  const auto common = count_up(8);
  for (const kv::token t : {100u, 200u, 300u, 300u}) {
    held.push_back(opened(pool, joined(common, {t, t, t + 1, t + 1}), {.read_cache = t != 300}));
    REQUIRE(held.back().publish(12) == errc::ok);
  }
  held.push_back(opened(pool, common, {.key = {.adapter = 4, .tenant = 2}}));
  REQUIRE(held.back().publish(8) == errc::ok);
  auto feed = feed_of();
  REQUIRE(feed.poll(pool) == kv::feed_answer::snapshot);
  std::map<name_pair, int> seen;
  std::size_t events = 0;
  for (const kv::event& e : feed.batch()) {
    CHECK(e.snapshot);
    CHECK(e.number == feed.next());
    if (events++ == 0) {
      CHECK(e.kind == kv::event_kind::cleared);
      continue;
    }
    CHECK((e.at_root || seen.count(pair_of(e.parent)) == 1));
    CHECK(e.adapter == (e.tenant == 2 ? 4 : 0));
    for (const auto& name : e.names) ++seen[pair_of(name)];
  }
  CHECK(seen.size() == 4 + 3 * 2 + 4);
  for (const auto& [name, times] : seen) CHECK(times == 1);
  CHECK(events <= 6);
}

TEST_CASE("an open stream tells what it takes, and refuses what it cannot have", "[kv][events][bad]") {
  kv::event_stream<kv::event_shape{.bytes = 8192}> stream;
  REQUIRE(stream.open(100, 16, 0));
  CHECK(stream.bytes() >= 8192 + 3200);
  kv::event_stream<kv::event_shape{.bytes = 8}> none;
  CHECK(!none.open(100, 16, 0));
  struct broken : kv::default_policy {
    using events = kv::event_stream<kv::event_shape{.bytes = 8}>;
  };
  const auto pool = kv::block_pool<broken>::open({.blocks = 4});
  REQUIRE(!pool);
  CHECK(pool.why().code == errc::out_of_memory);
}
