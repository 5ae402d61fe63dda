#include <tokenheap/kv/layout.hpp>

#include <support/catch.hpp>

#include <set>
#include <string>

namespace kv = tokenheap::kv;
using tokenheap::errc;

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
  refused([](auto& l) { l.type = static_cast<kv::dtype>(77); }, errc::invalid_argument, "dtype of a layout");
  refused([](auto& l) { l.layers = ~std::size_t{0}; }, errc::size_overflow, "bytes of a block");
  refused([](auto& l) { l.layers = l.kv_heads = std::size_t{1} << 31; }, errc::size_overflow, "bytes of a block");
  CHECK(good.why_not().code == errc::ok);
}
