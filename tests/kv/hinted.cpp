#include <tokenheap/kv/hinted.hpp>

#include <support/catch.hpp>

#include <random>
#include <vector>

#include <tokenheap/kv/s3_fifo.hpp>
#include <tokenheap/kv/sequence.hpp>

#include "order_suite.hpp"

namespace kv = tokenheap::kv;

namespace {

using ids = std::vector<kv::block_id>;

kv::hinted opened(std::size_t n) {
  kv::hinted order;
  REQUIRE(order.open(n));
  return order;
}

ids order_of(const kv::hinted& order) {
  ids seen;
  for (auto id = order.victim(); id != kv::no_block; id = order.after(id)) seen.push_back(id);
  CHECK(order.is_valid());
  return seen;
}

void publish(kv::hinted& order, const kv::block_id* chain, std::size_t from, std::size_t to, const kv::worth& of) {
  for (std::size_t at = from; at < to; ++at) order.value(chain[at], of);
  order.built(chain, from, to);
}

void add(kv::hinted& order, const ids& chain, const kv::worth& of) {
  publish(order, chain.data(), 0, chain.size(), of);
  order.push_chain(chain.data(), chain.size());
}

}  // namespace

TEST_CASE("hinted keeps what every order must keep", "[kv][eviction]") { order_suite::play<kv::hinted>(8, 600); }

TEST_CASE("hinted without hints is lru", "[kv][eviction]") {
  auto order = opened(8);
  for (kv::block_id id : {3U, 4U, 5U, 6U}) order.push(id);
  CHECK(order.remove(4));
  CHECK_FALSE(order.remove(4));
  order.push(4);
  CHECK(order_of(order) == ids{3, 5, 6, 4});
  order.push(8);
  CHECK(order_of(order) == ids{3, 5, 6, 4});
}

TEST_CASE("hinted: lower priorities leave first, the whole range of them", "[kv][eviction]") {
  auto order = opened(128);
  for (kv::block_id id = 0; id <= 100; ++id) add(order, {id}, {.priority = static_cast<std::uint8_t>(100 - id)});
  add(order, {101}, {.priority = 255});
  ids wanted;
  for (kv::block_id id = 101; id-- > 0;) wanted.push_back(id);
  wanted.push_back(101);
  CHECK(order_of(order) == wanted);
}

TEST_CASE("hinted: what is not used again leaves first among equals, until it is used all the same", "[kv][eviction]") {
  auto order = opened(8);
  add(order, {0, 1}, {});
  add(order, {2, 3}, {.again = false});
  add(order, {4}, {.priority = 36, .again = false});
  CHECK(order_of(order) == ids{3, 2, 1, 0, 4});
  CHECK_FALSE(order.worth_of(2).again);
  order.reuse(2);
  REQUIRE(order.remove(2));
  order.push(2);
  CHECK(order.worth_of(2).again);
  CHECK(order_of(order) == ids{3, 1, 0, 2, 4});
}

TEST_CASE("58: a parent of priority 5 stays until its child of priority 90 is gone", "[kv][scenario]") {
  auto order = opened(8);
  const kv::block_id chain[] = {0, 1};
  publish(order, chain, 0, 1, {.priority = 5});
  publish(order, chain, 1, 2, {.priority = 90});
  order.push_chain(chain, 2);
  add(order, {2}, {.priority = 50});
  CHECK(order_of(order) == ids{2, 1, 0});
  CHECK(order.worth_of(0).priority == 90);
}

TEST_CASE("58: a child that another request built on a live parent counts as well", "[kv][scenario]") {
  auto order = opened(8);
  const kv::block_id first[] = {0, 1};
  const kv::block_id second[] = {0, 2};
  publish(order, first, 0, 2, {.priority = 5});
  publish(order, second, 1, 2, {.priority = 90});
  order.push(2);  // the second request ends, the first still holds the parent
  add(order, {3}, {.priority = 50});
  order.push_chain(first, 2);
  CHECK(order_of(order) == ids{1, 3, 2, 0});
}

TEST_CASE("hinted: a priority falls at its tick, not before, and the prefix with it", "[kv][eviction]") {
  auto order = opened(8);
  add(order, {0, 1}, {.priority = 80, .later = 10, .until = 100});
  add(order, {2}, {.priority = 35});
  add(order, {3}, {.priority = 10});
  order.advance(99);
  CHECK(order_of(order) == ids{3, 2, 1, 0});
  order.advance(100);
  CHECK(order_of(order) == ids{3, 1, 0, 2});
  CHECK(order.worth_of(1).priority == 10);
  CHECK(order.worth_of(1).until == 0);
}

TEST_CASE("hinted: a priority falls while the block is live, and a later one never rises", "[kv][eviction]") {
  auto order = opened(8);
  const ids chain{0};
  publish(order, chain.data(), 0, 1, {.priority = 80, .later = 10, .until = 50});
  order.advance(60);
  order.push(0);
  add(order, {1}, {.priority = 20, .later = 90, .until = 70});
  add(order, {2}, {.priority = 30});
  CHECK(order_of(order) == ids{0, 1, 2});
  order.advance(1000);
  CHECK(order_of(order) == ids{0, 1, 2});
  add(order, {3}, {.priority = 99, .later = 0, .until = 900});  // the tick is past
  CHECK(order.victim() == 3);
}

TEST_CASE("hinted: ticks near and far are met exactly", "[kv][eviction]") {
  auto order = opened(64);
  std::uint64_t now = 7'000'000'000;
  order.advance(now);
  for (kv::block_id id = 0; id < 31; ++id)
    add(order, {id}, {.priority = 90, .later = 0, .until = now + (std::uint64_t{1} << id)});
  for (kv::block_id id = 0; id < 31; ++id) {
    order.advance(now + (std::uint64_t{1} << id) - 1);
    REQUIRE(order.worth_of(id).priority == (90));
    order.advance(now + (std::uint64_t{1} << id));
    REQUIRE(order.worth_of(id).priority == 0);
    REQUIRE(order.is_valid());
  }
}

TEST_CASE("hinted: what waiting requests will use leaves last, the nearest at the very end", "[kv][eviction]") {
  auto order = opened(16);
  add(order, {0, 1}, {.priority = 0});
  add(order, {2, 3}, {.priority = 0, .again = false});
  add(order, {4, 5}, {.priority = 100});
  const kv::block_id near[] = {0, 1};
  const kv::block_id far[] = {2, 3};
  order.expect(far, 2, 5000);
  order.expect(near, 2, 0);
  CHECK(order.expected() == 4);
  CHECK(order_of(order) == ids{5, 4, 3, 2, 1, 0});
  order.expect(near, 2, 9);  // nearer already
  order.expect(far, 1, 3);
  CHECK(order_of(order) == ids{5, 4, 3, 2, 1, 0});
  order.look_ahead();
  CHECK(order.expected() == 0);
  CHECK(order_of(order) == ids{3, 2, 1, 0, 5, 4});
  // what is live is kept when it comes back, in the same round only
  REQUIRE(order.remove(3));
  REQUIRE(order.remove(2));
  order.expect(far, 2, 1);
  order.push_chain(far, 2);
  CHECK(order_of(order) == ids{1, 0, 5, 4, 3, 2});
}

TEST_CASE("hinted: look-ahead is forgotten after 65,536 rounds as after one", "[kv][eviction]") {
  auto order = opened(4);
  const kv::block_id chain[] = {0};
  order.expect(chain, 1, 0);
  for (int round = 0; round < 65536; ++round) order.look_ahead();
  order.push(0);
  order.push(1);
  CHECK(order.expected() == 0);
  CHECK(order_of(order) == ids{0, 1});
}

TEST_CASE("hinted: what left has no worth until it is given one", "[kv][eviction]") {
  auto order = opened(4);
  add(order, {0}, {.priority = 100, .until = 0});
  kv::block_id out[1];
  order.pop(out, 1, [](kv::block_id) {});
  order.push(0);
  add(order, {1}, {.priority = 36});
  CHECK(order_of(order) == ids{0, 1});
  CHECK(order.bytes() < 4 * 21 + 1300 * 12);
}

namespace {

template <class Order>
struct with_order : kv::default_policy {
  using evict = Order;
};

// equal blocks, shared prefixes, all worths and a clock: `is_valid` of the pool wants every parent behind its child
template <class Order>
void play_a_pool(unsigned seed) {
  INFO("seed " << seed);
  using pool_type = kv::block_pool<with_order<Order>>;
  std::mt19937 dice(seed);
  auto pool = pool_type::open({.blocks = 40, .block_tokens = 2});
  REQUIRE(pool);
  std::vector<kv::sequence<pool_type>> live;
  for (std::uint64_t now = 1; now < 800; ++now) {
    if (!live.empty() && dice() % 2 == 0) live.erase(live.begin() + static_cast<std::ptrdiff_t>(dice() % live.size()));
    std::vector<kv::token> prompt;
    for (std::size_t n = 1 + dice() % 7; n-- > 0;) prompt.insert(prompt.end(), 2, static_cast<kv::token>(dice() % 2));
    const kv::worth of{.priority = static_cast<std::uint8_t>(dice() % 5 * 25), .later = static_cast<std::uint8_t>(dice() % 60),
                       .again = dice() % 2 == 0, .until = dice() % 2 == 0 ? 0 : now + dice() % 60};
    auto made = kv::sequence<pool_type>::open(*pool, prompt, {.read_cache = dice() % 3 != 0, .value = of});
    if (made) {
      REQUIRE(made->publish(prompt.size()) == tokenheap::errc::ok);
      live.push_back(static_cast<kv::sequence<pool_type>&&>(*made));
    }
    if constexpr (kv::looks_ahead<Order>) {
      if (dice() % 8 == 0) pool->with_order([](Order& order) { order.look_ahead(); });
      REQUIRE(pool->expect(prompt, dice() % 4) % 2 == 0);
    }
    pool->with_order([&](auto& order) {
      if constexpr (requires { order.advance(now); }) order.advance(now);
    });
    REQUIRE(pool->is_valid());
  }
  CHECK(pool->stats().evictions > 100);
}

}  // namespace

TEST_CASE("orders in a pool: no parent leaves before its child, equal blocks or not", "[kv][eviction]") {
  for (unsigned seed = 0; seed < 8; ++seed) {
    play_a_pool<kv::hinted>(seed);
    play_a_pool<kv::s3_fifo>(seed);
  }
}

TEST_CASE("53: what is worth little leaves first, whoever came first", "[kv][scenario]") {
  using pool_type = kv::block_pool<with_order<kv::hinted>>;
  using sequence = kv::sequence<pool_type>;
  auto pool = pool_type::open({.blocks = 4, .block_tokens = 4});
  REQUIRE(pool);
  const auto tokens = [](kv::token first) {
    std::vector<kv::token> made(8);
    for (std::size_t n = 0; n < 8; ++n) made[n] = first + static_cast<kv::token>(n);
    return made;
  };
  const auto a = tokens(100), b = tokens(200), c = tokens(300);
  const auto run = [&](const std::vector<kv::token>& prompt, const kv::sequence_options& with) {
    auto made = sequence::open(*pool, prompt, with);
    REQUIRE(made);
    REQUIRE(made->publish(8) == tokenheap::errc::ok);
    REQUIRE(made->close() == tokenheap::errc::ok);
  };
  const kv::retained_range ranges[] = {{.first = 0, .end = 4, .value = {.priority = 90}},
                                       {.first = 4, .end = 8, .value = {.priority = 10}}};
  run(a, {.retention = ranges});
  run(b, {});
  run(c, {.value = {.priority = 20}});
  CHECK(pool->match(b) == 4);
  CHECK(pool->match(a) == 4);
  run(b, {});  // takes what is worth least: the tail of c
  CHECK(pool->match(a) == 4);
  CHECK(pool->match(c) == 4);
  run(tokens(400), {});
  CHECK(pool->match(c) == 0);
  CHECK(pool->is_valid());
}
