#include <tokenheap/kv/sequence.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <kv/kit.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/source/host.hpp>

// scenarios of growth, order of reuse, decoding, rewinding and sharing, each with its exact numbers

using namespace kit;

namespace {

// what the pool can hand out at once, and a check that its sums agree
std::size_t available(const pool_type& pool) {
  const auto now = pool.stats();
  REQUIRE(now.free + now.cached + now.live + now.in_flight == now.total);
  REQUIRE(pool.is_valid());
  return now.available();
}

std::size_t distinct(const std::vector<sequence>& all) {
  std::set<kv::block_id> seen;
  for (const auto& s : all) seen.insert(s.blocks().begin(), s.blocks().end());
  return seen.size();
}

}  // namespace

TEST_CASE("1 to 5: prompts share full blocks, and released blocks come back in one exact order", "[kv][scenario]") {
  auto pool = pool_of(10, 16);
  const auto shared = count_up(48);

  // 1: 55 tokens, 4 blocks, 3 published
  auto first = opened(pool, joined(shared, count_up(7, 1000)));
  REQUIRE(first.publish(55) == errc::ok);
  CHECK(ids_of(first) == ids{0, 1, 2, 3});
  CHECK(first.published_tokens() == 48);
  CHECK(pool.stats().published == 3);
  for (const auto id : first.blocks()) CHECK(pool.references(id) == 1);
  CHECK(available(pool) == 6);

  // 2: the same 48 and 5 others
  auto second = opened(pool, joined(shared, count_up(5, 2000)));
  REQUIRE(second.publish(53) == errc::ok);
  CHECK(second.cached_tokens() == 48);
  CHECK(ids_of(second) == ids{0, 1, 2, 4});
  for (kv::block_id id = 0; id < 3; ++id) CHECK(pool.references(id) == 2);
  CHECK(available(pool) == 5);

  SECTION("3 and 5: both released, and ten new blocks show the order") {
    first.close();
    second.close();
    CHECK(available(pool) == 10);
    CHECK(pool.stats().cached == 3);
    auto all = opened(pool, count_up(160, 5000));
    CHECK(ids_of(all) == ids{4, 3, 5, 6, 7, 8, 9, 2, 1, 0});
    CHECK(available(pool) == 0);
    CHECK(pool.match(shared) == 0);
    CHECK(pool.stats().evictions == 3);
  }
  SECTION("4: cached blocks survive release; then 5") {
    first.close();
    second.close();
    auto third = opened(pool, joined(shared, count_up(5, 3000)));
    CHECK(third.cached_tokens() == 48);
    CHECK(ids_of(third) == ids{0, 1, 2, 4});
    CHECK(available(pool) == 6);
    third.close();
    auto all = opened(pool, count_up(160, 5000));
    CHECK(ids_of(all) == ids{4, 3, 5, 6, 7, 8, 9, 2, 1, 0});
    CHECK(available(pool) == 0);
    CHECK(pool.match(shared) == 0);
  }
}

TEST_CASE("6: the last token of a prompt is always left to compute", "[kv][scenario]") {
  auto pool = pool_of(64, 16);
  auto first = opened(pool, count_up(160));
  REQUIRE(first.publish(160) == errc::ok);
  CHECK(opened(pool, count_up(48)).cached_tokens() == 32);
  for (std::size_t n = 1; n <= 161; ++n) {
    auto again = opened(pool, count_up(n));
    CHECK(again.cached_tokens() == (n - 1) / 16 * 16);
  }
  CHECK(opened(pool, count_up(48), {.recompute_last = false}).cached_tokens() == 48);
}

TEST_CASE("7: decoding publishes a block when the next one begins", "[kv][scenario]") {
  auto pool = pool_of(10, 16);
  auto s = opened(pool, count_up(55));
  REQUIRE(s.publish(55) == errc::ok);
  REQUIRE(s.append(count_up(4, 100)) == errc::ok);
  REQUIRE(s.publish(59) == errc::ok);
  CHECK(s.blocks().size() == 4);
  CHECK(s.published_tokens() == 48);
  REQUIRE(s.append(count_up(19, 200)) == errc::ok);
  REQUIRE(s.publish(78) == errc::ok);
  CHECK(s.blocks().size() == 5);
  CHECK(s.published_tokens() == 64);
  CHECK(pool.stats().published == 4);
}

TEST_CASE("9: a block that is taken again carries no identity", "[kv][scenario]") {
  auto pool = pool_of(1, 16);
  {
    auto s = opened(pool, count_up(16));
    REQUIRE(s.publish(16) == errc::ok);
  }
  CHECK(pool.match(count_up(16)) == 16);
  auto next = opened(pool, count_up(15, 700));
  CHECK(next.blocks()[0] == 0);
  CHECK(pool.match(count_up(16)) == 0);
  CHECK(pool.stats().published == 0);
  CHECK(pool.is_valid());
}

TEST_CASE("11: without the cache nothing is found and a full pool refuses cleanly", "[kv][scenario]") {
  auto pool = pool_of(4, 4, false);
  {
    auto s = opened(pool, count_up(10));
    CHECK(s.blocks().size() == 3);
    REQUIRE(s.publish(10) == errc::ok);
  }
  auto again = opened(pool, count_up(16));
  CHECK(again.cached_tokens() == 0);
  CHECK(again.blocks().size() == 4);
  const auto refused = sequence::open(pool, count_up(4));
  REQUIRE(!refused);
  CHECK(refused.error() == errc::out_of_memory);
  CHECK(refused.why().need == 1);
  CHECK(refused.why().available == 0);
  CHECK(refused.why().limit == 4);
  CHECK(available(pool) == 0);
  CHECK(pool.stats().published == 0);
}

namespace {
struct count_clearings {
  int cleared = 0;
  void on_all_cleared() noexcept { ++cleared; }
};
struct listening : kv::default_policy {
  using events = count_clearings;
};
}  // namespace

TEST_CASE("15: reset waits for every reference, then clears every identity", "[kv][scenario]") {
  auto pool = pool_of<kv::block_pool<listening>>(8, 4);
  auto s = kv::sequence<kv::block_pool<listening>>::open(pool, count_up(12));
  REQUIRE(s);
  REQUIRE(s->publish(12) == errc::ok);
  CHECK(pool.reset() == errc::in_use);
  CHECK(pool.stats().published == 3);
  CHECK(pool.events().cleared == 0);
  s->close();
  CHECK(pool.match(count_up(12)) == 12);
  CHECK(pool.reset() == errc::ok);
  CHECK(pool.events().cleared == 1);
  CHECK(pool.match(count_up(12)) == 0);
  CHECK(pool.stats().published == 0);
  CHECK(pool.stats().free == 8);
  CHECK(pool.is_valid());
}

TEST_CASE("16: look-ahead slots count when a prompt takes blocks", "[kv][scenario]") {
  auto pool = pool_of(10, 4);
  CHECK(opened(pool, count_up(3), {.lookahead = 2}).blocks().size() == 2);
  CHECK(opened(pool, count_up(3), {.lookahead = 4}).blocks().size() == 2);
  CHECK(opened(pool, count_up(3), {.lookahead = 6}).blocks().size() == 3);
}

TEST_CASE("17: rejected drafts leave room, and the next draft takes no block", "[kv][scenario]") {
  auto pool = pool_of(10, 16);
  auto s = opened(pool, count_up(55));
  REQUIRE(s.grow(16) == errc::ok);
  CHECK(s.blocks().size() == 5);
  REQUIRE(s.append(count_up(1, 9)) == errc::ok);
  REQUIRE(s.publish(56) == errc::ok);
  const auto before = ids_of(s);
  REQUIRE(s.grow(1) == errc::ok);
  CHECK(ids_of(s) == before);
  CHECK(s.length() == 56);
  CHECK(s.published_tokens() == 48);
}

TEST_CASE("18: rewinding gives back the blocks beyond what is left", "[kv][scenario]") {
  auto pool = pool_of(16, 64);
  auto s = opened(pool, count_up(575));
  CHECK(s.blocks().size() == 9);
  REQUIRE(s.append(count_up(1)) == errc::ok);
  CHECK(s.blocks().size() == 9);
  REQUIRE(s.append(count_up(1)) == errc::ok);
  CHECK(s.blocks().size() == 10);
  REQUIRE(s.append(count_up(3)) == errc::ok);
  CHECK(s.blocks().size() == 10);
  REQUIRE(s.rewind(4) == errc::ok);
  CHECK(s.length() == 576);
  CHECK(s.blocks().size() == 9);
  CHECK(available(pool) == 7);
  s.close();
  CHECK(pool.stats().free == 16);
}

TEST_CASE("19: a request is one handle, and one that does not fit changes nothing", "[kv][scenario]") {
  // the same request twice cannot be said: a sequence is its own identity and is never copied
  static_assert(!std::is_copy_constructible_v<sequence> && !std::is_copy_assignable_v<sequence>);
  auto pool = pool_of(4, 16);
  auto s = opened(pool, count_up(33));
  CHECK(available(pool) == 1);
  const auto too_much = sequence::open(pool, count_up(32, 900));
  REQUIRE(!too_much);
  CHECK(too_much.error() == errc::out_of_memory);
  CHECK(available(pool) == 1);
  const auto never = sequence::open(pool, count_up(65, 900));
  REQUIRE(!never);
  CHECK(never.error() == errc::too_large);
  CHECK(never.why().need == 5);
  CHECK(never.why().limit == 4);
  CHECK(available(pool) == 1);
  // opening into the same variable closes what was there, so nothing is held twice
  s = opened(pool, count_up(16));
  CHECK(available(pool) == 3);
}

namespace {
int copies = 0;
void count_copy(void*, kv::block_id, kv::block_id) noexcept { ++copies; }
}  // namespace

TEST_CASE("20: eight beams share what is full and own what they write", "[kv][scenario]") {
  copies = 0;
  auto made = pool_type::open({.blocks = 24, .block_tokens = 4, .copy = {&count_copy, nullptr}});
  REQUIRE(made);
  auto& pool = *made;
  std::vector<sequence> beams;
  beams.push_back(opened(pool, count_up(11)));
  for (int n = 1; n < 8; ++n) {
    auto fork = beams[0].fork();
    REQUIRE(fork);
    beams.push_back(static_cast<sequence&&>(*fork));
  }
  // all shared: three ids, and every beam lists the same three
  CHECK(distinct(beams) == 3);
  for (const auto& beam : beams) CHECK(ids_of(beam) == ids{0, 1, 2});
  CHECK(available(pool) == 21);
  // each writes its own next token: the last block becomes private
  for (std::size_t n = 0; n < 8; ++n) REQUIRE(beams[n].append(count_up(1, static_cast<kv::token>(n))) == errc::ok);
  CHECK(distinct(beams) == 10);
  CHECK(available(pool) == 14);
  CHECK(copies == 7);
  for (const auto& beam : beams) {
    CHECK(beam.blocks()[0] == 0);
    CHECK(beam.blocks()[1] == 1);
    CHECK(pool.references(beam.blocks()[2]) == 1);
  }
  beams.clear();
  CHECK(available(pool) == 24);
}

TEST_CASE("22: a block given back twice, and the null block, never come back into a list", "[kv][scenario]") {
  const kit::recorder reports;
  auto pool = pool_of(4, 16, true, true);
  kv::block_id out[4] = {};
  REQUIRE(pool.allocate(out) == errc::ok);
  CHECK(ids(out, out + 4) == ids{1, 2, 3, 4});
  REQUIRE(pool.deallocate(std::span(out, 1)) == errc::ok);
  CHECK(reports.count() == 0);
  CHECK(pool.deallocate(std::span(out, 1)) == errc::double_free);
  CHECK(reports.count() == 1);
  CHECK(std::string(reports.last().pool) == "kv");
  CHECK(reports.last().code == errc::double_free);
  const kv::block_id null[] = {0};
  CHECK(pool.deallocate(null) == errc::invalid_argument);
  CHECK(reports.count() == 2);
  CHECK(pool.stats().free == 1);
  CHECK(pool.is_valid());
  REQUIRE(pool.deallocate(std::span(out + 1, 3)) == errc::ok);
  REQUIRE(pool.allocate(out) == errc::ok);
  CHECK(std::set<kv::block_id>(out, out + 4) == std::set<kv::block_id>{1, 2, 3, 4});
  REQUIRE(pool.deallocate(out) == errc::ok);
}

namespace {
template <class Lock>
struct locking : kv::default_policy {
  using lock = Lock;
};
}  // namespace

TEMPLATE_TEST_CASE("73: eight threads leave a shared pool as they found it", "[kv][scenario][threads]",
                   tokenheap::spin_lock, tokenheap::mutex_lock) {
  using shared = kv::block_pool<locking<TestType>>;
  auto pool = pool_of<shared>(64, 16);
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&pool] {
      for (int n = 0; n < 10'000; ++n) {
        auto block = pool.allocate();
        if (block) block.close();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(pool.stats().free == 64);
  CHECK(pool.stats().live == 0);
  CHECK(pool.is_valid());
}

TEST_CASE("73: threads share prefixes through sequences of their own", "[kv][scenario][threads]") {
  using shared = kv::block_pool<locking<tokenheap::spin_lock>>;
  auto pool = pool_of<shared>(64, 4);
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 8; ++t) {
    threads.emplace_back([&pool, t] {
      for (unsigned n = 0; n < 1'000; ++n) {
        const auto prompt = joined(count_up(8), count_up(1 + (n * 7 + t) % 13, 100 * (n % 5)));
        auto s = kv::sequence<shared>::open(pool, prompt);
        if (!s) continue;
        static_cast<void>(s->publish(prompt.size()));
        static_cast<void>(s->append(count_up(3)));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(pool.stats().live == 0);
  CHECK(pool.stats().available() == 64);
  CHECK(pool.is_valid());
}

TEST_CASE("76: free, cached and live add up to the total at every step", "[kv][scenario]") {
  auto pool = pool_of(32, 4);
  std::vector<sequence> running;
  for (kv::token n = 0; n < 400; ++n) {
    if (n % 3 == 2 && !running.empty()) running.erase(running.begin() + static_cast<long>(n % running.size()));
    auto s = sequence::open(pool, joined(count_up(n % 9), count_up(n % 11, n % 5 * 100)));
    if (s) {
      REQUIRE(s->publish(s->length()) == errc::ok);
      running.push_back(static_cast<sequence&&>(*s));
    }
    const auto now = pool.stats();
    REQUIRE(now.free + now.cached + now.live + now.in_flight == 32);
    REQUIRE(pool.is_valid());
  }
  running.clear();
  const auto idle = pool.stats();
  CHECK(idle.live == 0);
  CHECK(idle.free + idle.cached == 32);
}
