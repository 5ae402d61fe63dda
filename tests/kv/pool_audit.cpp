#include <tokenheap/kv/pool_audit.hpp>

#include <support/catch.hpp>

#include <kv/kit.hpp>

using namespace kit;

namespace {

struct stepped : kv::default_policy {
  using fence = kv::step_fence;
};
using books_type = kv::pool_state<stepped>;
using audit = kv::pool_audit<books_type>;

}  // namespace

TEST_CASE("books that agree are found valid, and a reference too many or a block in two places is seen",
          "[kv][audit]") {
  books_type books;
  REQUIRE(books.open({.blocks = 6, .block_tokens = 2}).code == errc::ok);
  kv::block_id ids[3];
  books.take(ids, 3, books_type::owner::alone);
  CHECK(audit::agrees(books));
  REQUIRE(books.give(ids[2]) == errc::ok);
  CHECK(audit::agrees(books));

  books.mark(ids[2]);  // a reference that nobody counted
  CHECK_FALSE(audit::agrees(books));
  books.unmark(ids[2]);
  CHECK(audit::agrees(books));

  books.fence().add(ids[0]);  // live and waiting
  CHECK_FALSE(audit::agrees(books));
  books.fence().remove(ids[0]);
  books.order().push(ids[1]);  // cached without being published
  CHECK_FALSE(audit::agrees(books));
  CHECK(books.order().remove(ids[1]));
  CHECK(audit::agrees(books));

  static_cast<void>(books.fence().begin());
  REQUIRE(books.give(ids[0]) == errc::ok);
  CHECK(books.in_flight() == 1);
  CHECK(audit::agrees(books));
}
