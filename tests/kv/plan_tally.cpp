#include <tokenheap/kv/plan_tally.hpp>

#include <support/catch.hpp>

#include <kv/kit.hpp>
#include <tokenheap/kv/shares.hpp>

using namespace kit;

namespace {

struct divided : kv::default_policy {
  using evict = kv::shares;
};

}  // namespace

TEST_CASE("a tally says what the requests of a plan come to, and who is short", "[kv][plan]") {
  kv::pool_state<kv::default_policy> books;
  REQUIRE(books.open({.blocks = 6, .block_tokens = 2, .watermark = 1}).code == errc::ok);
  kv::block_id ids[2] = {};
  books.take(ids, 2, kv::pool_state<kv::default_policy>::owner::request);
  using tally = kv::plan_tally<kv::pool_state<kv::default_policy>>;
  tally all{.books = &books, .taken = 3, .opens = true};
  CHECK(tally::room(&all, 1, 0) == 3);
  CHECK(tally::first_short(&all, 1) == 1);
  ++all.taken;
  CHECK(tally::first_short(&all, 1) == 0);
  all.gained = all.released = 2;  // whoever runs ends: no watermark
  CHECK(tally::room(&all, 1, 0) == 6);
  CHECK(tally::first_short(&all, 1) == 1);
}

TEST_CASE("a tally of a tenant counts what the others of the plan may take before it", "[kv][plan]") {
  using state = kv::pool_state<divided>;
  state books;
  REQUIRE(books.open({.blocks = 10, .block_tokens = 2}).code == errc::ok);
  REQUIRE(books.order().share(1, 4) == errc::ok);
  REQUIRE(books.order().share(2, 4) == errc::ok);
  kv::block_id ids[6] = {};
  books.take(ids, 6, state::owner::request, 3, 3);
  using tally = kv::plan_tally<state>;
  tally all[2] = {{.books = &books, .payer = 1, .taken = 2}, {.books = &books, .payer = 2, .taken = 2}};
  CHECK(tally::first_short(all, 2) == 2);
  all[1].taken = 3;
  CHECK(tally::first_short(all, 2) == 0);
  // a third tenant ends: four of its blocks are free, two are cached and beyond its share
  tally three[3] = {all[0], all[1], {.books = &books, .payer = 3, .gained = 4, .kept = 2, .released = 6}};
  CHECK(tally::over_after(three, 3) == 2);
  CHECK(tally::first_short(three, 3) == 3);
  CHECK(tally::room(three, 3, 0) == 5);
}
