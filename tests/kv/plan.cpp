#include <tokenheap/kv/plan.hpp>

#include <support/catch.hpp>

#include <random>
#include <string>
#include <vector>

#include <kv/kit.hpp>
#include <tokenheap/source/host.hpp>

using namespace kit;
using plan = kv::plan<pool_type>;

namespace {

// all that a failing call must leave as it was
struct picture {
  std::size_t free, cached, live, published, evictions, reserved;
  std::vector<kv::block_id> leaving;
  bool operator==(const picture&) const = default;
};

picture of(pool_type& pool) {
  const auto now = pool.stats();
  picture p{now.free, now.cached, now.live, now.published, now.evictions, now.reserved, {}};
  pool.with_order([&](kv::lru& order) {
    for (kv::block_id id = order.victim(); id != kv::no_block; id = order.after(id)) p.leaving.push_back(id);
  });
  return p;
}

}  // namespace

TEST_CASE("a plan takes all or nothing, and a look changes nothing", "[kv][plan]") {
  auto pool = pool_of(10, 4);
  auto runs = opened(pool, count_up(8, 500));
  {
    auto done = opened(pool, count_up(16));
    REQUIRE(done.publish(16) == errc::ok);
  }
  const auto prompt = count_up(17), other = count_up(4, 900);
  const picture before = of(pool);

  plan step;
  REQUIRE(step.grow(runs, 8) == errc::ok);
  CHECK(step.grow(runs, 1) == errc::in_use);
  REQUIRE(step.open(pool, prompt).code == errc::ok);  // finds 4 blocks, takes 1
  REQUIRE(step.open(pool, other).code == errc::ok);   // takes 1
  CHECK(step.would_fit());
  CHECK(of(pool) == before);

  const auto more = count_up(8, 2000);
  REQUIRE(step.open(pool, more).code == errc::ok);  // 2 + 1 + 1 + 2 where 4 are free and the 4 cached are found
  const auto no = step.commit();
  CHECK(no.code == errc::out_of_memory);
  CHECK(step.refused() == 3);
  CHECK(no.need == 6);
  CHECK(no.room == 4);
  CHECK(no.longest == 0);
  CHECK(no.evictable == 4);
  CHECK(of(pool) == before);
  CHECK(pool.is_valid());
  CHECK(pool.last_refusal().need == 6);

  step.clear();
  REQUIRE(step.grow(runs, 5) == errc::ok);  // 2 blocks
  REQUIRE(step.open(pool, prompt).code == errc::ok);
  REQUIRE(step.commit());
  auto hit = step.take(1);
  CHECK(hit.is_open());
  CHECK(hit.cached_tokens() == 16);
  CHECK(runs.blocks().size() == 4);
  CHECK_FALSE(step.take(0).is_open());
  // once
  CHECK(step.commit().code == errc::not_open);
  CHECK(step.would_fit().code == errc::not_open);
  CHECK(runs.blocks().size() == 4);
  CHECK(pool.is_valid());
}

TEST_CASE("14: what one request of a plan found is not evicted by another one of it", "[kv][plan][scenario]") {
  auto pool = pool_of(6, 4);
  {
    auto a = opened(pool, count_up(8));
    REQUIRE(a.publish(8) == errc::ok);
  }
  {
    auto b = opened(pool, count_up(8, 100));
    REQUIRE(b.publish(8) == errc::ok);
  }
  const auto longer = count_up(12), beside = count_up(12, 100);
  // 2 free and 4 cached, all four found: alone, the first would have evicted from the second
  plan step;
  REQUIRE(step.open(pool, longer).code == errc::ok);
  REQUIRE(step.open(pool, beside).code == errc::ok);
  REQUIRE(step.commit());
  auto a = step.take(0);
  auto b = step.take(1);
  CHECK(a.cached_tokens() == 8);
  CHECK(b.cached_tokens() == 8);
  CHECK(pool.stats().evictions == 0);
}

TEST_CASE("43: several pools take together or not at all", "[kv][plan][scenario]") {
  auto full = pool_of(8, 4), slide = pool_of(8, 4), last = pool_of(2, 4);
  const auto prompt = count_up(12);
  const picture before[] = {of(full), of(slide), of(last)};
  plan step;
  for (auto* pool : {&full, &slide, &last}) {
    const auto no = step.open(*pool, prompt);
    CHECK((no.code == errc::ok) == (pool != &last));  // 3 blocks never fit into 2
  }
  step.clear();
  auto held = opened(last, count_up(4, 7));
  const auto small = count_up(8);
  for (auto* pool : {&full, &slide, &last}) REQUIRE(step.open(*pool, small).code == errc::ok);
  const auto no = step.commit();
  CHECK(no.code == errc::out_of_memory);
  CHECK(step.refused() == 2);
  CHECK(of(full) == before[0]);
  CHECK(of(slide) == before[1]);
  CHECK(held.close() == errc::ok);
  REQUIRE(step.commit());  // the list is still there
  for (std::size_t at = 0; at < 3; ++at) CHECK(step.take(at).blocks().size() == 2);
  for (auto* pool : {&full, &slide, &last}) CHECK((pool->is_valid() && pool->stats().live == 0));
}

TEST_CASE("71: what if this one were preempted", "[kv][plan][scenario]") {
  auto pool = pool_of(8, 4);
  auto victim = opened(pool, count_up(20));
  REQUIRE(victim.publish(20) == errc::ok);
  auto twin = victim.fork();
  REQUIRE(twin);
  auto big = count_up(24, 100);
  const auto before = ids_of(victim);
  plan step;
  REQUIRE(step.close(victim) == errc::ok);
  REQUIRE(step.open(pool, big).code == errc::ok);
  CHECK_FALSE(step.would_fit());  // the fork holds the same blocks
  CHECK(ids_of(victim) == before);
  CHECK(pool.references(before[0]) == 2);
  REQUIRE(twin->close() == errc::ok);
  CHECK(step.would_fit());
  CHECK(victim.is_open());
  REQUIRE(step.commit());
  CHECK_FALSE(victim.is_open());
  auto made = step.take(1);
  CHECK(made.blocks().size() == 6);
  CHECK(pool.is_valid());
}

TEST_CASE("a request that finds the prefix of one that ends takes it over", "[kv][plan]") {
  auto pool = pool_of(4, 4);
  auto first = opened(pool, count_up(16));
  REQUIRE(first.publish(16) == errc::ok);
  const auto next = count_up(16);
  plan step;
  REQUIRE(step.close(first) == errc::ok);
  REQUIRE(step.open(pool, next).code == errc::ok);
  REQUIRE(step.commit());
  CHECK(step.take(1).cached_tokens() == 12);
  step.clear();
  CHECK(pool.stats().live == 0);
  CHECK(pool.is_valid());
}

TEST_CASE("the watermark is for those that run, and only while one does", "[kv][plan]") {
  auto made = pool_type::open({.blocks = 10, .block_tokens = 4, .watermark = 2});
  REQUIRE(made);
  auto& pool = *made;
  CHECK(pool_type::open({.blocks = 4, .watermark = 4}).error() == errc::invalid_argument);
  auto all = opened(pool, count_up(40));  // nobody runs
  REQUIRE(all.close() == errc::ok);
  auto runs = opened(pool, count_up(4, 100));
  CHECK(sequence::open(pool, count_up(32)).error() == errc::out_of_memory);
  const auto said = pool.last_refusal();
  CHECK(said.need == 8);
  CHECK(said.room == 7);
  CHECK(said.watermark == 2);
  CHECK(said.longest == 28);
  CHECK(pool.would_fit(count_up(said.longest)));
  CHECK_FALSE(pool.would_fit(count_up(said.longest + 1)));
  auto other = opened(pool, count_up(28));
  CHECK(runs.grow(8) == errc::ok);
  CHECK(runs.grow(9) == errc::out_of_memory);
  const auto prompt = count_up(4, 900);
  plan step;
  REQUIRE(step.open(pool, prompt).code == errc::ok);
  CHECK_FALSE(step.commit());
}

TEST_CASE("a request begins when the whole of it fits, or with the rest set aside", "[kv][plan]") {
  auto pool = pool_of(10, 4);
  const auto prompt = count_up(8);
  CHECK(sequence::open(pool, prompt, {.expected_tokens = 44, .fit = kv::admit::whole}).error() == errc::too_large);
  auto a = opened(pool, prompt, {.expected_tokens = 24, .fit = kv::admit::reserved});  // 2 and 4 set aside
  CHECK(pool.stats().reserved == 4);
  CHECK(pool.stats().free == 8);
  auto b = opened(pool, count_up(12, 100), {.expected_tokens = 16, .fit = kv::admit::whole});  // 3, for now 4 fit
  CHECK(pool.stats().reserved == 4);
  CHECK(b.grow(8) == errc::out_of_memory);  // one is left that nobody was promised
  kv::block_id two[2];
  CHECK(pool.allocate(two) == errc::out_of_memory);
  CHECK(b.grow(4) == errc::ok);
  CHECK(pool.allocate(std::span<kv::block_id>(two, 1)) == errc::out_of_memory);
  const auto ten = count_up(16, 40);
  CHECK(a.append(ten) == errc::ok);
  CHECK(pool.stats().reserved == 0);
  CHECK(a.rewind(8) == errc::ok);
  CHECK(pool.stats().reserved == 2);  // what it gave back stays its own
  CHECK(b.grow(12) == errc::out_of_memory);
  CHECK(a.grow(8) == errc::ok);
  CHECK(a.rewind(16) == errc::ok);
  CHECK(a.close() == errc::ok);
  CHECK(pool.stats().reserved == 0);
  CHECK(b.grow(12) == errc::ok);
  CHECK(pool.is_valid());
}

TEST_CASE("forks that grow in one plan each get a tail of their own", "[kv][plan]") {
  tokenheap::host_source heap;
  const kv::layout shape{.layers = 1, .kv_heads = 1, .head_size = 4, .type = kv::dtype::float32, .block_tokens = 4};
  auto pool = pool_type::open({.blocks = 4, .block_tokens = 4}, shape, heap);
  REQUIRE(pool);
  auto a = opened(*pool, count_up(6));
  auto b = a.fork();
  REQUIRE(b);
  plan step;
  REQUIRE(step.grow(a, 1) == errc::ok);
  REQUIRE(step.grow(*b, 1) == errc::ok);
  REQUIRE(step.commit());
  CHECK(a.blocks()[0] == b->blocks()[0]);
  CHECK(a.blocks()[1] != b->blocks()[1]);
  CHECK(pool->is_valid());
  const kv::token t[] = {1};
  CHECK(a.append(t) == errc::ok);
  CHECK(b->append(t) == errc::ok);
}

TEST_CASE("plans at random agree with looks, and a refusal leaves everything as it was", "[kv][plan]") {
  const unsigned seed = 71;
  CAPTURE(seed);
  std::mt19937 random(seed);
  auto made = pool_type::open({.blocks = 40, .block_tokens = 4, .watermark = 3});
  REQUIRE(made);
  auto& pool = *made;
  std::vector<sequence> all;
  std::size_t refused = 0, done = 0;
  for (int round = 0; round < 4000; ++round) {
    CAPTURE(round);
    std::vector<std::vector<kv::token>> prompts;
    plan step;
    std::size_t opens = 0;
    std::vector<std::size_t> ends;
    for (std::size_t at = 0; at < all.size(); ++at) {
      if (random() % 3 == 0) {
        REQUIRE(step.grow(all[at], random() % 9) == errc::ok);
      } else if (random() % 6 == 0) {
        REQUIRE(step.close(all[at]) == errc::ok);
        ends.push_back(at);
      }
    }
    prompts.reserve(3);
    std::vector<std::size_t> places;
    while (opens < 3 && random() % 2 == 0) {
      ++opens;
      prompts.push_back(
          joined(count_up(random() % 16), count_up(1 + random() % 12, static_cast<kv::token>(random() % 3) * 50)));
      const auto fit = static_cast<kv::admit>(random() % 3);
      const std::size_t place = step.size();
      if (step.open(pool, prompts.back(), {.expected_tokens = random() % 40, .fit = fit}).code == errc::ok)
        places.push_back(place);
    }
    const picture before = of(pool);
    const bool fits = static_cast<bool>(step.would_fit());
    REQUIRE(of(pool) == before);
    REQUIRE(pool.is_valid());
    const bool did = static_cast<bool>(step.commit());
    REQUIRE(did == fits);
    REQUIRE(pool.is_valid());
    if (!did) {
      ++refused;
      REQUIRE(of(pool) == before);
      step.clear();
      if (!all.empty()) all.erase(all.begin());
    } else {
      ++done;
      for (const std::size_t place : places) all.push_back(step.take(place));
      step.clear();
      std::erase_if(all, [](const sequence& s) { return !s.is_open(); });
      for (auto& s : all) REQUIRE(s.publish(s.length()) == errc::ok);
    }
    const auto now = pool.stats();
    REQUIRE(now.reserved <= now.available());
  }
  CHECK(refused > 100);
  CHECK(done > 1000);
  all.clear();
  CHECK(pool.stats().live == 0);
  CHECK(pool.stats().reserved == 0);
  CHECK(pool.is_valid());
}

TEST_CASE("a part of a block is never taken over from a request of the same plan that found the block", "[kv][plan]") {
  tokenheap::host_source heap;
  const kv::layout shape{.layers = 1, .kv_heads = 1, .head_size = 4, .type = kv::dtype::float32, .block_tokens = 4};
  auto pool = pool_type::open({.blocks = 4, .block_tokens = 4}, shape, heap);
  REQUIRE(pool);
  for (const kv::token first : {1U, 50U}) {
    auto done = opened(*pool, count_up(4, first));
    REQUIRE(done.publish(4) == errc::ok);
  }
  const std::vector<kv::token> part{1, 2, 900};
  const auto whole = count_up(5, 1), other = count_up(9, 50);
  {
    plan step;
    REQUIRE(step.open(*pool, part, {.partial = true}).code == errc::ok);
    REQUIRE(step.open(*pool, whole).code == errc::ok);
    REQUIRE(step.commit());
    auto a = step.take(0), b = step.take(1);
    CHECK(b.cached_tokens() == 4);
    CHECK(a.blocks()[0] != b.blocks()[0]);
    CHECK(pool->is_valid());
  }
  plan step;
  REQUIRE(step.open(*pool, part, {.partial = true}).code == errc::ok);
  REQUIRE(step.open(*pool, other).code == errc::ok);
  static_cast<void>(step.commit());
  CHECK(pool->is_valid());
}

TEST_CASE("what was not committed is not there to be taken", "[kv][plan]") {
  auto pool = pool_of(2, 4);
  const auto prompt = count_up(4), long_one = count_up(8, 9);
  plan step;
  REQUIRE(step.open(pool, prompt).code == errc::ok);
  CHECK_FALSE(step.take(0).is_open());
  REQUIRE(step.open(pool, long_one).code == errc::ok);
  CHECK_FALSE(step.commit());
  CHECK_FALSE(step.take(0).is_open());
  CHECK_FALSE(step.take(1).is_open());
  CHECK(pool.is_valid());
}

TEST_CASE("promises hold beside pins, forks and rewinds", "[kv][plan]") {
  tokenheap::host_source heap;
  const kv::layout shape{.layers = 1, .kv_heads = 1, .head_size = 4, .type = kv::dtype::float32, .block_tokens = 4};
  const auto made = [&](std::size_t blocks) {
    auto pool = pool_type::open({.blocks = blocks, .block_tokens = 4}, shape, heap);
    REQUIRE(pool);
    return std::move(*pool);
  };
  SECTION("a pin does not take what was promised") {
    auto pool = made(4);
    auto block = pool.allocate().publish(kv::prefix_key{}, count_up(4, 70));
    REQUIRE(block);
    const auto remembered = block->weak();
    block->close();
    auto s = opened(pool, count_up(2), {.expected_tokens = 16, .fit = kv::admit::reserved});
    CHECK(pool.stats().reserved == 3);
    CHECK_FALSE(pool.pin(remembered));
    CHECK(s.grow(14) == errc::ok);
  }
  SECTION("a fork sets its copy aside, or is refused") {
    auto pool = made(4);
    auto s = opened(pool, count_up(2), {.expected_tokens = 16, .fit = kv::admit::reserved});
    CHECK(s.fork().error() == errc::out_of_memory);
    CHECK(s.grow(14) == errc::ok);
    auto wide = made(5);
    auto t = opened(wide, count_up(2), {.expected_tokens = 16, .fit = kv::admit::reserved});
    auto fork = t.fork();
    REQUIRE(fork);
    CHECK(t.grow(14) == errc::ok);
    CHECK(wide.is_valid());
  }
  SECTION("a rewind into what others can find sets its copy aside, and no more than was promised") {
    auto pool = made(4);
    auto s = opened(pool, count_up(8), {.expected_tokens = 12, .fit = kv::admit::reserved});
    REQUIRE(s.publish(8) == errc::ok);
    REQUIRE(s.rewind(1) == errc::ok);
    auto other = sequence::open(pool, count_up(4, 90));
    CHECK_FALSE(other);
    CHECK(s.grow(5) == errc::ok);
    auto wide = made(8);
    auto t = opened(wide, count_up(4), {.expected_tokens = 8, .fit = kv::admit::reserved});
    REQUIRE(t.append(count_up(20)) == errc::ok);
    REQUIRE(t.rewind(20) == errc::ok);
    CHECK(wide.stats().reserved == 1);
  }
}
