#include <tokenheap/kv/tier_books.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <random>
#include <vector>

using namespace tokenheap::kv;

namespace {

using books = tier_books<tier_lru>;

tier_key name(std::uint64_t n) { return {n, n * 3, 0}; }

tier_slot put(books& b, std::uint64_t n) {
  tier_answer why{};
  const tier_slot slot = b.begin_store(name(n), why);
  if (slot != no_slot) b.end_store(slot, true);
  return slot;
}
bool is_there(books& b, std::uint64_t n) { return b.lookup(name(n)) == tier_answer::hit; }

}  // namespace

TEST_CASE("a block is pending, then a hit, then gone; a store that failed was never there") {
  books b;
  REQUIRE(b.open({.blocks = 2}));
  tier_answer why{};
  const tier_slot slot = b.begin_store(name(1), why);
  REQUIRE(slot != no_slot);
  CHECK(b.lookup(name(1)) == tier_answer::pending);
  CHECK(b.begin_load(name(1)) == no_slot);
  CHECK(b.begin_store(name(1), why) == no_slot);
  CHECK(why == tier_answer::pending);
  CHECK(b.remove(name(1)) == no_slot);
  CHECK(!b.hold(slot));
  CHECK(b.is_valid());
  b.end_store(slot, true);
  CHECK(b.begin_store(name(1), why) == no_slot);
  CHECK(why == tier_answer::hit);
  const tier_slot other = b.begin_store(name(2), why);
  b.end_store(other, false);
  CHECK(b.lookup(name(2)) == tier_answer::miss);
  CHECK(b.spare() == 1);
  CHECK(b.key_of(slot) == name(1));
  CHECK(b.remove(name(1)) == slot);
  CHECK(b.remove(name(1)) == no_slot);
  CHECK(b.spare() == 2);
  const tier_stats s = b.stats();
  CHECK((s.stores == 4 && s.stored == 1 && s.present == 2 && s.refused == 1 && s.removed == 1 && s.pending == 1));
  CHECK(b.is_valid());
}

TEST_CASE("what is held stays, though it is the oldest; when all is held a store is told to retry") {
  books b;
  REQUIRE(b.open({.blocks = 2}));
  put(b, 1), put(b, 2);
  const tier_slot one = b.begin_load(name(1));
  const tier_slot two = b.begin_load(name(2));
  tier_answer why{};
  CHECK(b.begin_store(name(3), why) == no_slot);
  CHECK(why == tier_answer::retry);
  CHECK(b.remove(name(1)) == no_slot);
  b.end_load(two, true, true);
  CHECK(put(b, 3) == two);
  CHECK(is_there(b, 1));
  CHECK(!is_there(b, 2));
  b.end_load(one, true, true);
  CHECK(b.remove(name(1)) == one);
  CHECK(b.is_valid());
}

TEST_CASE("a block that was found damaged is a miss at once, and its slot waits for the last that holds it") {
  books b;
  REQUIRE(b.open({.blocks = 1}));
  const tier_slot slot = put(b, 1);
  for (int reader = 0; reader != 3; ++reader) REQUIRE(b.begin_load(name(1)) == slot);
  b.end_load(slot, true, true);
  b.end_load(slot, false, false);
  CHECK(b.lookup(name(1)) == tier_answer::miss);
  CHECK(!b.hold(slot));
  CHECK(b.spare() == 0);
  CHECK(put(b, 2) == no_slot);
  CHECK(b.is_valid());
  b.end_load(slot, false, false);  // the second to find it so
  CHECK(b.spare() == 1);
  CHECK(b.stats().lost == 1);
  CHECK((b.stats().loaded == 1 && b.stats().load_failures == 2));
  CHECK(put(b, 2) == slot);
  const tier_slot again = b.begin_load(name(2));
  b.end_load(again, false, true);  // not loaded, and nothing wrong with it
  CHECK(is_there(b, 2));
  CHECK(b.is_valid());
}

TEST_CASE("who leaves next is shown, but not what is held or was saved; the mark is gone with the block") {
  books b;
  REQUIRE(b.open({.blocks = 4}));
  tier_slot s[4];
  for (std::uint64_t n = 0; n != 4; ++n) s[n] = put(b, n);
  CHECK(is_there(b, 0));  // the youngest now
  CHECK(b.next_to_leave(no_slot) == s[1]);
  b.mark_clean(s[1]);
  REQUIRE(b.hold(s[2]));
  CHECK(b.next_to_leave(no_slot) == s[3]);
  CHECK(b.next_to_leave(s[3]) == s[0]);
  CHECK(b.next_to_leave(s[0]) == no_slot);
  b.let_go(s[2]);
  CHECK(b.next_to_leave(no_slot) == s[2]);
  CHECK(put(b, 7) == s[1]);
  CHECK(b.next_to_leave(s[0]) == s[1]);
}

TEST_CASE("recovery takes the later of two slots with one name, keeps the order, and stays below the high mark") {
  books b;
  REQUIRE(b.open({.blocks = 6, .high = 3}));
  tier_slot displaced = 0;
  b.begin_recovery();
  b.recover(4, name(1), displaced);
  CHECK(displaced == no_slot);
  b.recover(2, name(2), displaced);
  b.recover(0, name(1), displaced);
  CHECK(displaced == 4);
  b.recover(5, name(3), displaced);
  b.recover(3, name(4), displaced);
  b.settle();
  CHECK(b.is_valid());
  CHECK((b.stats().recovered == 5 && b.stats().removed == 1 && b.stats().blocks <= 3));
  CHECK(!is_there(b, 2));
  CHECK(b.find(name(4)) == 3);
  CHECK(b.find(name(3)) == 5);
  CHECK(put(b, 9) != no_slot);
  CHECK(is_there(b, 4));
  CHECK(b.is_valid());
}

TEST_CASE("books for no slots are refused, and marks above the slots or each other are lowered") {
  books b;
  CHECK(!b.open({.blocks = 0}));
  CHECK(!b.open({.blocks = std::size_t{1} << 31}));
  REQUIRE(b.open({.blocks = 3, .high = 9, .low = 9}));
  CHECK(b.spare() == 3);
  for (std::uint64_t n = 0; n != 5; ++n) CHECK(put(b, n) != no_slot);
  CHECK(b.stats().blocks == 3);
  CHECK(b.stats().capacity == 3);
  b.refuse_store(), b.refuse_load();
  CHECK(b.stats().refused == 1);
  CHECK(b.stats().load_failures == 1);
  CHECK(b.is_valid());
}

namespace {

// the same books as a plain list, oldest first
struct model {
  struct block {
    std::uint64_t n;
    unsigned holds;
  };
  std::vector<block> ready;
  std::vector<std::uint64_t> storing;
  std::size_t high, low, doomed = 0;

  auto at(std::uint64_t n) { return std::find_if(ready.begin(), ready.end(), [n](const block& r) { return r.n == n; }); }
  std::size_t used() const { return ready.size() + storing.size() + doomed; }
  bool store(std::uint64_t n) {
    if (used() >= high)
      while (used() > (low < high ? low : high - 1)) {
        const auto out = std::find_if(ready.begin(), ready.end(), [](const block& r) { return r.holds == 0; });
        if (out == ready.end()) break;
        ready.erase(out);
      }
    if (used() >= high) return false;
    return storing.push_back(n), true;
  }
};

}  // namespace

TEST_CASE("random work against a plain list: the same blocks are there, and the same leave") {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u, 4u);
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const std::size_t slots = 2 + random() % 12;
  model m{{}, {}, 1 + random() % slots, 0};
  m.low = 1 + random() % m.high;
  books b;
  REQUIRE(b.open({.blocks = slots, .high = m.high, .low = m.low}));
  std::vector<std::pair<std::uint64_t, tier_slot>> storing, loading;
  for (int step = 0; step != 4000; ++step) {
    const std::uint64_t n = random() % (2 * slots);
    const auto at = m.at(n);
    const auto use = [&] { std::rotate(at, at + 1, m.ready.end()); };
    tier_answer why{};
    switch (random() % 5) {
      case 0: {
        const bool known = at != m.ready.end() || std::count(m.storing.begin(), m.storing.end(), n) != 0;
        if (at != m.ready.end()) use();
        const bool expected = !known && m.store(n);
        const tier_slot slot = b.begin_store(name(n), why);
        REQUIRE((slot != no_slot) == expected);
        if (expected) storing.push_back({n, slot});
        break;
      }
      case 1:
        if (storing.empty()) break;
        b.end_store(storing.back().second, random() % 4 != 0);
        if (b.find(name(storing.back().first)) != no_slot) m.ready.push_back({storing.back().first, 0});
        std::erase(m.storing, storing.back().first);
        storing.pop_back();
        break;
      case 2: {
        const tier_slot slot = b.begin_load(name(n));
        REQUIRE((slot != no_slot) == (at != m.ready.end()));
        if (slot == no_slot) break;
        ++at->holds;
        use();
        loading.push_back({n, slot});
        break;
      }
      case 3:
        if (loading.empty()) break;
        b.end_load(loading.back().second, true, true);
        --m.at(loading.back().first)->holds;
        loading.pop_back();
        break;
      default:
        REQUIRE((b.remove(name(n)) != no_slot) == (at != m.ready.end() && at->holds == 0));
        if (at != m.ready.end() && at->holds == 0) m.ready.erase(at);
    }
    REQUIRE(b.is_valid());
    REQUIRE(b.stats().blocks == m.ready.size());
    for (const model::block& r : m.ready) REQUIRE(b.find(name(r.n)) != no_slot);
  }
}
