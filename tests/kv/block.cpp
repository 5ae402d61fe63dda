#include <tokenheap/kv/block.hpp>

#include <support/catch.hpp>

#include <type_traits>
#include <utility>

#include <kv/kit.hpp>
#include <tokenheap/source/host.hpp>

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

namespace {

kv::block_pool<> pool_with_bytes(tokenheap::host_source& heap, std::size_t blocks) {
  const kv::layout shape{.layers = 1, .kv_heads = 1, .head_size = 8, .type = kv::dtype::float32, .block_tokens = 4};
  auto made = kv::block_pool<>::open({.blocks = blocks, .block_tokens = 4}, shape, heap);
  REQUIRE(made);
  return std::move(*made);
}

using published = kv::published_block<kv::default_policy>;
static_assert(std::is_same_v<decltype(std::declval<published&>().data()), const void*>);
static_assert(!std::is_copy_constructible_v<published>);

}  // namespace

TEST_CASE("a block is written, published, pinned, remembered, evicted", "[kv][block]") {
  tokenheap::host_source heap;
  auto pool = pool_with_bytes(heap, 3);
  const auto prompt = kit::count_up(9);
  const std::span<const kv::token> all(prompt);
  auto first = pool.allocate();
  auto second = pool.allocate();
  CHECK(first.data() == pool.data(0));
  auto a = first.publish({.adapter = 5}, all.first(4));
  REQUIRE(a);
  CHECK_FALSE(first);
  auto b = second.publish(*a, all.subspan(4, 4));
  REQUIRE(b);
  CHECK(pool.match(prompt, {.adapter = 5}) == 8);
  CHECK(pool.match(prompt) == 0);
  CHECK(pool.stats().pinned == 2);
  CHECK(b->data() == pool.data(1));

  // sequences share it, and it outlives them
  auto s = kit::opened(pool, prompt, {.key = {.adapter = 5}});
  CHECK(s.cached_tokens() == 8);
  CHECK(pool.references(0) == 3);
  CHECK(s.close() == errc::ok);
  CHECK(pool.evict(3) == 0);

  const auto remembered = b->weak();
  CHECK(b->close() == errc::ok);
  CHECK(b->close() == errc::not_open);
  CHECK(pool.stats().cached == 1);
  CHECK(pool.stats().pinned == 1);
  auto again = pool.pin(remembered);
  REQUIRE(again);
  CHECK(again.id() == 1);
  auto twin = again.share();
  CHECK(pool.stats().pinned == 3);
  CHECK(again.close() == errc::ok);
  CHECK(twin.close() == errc::ok);
  CHECK(pool.evict(1) == 1);
  CHECK_FALSE(pool.pin(remembered));
  // the id is used again, published even: still not what was remembered
  auto third = pool.allocate();
  REQUIRE(third.id() == 1);
  auto other = third.publish(*a, all.subspan(4, 4));
  REQUIRE(other);
  CHECK_FALSE(pool.pin(remembered));
  CHECK(pool.pin(other->weak()));
  CHECK(pool.is_valid());
  a->close();  // the parent first: it stays, for the child holds it
  CHECK(pool.references(0) == 1);
  other->close();
  CHECK(pool.stats().pinned == 0);
  kv::block_id out[3];
  REQUIRE(pool.allocate(std::span(out, 2)) == errc::ok);
  CHECK(out[1] == 1);  // the child left before its parent
  REQUIRE(pool.deallocate(std::span(out, 2)) == errc::ok);
  CHECK(pool.match(prompt, {.adapter = 5}) == 4);
  CHECK(pool.is_valid());
}

TEST_CASE("a pinned block holds its prefix, a pinned prefix is found whole", "[kv][block]") {
  auto pool = kit::pool_of(8, 4);
  const auto prompt = kit::count_up(17);
  kv::weak_block last;
  {
    auto s = kit::opened(pool, prompt);
    REQUIRE(s.publish(16) == errc::ok);
    auto more = pool.allocate().publish(kv::prefix_key{.tenant = 9}, std::span(prompt).first(4));
    REQUIRE(more);
    last = more->weak();
  }
  CHECK(pool.pin(last));
  // a sequence's own blocks are pinned by what an event or a route told of them
  auto s = kit::opened(pool, prompt);
  CHECK(s.cached_tokens() == 16);
  const kv::block_id tail = s.blocks()[3];
  s.close();
  auto held = pool.pin({{tail, 0}});
  REQUIRE(held);
  CHECK(pool.stats().live == 4);
  CHECK(pool.evict(8) == 1);
  auto twin = held.share();
  held.close();
  CHECK(pool.stats().live == 4);
  twin.close();
  CHECK(pool.stats().cached == 4);
  CHECK(pool.is_valid());
}

TEST_CASE("nothing is left of handles that ended in any order", "[kv][block]") {
  auto pool = kit::pool_of(4, 4);
  const auto prompt = kit::count_up(8);
  auto a = pool.allocate().publish(kv::prefix_key{}, std::span(prompt).first(4));
  auto b = pool.allocate().publish(*a, std::span(prompt).subspan(4, 4));
  REQUIRE(b);
  a->close();
  b->close();
  CHECK(pool.stats().pinned == 0);
  CHECK(pool.stats().cached == 2);
  CHECK(pool.is_valid());
}

TEST_CASE("what is published or shared is not written, and what cannot be published stays as it was",
          "[kv][block][bad]") {
  const kit::recorder reports;
  tokenheap::host_source heap;
  auto pool = pool_with_bytes(heap, 4);
  const auto tokens = kit::count_up(4);
  auto one = pool.allocate();
  {
    auto two = one.share();
    CHECK(one.data() == nullptr);
    CHECK(two.data() == nullptr);
    CHECK(reports.count() == 2);
    CHECK(one.publish(kv::prefix_key{}, tokens).error() == errc::in_use);
  }
  CHECK(one.data() != nullptr);
  CHECK(one.publish(kv::prefix_key{}, std::span(tokens).first(3)).error() == errc::invalid_argument);
  CHECK(one.publish(kv::prefix_key{.salt = nullptr, .salt_bytes = 2}, tokens).error() == errc::out_of_memory);
  CHECK(one.publish(published{}, tokens).error() == errc::not_open);
  auto elsewhere = pool_with_bytes(heap, 1);
  auto strange = elsewhere.allocate().publish(kv::prefix_key{}, tokens);
  REQUIRE(strange);
  CHECK(one.publish(*strange, tokens).error() == errc::invalid_argument);
  REQUIRE(one);
  auto done = one.publish(kv::prefix_key{}, tokens);
  REQUIRE(done);
  CHECK(one.data() == nullptr);
  const kv::block_id id[] = {done->id()};
  CHECK(pool.deallocate(id) == errc::in_use);
  CHECK(reports.count() == 3);

  auto s = kit::opened(pool, kit::count_up(6));
  CHECK(s.data(0) == nullptr);  // found: others can find it too
  CHECK(s.data(1) != nullptr);
  CHECK(reports.count() == 4);
  CHECK(reports.last().code == errc::in_use);
  CHECK(pool.is_valid());
  auto plain = kit::pool_of(1, 4, false);
  CHECK(plain.allocate().publish(kv::prefix_key{}, tokens).error() == errc::unsupported);
}
