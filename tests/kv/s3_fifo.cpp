#include <tokenheap/kv/s3_fifo.hpp>

#include <support/catch.hpp>

#include <vector>

#include "order_suite.hpp"

namespace kv = tokenheap::kv;

namespace {

using ids = std::vector<kv::block_id>;

ids all_out(kv::s3_fifo& order) {
  ids out(order.size());
  order.pop(out.data(), out.size(), [](kv::block_id) {});
  return out;
}

}  // namespace

TEST_CASE("s3_fifo keeps what every order must keep", "[kv][eviction]") { order_suite::play<kv::s3_fifo>(8, 600); }

TEST_CASE("s3_fifo: a scan leaves before what was used again", "[kv][eviction]") {
  kv::s3_fifo order;
  REQUIRE(order.open(64));
  for (kv::block_id id = 0; id < 4; ++id) order.push(id);
  for (kv::block_id id : {1U, 3U}) {
    order.reuse(id);
    REQUIRE(order.remove(id));
    order.push(id);
  }
  for (kv::block_id id = 10; id < 40; ++id) order.push(id);
  CHECK(order.is_valid());
  ids out(15);
  order.pop(out.data(), out.size(), [](kv::block_id) {});
  CHECK(out == ids{0, 2, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22});
  // more than a tenth of all, and older than the rest of the scan
  CHECK(order.victim() == 1);
  CHECK(all_out(order).size() == 19);
  CHECK(order.size() == 0);
  CHECK(order.victim() == kv::no_block);
}

TEST_CASE("s3_fifo: a turn more for each use beyond the first, three at most", "[kv][eviction]") {
  kv::s3_fifo order;
  REQUIRE(order.open(8));
  for (kv::block_id id = 0; id < 3; ++id) {
    const unsigned uses[] = {9, 2, 1};
    for (unsigned n = 0; n < uses[id]; ++n) order.reuse(id);
    order.push(id);
  }
  // 0 has three turns, 1 has one, 2 has none
  CHECK(order.victim() == 2);
  CHECK(all_out(order) == ids{2, 1, 0});
}

TEST_CASE("s3_fifo: what left has forgotten its uses", "[kv][eviction]") {
  kv::s3_fifo order;
  REQUIRE(order.open(4));
  order.reuse(0);
  order.push(0);
  CHECK(all_out(order) == ids{0});
  order.push(0);
  order.reuse(1);
  order.push(1);
  CHECK(order.victim() == 0);
  order.value(2, {});
  order.push(4);
  CHECK(order.size() == 2);
}
