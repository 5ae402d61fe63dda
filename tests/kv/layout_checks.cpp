#include <tokenheap/kv/layout_checks.hpp>

#include <support/catch.hpp>

#include <string>
#include <vector>

namespace kv = tokenheap::kv;
using tokenheap::errc;

namespace {

constexpr std::size_t blocks = 100;

// two layers of [heads 2, size 8] in blocks of 4 tokens: 128 bytes a plane
constexpr kv::layout plain{.layers = 2, .kv_heads = 2, .head_size = 8, .block_tokens = 4};
static_assert(plain.plane_bytes() == 128);

constexpr kv::layout strided(std::size_t block, std::size_t layer, std::size_t plane) {
  kv::layout l = plain;
  l.steps = {block, layer, plane};
  return l;
}

}  // namespace

TEST_CASE("the layouts of known engines are taken", "[kv][layout_checks]") {
  // layers outermost, then keys and values, then blocks: one tensor [layers, 2, blocks, ...]
  CHECK(strided(128, 2 * blocks * 128, blocks * 128).why_not(blocks).code == errc::ok);
  // [layers, blocks, 2, ...] and [blocks, 2, layers, ...]
  CHECK(strided(256, blocks * 256, 128).why_not(blocks).code == errc::ok);
  CHECK(strided(512, 128, 256).why_not(blocks).code == errc::ok);
  // [2, layers, blocks, ...]: where the last one ends, the tensor does
  const kv::layout outer = strided(128, blocks * 128, 2 * blocks * 128);
  CHECK(outer.why_not(blocks).code == errc::ok);
  CHECK(outer.tensor_bytes(blocks) == blocks * plain.block_bytes());
  // one block more, and the first layer's last block lies over the second layer's first one
  CHECK(outer.why_not(blocks + 1).code == errc::invalid_argument);
}

TEST_CASE("strides that overlap are refused, and the failure says by how much", "[kv][layout_checks][bad]") {
  const auto refused = [](const kv::layout& l, const char* what, std::size_t need, std::size_t found) {
    const auto why = l.why_not(blocks, "engine");
    CHECK(why.code == errc::invalid_argument);
    CHECK(std::string(why.what) == what);
    CHECK(std::string(why.pool) == "engine");
    CHECK(why.need == need);
    CHECK(why.available == found);
    CHECK(std::string(why.fix) != "");
  };
  refused(strided(0, 0, 126), "stride of a plane, in bytes", 128, 126);
  refused(strided(0, 254, 0), "stride of a layer, in bytes", 256, 254);
  refused(strided(510, 0, 0), "stride of a block, in bytes", 512, 510);
  refused(strided(0, 128, 128), "stride of a layer, in bytes", 256, 128);
  // blocks of 512 bytes, of which each layer uses its half, do not fit between two layers that are 100 * 256 apart
  refused(strided(512, blocks * 256, 128), "stride of a layer, in bytes", 99 * 512 + 256, blocks * 256);
}

TEST_CASE("strides that cannot be are refused", "[kv][layout_checks][bad]") {
  const auto odd = strided(515, 0, 0).why_not(blocks);
  CHECK(odd.code == errc::invalid_argument);
  CHECK((odd.need == 515 && odd.limit == 2));
  CHECK(strided(std::size_t{1} << 62, 0, 0).why_not(blocks).code == errc::size_overflow);
  CHECK(strided(std::size_t{1} << 62, 0, 0).why_not(5).code == errc::size_overflow);  // 4 * 2^62 would be 0
  CHECK(strided(std::size_t{1} << 62, 0, 0).why_not(1).code == errc::ok);
  CHECK(strided(0, ~std::size_t{0} - 1, 0).why_not(1).code == errc::size_overflow);
  CHECK(plain.why_not(std::size_t{0}).code == errc::invalid_argument);
  // scales in the page are aligned to 16, and so are the planes before them
  kv::layout scaled = strided(0, 0, 136);
  scaled.type = kv::dtype::int8;
  scaled.scales = kv::default_scaling(kv::dtype::int8);
  CHECK(scaled.why_not(blocks).limit == 16);
}

TEST_CASE("values that are larger than keys need their own room", "[kv][layout_checks]") {
  const auto why = [](std::size_t block, std::size_t layer, std::size_t plane) {
    kv::layout l = strided(block, layer, plane);
    l.value_head_size = 12;  // 192 bytes a plane, where the keys have 128
    return l.why_not(blocks);
  };
  CHECK(why(0, 256, 0).need == 320);
  CHECK(why(0, 320, 0).code == errc::ok);
  // layers inside, all keys before all values: 128 + 192 bytes of keys, then 2 * 192 of values
  CHECK(why(700, 192, 320).need == 704);
  CHECK(why(704, 192, 320).code == errc::ok);
  CHECK(why(704, 192, 318).need == 320);
  CHECK(why(0, 190, 320).need == 192);
}

TEST_CASE("keys and values in tensors of their own have strides of their own", "[kv][layout_checks]") {
  kv::layout l = plain;
  l.value_head_size = 4;
  l.planes_apart = true;
  CHECK(l.tensors() == 2);
  CHECK((l.block_stride(0) == 256 && l.block_stride(1) == 128));
  CHECK((l.tensor_bytes(blocks, 0) == blocks * 256 && l.tensor_bytes(blocks, 1) == blocks * 128));
  l.value_steps.block = 160;
  CHECK(l.why_not(blocks).code == errc::ok);
  CHECK(l.place_of(3, {1, 1, 0, 2}) == kv::tensor_place{1, 3 * 160 + 64 + 2 * 16});
  CHECK(l.tensor_bytes(blocks, 1) == 99 * 160 + 128);
  l.value_steps.block = 126;
  CHECK(l.why_not(blocks).code == errc::invalid_argument);
  // layers apart too: the strides of layers and planes mean nothing
  l.layers_apart = true;
  CHECK(l.why_not(blocks).code == errc::ok);
  CHECK(l.tensors() == 4);
  CHECK(l.place_of(3, {1, 1, 0, 2}) == kv::tensor_place{3, 3 * 126 + 2 * 16});
}

TEST_CASE("a block's pieces are as few as there are, and come to all of it", "[kv][layout_checks]") {
  const auto pieces = [](const kv::layout& l) {
    std::vector<kv::block_piece> all;
    std::size_t page = 0, beside = 0;
    kv::for_each_piece(l, [&](const kv::block_piece& p) {
      all.push_back(p);
      (p.beside ? beside : page) += p.bytes;
    });
    CHECK(page == l.block_bytes());
    CHECK(beside == l.beside_bytes());
    CHECK((all.size() == 1) == l.is_one_piece());
    return all;
  };
  CHECK(pieces(plain).size() == 1);
  CHECK(pieces(strided(1024, 0, 0)).size() == 1);
  CHECK(pieces(strided(0, 256 + 64, 0)).size() == 2);
  CHECK(pieces(strided(128, 2 * blocks * 128, blocks * 128)).size() == 4);
  // [blocks, 2, layers, ...]: the layers' planes interleave, yet all is there
  CHECK(pieces(strided(512, 128, 256)).size() == 4);
  kv::layout l = plain;
  l.layers_apart = true;
  CHECK(pieces(l).size() == 2);
  l.planes_apart = true;
  CHECK(pieces(l).size() == 4);
  l.type = kv::dtype::int8;
  l.scales = kv::default_scaling(kv::dtype::int8, kv::scale_place::beside);
  CHECK(pieces(l).size() == 8);
  l.layers_apart = l.planes_apart = false;
  const auto two = pieces(l);
  REQUIRE(two.size() == 2);
  CHECK((!two[0].beside && two[0].bytes == 256 && two[1].beside && two[1].bytes == 2 * 2 * 2 * 4 * 4));
}
