#include <tokenheap/kv/block_demand.hpp>

#include <support/catch.hpp>

#include <kv/kit.hpp>

using namespace kit;
using books_type = kv::pool_state<kv::default_policy>;

TEST_CASE("a demand looks, fits, holds and takes, and growth can be undone", "[kv][demand]") {
  books_type books;
  REQUIRE(books.open({.blocks = 6, .block_tokens = 2}).code == errc::ok);
  const auto root = books.index().hold_root({});
  const auto prompt = count_up(4);
  kv::block_id ids[8] = {};

  kv::block_demand<books_type> first{.ids = ids};
  first.look(books, root, prompt.data(), 2, 3);
  CHECK(first.found == 0);
  CHECK(first.need == 3);
  REQUIRE(first.fits(books));
  first.keep = first.more = 2;
  first.hold(books);
  first.hold_rest(books, [] { return true; });
  first.take(books, 0);
  CHECK(first.own == 2);
  CHECK(books.promises().reserved == 2);
  CHECK(books.live() == 3);

  kv::block_demand<books_type> grows{.ids = ids, .own = first.own};
  REQUIRE(grows.look_growth(books, 3, 5, kv::no_block) == errc::ok);
  grows.take(books, 0);
  CHECK(books.promises().reserved == 0);
  CHECK(grows.own == 0);
  grows.undo(books);
  CHECK(grows.own == 2);
  CHECK(books.promises().reserved == 2);
  CHECK(books.live() == 3);

  kv::block_demand<books_type> other{.ids = ids, .need = 2};
  CHECK_FALSE(other.fits(books));  // one block is left that nobody was promised
  CHECK(other.judge(books, errc::out_of_memory).room == 1);
  CHECK(books.promises().last_refusal.code == errc::ok);
  CHECK(other.refuse(books, errc::out_of_memory).need == 2);
  CHECK(books.promises().last_refusal.need == 2);
  CHECK(books.is_valid());
}

TEST_CASE("a shared tail that nobody can copy is refused before anything is taken", "[kv][demand]") {
  books_type books;
  REQUIRE(books.open({.blocks = 3, .block_tokens = 2}).code == errc::ok);
  kv::block_id ids[4] = {};
  books.take(ids, 1, books_type::owner::request);
  books.hold(ids[0]);
  kv::block_demand<books_type> d{.ids = ids};
  CHECK(d.look_growth(books, 1, 1, ids[0]) == errc::unsupported);
  CHECK(d.need == 1);
  CHECK(books.live() == 1);
}
