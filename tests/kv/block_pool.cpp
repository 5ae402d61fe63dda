#include <tokenheap/kv/block_pool.hpp>

#include <support/catch.hpp>

#include <string>
#include <utility>

#include <kv/kit.hpp>
#include <tokenheap/source/fixed.hpp>
#include <tokenheap/source/host.hpp>

namespace kv = tokenheap::kv;
using tokenheap::errc;
using pool_type = kv::block_pool<>;
using sequence = kv::sequence<pool_type>;

namespace {
constexpr kv::layout shape{.layers = 1, .kv_heads = 1, .head_size = 8};  // 512 bytes a block
alignas(256) unsigned char memory[4096];
}  // namespace

TEST_CASE("a pool lies over a source or over an engine's tensor", "[kv][block_pool]") {
  tokenheap::fixed_source below({.data = memory, .size = sizeof memory});
  {
    auto pool = pool_type::open({.blocks = 7, .null_block = true}, shape, below);
    REQUIRE(pool);
    CHECK(below.available() == 0);
    CHECK(pool->data(3) == memory + 3 * 512);
    CHECK(pool->data(8) == nullptr);
    CHECK(pool->shape() == shape);
    char line[200];
    pool->dump(line, sizeof line);
    CHECK(std::string(line) ==
          "pool 'kv': 7 blocks of 16 tokens: 0 live, 0 cached, 7 free; 0 published, 0 evicted");
    CHECK(pool->dump(line, 5) == 4);
  }
  CHECK(below.available() == sizeof memory);
  auto over = pool_type::open({.blocks = 8}, kv::tensor{memory, sizeof memory, shape, true});
  REQUIRE(over);
  CHECK(over->data(7) == memory + 7 * 512);
  CHECK(kit::pool_of(4, 16).data(0) == nullptr);
}

TEST_CASE("a pool says why it cannot be opened, and takes nothing", "[kv][block_pool][bad]") {
  tokenheap::fixed_source below({.data = memory, .size = sizeof memory});
  const auto large = pool_type::open({.blocks = 9, .name = "nine"}, shape, below);
  CHECK(large.error() == errc::out_of_memory);
  CHECK(large.why().need == 9 * 512);
  CHECK(std::string(large.why().pool) == "nine");
  CHECK(pool_type::open({.blocks = 0}).error() == errc::invalid_argument);
  CHECK(pool_type::open({.blocks = std::size_t{1} << 33}).error() == errc::too_large);
  CHECK(pool_type::open({.blocks = 1}, kv::layout{}, below).error() == errc::invalid_argument);
  CHECK(pool_type::open({.blocks = 9}, kv::tensor{memory, sizeof memory, shape}).error() == errc::too_large);
  CHECK(pool_type::open({.blocks = 1}, kv::tensor{memory + 4, 1024, shape}).error() == errc::invalid_argument);
  CHECK(below.available() == sizeof memory);
}

TEST_CASE("misuse of ids changes nothing and is reported", "[kv][block_pool][bad]") {
  const kit::recorder reports;
  auto pool = kit::pool_of(4, 16);
  kv::block_id five[5] = {};
  CHECK(pool.allocate(five) == errc::too_large);
  CHECK(pool.allocate(std::span(five, 3)) == errc::ok);
  CHECK(pool.allocate(std::span(five + 3, 2)) == errc::out_of_memory);
  CHECK(pool.stats().live == 3);
  const kv::block_id foreign[] = {4};
  CHECK(pool.deallocate(foreign) == errc::invalid_argument);
  const kv::block_id never[] = {3};
  CHECK(pool.deallocate(never) == errc::double_free);
  CHECK(pool.deallocate(kv::block_key{kv::no_block, 0}) == errc::invalid_argument);
  const kv::block_id mixed[] = {0, 3, 1};
  CHECK(pool.deallocate(mixed) == errc::double_free);
  CHECK(pool.stats().live == 1);
  CHECK(reports.count() == 4);
  auto s = sequence::open(pool, kit::count_up(10));
  REQUIRE(s);
  CHECK(pool.deallocate(s->blocks()) == errc::in_use);
  CHECK(reports.last().code == errc::in_use);
  CHECK(std::string(reports.last().fix) == "close the sequence that holds it");
  CHECK(pool.stats().live == 2);
  s->close();
  CHECK(pool.deallocate(std::span(five + 2, 1)) == errc::ok);
  CHECK(pool.is_valid());
}

TEST_CASE("a pool that was moved from or closed says so, and one that ends too early is safe", "[kv][block_pool][bad]") {
  const kit::recorder reports;
  auto pool = kit::pool_of(4, 16);
  auto s = sequence::open(pool, kit::count_up(20));
  REQUIRE(s);
  auto moved = std::move(pool);
  CHECK(moved.stats().live == 2);
  kv::block_id one[1] = {};
  CHECK(pool.allocate(one) == errc::not_open);
  CHECK(pool.deallocate(one) == errc::not_open);
  CHECK(pool.deallocate(kv::block_key{}) == errc::not_open);
  CHECK_FALSE(pool.allocate());
  CHECK(pool.reset() == errc::not_open);
  CHECK(pool.evict(1) == 0);
  CHECK(pool.match(kit::count_up(20)) == 0);
  CHECK(pool.stats().total == 0);
  CHECK(pool.is_valid());
  CHECK(sequence::open(pool, kit::count_up(4)).error() == errc::not_open);
  auto block = moved.allocate();
  moved.close();
  CHECK(reports.count() == 1);
  CHECK(reports.last().code == errc::leaked);
  CHECK(reports.last().need == 3);
  // the books are still there for what is open
  CHECK(s->append(kit::count_up(1)) == errc::ok);
  CHECK(s->close() == errc::ok);
  CHECK(block.close() == errc::ok);
  CHECK(reports.count() == 1);
}

TEST_CASE("a pool that was moved from or closed has no shape, and says so without a crash", "[kv][bad]") {
  auto opened = kv::block_pool<>::open({.blocks = 4});
  REQUIRE(opened);
  kv::block_pool<> moved = std::move(*opened);
  CHECK(opened->shape() == kv::layout{});
  CHECK(opened->stats().total == 0);
  moved.close();
  CHECK(moved.shape() == kv::layout{});
  CHECK(moved.data(0) == nullptr);
}
