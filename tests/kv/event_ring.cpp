#include <tokenheap/kv/event_ring.hpp>

#include <support/catch.hpp>

#include <random>
#include <vector>

namespace kv = tokenheap::kv;

namespace {

// adds an event of so many names, each of which spells its number
bool add(kv::event_ring& ring, std::size_t names) {
  const std::uint64_t number = ring.next();
  kv::detail::event_record* const out = ring.add(names, 0);
  if (out != nullptr) out->say({});
  for (std::size_t k = 0; out != nullptr && k != names; ++k) out->first_name()[k] = {number, k};
  return out != nullptr;
}

}  // namespace

TEST_CASE("event_ring: the newest events are kept, and what is gone is known", "[kv][events]") {
  kv::event_ring ring;
  REQUIRE(ring.open(3 * 80));
  CHECK(ring.keeps(0));
  CHECK(!ring.keeps(1));
  for (int n = 0; n != 5; ++n) CHECK(add(ring, 1));
  CHECK(ring.next() == 5);
  CHECK(ring.oldest() == 2);
  CHECK(!ring.keeps(1));
  CHECK(ring.keeps(2));
  CHECK(ring.keeps(5));
  CHECK(ring.is_valid());
}

TEST_CASE("event_ring: an event larger than the ring has a number and is lost with all before it", "[kv][events][bad]") {
  kv::event_ring ring;
  REQUIRE(ring.open(256));
  CHECK(add(ring, 1));
  CHECK(!add(ring, 13));
  CHECK(ring.next() == 2);
  CHECK(ring.oldest() == 2);
  CHECK(ring.is_valid());
  CHECK(add(ring, 12));
  CHECK(ring.oldest() == 2);
  CHECK(ring.next() == 3);
}

TEST_CASE("event_ring: a reader with too little room gets whole events, or the size of one", "[kv][events][bad]") {
  kv::event_ring ring;
  REQUIRE(ring.open(1024));
  for (const std::size_t names : {1u, 1u, 5u}) CHECK(add(ring, names));
  std::vector<unsigned char> room(1024);
  std::uint64_t from = 0;
  std::size_t need = 7;
  CHECK(ring.read(from, room.data(), 79, need) == 0);
  CHECK((need == 80 && from == 0));
  CHECK(ring.read(from, room.data(), 170, need) == 160);
  CHECK((need == 0 && from == 2));
  CHECK(ring.read(from, room.data(), 144, need) == 144);
  CHECK((need == 0 && from == 3));
  CHECK(ring.read(from, room.data(), 144, need) == 0);
  CHECK((need == 0 && from == 3));
}

TEST_CASE("event_ring: no ring without room for one event", "[kv][events][bad]") {
  kv::event_ring ring;
  CHECK(!ring.open(0));
  CHECK(!ring.open(63));
  CHECK(!ring.open(tokenheap::GiB * 64));
  CHECK(ring.open(64));
  CHECK(add(ring, 0));
  CHECK(!add(ring, 1));
}

TEST_CASE("event_ring: whatever the sizes, what is kept is what a list of all events ends with", "[kv][events]") {
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const std::size_t bytes = 64 + random() % 2000;
    kv::event_ring ring;
    REQUIRE(ring.open(bytes));
    std::vector<std::size_t> all;
    std::vector<unsigned char> room(4096);
    for (int turn = 0; turn != 400; ++turn) {
      const std::size_t names = random() % (random() % 16 == 0 ? 140 : 9);
      const bool kept = add(ring, names);
      REQUIRE(kept == (64 + 16 * names <= bytes / 8 * 8));
      all.push_back(names);
      REQUIRE(ring.next() == all.size());
      REQUIRE(ring.is_valid());
      std::uint64_t from = ring.oldest();
      std::size_t need = 0;
      const std::size_t got = ring.read(from, room.data(), room.size(), need);
      REQUIRE(from == ring.next());
      std::uint64_t number = ring.oldest();
      for (const kv::event& e : kv::event_batch(room.data(), got)) {
        REQUIRE(e.number == number);
        REQUIRE(e.names.size() == all[number]);
        for (std::size_t k = 0; k != e.names.size(); ++k) REQUIRE(e.names[k] == kv::hash128{number, k});
        ++number;
      }
      REQUIRE(number == ring.next());
    }
  }
}
