#include <tokenheap/adapt/ggml_rows.hpp>

#include <support/catch.hpp>

#include <random>
#include <string>
#include <vector>

using namespace tokenheap;
using adapt::ggml_rows;
using adapt::rows_for_ggml;

namespace {

constexpr kv::layout plain{.layers = 3, .kv_heads = 4, .head_size = 16, .type = kv::dtype::float16, .block_tokens = 16};

std::string fix_of(const kv::layout& shape, std::size_t blocks = 4) {
  const auto made = rows_for_ggml(shape, blocks, 0, 0);
  return made ? "none" : made.why().fix;
}

}  // namespace

TEST_CASE("the planes of a block are rows of 128 bytes, six planes apart") {
  const auto keys = rows_for_ggml(plain, 5, 0, 0);
  REQUIRE(keys);
  CHECK(keys->offset == 0);
  CHECK(keys->numbers == 64);
  CHECK(keys->per_block == 96);
  CHECK(keys->rows == 4 * 96 + 16);
  CHECK(keys->row_of(3, 5) == 293);
  const auto values = rows_for_ggml(plain, 5, 2, 1);
  REQUIRE(values);
  CHECK(values->offset == 5 * 16 * 128);
  CHECK(values->row_of(3, 5) == 293);
  kv::layout apart = plain;
  apart.layers_apart = apart.planes_apart = true;
  const auto dense = rows_for_ggml(apart, 5, 2, 1);
  REQUIRE(dense);
  CHECK(dense->offset == 0);
  CHECK(dense->per_block == 16);
  CHECK(dense->rows == 80);
}

TEST_CASE("the rows of a sequence follow its table") {
  const auto rows = rows_for_ggml(plain, 9, 1, 0);
  REQUIRE(rows);
  const std::vector<kv::block_id> table = {7, 2, 8};
  std::int64_t write[3] = {};
  rows->write<std::int64_t>(table, 15, write);
  CHECK(write[0] == 7 * 96 + 15);
  CHECK(write[1] == 2 * 96);
  CHECK(write[2] == 2 * 96 + 1);
  std::vector<std::int32_t> read(48);
  rows->write<std::int32_t>(table, 0, read);
  CHECK(read.front() == 7 * 96);
  CHECK(read.back() == 8 * 96 + 15);
}

TEST_CASE("every row lies where the layout says, and no matrix ends behind the tensor") {
  constexpr unsigned seed = 29;
  INFO("seed " << seed);
  std::mt19937 random(seed);
  const auto one_of = [&](std::initializer_list<std::size_t> of) { return of.begin()[random() % of.size()]; };
  std::size_t taken = 0;
  for (int round = 0; round != 300; ++round) {
    kv::layout shape{.layers = 1 + random() % 4, .kv_heads = one_of({1, 2, 8}), .head_size = one_of({16, 32, 128}),
                     .type = random() % 2 == 0 ? kv::dtype::float32 : kv::dtype::bfloat16,
                     .block_tokens = one_of({1, 16, 48}), .planes = 1 + random() % 2};
    shape.layers_apart = random() % 2 == 0;
    shape.planes_apart = shape.planes == 2 && random() % 2 == 0;
    if (shape.planes == 2 && random() % 3 == 0) shape.value_head_size = 64;
    const std::size_t blocks = 1 + random() % 6, layer = random() % shape.layers, plane = random() % shape.planes;
    const auto rows = rows_for_ggml(shape, blocks, layer, plane);
    if (!rows) {
      // planes of different width in one tensor, whose blocks are no whole rows apart
      CHECK(rows.why().need % rows.why().limit != 0);
      continue;
    }
    ++taken;
    const std::size_t bytes = rows->numbers * kv::bytes_of(shape.type, 1);
    CHECK(rows->offset + rows->rows * bytes <= shape.tensor_bytes(blocks, plane));
    for (std::size_t block = 0; block != blocks; ++block) {
      for (const std::size_t token : {std::size_t{0}, shape.block_tokens - 1}) {
        const kv::tensor_place at = shape.place_of(block, {.layer = layer, .plane = plane, .head = 0, .token = token});
        CHECK(rows->offset + rows->row_of(static_cast<kv::block_id>(block), token) * bytes == at.offset);
        CHECK(rows->row_of(static_cast<kv::block_id>(block), token) < rows->rows);
      }
    }
  }
  CHECK(taken > 200);
}

TEST_CASE("layouts that ggml cannot see as rows are refused, with what to do") {
  CHECK(fix_of(plain) == "none");
  CHECK(fix_of(plain, 0) == "give at least one");
  kv::layout s = plain;
  s.type = kv::dtype::int8;
  CHECK(fix_of(s) == "use float32, float16 or bfloat16 without scales or tail");
  s = plain;
  s.order = kv::axis_order::hnd;
  CHECK(fix_of(s) == "use axis_order::nhd");
  s.kv_heads = 1;
  CHECK(fix_of(s) == "none");
  s = plain;
  s.kv_heads = 1;
  s.head_size = 8;
  CHECK(fix_of(s) == "use heads whose row is a multiple of 32 bytes");
  s = plain;
  s.steps.block = s.block_bytes() + 64;
  CHECK(fix_of(s) == "use strides of whole rows");
  CHECK(rows_for_ggml(plain, 4, 3, 0).why().fix == std::string("count from 0"));
  CHECK(rows_for_ggml(plain, 4, 0, 2).why().fix == std::string("use 0 for keys, 1 for values"));
  const failure many = rows_for_ggml(plain, 0x7FFFFFFF / 96 + 2, 0, 0).why();
  CHECK(many.code == errc::too_large);
  CHECK(many.limit == 0x7FFFFFFF);
}
