#include <tokenheap/alloc/pinned_uses.hpp>

#include <support/catch.hpp>

#include <tokenheap/device/sim.hpp>

using namespace tokenheap;

namespace {
using book = pinned_uses<sim_device>;
using one_use = open_use<sim_device>;
using state = book::state;

sim_stream stream(std::uint64_t id) { return {static_cast<std::uintptr_t>(id + 2), id}; }
void begin(book& b, std::uint32_t piece) {
  REQUIRE(b.ensure(piece));
  b.begin({.offset = piece * 64u, .node = piece, .generation = 1});
}
}  // namespace

TEST_CASE("a stream that uses a piece twice counts once") {
  book b;
  begin(b, 1);
  CHECK(b.is(1) == state::live);
  CHECK_FALSE(b.is_used(1));
  CHECK(b.add(1, stream(5)) == errc::ok);
  CHECK(b.add(1, stream(5)) == errc::ok);
  CHECK(b.open_uses() == 1);
  CHECK(b.add(1, stream(6)) == errc::ok);
  CHECK(b.open_uses() == 2);
  CHECK(b.is_used(1));
}

TEST_CASE("a piece waits until each of its uses is done, and its events are spare then") {
  book b;
  begin(b, 3);
  REQUIRE(b.add(3, stream(5)) == errc::ok);
  REQUIRE(b.add(3, stream(6)) == errc::ok);
  b.retire(3);
  CHECK(b.is(3) == state::busy);
  CHECK(b.waiting() == 1);
  one_use uses[4];
  REQUIRE(b.collect(3, uses, 4) == 2);
  CHECK_FALSE(uses[0].has_event);
  for (int k = 0; k != 2; ++k) {
    uses[k].has_event = uses[k].recorded = true;
    uses[k].event = static_cast<sim_event>(k + 1);
    CHECK_FALSE(b.store(uses[k]));
  }
  CHECK(b.is(3) == state::waiting);
  CHECK(b.oldest(false) == 3);
  CHECK(b.oldest(true) == 0);
  CHECK(b.is_valid());
  uses[0].done = uses[1].done = true;
  CHECK_FALSE(b.store(uses[0]));
  const range freed = b.store(uses[1]);
  CHECK(freed.node == 3);
  CHECK(freed.offset == 192);
  CHECK(b.is(3) == state::vacant);
  CHECK(b.waiting() == 0);
  sim_event e{};
  CHECK(b.take_event(e));
  CHECK(b.take_event(e));
  CHECK_FALSE(b.take_event(e));
}

TEST_CASE("an answer that comes after another thread's is let go") {
  book b;
  begin(b, 1);
  REQUIRE(b.add(1, stream(5)) == errc::ok);
  b.retire(1);
  one_use one[1], two[1];
  REQUIRE(b.collect(1, one, 1) == 1);
  one[0].recorded = one[0].has_event = true;
  CHECK_FALSE(b.store(one[0]));
  REQUIRE(b.collect_all(one, 1) == 1);
  REQUIRE(b.collect_all(two, 1) == 1);
  one[0].done = two[0].done = true;
  CHECK(b.store(one[0]));
  // the piece and the use are somebody else's by now
  begin(b, 1);
  REQUIRE(b.add(1, stream(7)) == errc::ok);
  CHECK_FALSE(b.store(two[0]));
  b.retire(1);
  CHECK_FALSE(b.store(two[0]));
  CHECK(b.waiting() == 1);
  CHECK(b.is_valid());
}

TEST_CASE("the oldest is asked first; busy pieces are nobody else's; lost ones come last") {
  book b;
  for (std::uint32_t piece = 1; piece != 4; ++piece) {
    begin(b, piece);
    REQUIRE(b.add(piece, stream(piece)) == errc::ok);
    b.retire(piece);
  }
  CHECK(b.oldest(false) == 0);
  one_use uses[8];
  CHECK(b.collect_all(uses, 8) == 0);
  for (std::uint32_t piece = 3; piece != 0; --piece) {
    REQUIRE(b.collect(piece, uses, 8) == 1);
    uses[0].lost = piece == 1;
    uses[0].recorded = piece != 1;
    CHECK_FALSE(b.store(uses[0]));
  }
  CHECK(b.oldest(false) == 2);
  CHECK(b.oldest(true) == 1);
  CHECK(b.collect_all(uses, 8) == 3);
  CHECK(b.is_valid());
}
