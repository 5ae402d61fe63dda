#include <tokenheap/kv/pool_state.hpp>

#include <support/catch.hpp>

#include <memory>

namespace kv = tokenheap::kv;
using tokenheap::errc;
using books = kv::pool_state<kv::default_policy>;

TEST_CASE("blocks move between free, live and cached, and the sums hold", "[kv][pool_state]") {
  const auto b = std::make_unique<books>();
  REQUIRE(b->open({.blocks = 4, .block_tokens = 2, .null_block = true}).code == errc::ok);
  kv::block_id chain[2] = {};
  b->take(chain, 2, books::owner::request);
  CHECK(chain[0] == 1);
  CHECK(b->live() == 2);
  CHECK(b->is_writable(1));
  b->hold(1);
  CHECK_FALSE(b->is_writable(1));
  const kv::token tokens[] = {1, 2, 3, 4};
  b->index().write(1, 0, tokens, 2);
  b->index().write(2, 0, tokens + 2, 2);
  const auto root = b->index().hold_root({});
  b->publish(root, chain, 0, 2);
  CHECK(b->is_published(2));
  CHECK(b->is_valid());
  // a block of a request is not for `give`: its order would be lost
  CHECK(b->give(2) == errc::in_use);
  b->give_chain(chain, 2);
  CHECK(b->live() == 1);
  CHECK(b->stats().cached == 1);
  b->give_chain(chain, 1);
  CHECK(b->stats().cached == 2);
  CHECK(b->give(2) == errc::double_free);
  CHECK(b->give(0) == errc::invalid_argument);
  CHECK(b->give(5) == errc::invalid_argument);
  CHECK(b->order().victim() == 2);
  CHECK(b->is_valid());
  CHECK(b->evict(9) == 2);
  CHECK(b->free_count() == 4);
  CHECK(b->is_valid());
  b->index().let_go_root(root);
}
