#include <tokenheap/kv/sequence.hpp>

#include <support/catch.hpp>

#include <numeric>
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
