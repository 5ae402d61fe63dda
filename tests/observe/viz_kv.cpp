#include <tokenheap/observe/viz_kv.hpp>

#include <support/catch.hpp>

#include <random>
#include <string>
#include <vector>

#include <kv/kit.hpp>
#include <observe/viz_kit.hpp>

using namespace tokenheap;

TEST_CASE("KV blocks are pieces of one segment", "[observe]") {
  auto pool = kit::pool_of(8, 4, true, true);
  {
    auto s = kit::opened(pool, kit::count_up(12));
    REQUIRE(s.publish(8) == errc::ok);
  }
  const auto live = kit::opened(pool, kit::count_up(4, 1000));
  viz_snapshot picture;
  collect(picture, pool, {.device = 2, .address = 4096, .block_bytes = 100});
  REQUIRE(picture.segments().size() == 1);
  const viz_segment& g = picture.segments()[0];
  CHECK(g.address == 4096 + 100);  // behind the null block
  CHECK(g.total == 800);
  CHECK(g.allocated == 100);
  CHECK(g.active == 100);
  CHECK(g.device == 2);
  std::size_t cached = 0, freed = 0;
  for (const viz_block& b : picture.blocks(g)) {
    CHECK(b.address == 4096 + 100 * b.frame.line);
    const std::string name = b.frame.name;
    cached += name == "kv block, cached";
    freed += name == "kv block, free";
    CHECK((name == "kv block") == (b.state == viz_state::allocated));
  }
  CHECK(cached == pool.stats().cached);
  CHECK(cached == 2);
  CHECK(freed == 5);
  viz_kit::check(picture, "kv_ids");
  // without a size a block is as large as its tokens
  picture.reset();
  collect(picture, pool);
  CHECK(picture.segments()[0].total == 32);
}

TEST_CASE("KV blocks with memory lie where it lies", "[observe]") {
  host_source heap;
  const kv::layout shape{.layers = 2, .kv_heads = 2, .head_size = 8, .type = kv::dtype::float32, .block_tokens = 4};
  auto pool = kv::block_pool<>::open({.blocks = 6, .block_tokens = 4, .name = "model"}, shape, heap);
  REQUIRE(pool);
  const auto block = pool->allocate();
  viz_snapshot picture;
  collect(picture, *pool);
  REQUIRE(picture.segments().size() == 1);
  CHECK(picture.segments()[0].address == address_of(pool->data(0)));
  CHECK(picture.segments()[0].total == 6 * shape.block_stride());
  CHECK(picture.segments()[0].requested == shape.block_bytes());
  CHECK(std::string(picture.segments()[0].frame.filename) == "model");
  viz_kit::check(picture, "kv_memory");
}

namespace {

struct fenced : kv::default_policy {
  using fence = kv::step_fence;
};

}  // namespace

TEST_CASE("blocks that wait for a step are pending", "[observe]") {
  auto pool = kit::pool_of<kv::block_pool<fenced>>(4, 4, false);
  const std::uint64_t step = [&] {
    const auto block = pool.allocate();
    return pool.begin_step();
  }();
  viz_snapshot picture;
  collect(picture, pool);
  CHECK(viz_kit::bytes_in(picture, viz_state::pending) == 4);
  CHECK(viz_kit::bytes_in(picture, viz_state::allocated) == 0);
  viz_kit::check(picture, "kv_pending");
  REQUIRE(pool.settle(step) == errc::ok);
  picture.reset();
  collect(picture, pool);
  CHECK(viz_kit::bytes_in(picture, viz_state::inactive) == 16);
}

TEST_CASE("pages of several sizes tile their room", "[observe]") {
  for (const auto placement : {kv::page_placement::numbered, kv::page_placement::packed}) {
    const std::size_t sizes[] = {300, 1007};
    auto space = kv::page_space::open(
        {.name = "hybrid", .bytes = 100'003, .page_bytes = sizes, .groups = 2, .placement = placement});
    REQUIRE(space);
    viz_snapshot picture;
    collect(picture, *space);
    CHECK(picture.segments()[0].total == 100'003);
    CHECK(picture.segments()[0].blocks == 1);
    std::mt19937 random(3);
    std::vector<kv::page_key> out;
    for (int k = 0; k != 400; ++k) {
      if (random() % 3 != 0) {
        const kv::page_key key = space->take(random() % 2);
        if (key.generation != 0) out.push_back(key);
      } else if (!out.empty()) {
        CHECK(space->give(out.back()) == errc::ok);
        out.pop_back();
      }
    }
    picture.reset();
    collect(picture, *space, {.device = 1, .address = 1 << 20});
    CHECK(picture.segments()[0].total == 100'003);
    CHECK(picture.segments()[0].allocated == space->stats().used);
    CHECK(space->stats().used != 0);
    for (const kv::page_key& key : out) {
      bool found = false;
      for (const viz_block& b : picture.blocks(picture.segments()[0])) {
        found = found || (b.address == (1 << 20) + space->offset_of(key) && b.size == sizes[key.group] &&
                          b.frame.line == key.group && b.state == viz_state::allocated);
      }
      CHECK(found);
    }
    viz_kit::check(picture, "pages");
  }
}

TEST_CASE("a closed pool is no picture", "[observe]") {
  auto pool = kit::pool_of(4, 4);
  pool.close();
  viz_snapshot picture;
  collect(picture, pool);
  CHECK(picture.segments().empty());
  CHECK(picture.status() == errc::ok);
}
