#include <tokenheap/adapt/offload_book.hpp>

#include <support/catch.hpp>

#include <vector>

using namespace tokenheap;
using namespace tokenheap::adapt;

namespace {

offload_key key_of(unsigned char n) {
  const unsigned char hash[16] = {n, 1};
  return offload_key::of(hash, 0);
}
kv::tier_key name_of(unsigned char n) { return tier_name(key_of(n), {}); }

struct told {
  unsigned char key;
  bool removed;
  bool operator==(const told&) const = default;
};
std::vector<told> take(offload_book& book, std::size_t lost = 0) {
  std::vector<told> all;
  CHECK(book.take_events([&](const offload_event& e) { all.push_back({e.key.bytes[0], e.removed}); }) == lost);
  return all;
}
kv::tier_slot store(offload_book& book, unsigned char n) {
  const kv::tier_slot slot = book.add(name_of(n), key_of(n), offload_book::state::storing);
  if (slot != kv::no_slot) book.mark_stored(slot);
  return slot;
}

}  // namespace

TEST_CASE("a key is told when it is stored and when it is removed, and dropped without a word") {
  offload_book book;
  REQUIRE(book.open(4, 8));
  CHECK(book.find(name_of(1)) == kv::no_slot);
  const kv::tier_slot slot = book.add(name_of(1), key_of(1), offload_book::state::storing);
  CHECK(book.find(name_of(1)) == slot);
  CHECK(book.is_touched(slot));
  CHECK(take(book).empty());
  book.mark_stored(slot);
  CHECK(book.state_of(slot) == offload_book::state::stored);
  book.remove(slot);
  CHECK(take(book) == std::vector<told>{{1, false}, {1, true}});
  CHECK(book.find(name_of(1)) == kv::no_slot);
  book.drop(book.add(name_of(2), key_of(2), offload_book::state::storing));
  CHECK(take(book).empty());
  CHECK(book.size() == 0);
  CHECK(book.is_valid());
}

TEST_CASE("a full book forgets what was stored and not touched, and tells it as removed") {
  offload_book book;
  REQUIRE(book.open(3, 16));
  for (unsigned char n = 1; n != 4; ++n) store(book, n);
  book.begin();
  book.touch(book.find(name_of(1)));
  CHECK(store(book, 4) != kv::no_slot);
  CHECK(take(book) == std::vector<told>{{1, false}, {2, false}, {3, false}, {2, true}, {4, false}});
  CHECK(store(book, 5) != kv::no_slot);  // 3 leaves; 4 is of this batch
  CHECK(book.add(name_of(6), key_of(6), offload_book::state::storing) == kv::no_slot);
  CHECK(book.find(name_of(1)) != kv::no_slot);
  book.begin();
  CHECK(book.add(name_of(6), key_of(6), offload_book::state::storing) != kv::no_slot);
  CHECK(book.capacity() == 3);
  CHECK(book.is_valid());
}

TEST_CASE("what is on its way in is never forgotten") {
  offload_book book;
  REQUIRE(book.open(2, 4));
  const kv::tier_slot a = book.add(name_of(1), key_of(1), offload_book::state::storing);
  CHECK(book.add(name_of(2), key_of(2), offload_book::state::storing) != kv::no_slot);
  book.begin();
  CHECK(book.add(name_of(3), key_of(3), offload_book::state::storing) == kv::no_slot);
  book.drop(a);
  CHECK(book.add(name_of(3), key_of(3), offload_book::state::storing) == a);
}

TEST_CASE("the latest events stay, and how many were lost is told once") {
  offload_book book;
  REQUIRE(book.open(8, 3));
  for (unsigned char n = 1; n != 6; ++n) store(book, n);
  CHECK(take(book, 2) == std::vector<told>{{3, false}, {4, false}, {5, false}});
  CHECK(take(book, 0).empty());
  store(book, 6);
  CHECK(take(book, 0) == std::vector<told>{{6, false}});
  std::size_t known = 0;
  book.each_stored([&](kv::tier_slot slot) { known += book.name_of(slot) == tier_name(book.key_of(slot), {}); });
  CHECK(known == 6);
}

TEST_CASE("a book of nothing is no book") {
  offload_book book;
  CHECK_FALSE(book.open(0, 4));
  CHECK_FALSE(book.open(4, 0));
}
