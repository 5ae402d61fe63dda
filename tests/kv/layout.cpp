#include <tokenheap/kv/layout.hpp>

#include <support/catch.hpp>

#include <set>
#include <string>
#include <vector>

namespace kv = tokenheap::kv;
using kv::dtype;
using tokenheap::errc;

namespace {

// figures that others publish, in bytes for one token
constexpr kv::layout llama2_13b{.layers = 40, .kv_heads = 40, .head_size = 128, .type = dtype::float16};
constexpr kv::layout llama3_70b{.layers = 80, .kv_heads = 8, .head_size = 128, .type = dtype::bfloat16};
constexpr kv::layout qwen25_7b{.layers = 28, .kv_heads = 4, .head_size = 128, .type = dtype::bfloat16};
constexpr kv::layout qwen3_8b{.layers = 36, .kv_heads = 8, .head_size = 128, .type = dtype::bfloat16};
constexpr kv::layout deepseek_v3{.layers = 61, .kv_heads = 1, .head_size = 576, .type = dtype::bfloat16, .planes = 1};
static_assert(llama2_13b.token_bytes() == 819'200);
static_assert(llama3_70b.token_bytes() == 327'680);
static_assert(llama3_70b.token_bytes() * 131'072 == 40 * tokenheap::GiB);
static_assert(qwen25_7b.token_bytes() == 57'344);
static_assert(qwen3_8b.token_bytes() == 147'456);
static_assert(qwen3_8b.token_bytes() * (128 + 16) * 4 == 81 * tokenheap::MiB);  // 20.25 MiB for 128 tokens
static_assert(deepseek_v3.token_bytes() == 70'272);

constexpr kv::layout with(kv::layout l, dtype type, kv::scaling scales) {
  l.type = type;
  l.scales = scales;
  return l;
}
constexpr kv::layout with(const kv::layout& l, dtype type) { return with(l, type, kv::default_scaling(type)); }

// a row of 656 bytes: 512 numbers, four scales of 128 each, 64 numbers that carry the position
constexpr kv::layout fp8_ds_mla{.layers = 61, .kv_heads = 1, .head_size = 512, .type = dtype::float8_e4m3,
                                .block_tokens = 64, .planes = 1,
                                .scales = {.per = kv::scale_per::group, .group = 128, .place = kv::scale_place::row},
                                .tail_size = 64};
static_assert(fp8_ds_mla.why_not().code == errc::ok);
static_assert(fp8_ds_mla.head_bytes() == 656 && fp8_ds_mla.row_scales_at() == 512 && fp8_ds_mla.tail_at() == 528);
static_assert(fp8_ds_mla.token_bytes() == 40'016 && fp8_ds_mla.padding_bytes() == 0);
static_assert(fp8_ds_mla.scale_offset_of({0, 0, 0, 1}, 3) == 656 + 512 + 12);

// a byte each per tensor; four more bytes per token, head and side; half a byte and a 16th of one
static_assert(with(llama3_70b, dtype::float8).token_bytes() == 163'840);
static_assert(with(llama3_70b, dtype::float8).tensor_scale_bytes() == 80 * 2 * 4);
static_assert(with(llama3_70b, dtype::int8).token_bytes() == 80 * 2 * 8 * (128 + 4));
static_assert(with(llama3_70b, dtype::nvfp4).token_bytes() == 80 * 2 * 8 * (64 + 8));
static_assert(with(llama3_70b, dtype::mxfp4).token_bytes() == 80 * 2 * 8 * (64 + 4));
// the second pool has one scale for 16 numbers
constexpr kv::layout beside = with(llama3_70b, dtype::nvfp4, kv::default_scaling(dtype::nvfp4, kv::scale_place::beside));
static_assert(beside.beside_bytes() * 16 == beside.numbers());
static_assert(beside.beside_bytes() * 8 == beside.block_bytes() && beside.padding_bytes() == 0);
// keys and values of different sizes: L * heads * (192 + 128) * 2
constexpr kv::layout unequal{.layers = 61, .kv_heads = 128, .head_size = 192, .type = dtype::bfloat16,
                             .value_head_size = 128};
static_assert(unequal.token_bytes() == 61 * 128 * (192 + 128) * 2);
static_assert(unequal.offset_of({1, 1, 0, 0}) == unequal.layer_bytes() + 16 * 128 * 192 * 2);

// counts how often each byte of all tensors and of their scales is somebody's
struct marked_bytes {
  kv::layout shape;
  std::size_t blocks;
  std::vector<std::vector<unsigned char>> page{}, beside{};
  std::size_t marks = 0;

  void open() {
    for (std::size_t t = 0; t < shape.tensors(); ++t) {
      const std::size_t plane = shape.planes_apart ? t % shape.planes : 0;
      page.emplace_back(shape.tensor_bytes(blocks, plane));
      beside.emplace_back(shape.beside_bytes() == 0 ? 0 : blocks * shape.beside_stride(plane));
    }
  }
  void mark(std::vector<unsigned char>& in, std::size_t at, std::size_t bytes, std::size_t alignment) {
    if (at % alignment != 0 || at + bytes > in.size()) FAIL("at " << at << ", " << bytes << " bytes of " << in.size());
    for (std::size_t b = at; b < at + bytes; ++b)
      if (in[b]++ != 0) FAIL("byte " << b << " is used twice");
    marks += bytes;
  }
  void mark(std::size_t block, const kv::element& e) {
    const kv::tensor_place own = shape.place_of(block, e);
    REQUIRE((own.offset == block * shape.block_stride(e.plane) + shape.offset_of(e) && own.tensor < page.size()));
    mark(page[own.tensor], own.offset, kv::bytes_of(shape.type, shape.size_of(e.plane)), kv::bytes_of(shape.type));
    if (shape.tail_size != 0)
      mark(page[own.tensor], own.offset + shape.tail_at(e.plane), kv::bytes_of(shape.tail_type, shape.tail_size),
           kv::bytes_of(shape.tail_type));
    for (std::size_t n = 0; n < shape.scales_of(e.plane); ++n) {
      const kv::tensor_place scale = shape.scale_place_of(block, e, n);
      auto& in = shape.scales.place == kv::scale_place::beside ? beside : page;
      mark(in[scale.tensor], scale.offset, shape.scale_size(), shape.scale_size());
    }
  }
  void mark_all() {
    open();
    for (std::size_t block = 0; block < blocks; ++block)
      for (std::size_t layer = 0; layer < shape.layers; ++layer)
        for (std::size_t plane = 0; plane < shape.planes; ++plane)
          for (std::size_t head = 0; head < shape.kv_heads; ++head)
            for (std::size_t token = 0; token < shape.block_tokens; ++token) mark(block, {layer, plane, head, token});
  }
  std::size_t bytes() const {
    std::size_t all = 0;
    for (const auto* region : {&page, &beside})
      for (const auto& tensor : *region) all += tensor.size();
    return all;
  }
};

std::vector<kv::scaling> scalings_of(dtype type) {
  std::vector<kv::scaling> all;
  for (const auto place : {kv::scale_place::page, kv::scale_place::row, kv::scale_place::beside})
    for (const auto per : {kv::scale_per::none, kv::scale_per::tensor, kv::scale_per::token_head, kv::scale_per::group})
      for (const auto scale : {kv::scale_type::float32, kv::scale_type::float16, kv::scale_type::e8m0,
                               kv::scale_type::float8_e4m3})
        for (const std::size_t group : {0U, 3U, 4U, 16U, 32U}) {
          const kv::scaling one{per, scale, group, place};
          if (kv::why_not(type, one) == nullptr) all.push_back(one);
        }
  return all;
}

}  // namespace

TEST_CASE("a block of a known model has its known bytes", "[kv][layout]") {
  // 32 layers, 8 KV heads of 128, bfloat16: 128 KiB per token
  const kv::layout l{.layers = 32, .kv_heads = 8, .head_size = 128, .type = kv::dtype::bfloat16, .block_tokens = 16};
  REQUIRE(l.why_not().code == errc::ok);
  CHECK(l.token_bytes() == 131'072);
  CHECK(l.block_bytes() == 2'097'152);
  CHECK(l.plane_bytes() == 32'768);
  CHECK(l.layer_bytes() == 65'536);
  // one latent vector of 576 for 61 layers
  const kv::layout latent{.layers = 61, .kv_heads = 1, .head_size = 576, .block_tokens = 64, .planes = 1};
  CHECK(latent.token_bytes() == 70'272);
  CHECK(latent.block_bytes() == 4'497'408);
}

TEST_CASE("every element has a place of its own, in both orders", "[kv][layout]") {
  for (const auto order : {kv::axis_order::nhd, kv::axis_order::hnd}) {
    const kv::layout l{.layers = 2, .kv_heads = 3, .head_size = 4, .type = kv::dtype::float32, .block_tokens = 5,
                       .order = order};
    std::set<std::size_t> places;
    for (std::size_t layer = 0; layer < 2; ++layer)
      for (std::size_t plane = 0; plane < 2; ++plane)
        for (std::size_t head = 0; head < 3; ++head)
          for (std::size_t token = 0; token < 5; ++token) places.insert(l.offset_of({layer, plane, head, token}));
    CHECK(places.size() == 60);
    CHECK(*places.begin() == 0);
    CHECK(*places.rbegin() == l.block_bytes() - 16);
    for (const auto place : places) CHECK(place % 16 == 0);
  }
  const kv::layout nhd{.layers = 1, .kv_heads = 8, .head_size = 64, .block_tokens = 16};
  CHECK(nhd.token_stride() == 1024);
  CHECK(nhd.head_stride() == 128);
  auto hnd = nhd;
  hnd.order = kv::axis_order::hnd;
  CHECK(hnd.token_stride() == 128);
  CHECK(hnd.head_stride() == 2048);
}

TEST_CASE("no byte is used twice in any format, order and arrangement, and padding is what is left",
          "[kv][layout]") {
  const kv::layout shapes[] = {
      {.layers = 2, .kv_heads = 3, .head_size = 10, .block_tokens = 5},
      {.layers = 3, .kv_heads = 1, .head_size = 32, .block_tokens = 1, .value_head_size = 6},
      {.layers = 1, .kv_heads = 2, .head_size = 6, .block_tokens = 4, .value_head_size = 34},
      {.layers = 2, .kv_heads = 2, .head_size = 14, .block_tokens = 3, .planes = 1},
      {.layers = 2, .kv_heads = 1, .head_size = 32, .block_tokens = 3, .planes = 1, .tail_size = 5},
      {.layers = 2, .kv_heads = 2, .head_size = 6, .block_tokens = 2, .planes = 1, .tail_size = 3,
       .tail_type = dtype::float32},
  };
  std::size_t tried = 0;
  for (kv::layout l : shapes)
    for (const dtype type : {dtype::float32, dtype::float16, dtype::bfloat16, dtype::float8_e4m3, dtype::float8_e5m2,
                             dtype::int8, dtype::int4, dtype::nvfp4, dtype::mxfp4})
      for (const kv::scaling& scales : scalings_of(type))
        for (const auto order : {kv::axis_order::nhd, kv::axis_order::hnd})
          for (unsigned apart = 0; apart < 4; ++apart) {
            l.type = type, l.scales = scales, l.order = order;
            l.layers_apart = (apart & 1) != 0, l.planes_apart = (apart & 2) != 0;
            CAPTURE(l.layers, l.head_size, type, scales.per, scales.type, scales.group, scales.place, order, apart);
            REQUIRE(l.why_not(2).code == errc::ok);
            marked_bytes of{.shape = l, .blocks = 2};
            of.mark_all();
            REQUIRE(of.bytes() == 2 * (l.block_bytes() + l.beside_bytes()));
            REQUIRE(of.bytes() - of.marks == 2 * l.padding_bytes());
            REQUIRE(of.marks == 2 * l.block_tokens * l.token_bytes());
            if (l.beside_bytes() != 0) REQUIRE(l.beside_bytes() == l.scale_bytes());
            ++tried;
          }
  CHECK(tried > 15'000);
}

TEST_CASE("scales stand in the order of their numbers", "[kv][layout]") {
  for (const auto place : {kv::scale_place::page, kv::scale_place::beside}) {
    kv::layout l{.layers = 2, .kv_heads = 3, .head_size = 32, .type = dtype::nvfp4, .block_tokens = 5,
                 .scales = kv::default_scaling(dtype::nvfp4, place)};
    const std::size_t first = l.scale_offset_of({1, 1, 0, 0});
    CHECK(first == (place == kv::scale_place::page ? 3 * 272 + 240 : 3 * 30));
    CHECK(l.scale_offset_of({1, 1, 0, 0}, 1) == first + 1);
    CHECK(l.scale_offset_of({1, 1, 1, 0}) == first + 2);
    CHECK(l.scale_offset_of({1, 1, 0, 1}) == first + 3 * 2);
    l.order = kv::axis_order::hnd;
    CHECK(l.scale_offset_of({1, 1, 0, 1}) == first + 2);
    CHECK(l.scale_offset_of({1, 1, 1, 0}) == first + 5 * 2);
  }
}

TEST_CASE("an alignment is that of the largest part of a row, or of scales in the page", "[kv][layout]") {
  kv::layout l{.layers = 1, .kv_heads = 1, .head_size = 6, .type = dtype::int8, .planes = 1};
  CHECK(l.alignment() == 1);
  l.tail_size = 3;
  CHECK(l.alignment() == 2);
  l.scales = kv::default_scaling(dtype::int8, kv::scale_place::row);
  CHECK(l.alignment() == 4);
  CHECK((l.row_scales_at() == 8 && l.tail_at() == 12 && l.head_bytes() == 20));
  l.scales.place = kv::scale_place::page;
  CHECK(l.alignment() == 16);
  CHECK(kv::layout{.layers = 1, .kv_heads = 1, .head_size = 6, .type = dtype::float32}.alignment() == 4);
}

TEST_CASE("an engine's strides put no two blocks over each other", "[kv][layout]") {
  // every accepted choice is marked byte by byte; how many blocks there are matters where they are the inner ones
  std::size_t taken = 0, refused = 0;
  for (const std::size_t values : {0U, 2U, 6U})
    for (const auto place : {kv::scale_place::page, kv::scale_place::row})
      for (std::size_t choice = 0; choice < 512; ++choice) {
        kv::layout l{.layers = 3, .kv_heads = 1, .head_size = 4, .type = dtype::int8, .block_tokens = 2,
                     .value_head_size = values, .scales = kv::default_scaling(dtype::int8, place)};
        if (place == kv::scale_place::row) l.scales.type = kv::scale_type::float16;
        const std::size_t step = place == kv::scale_place::page ? 16 : 4;
        l.steps = {choice % 8 * step, choice / 8 % 8 * 3 * step, choice / 64 * 5 * step};
        CAPTURE(values, place, l.steps.block, l.steps.layer, l.steps.plane);
        if (l.why_not(2).code != errc::ok) {
          ++refused;
          continue;
        }
        ++taken;
        marked_bytes of{.shape = l, .blocks = 2};
        of.mark_all();
        REQUIRE(of.marks == 2 * l.block_tokens * l.token_bytes());
      }
  CHECK(taken > 300);
  CHECK(refused > 300);
}

TEST_CASE("numbers that are no layout are refused by name", "[kv][layout][bad]") {
  const kv::layout good{.layers = 2, .kv_heads = 2, .head_size = 8};
  const auto refused = [&](auto change, errc code, const char* what) {
    kv::layout l = good;
    change(l);
    const auto why = l.why_not("pool name");
    CHECK(why.code == code);
    CHECK(std::string(why.what) == what);
    CHECK(std::string(why.pool) == "pool name");
    CHECK(std::string(why.fix) != "");
  };
  refused([](auto& l) { l.layers = 0; }, errc::invalid_argument, "layers of a layout");
  refused([](auto& l) { l.kv_heads = 0; }, errc::invalid_argument, "KV heads of a layout");
  refused([](auto& l) { l.head_size = 0; }, errc::invalid_argument, "head size of a layout");
  refused([](auto& l) { l.block_tokens = 0; }, errc::invalid_argument, "tokens of a block");
  refused([](auto& l) { l.planes = 0; }, errc::invalid_argument, "planes of a layout");
  refused([](auto& l) { l.planes = 3; }, errc::invalid_argument, "planes of a layout");
  refused([](auto& l) { l.order = static_cast<kv::axis_order>(7); }, errc::invalid_argument, "order of a layout");
  refused([](auto& l) { l.planes = 1, l.value_head_size = 4; }, errc::invalid_argument,
          "head size of values, in a layout of one plane");
  refused([](auto& l) { l.tail_size = 4; }, errc::invalid_argument, "tail of a layout of two planes, in numbers");
  refused([](auto& l) { l.planes = 1, l.tail_size = 4, l.tail_type = dtype::int8; }, errc::invalid_argument,
          "bits of a number in the tail");
  refused([](auto& l) { l.type = dtype::int4, l.head_size = 7; }, errc::invalid_argument,
          "head size, in numbers of half a byte");
  refused([](auto& l) { l.type = dtype::int4, l.value_head_size = 7; }, errc::invalid_argument,
          "head size, in numbers of half a byte");
  refused([](auto& l) { l.type = dtype::nvfp4; }, errc::invalid_argument, "scales that define a 4-bit float");
  refused([](auto& l) { l.head_size = ~std::size_t{0} / 4; }, errc::size_overflow, "bytes of a block");
  refused([](auto& l) { l.value_head_size = ~std::size_t{0}; }, errc::size_overflow, "bytes of a block");
  refused([](auto& l) { l.planes = 1, l.tail_size = ~std::size_t{0} - 3; }, errc::size_overflow, "bytes of a block");
  refused([](auto& l) { l.layers = std::size_t{1} << 56; }, errc::size_overflow, "bytes of a block");
  refused([](auto& l) { l.steps.layer = 8; }, errc::invalid_argument, "stride of a layer, in bytes");
  refused([](auto& l) { l.type = static_cast<kv::dtype>(77); }, errc::invalid_argument, "dtype of a layout");
  refused([](auto& l) { l.layers = ~std::size_t{0}; }, errc::size_overflow, "bytes of a block");
  refused([](auto& l) { l.layers = l.kv_heads = std::size_t{1} << 31; }, errc::size_overflow, "bytes of a block");
  CHECK(good.why_not().code == errc::ok);
}
