#include <tokenheap/alloc/device_pieces.hpp>

#include <support/catch.hpp>
#include <support/sources.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;

TEST_CASE("device_pieces: pieces are cut, joined, and found by their addresses", "[alloc]") {
  device_pieces<host_source> pieces(host_source{});
  REQUIRE(pieces.spare(4));
  const std::uint32_t a = pieces.make(0x1000, 0x4000, 7, piece_state::held, true, false);
  CHECK(pieces.count() == 1);
  const std::uint32_t b = pieces.split(a, 0x1000);
  const std::uint32_t c = pieces.split(b, 0x1000);
  CHECK(pieces[a].size == 0x1000);
  CHECK(pieces[b].offset == 0x2000);
  CHECK(pieces[c].offset == 0x3000);
  CHECK(pieces[c].size == 0x2000);
  CHECK(pieces[c].segment == 7);
  CHECK(pieces[c].fixed);
  CHECK_FALSE(pieces[c].large);
  CHECK(pieces[a].right == b);
  CHECK(pieces[c].left == b);
  CHECK(pieces.find(0x2000) == 0);
  pieces.know(b);
  CHECK(pieces.find(0x2000) == b);
  CHECK(pieces.find(0x2200) == 0);
  CHECK(pieces.is_valid(1));
  CHECK_FALSE(pieces.is_valid(2));
  pieces.forget(b);
  CHECK(pieces.find(0x2000) == 0);
  pieces.absorb_right(a);
  CHECK(pieces[a].size == 0x2000);
  CHECK(pieces[a].right == c);
  CHECK(pieces[c].left == a);
  CHECK(pieces[b].state == piece_state::spare);
  CHECK(pieces.count() == 2);
  CHECK(pieces.is_valid(0));
}

TEST_CASE("device_pieces: many pieces, and nodes that are used again", "[alloc]") {
  device_pieces<host_source> pieces(host_source{});
  std::uint32_t last = 0;
  for (std::size_t k = 1; k <= 1000; ++k) {
    REQUIRE(pieces.spare(1));
    last = pieces.make(k * 512, 512, 1, piece_state::out, false, true);
    pieces.know(last);
  }
  CHECK(pieces.count() == 1000);
  bool right = true;
  for (std::size_t k = 1; k <= 1000; ++k) right = right && pieces[pieces.find(k * 512)].offset == k * 512;
  CHECK(right);
  CHECK(pieces.is_valid(1000));
  pieces.forget(last);
  pieces.drop(last);
  REQUIRE(pieces.spare(1));
  CHECK(pieces.make(512, 512, 1, piece_state::out, false, true) == last);
}
