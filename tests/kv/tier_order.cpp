#include <tokenheap/kv/tier_order.hpp>

#include <support/catch.hpp>

#include <random>
#include <vector>

using namespace tokenheap::kv;

namespace {

tier_key name(std::uint64_t n) { return {n, n * 3, 0}; }

// a cache of `room` names that asks the order who leaves; returns the hits
template <class Order>
std::size_t play(const std::vector<std::uint64_t>& asked, std::size_t room) {
  Order order;
  tier_keys keys;
  REQUIRE(order.open(room));
  REQUIRE(keys.open(room));
  std::size_t hits = 0;
  std::size_t used = 0;
  for (const std::uint64_t n : asked) {
    const tier_slot there = keys.find(name(n));
    if (there != no_slot) {
      ++hits;
      order.use(there);
      continue;
    }
    tier_slot slot = static_cast<tier_slot>(used);
    if (used < room) {
      ++used;
    } else {
      slot = order.victim(slot_question{}, no_slot);
      order.drop(slot, keys.key_of(slot), true);
      keys.erase(slot);
    }
    keys.insert(name(n), slot);
    order.add(slot, name(n));
  }
  CHECK(order.is_valid());
  CHECK(keys.is_valid());
  return hits;
}

}  // namespace

TEST_CASE("LRU names the oldest that is not held, then the one after it") {
  tier_lru order;
  REQUIRE(order.open(4));
  for (tier_slot s = 0; s != 4; ++s) order.add(s, name(s));
  order.use(0);
  CHECK(order.victim(slot_question{}, no_slot) == 1);
  CHECK(order.victim([](tier_slot s) { return s < 3 && s != 0; }, no_slot) == 3);
  CHECK(order.victim(slot_question{}, 3) == 0);
  CHECK(order.victim(slot_question{}, 0) == no_slot);
  order.drop(1, name(1), true);
  CHECK(order.victim(slot_question{}, no_slot) == 2);
  CHECK(order.is_valid());
}

TEST_CASE("ARC keeps what is used again while a long scan passes, where LRU loses it") {
  std::vector<std::uint64_t> asked;
  std::uint64_t fresh = 1000;
  for (int round = 0; round != 50; ++round) {
    for (std::uint64_t n = 0; n != 20; ++n) asked.push_back(n);
    for (std::uint64_t n = 0; n != 20; ++n) asked.push_back(n);
    for (int scan = 0; scan != 200; ++scan) asked.push_back(fresh++);
  }
  const std::size_t lru = play<tier_lru>(asked, 64);
  const std::size_t arc = play<tier_arc>(asked, 64);
  CHECK(lru == 50 * 20);
  CHECK(arc == 50 * 20 + 49 * 20);
}

TEST_CASE("ARC gives the list room whose leavers come back") {
  tier_arc order;
  REQUIRE(order.open(2));
  order.add(0, name(0));
  order.add(1, name(1));
  CHECK(order.target() == 0);
  order.drop(0, name(0), true);
  order.add(0, name(2));
  order.drop(1, name(1), true);
  order.add(1, name(0));  // it had left the list of what was used once
  CHECK(order.target() == 1);
  CHECK(order.is_valid());
}

TEST_CASE("orders stand random use") {
  std::mt19937_64 random(3);
  std::vector<std::uint64_t> asked;
  for (int k = 0; k != 20000; ++k) asked.push_back(random() % (1 + random() % 300));
  for (const std::size_t room : {1u, 2u, 50u}) {
    (void)play<tier_lru>(asked, room);
    (void)play<tier_arc>(asked, room);
  }
}
