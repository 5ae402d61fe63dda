#include <tokenheap/kv/sequence.hpp>

#include <support/catch.hpp>

#include <numeric>
#include <string>
#include <vector>

#include <tokenheap/kv/page_table.hpp>
#include <tokenheap/source/host.hpp>

namespace kv = tokenheap::kv;
using tokenheap::errc;

namespace {

std::vector<kv::token> tokens(std::size_t n, kv::token first = 0) {
  std::vector<kv::token> made(n);
  std::iota(made.begin(), made.end(), first);
  return made;
}

using pool_type = kv::block_pool<>;
using sequence = kv::sequence<pool_type>;

}  // namespace

TEST_CASE("a sequence opens, grows, publishes, and what it published is found again", "[kv][sequence]") {
  tokenheap::host_source heap;
  const kv::layout shape{.layers = 2, .kv_heads = 2, .head_size = 8, .type = kv::dtype::float32, .block_tokens = 16};
  auto pool = pool_type::open({.blocks = 10}, shape, heap);
  REQUIRE(pool);

  auto first = sequence::open(*pool, tokens(55));
  REQUIRE(first);
  CHECK(first->cached_tokens() == 0);
  CHECK(first->blocks().size() == 4);
  REQUIRE(first->publish(55) == errc::ok);
  CHECK(first->published_tokens() == 48);

  auto second = sequence::open(*pool, tokens(53));
  REQUIRE(second);
  CHECK(second->cached_tokens() == 48);
  CHECK(pool->references(0) == 2);
  CHECK(pool->stats().available() == 5);

  const kv::token next[] = {7, 8, 9};
  REQUIRE(second->append(next) == errc::ok);
  CHECK(second->length() == 56);
  auto third = second->fork();
  REQUIRE(third);
  REQUIRE(third->append(next) == errc::ok);
  CHECK(third->blocks()[3] != second->blocks()[3]);
  CHECK(third->blocks()[2] == second->blocks()[2]);
  CHECK(pool->is_valid());

  CHECK(first->close() == errc::ok);
  CHECK(second->close() == errc::ok);
  CHECK(third->close() == errc::ok);
  CHECK(third->close() == errc::not_open);
  CHECK(pool->stats().available() == 10);
  CHECK(pool->is_valid());
}

TEST_CASE("a sequence refuses what makes no sense and stays as it was", "[kv][sequence][bad]") {
  auto made = pool_type::open({.blocks = 4, .block_tokens = 4});
  REQUIRE(made);
  auto& pool = *made;
  auto s = sequence::open(pool, tokens(6));
  REQUIRE(s);
  CHECK(s->publish(7) == errc::invalid_argument);
  CHECK(s->rewind(7) == errc::invalid_argument);
  CHECK(s->grow(~std::size_t{0}) == errc::size_overflow);
  CHECK(s->grow(11) == errc::too_large);
  CHECK(s->append(tokens(11)) == errc::too_large);
  CHECK(s->length() == 6);
  CHECK(s->blocks().size() == 2);
  CHECK(s->published_tokens() == 0);
  CHECK(sequence::open(pool, tokens(4), {.lookahead = ~std::size_t{0}}).error() == errc::size_overflow);
  CHECK(sequence::open(pool, tokens(4), {.key = {nullptr, 3, 0}}).error() == errc::invalid_argument);
  CHECK(pool.match(tokens(4), {nullptr, 3, 0}) == 0);
  CHECK(sequence::open(pool, tokens(12)).error() == errc::out_of_memory);
  CHECK(pool.stats().free == 2);

  // ids alone cannot be copied: the fork is fine, writing into its shared tail is not
  auto twin = s->fork();
  REQUIRE(twin);
  CHECK(twin->append(tokens(1)) == errc::unsupported);
  CHECK(twin->length() == 6);
  CHECK(pool.stats().free == 2);
  twin->close();
  CHECK(s->append(tokens(1)) == errc::ok);

  auto moved = static_cast<sequence&&>(*s);
  CHECK_FALSE(s->is_open());
  CHECK(s->append(tokens(1)) == errc::not_open);
  CHECK(s->grow(1) == errc::not_open);
  CHECK(s->publish(0) == errc::not_open);
  CHECK(s->rewind(0) == errc::not_open);
  CHECK(s->fork().error() == errc::not_open);
  CHECK(s->close() == errc::not_open);
  CHECK(s->blocks().empty());
  CHECK(moved.close() == errc::ok);
  CHECK(pool.stats().free == 4);
  CHECK(pool.is_valid());

  auto empty = sequence::open(pool, {});
  REQUIRE(empty);
  CHECK(empty->blocks().empty());
  CHECK(empty->append(tokens(1)) == errc::ok);
  CHECK(empty->blocks().size() == 1);
}

TEST_CASE("a look-ahead past all numbers is refused in blocks", "[kv][sequence]") {
  for (const std::size_t block_tokens : {4U, 1U}) {
    auto made = pool_type::open({.blocks = 6, .block_tokens = block_tokens, .name = "small"});
    REQUIRE(made);
    auto held = sequence::open(*made, tokens(2 * block_tokens));
    REQUIRE(held);
    const tokenheap::failure why = sequence::open(*made, tokens(9), {.lookahead = ~std::size_t{0}}).why();
    CHECK(why.code == errc::size_overflow);
    CHECK(std::string(why.pool) == "small");
    // 9 tokens and 2^64 - 1 are 2^62 + 2 blocks of 4; of 1 token they are more than a number holds
    CHECK(why.need == (block_tokens == 4 ? (std::size_t{1} << 62) + 2 : ~std::size_t{0}));
    CHECK(why.available == 4);
    CHECK(why.limit == 6);
    CHECK(std::string(why.fix) == "ask for less look-ahead");
    const tokenheap::failure large = sequence::open(*made, tokens(9), {.lookahead = 60}).why();
    CHECK(large.code == errc::too_large);
    CHECK(large.need == (block_tokens == 4 ? 18 : 69));
    CHECK(large.available == 4);
    CHECK(large.limit == 6);
    CHECK(made->is_valid());
  }
}

TEST_CASE("growth is all or nothing, and evicts nothing when it fails", "[kv][sequence]") {
  auto made = pool_type::open({.blocks = 6, .block_tokens = 4});
  REQUIRE(made);
  auto& pool = *made;
  {
    auto cached = sequence::open(pool, tokens(8));
    REQUIRE(cached);
    REQUIRE(cached->publish(8) == errc::ok);
  }
  auto s = sequence::open(pool, tokens(4, 90));
  auto other = sequence::open(pool, tokens(4, 80));
  REQUIRE(s);
  REQUIRE(other);
  CHECK(s->grow(20) == errc::out_of_memory);
  CHECK(pool.stats().evictions == 0);
  CHECK(pool.match(tokens(8)) == 8);
  CHECK(sequence::open(pool, tokens(20, 70)).error() == errc::out_of_memory);
  CHECK(pool.stats().evictions == 0);
  CHECK(s->grow(16) == errc::ok);
  CHECK(pool.stats().evictions == 2);
  CHECK(pool.is_valid());
}
