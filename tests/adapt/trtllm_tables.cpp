#include <tokenheap/adapt/trtllm_tables.hpp>

#include <support/catch.hpp>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "tables_kit.hpp"

using namespace tokenheap;
using namespace tokenheap::adapt;
using namespace tables_kit;

namespace {

constexpr kv::layout shape{.layers = 3,
                           .kv_heads = 2,
                           .head_size = 4,
                           .type = kv::dtype::float16,
                           .block_tokens = 8,
                           .order = kv::axis_order::hnd};
constexpr std::int32_t piece = 8 * 2 * 4 * 2;

/// What a kernel does with a table: KVBlockArray of kvCacheUtils.h, in its own arithmetic.
struct kernel {
  void *primary, *secondary;
  const std::int32_t* data;
  std::int32_t blocks_of_row, log_tokens, bytes_of_piece;

  void* block(std::int32_t row, std::int32_t token, std::int32_t values) const {
    const std::int32_t offset = (data + (row * blocks_of_row * 2 + values * blocks_of_row))[token >> log_tokens];
    void* const pool = (offset & INT32_MIN) == 0 ? primary : secondary;
    return static_cast<char*>(pool) +
           static_cast<std::uint64_t>(offset & INT32_MAX) * static_cast<std::uint64_t>(bytes_of_piece);
  }
};

}  // namespace

TEST_CASE("a kernel of TensorRT-LLM finds keys and values of each layer where the layout has them") {
  const bool layers_outside = GENERATE(false, true);
  constexpr std::size_t blocks = 10;
  kv::layout l = shape;
  if (layers_outside) l.steps = {.block = 2 * piece, .layer = blocks * 2 * piece, .plane = piece};
  REQUIRE(l.why_not(blocks).code == errc::ok);
  std::vector<unsigned char> device(l.tensor_bytes(blocks)), host(l.tensor_bytes(blocks));
  const auto pool = trtllm_pool_of(l, device.data(), host.data());
  REQUIRE(pool);
  CHECK(pool->piece_bytes == piece);
  CHECK(pool->block_step == (layers_outside ? 2u : 6u));
  CHECK(pool->value_step == 1);
  const ids a{5, in_secondary(9), 2}, b{7};
  const std::vector<kv::table_row> rows{{a, 20}, {{}, 0}, {b, 8}};
  numbers table(3 * 2 * 4, 77);
  REQUIRE(write_trtllm(rows, *pool, {.offsets = table, .width = 4}).code == errc::ok);
  for (std::size_t layer = 0; layer != 3; ++layer) {
    const kernel k{pool->primary_of(layer), pool->secondary_of(layer), table.data(), 4, 3, piece};
    for (std::size_t r : {0u, 2u}) {
      for (std::size_t token = 0; token != rows[r].tokens; ++token) {
        for (std::size_t plane = 0; plane != 2; ++plane) {
          const kv::block_id id = rows[r].blocks[token / 8];
          auto& memory = (id & secondary_bit) != 0 ? host : device;
          const void* const wanted =
              memory.data() + l.place_of(id & ~secondary_bit, {.layer = layer, .plane = plane}).offset;
          CHECK(k.block(static_cast<std::int32_t>(r), static_cast<std::int32_t>(token),
                        static_cast<std::int32_t>(plane)) == wanted);
        }
      }
    }
  }
  CHECK(table[3] == trtllm_padding);
  CHECK(numbers(table.begin() + 8, table.begin() + 16) == numbers(8, trtllm_padding));
}

TEST_CASE("exact offsets: block-first, the values one piece behind, holes null, the rest padding") {
  std::vector<unsigned char> memory(16);
  const auto pool = trtllm_pool_of(shape, memory.data(), memory.data());
  REQUIRE(pool);
  const ids a{0, 4, kv::no_block, in_secondary(1)};
  numbers table(2 * 5, 77);
  REQUIRE(write_trtllm(std::vector<kv::table_row>{{a, 32}}, *pool, {.offsets = table, .width = 5, .padding = 0}).code ==
          errc::ok);
  const std::int32_t second = INT32_MIN;
  CHECK(table == numbers{0, 24, -1, second + 6, 0, 1, 25, -1, second + 7, 0});
}

TEST_CASE("one plane has both lines alike, and no value step") {
  const kv::layout latent{
      .layers = 4, .kv_heads = 1, .head_size = 576, .type = kv::dtype::bfloat16, .block_tokens = 64, .planes = 1};
  std::vector<unsigned char> memory(16);
  const auto pool = trtllm_pool_of(latent, memory.data());
  REQUIRE(pool);
  CHECK(pool->piece_bytes == 64 * 576 * 2);
  CHECK(pool->value_step == 0);
  CHECK(pool->layer_step == 1);
  CHECK(pool->secondary_of(2) == nullptr);
  const ids a{3, 1};
  numbers table(4, 77);
  REQUIRE(write_trtllm(std::vector<kv::table_row>{{a, 65}}, *pool, {.offsets = table, .width = 2}).code == errc::ok);
  CHECK(table == numbers{12, 4, 12, 4});
}

TEST_CASE("a layout that its kernels cannot read is refused by its numbers") {
  char memory = 0;
  const auto refused = [&](const kv::layout& l, errc code, std::size_t need, std::size_t available) {
    const auto made = trtllm_pool_of(l, &memory);
    REQUIRE_FALSE(made);
    CHECK(says(made.why(), code, need, available));
  };
  kv::layout l = shape;
  l.block_tokens = 12;
  refused(l, errc::unsupported, 12, 0);
  l = shape, l.order = kv::axis_order::nhd;
  refused(l, errc::unsupported, 0, 0);
  l = shape, l.layers_apart = true;
  refused(l, errc::unsupported, 1, 3);
  l = shape, l.value_head_size = 8;
  refused(l, errc::unsupported, 128, 256);
  l = shape, l.type = kv::dtype::int8, l.scales = kv::default_scaling(kv::dtype::int8);
  refused(l, errc::unsupported, 0, 8 * 2 * 4);
  l = shape, l.steps = {.block = 6 * piece + 64};
  refused(l, errc::unsupported, 6 * piece + 64, piece);
  l = shape, l.layers = 0;
  CHECK_FALSE(trtllm_pool_of(l, &memory));
  l = shape, l.head_size = std::size_t{1} << 28;
  refused(l, errc::size_overflow, std::size_t{1} << 33, 2147483647);
  const auto nowhere = trtllm_pool_of(shape, nullptr);
  CHECK_FALSE(nowhere);
  // the order of one head, or of one token, is no order
  l = shape, l.order = kv::axis_order::nhd, l.kv_heads = 1;
  CHECK(trtllm_pool_of(l, &memory));
}

TEST_CASE("offsets that do not fit are refused with the room they need, and nothing is written") {
  char memory = 0;
  const auto pool = trtllm_pool_of(shape, &memory);
  REQUIRE(pool);
  numbers table(12, 7);
  const ids a{5, 9, 2}, second{in_secondary(0)};
  const auto refused = [&](const kv::table_row& row, const trtllm_pool& of, const trtllm_table& out, errc code,
                           std::size_t need, std::size_t available) {
    CHECK(says(write_trtllm(std::vector<kv::table_row>{row}, of, out), code, need, available));
    CHECK(table == numbers(12, 7));
  };
  const trtllm_table fits{.offsets = table, .width = 6};
  refused({a, 24}, *pool, {.offsets = std::span(table).first(11), .width = 6}, errc::invalid_argument, 12, 11);
  refused({a, 24}, *pool, {.offsets = table, .width = 2}, errc::invalid_argument, 3, 2);
  refused({a, 25}, *pool, fits, errc::invalid_argument, 4, 3);
  refused({a, 24}, *pool, {.offsets = table, .width = std::size_t{1} << 30}, errc::size_overflow, 1, 2147483647);
  refused({second, 8}, *pool, fits, errc::invalid_argument, 0, 0);
  refused({a, 24}, trtllm_pool{}, fits, errc::invalid_argument, 0, 0);
  // the last id whose values are below the padding, and the first one beyond it
  constexpr kv::block_id last = (0x7ffffffe - 1) / 6;
  const ids largest{last}, beyond{last + 1};
  refused({beyond, 8}, *pool, fits, errc::size_overflow, last + 1, last);
  REQUIRE(write_trtllm(std::vector<kv::table_row>{{largest, 8}}, *pool, fits).code == errc::ok);
  CHECK(table[6] == static_cast<std::int32_t>(last * 6 + 1));
  CHECK(table[6] < trtllm_padding);
}

TEST_CASE("pointers and mapping of several pools, layers numbered through") {
  char a = 0, b = 0, c = 0;
  kv::layout small = shape;
  small.layers = 1, small.kv_heads = 1;
  const auto first = trtllm_pool_of(shape, &a, &b), second = trtllm_pool_of(small, &c);
  REQUIRE(first);
  REQUIRE(second);
  const trtllm_pool pools[] = {*first, *second};
  std::vector<std::int64_t> pointers(4, 7);
  numbers mapping(8, 7);
  CHECK(says(write_trtllm_pools(pools, std::span(pointers).first(3), mapping), errc::invalid_argument, 4, 3));
  CHECK(says(write_trtllm_pools(pools, pointers, std::span(mapping).first(7)), errc::invalid_argument, 8, 7));
  CHECK(pointers == std::vector<std::int64_t>(4, 7));
  REQUIRE(write_trtllm_pools(pools, pointers, mapping).code == errc::ok);
  const auto number = [](const void* p) { return static_cast<std::int64_t>(address_of(p)); };
  CHECK(pointers == std::vector<std::int64_t>{number(&a), number(&b), number(&c), 0});
  CHECK(mapping == numbers{0, 0, 0, 1, 0, 2, 1, 0});
  // the place that TensorRT-LLM computes from the mapping is the place of the layer
  for (std::size_t layer = 0; layer != 3; ++layer)
    CHECK(pools[0].primary_of(layer) ==
          static_cast<void*>(&a + static_cast<std::size_t>(mapping[layer * 2 + 1]) * 2 * piece));
  kv::layout outside = shape;
  outside.steps = {.block = 2 * piece, .layer = 20 * piece, .plane = piece};
  const auto apart = trtllm_pool_of(outside, &a);
  REQUIRE(apart);
  CHECK(says(write_trtllm_pools({&*apart, 1}, pointers, mapping), errc::unsupported, 2, 20));
  // a pool that nobody made: the count of its places would wrap
  trtllm_pool vast = *first;
  vast.layers = (~std::size_t{0} >> 1) + 1;
  CHECK(says(write_trtllm_pools({&vast, 1}, pointers, mapping), errc::size_overflow, vast.layers, 2147483647));
}
