// What a token costs in several formats, where its bytes lie in an engine's own tensors, and the quantiser for the CPU.

#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include <tokenheap/kv/head_split.hpp>
#include <tokenheap/kv/quantise.hpp>
#include <tokenheap/kv/sequence.hpp>

namespace kv = tokenheap::kv;
using tokenheap::errc;

#define EXPECT(condition)                                             \
  do {                                                                \
    if (!(condition)) {                                               \
      std::fprintf(stderr, "layout: expected %s\n", #condition);      \
      return 1;                                                       \
    }                                                                 \
  } while (false)

namespace {

// [formats]
constexpr kv::layout llama{.layers = 80, .kv_heads = 8, .head_size = 128, .type = kv::dtype::bfloat16, .block_tokens = 16};
static_assert(llama.why_not().code == errc::ok);
static_assert(llama.token_bytes() == 327'680);

constexpr kv::layout in_four_bits(kv::layout l, kv::scale_place where) {
  l.type = kv::dtype::nvfp4;
  l.scales = kv::default_scaling(l.type, where);
  return l;
}
// scales behind each plane of a block: they go wherever the block goes
constexpr kv::layout paged = in_four_bits(llama, kv::scale_place::page);
static_assert(paged.token_bytes() == 80 * 2 * 8 * (128 / 2 + 128 / 16));
// or in a second region, with one byte for sixteen numbers
constexpr kv::layout beside = in_four_bits(llama, kv::scale_place::beside);
static_assert(beside.beside_bytes() * 16 == beside.numbers());
static_assert(beside.block_bytes() + beside.beside_bytes() == paged.block_bytes());
// [formats]

// [latent]
// 512 numbers in fp8 with a scale for each 128, and 64 in bfloat16 that carry the position: a row of 656 bytes
constexpr kv::layout latent{
    .layers = 61, .kv_heads = 1, .head_size = 512, .type = kv::dtype::float8_e4m3, .block_tokens = 64, .planes = 1,
    .scales = {.per = kv::scale_per::group, .type = kv::scale_type::float32, .group = 128, .place = kv::scale_place::row},
    .tail_size = 64, .tail_type = kv::dtype::bfloat16};
static_assert(latent.head_bytes() == 656 && latent.token_bytes() == 40'016);
// [latent]

// [ranks]
static_assert(kv::layout_of_rank(llama, 8).token_bytes() == 40'960);   // a head each
static_assert(kv::layout_of_rank(llama, 16).token_bytes() == 40'960);  // two ranks keep the same head
static_assert(kv::head_split{.kv_heads = 8, .ranks = 16}.heads_of(5) == kv::rank_heads{.first = 2, .count = 1});
static_assert(kv::head_split{.kv_heads = 8, .ranks = 12}.why_not().code == errc::invalid_argument);
// [ranks]

constexpr kv::layout tiny{.layers = 2, .kv_heads = 2, .head_size = 16, .type = kv::dtype::float16, .block_tokens = 4};

// [pieces]
// an engine's cache: for each layer one tensor of keys and one of values
struct engine_cache {
  kv::layout shape;
  std::vector<std::vector<std::byte>> tensors;

  static void copy(void* self, kv::block_id from, kv::block_id to) noexcept {
    auto& mine = *static_cast<engine_cache*>(self);
    kv::for_each_piece(mine.shape, [&](const kv::block_piece& piece) {
      std::byte* const first = mine.tensors[piece.tensor].data() + piece.offset;
      std::memcpy(first + to * mine.shape.block_stride(), first + from * mine.shape.block_stride(), piece.bytes);
    });
  }
};
// [pieces]

int wrap_tensors() {
  // [apart]
  kv::layout shape = tiny;
  shape.layers_apart = shape.planes_apart = true;
  EXPECT(shape.tensors() == 4);
  engine_cache cache{shape, {4, std::vector<std::byte>(shape.tensor_bytes(8))}};
  // the pool hands out ids; where they lie is the engine's affair
  auto pool = kv::block_pool<>::open({.blocks = 8, .block_tokens = 4, .copy = {engine_cache::copy, &cache}});
  if (!pool) return 1;
  // block 5, keys of layer 1, head 0, token 3: in tensor 2, behind five blocks and three tokens
  EXPECT(shape.place_of(5, {.layer = 1, .plane = 0, .head = 0, .token = 3}) == (kv::tensor_place{2, 5 * 256 + 3 * 64}));
  // [apart]
  cache.tensors[3][1 * 256 + 7] = std::byte{9};
  engine_cache::copy(&cache, 1, 6);
  EXPECT(cache.tensors[3][6 * 256 + 7] == std::byte{9} && cache.tensors[3][7 * 256 + 7] == std::byte{});
  return 0;
}

int wrap_strides() {
  // [strides]
  // one tensor [layers, 2, blocks, tokens, heads, size], as an engine made it for 100 blocks
  kv::layout shape = tiny;
  shape.steps = {.block = 256, .layer = 2 * 100 * 256, .plane = 100 * 256};
  EXPECT(shape.why_not(100).code == errc::ok);
  EXPECT(shape.tensor_bytes(100) == 100 * tiny.block_bytes());
  // for 101 blocks these strides put the last keys over the first values, and that is said
  const tokenheap::failure why = shape.why_not(101);
  EXPECT(why.code == errc::invalid_argument && why.need == 101 * 256 && why.available == 100 * 256);
  // [strides]
  return 0;
}

int quantise() {
  // [quantise]
  kv::layout shape = tiny;
  shape.type = kv::dtype::int8;
  shape.scales = kv::default_scaling(shape.type);  // for each token and head one float32, behind the plane
  const kv::quantiser codec(shape);
  std::vector<std::byte> block(shape.block_bytes());
  const kv::element where{.layer = 1, .plane = 1, .head = 0, .token = 2};
  float numbers[16], again[16];
  for (int k = 0; k < 16; ++k) numbers[k] = std::sin(static_cast<float>(k));
  codec.write(where, numbers, block.data());
  codec.read(where, block.data(), again);
  for (int k = 0; k < 16; ++k) EXPECT(std::fabs(again[k] - numbers[k]) <= 0.5F / 127);
  // [quantise]
  return 0;
}

}  // namespace

int main() {
  if (wrap_tensors() != 0 || wrap_strides() != 0 || quantise() != 0) return 1;
  std::printf("a token of 80 layers: %zu bytes in bfloat16, %zu in nvfp4\n", llama.token_bytes(), paged.token_bytes());
  return 0;
}
