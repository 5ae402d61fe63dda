#include <tokenheap/kv/pool_options.hpp>

#include <support/catch.hpp>

#include <string>

namespace kv = tokenheap::kv;
using tokenheap::errc;

TEST_CASE("amounts that make no pool are refused with the number and the limit", "[kv][pool_options][bad]") {
  CHECK(kv::why_not({.blocks = 1}).code == errc::ok);
  CHECK(kv::why_not({.blocks = kv::max_blocks}).code == errc::ok);
  CHECK(kv::why_not({.blocks = 0}).code == errc::invalid_argument);
  const auto many = kv::why_not({.blocks = kv::max_blocks + 1, .name = "many"});
  CHECK(many.code == errc::too_large);
  CHECK(many.limit == kv::max_blocks);
  CHECK(std::string(many.pool) == "many");
  CHECK(kv::why_not({.blocks = std::size_t{1} << 32}).code == errc::too_large);
  CHECK(kv::why_not({.blocks = 1, .block_tokens = 0}).code == errc::invalid_argument);
  CHECK(kv::why_not({.blocks = 1, .block_tokens = kv::max_block_tokens + 1}).code == errc::invalid_argument);
  CHECK(kv::why_not({.blocks = 1, .name = nullptr}).code == errc::invalid_argument);

  const kv::layout shape{.layers = 1, .kv_heads = 1, .head_size = 8};
  std::size_t bytes = 0;
  CHECK(kv::why_not({.blocks = 3, .null_block = true}, shape, bytes).code == errc::ok);
  CHECK(bytes == 4 * 512);
  const auto unequal = kv::why_not({.blocks = 3, .block_tokens = 32}, shape, bytes);
  CHECK(unequal.code == errc::invalid_argument);
  CHECK(unequal.need == 16);
  const kv::layout huge{.layers = std::size_t{1} << 20, .kv_heads = 1 << 10, .head_size = 1 << 10};
  CHECK(kv::why_not({.blocks = kv::max_blocks}, huge, bytes).code == errc::size_overflow);

  kv::layout apart = shape;
  apart.layers_apart = apart.planes_apart = true;
  const auto pieces = kv::why_not({.blocks = 3}, apart, bytes);
  CHECK((pieces.code == errc::unsupported && pieces.need == 2));
  kv::layout beside = shape;
  beside.type = kv::dtype::int8;
  beside.scales = kv::default_scaling(kv::dtype::int8, kv::scale_place::beside);
  CHECK(kv::why_not({.blocks = 3}, beside, bytes).code == errc::unsupported);
  beside.scales.place = kv::scale_place::page;
  CHECK(kv::why_not({.blocks = 3}, beside, bytes).code == errc::ok);
  CHECK(bytes == 3 * beside.block_bytes());
  // the last block needs no gap behind it
  kv::layout gaps = shape;
  gaps.steps.block = 768;
  CHECK(kv::why_not({.blocks = 3}, gaps, bytes).code == errc::ok);
  CHECK(bytes == 2 * 768 + 512);
  gaps.steps.block = 256;
  CHECK(kv::why_not({.blocks = 3}, gaps, bytes).code == errc::invalid_argument);

  alignas(256) static unsigned char memory[2048];
  CHECK(kv::why_not({.blocks = 4}, kv::tensor{memory, sizeof memory, shape}).code == errc::ok);
  const auto little = kv::why_not({.blocks = 5}, kv::tensor{memory, sizeof memory, shape});
  CHECK(little.code == errc::too_large);
  CHECK(little.need == 2560);
  CHECK(little.available == 2048);
  CHECK(kv::why_not({.blocks = 1}, kv::tensor{memory + 8, 1024, shape}).code == errc::invalid_argument);
  CHECK(kv::why_not({.blocks = 1}, kv::tensor{nullptr, 1024, shape}).code == errc::invalid_argument);
}
