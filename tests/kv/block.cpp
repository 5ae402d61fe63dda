#include <tokenheap/kv/block.hpp>

#include <support/catch.hpp>

#include <type_traits>
#include <utility>

#include <kv/kit.hpp>

namespace kv = tokenheap::kv;
using tokenheap::errc;
using handle = kv::block<kv::default_policy>;

static_assert(!std::is_copy_constructible_v<handle> && std::is_nothrow_move_constructible_v<handle>);

TEST_CASE("a handle gives its block back once, and knows when it was given back before", "[kv][block][bad]") {
  const kit::recorder reports;
  auto pool = kit::pool_of(2, 16);
  auto one = pool.allocate();
  REQUIRE(one);
  CHECK(one.id() == 0);
  auto moved = std::move(one);
  CHECK_FALSE(one);
  CHECK(one.close() == errc::not_open);
  auto twin = moved.share();
  CHECK(pool.references(0) == 2);
  const auto key = moved.key();
  CHECK(moved.close() == errc::ok);
  CHECK(pool.stats().live == 1);
  CHECK(twin.close() == errc::ok);
  CHECK(twin.close() == errc::not_open);
  CHECK_FALSE(twin.share());
  CHECK(pool.stats().free == 2);
  CHECK(reports.count() == 0);
  // the key of an earlier life, before and after the id is used again
  CHECK(pool.deallocate(key) == errc::stale_handle);
  auto again = pool.allocate();
  CHECK(again.id() == key.id);
  CHECK(pool.deallocate(key) == errc::stale_handle);
  CHECK(reports.count() == 2);
  CHECK(pool.stats().live == 1);
  // and a handle whose block was given back behind it
  CHECK(pool.deallocate(again.key()) == errc::ok);
  CHECK(again.close() == errc::stale_handle);
  CHECK(reports.count() == 3);
  CHECK(pool.is_valid());
}
