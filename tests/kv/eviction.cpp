#include <tokenheap/kv/eviction.hpp>

#include <support/catch.hpp>

#include <vector>

#include "order_suite.hpp"

namespace kv = tokenheap::kv;

namespace {

std::vector<kv::block_id> order_of(const kv::lru& order) {
  std::vector<kv::block_id> seen;
  for (auto id = order.victim(); id != kv::no_block; id = order.after(id)) seen.push_back(id);
  return seen;
}

using ids = std::vector<kv::block_id>;

kv::lru opened(std::size_t n) {
  kv::lru order;
  REQUIRE(order.open(n));
  return order;
}

}  // namespace

TEST_CASE("lru keeps what every order must keep", "[kv][eviction]") { order_suite::play<kv::lru>(8, 600); }

TEST_CASE("21: the list of an order: behind, in front, out of the middle", "[kv][scenario]") {
  auto order = opened(8);
  CHECK(order.victim() == kv::no_block);
  CHECK(order.size() == 0);
  CHECK(order_of(order).empty());
  order.push(3);
  CHECK(order_of(order) == ids{3});
  for (kv::block_id id : {4U, 5U, 6U}) order.push(id);
  CHECK(order_of(order) == ids{3, 4, 5, 6});
  order.push_front(1);
  order.push_front(0);
  CHECK(order_of(order) == ids{0, 1, 3, 4, 5, 6});
  CHECK(order.remove(4));
  CHECK(order_of(order) == ids{0, 1, 3, 5, 6});
  CHECK(order.is_valid());
  for (kv::block_id expected : {0U, 1U, 3U}) {
    CHECK(order.victim() == expected);
    CHECK(order.remove(order.victim()));
  }
  CHECK(order.size() == 2);
  CHECK(order_of(order) == ids{5, 6});
}

TEST_CASE("21: an empty order has nobody to name, and a stranger cannot be taken out", "[kv][scenario]") {
  auto order = opened(4);
  CHECK(order.victim() == kv::no_block);
  CHECK_FALSE(order.remove(2));
  CHECK_FALSE(order.remove(4));
  CHECK_FALSE(order.remove(kv::no_block));
  order.push(2);
  CHECK_FALSE(order.remove(1));
  CHECK(order.remove(2));
  CHECK_FALSE(order.remove(2));
  CHECK(order.size() == 0);
  CHECK(order.is_valid());
}

TEST_CASE("an order takes a member once and no id that it was not opened for", "[kv][eviction]") {
  auto order = opened(4);
  order.push(1);
  order.push(2);
  order.push(1);
  CHECK(order_of(order) == ids{1, 2});
  order.push(4);
  order.push(kv::no_block);
  CHECK(order_of(order) == ids{1, 2});
  kv::lru never;
  CHECK(never.is_valid());
  CHECK(never.victim() == kv::no_block);
  CHECK_FALSE(never.remove(0));
  never.push(0);
  CHECK(never.size() == 0);
}

TEST_CASE("the queue of an order closes up when gaps fill it, and keeps the order", "[kv][eviction]") {
  auto order = opened(8);
  order.push(0);  // stays in front, so that no gap behind it can be skipped
  for (kv::block_id id = 1; id < 8; ++id) order.push(id);
  for (int turn = 0; turn < 100; ++turn) {
    const kv::block_id id = 1 + static_cast<kv::block_id>(turn) % 7;
    REQUIRE(order.remove(id));
    REQUIRE_FALSE(order.contains(id));
    order.push(id);
    REQUIRE(order.is_valid());
    REQUIRE(order.victim() == 0);
    REQUIRE(order.size() == 8);
  }
  CHECK(order_of(order) == ids{0, 3, 4, 5, 6, 7, 1, 2});
  kv::block_id out[3] = {};
  REQUIRE(order.remove(4));
  order.pop(out, 3, [](kv::block_id) {});
  CHECK(ids(out, out + 3) == ids{0, 3, 5});
  const kv::block_id chain[] = {0, 3, 5};
  order.push_chain(chain, 3);
  order.push_front(4);
  CHECK(order_of(order) == ids{4, 6, 7, 1, 2, 5, 3, 0});
  CHECK(order.is_valid());
}
