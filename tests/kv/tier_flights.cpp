#include <tokenheap/kv/tier_flights.hpp>

#include <support/catch.hpp>

#include <random>
#include <vector>

using namespace tokenheap::kv;

namespace {

struct note {
  int told = 5;
};
using flights = tier_flights<std::uint64_t, note>;
using way = flights::way;

}  // namespace

TEST_CASE("a ticket finds its own batch, going its way, until it ends, and never another") {
  flights f;
  REQUIRE(f.open(2));
  const tier_ticket a = f.start(way::load, 3);
  const tier_ticket b = f.start(way::store, 1);
  REQUIRE(a);
  REQUIRE(b);
  CHECK(f.size() == 2);
  REQUIRE(f.find(a, way::load) != nullptr);
  CHECK(f.find(a) == f.find(a, way::load));
  CHECK(f.find(b) == f.find(b, way::store));
  CHECK(f.find(a) != f.find(b));
  CHECK(f.find(a, way::store) == nullptr);
  CHECK(f.find(b, way::load) == nullptr);
  CHECK(f.find(a)->count == 3);
  CHECK(f.find(a)->items.size() >= 3);

  f.find(a)->mark = 9;
  f.find(a)->more.told = 6;
  f.end(*f.find(a));
  CHECK(f.size() == 1);
  CHECK(f.find(a) == nullptr);
  const tier_ticket c = f.start(way::load, 2);  // in the place of the first
  REQUIRE(c);
  CHECK(c != a);
  CHECK(f.find(a) == nullptr);
  CHECK(f.find(c)->count == 2);
  CHECK(f.find(c)->mark == 0);
  CHECK(f.find(c)->more.told == 5);
}

TEST_CASE("tickets that were never given find nothing") {
  flights f;
  CHECK(f.find({}) == nullptr);
  CHECK(f.find({1}) == nullptr);
  CHECK(!f.start(way::load, 1));
  REQUIRE(f.open(2));
  const tier_ticket a = f.start(way::load, 1);
  for (const std::uint64_t id : {a.id + 1, a.id - 1, a.id + (std::uint64_t{1} << 32), a.id & 0xFFFFFFFFu, ~std::uint64_t{0}})
    CHECK(f.find({id}) == nullptr);
}

TEST_CASE("no more batches than were opened for, none without items, and none that memory cannot hold") {
  flights f;
  CHECK(!f.open(0));
  CHECK(!f.open(~std::uint32_t{0}));
  CHECK(!f.open(~std::size_t{0}));
  REQUIRE(f.open(1));
  CHECK(!f.start(way::load, 0));
  CHECK(!f.start(way::load, ~std::size_t{0}));
  CHECK(f.size() == 0);
  const tier_ticket a = f.start(way::store, 1);
  REQUIRE(a);
  CHECK(!f.start(way::store, 1));
  CHECK(f.size() == 1);
  f.end(*f.find(a));
  CHECK(f.start(way::load, 1));
}

TEST_CASE("random batches keep their items, and each is seen once") {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u);
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  flights f;
  REQUIRE(f.open(5));
  std::vector<std::pair<tier_ticket, std::size_t>> out;
  for (int step = 0; step != 2000; ++step) {
    if (random() % 2 == 0) {
      const std::size_t n = 1 + random() % 40;
      const tier_ticket made = f.start(random() % 2 == 0 ? way::load : way::store, n);
      REQUIRE(static_cast<bool>(made) == (out.size() < 5));
      if (!made) continue;
      for (std::size_t k = 0; k != n; ++k) f.find(made)->items[k] = made.id + k;
      out.push_back({made, n});
    } else if (!out.empty()) {
      const std::size_t at = random() % out.size();
      flights::batch* const b = f.find(out[at].first);
      REQUIRE(b != nullptr);
      REQUIRE(b->count == out[at].second);
      for (std::size_t k = 0; k != b->count; ++k) REQUIRE(b->items[k] == out[at].first.id + k);
      f.end(*b);
      out.erase(out.begin() + static_cast<std::ptrdiff_t>(at));
    }
    REQUIRE(f.size() == out.size());
    std::size_t seen = 0;
    f.each([&](flights::batch& b) {
      ++seen;
      REQUIRE(b.going != way::none);
    });
    REQUIRE(seen == out.size());
  }
}
