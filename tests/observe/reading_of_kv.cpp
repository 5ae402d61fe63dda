#include <tokenheap/observe/reading_of_kv.hpp>

#include <support/catch.hpp>

#include <numeric>
#include <string>
#include <vector>

#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/kv/elastic_pool.hpp>
#include <tokenheap/kv/page_space.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/kv/sequence.hpp>
#include <tokenheap/kv/tier_host.hpp>
#include <tokenheap/kv/tiers.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;

namespace {

struct shared_policy : kv::default_policy {
  using lock = spin_lock;
};
using pool_type = kv::block_pool<shared_policy>;
using sequence = kv::sequence<pool_type>;

static_assert(!reads_alone<pool_type> && reads_alone<kv::block_pool<>> && reads_alone<kv::page_space>);
static_assert(reads_alone<kv::host_tier<>> && reads_alone<kv::tier_ref>);
static_assert(readable<pool_type> && readable<kv::page_space> && readable<kv::host_tier<>> && readable<kv::tier_ref>);

constexpr kv::layout shape{.layers = 2, .kv_heads = 2, .head_size = 32, .type = kv::dtype::float16, .block_tokens = 16};
constexpr std::size_t block = shape.block_bytes();
static_assert(block == 2 * 2 * 2 * 32 * 2 * 16);

template <class Pool>
pool_reading read(Pool& pool) {
  pool_reading into;
  read_pool(pool, into);
  return into;
}

std::vector<kv::token> tokens(std::size_t n, kv::token from) {
  std::vector<kv::token> all(n);
  std::iota(all.begin(), all.end(), from);
  return all;
}

}  // namespace

TEST_CASE("a block pool says where its blocks are, and what they weigh", "[reading_of_kv]") {
  host_source heap;
  auto pool = pool_type::open({.blocks = 10, .name = "chat"}, shape, heap);
  REQUIRE(pool);
  const auto prompt = tokens(40, 1);
  {
    auto first = sequence::open(*pool, prompt);
    REQUIRE(first);
    REQUIRE(first->publish(40) == errc::ok);
    REQUIRE(first->close() == errc::ok);
  }
  auto again = sequence::open(*pool, prompt);
  REQUIRE(again);
  auto loose = pool->allocate();
  const pool_reading now = read(*pool);
  CHECK(std::string(now.kind) == "block_pool");
  CHECK(now.blocks.live == 4);  // two found, one tail, one loose
  CHECK(now.blocks.cached == 0);
  CHECK(now.blocks.free == 6);
  CHECK(now.blocks.pending == 0);
  CHECK(now.blocks.capacity() == 10);
  CHECK(now.blocks.limit == 10);
  CHECK(now.blocks.peak == 4);
  CHECK(now.bytes.live == 4 * block);
  CHECK(now.bytes.capacity() == 10 * block);
  CHECK(now.bytes.limit == 10 * block);
  CHECK(now.block_bytes == block);
  CHECK(now.block_tokens == 16);
  CHECK(now.queried_tokens == 80);
  CHECK(now.hit_tokens == 32);
  CHECK(now.evictions.of("pool") == 0);
  CHECK(now.waste.of("alignment") == 0);
  CHECK(now.bookkeeping == pool->stats().bookkeeping_bytes);
  REQUIRE(again->close() == errc::ok);
  const pool_reading then = read(*pool);
  CHECK(then.blocks.cached == 2);
  CHECK(then.blocks.evictable == 2);
  CHECK(then.bytes.evictable == 2 * block);
  CHECK(pool->evict(1) == 1);
  CHECK(read(*pool).evictions.of("pool") == 1);
}

TEST_CASE("what is promised is not evictable once the free blocks are gone", "[reading_of_kv]") {
  const auto evictable = [](kv::pool_stats of) {
    pool_reading into;
    read_stats(of, into);
    CHECK(into.blocks.reserved == of.reserved);
    CHECK(into.blocks.pinned == of.pinned);
    return into.blocks.evictable;
  };
  CHECK(evictable({.total = 10, .free = 4, .cached = 3, .live = 3}) == 3);
  CHECK(evictable({.total = 10, .free = 4, .cached = 3, .live = 3, .reserved = 4, .pinned = 1}) == 3);
  CHECK(evictable({.total = 10, .free = 4, .cached = 3, .live = 3, .reserved = 6}) == 1);
  CHECK(evictable({.total = 10, .free = 4, .cached = 3, .live = 3, .reserved = 7}) == 0);
}

TEST_CASE("a pool of ids alone knows no bytes", "[reading_of_kv]") {
  auto pool = pool_type::open({.blocks = 10});
  REQUIRE(pool);
  const pool_reading now = read(*pool);
  CHECK(now.blocks.free == 10);
  CHECK(now.bytes == state_amounts{});
  CHECK(now.block_bytes == not_counted);
  CHECK(now.waste.size() == 0);
  pool->close();
  CHECK(read(*pool).blocks.capacity() == 0);
}

TEST_CASE("parked blocks of an elastic pool are no state", "[reading_of_kv]") {
  sim_options small;
  small.page_bytes = 4 * block;
  small.backed = true;
  sim_machine machine(small);
  auto pool = kv::elastic_pool<kv::block_pool<>, sim_device>::open(machine.device(), {.blocks = 16, .name = "grows"}, shape);
  REQUIRE(pool);
  static_assert(reads_alone<kv::elastic_pool<kv::block_pool<>, sim_device>>);
  CHECK(read(*pool).blocks.capacity() == 0);
  CHECK(read(*pool).blocks.limit == 16);
  REQUIRE(pool->try_grow(5).code == errc::ok);
  auto held = pool->pool().allocate();
  const pool_reading now = read(*pool);
  CHECK(now.blocks.live == 1);
  CHECK(now.blocks.free == 7);
  CHECK(now.bytes.capacity() == 8 * block);
  CHECK(now.bytes.limit == 16 * block);
  CHECK(now.waste.of("stuck") == 0);
  CHECK(now.waste.of("granule") == 0);
  registry_head list;
  no_lock none;
  const registration r(*pool, none, {}, registry(list));
  CHECK(registry(list).snapshot()[0].pool == "grows");
}

TEST_CASE("a page space tiles with its waste", "[reading_of_kv]") {
  const std::size_t pages[] = {300, 1000};
  auto space = kv::page_space::open(
      {.bytes = 10'500, .page_bytes = pages, .groups = 2, .placement = kv::page_placement::packed, .chunk_bytes = 1000});
  REQUIRE(space);
  const kv::page_key a = space->take(0);
  const kv::page_key b = space->take(1);
  REQUIRE(a.generation != 0);
  const pool_reading now = read(*space);
  CHECK(now.bytes.live == 1300);
  CHECK(now.bytes.free == 600 + 8000);
  CHECK(now.waste.of("idle") == 600);
  CHECK(now.waste.of("tails") == 100);
  CHECK(now.waste.of("remainder") == 500);
  CHECK(now.bytes.capacity() + now.waste.of("tails") + now.waste.of("remainder") == 10'500);
  CHECK(now.bytes.limit == 10'500);
  CHECK(now.pieces == 2);
  CHECK(now.allocations == 2);
  CHECK(space->give(a) == errc::ok);
  CHECK(space->give(b) == errc::ok);
  CHECK(read(*space).deallocations == 2);
}

TEST_CASE("a tier says what became of blocks", "[reading_of_kv]") {
  host_source heap;
  auto tier = kv::host_tier<>::open({.block_bytes = block, .room = {.blocks = 2}}, heap);
  REQUIRE(tier);
  std::vector<char> bytes(block, 1);
  for (std::uint64_t k = 1; k != 4; ++k) {
    const kv::tier_key key{k, 0, 0};
    const kv::tier_span span{bytes.data(), block};
    kv::tier_answer out{};
    CHECK(tier->complete_store(tier->prepare_store(&key, &span, 1), true, &out) == 1);
    CHECK(tier->lookup(&key, 1, &out) == 1);
  }
  const kv::tier_key none{9, 0, 0};
  kv::tier_answer out{};
  CHECK(tier->lookup(&none, 1, &out) == 0);
  const pool_reading now = read(*tier);
  CHECK(std::string(now.kind) == "tier");
  CHECK(now.blocks.cached == 2);
  CHECK(now.blocks.free == 0);
  CHECK(now.blocks.limit == 2);
  CHECK(now.bytes.cached == 2 * block);
  CHECK(now.lookups.of("hit") == 3);
  CHECK(now.lookups.of("miss") == 1);
  CHECK(now.stores.of("stored") == 3);
  CHECK(now.evictions.of("capacity") == 1);
  CHECK(now.wire.size() == 0);

  // through a handle it says the same
  kv::tier_ref ref(*tier);
  CHECK(read(ref).blocks == now.blocks);

  const kv::tier_ref below[] = {*tier};
  auto chain = kv::tier_chain<>::open({.threshold = 2}, below, 1, heap);
  REQUIRE(chain);
  const kv::tier_key fresh{20, 0, 0};
  const kv::tier_span span{bytes.data(), block};
  CHECK(chain->complete_store(chain->prepare_store(&fresh, &span, 1), true, &out) == 0);
  const pool_reading whole = read(*chain);
  CHECK(std::string(whole.kind) == "tier_chain");
  CHECK(whole.blocks.capacity() == not_counted);  // its tiers say that
  CHECK(whole.evictions.size() == 0);
  CHECK(whole.stores.of("skipped") == 1);
  CHECK(whole.stores.of("refused") == 0);
  CHECK(whole.moves.of("promoted") == 0);
  CHECK(whole.block_bytes == block);
}

TEST_CASE("a tier without an end has no free blocks", "[reading_of_kv]") {
  pool_reading into;
  read_stats(kv::tier_stats{.storing = 1, .blocks = 5}, into);
  CHECK(into.blocks.free == not_counted);
  CHECK(into.blocks.limit == not_counted);
  CHECK(into.blocks.capacity() == 6);
  read_stats(kv::tier_stats{.blocks = 5, .capacity = 4}, into);  // of two moments
  CHECK(into.blocks.free == 0);
}
