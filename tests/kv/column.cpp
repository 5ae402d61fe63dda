#include <tokenheap/kv/column.hpp>

#include <support/catch.hpp>

#include <cstdint>
#include <utility>

namespace kv = tokenheap::kv;

TEST_CASE("a column is zeroed, keeps what it holds when it grows, and refuses what cannot be", "[kv][column]") {
  kv::column<std::uint32_t> c;
  CHECK(c.size() == 0);
  REQUIRE(c.open(100));
  for (std::size_t at = 0; at < 100; ++at) CHECK(c[at] == 0);
  c[99] = 7;
  REQUIRE(c.grow(101));
  CHECK(c.size() == 200);
  CHECK(c[99] == 7);
  CHECK(c.bytes() == 800);
  CHECK_FALSE(c.grow(~std::size_t{0}));
  CHECK_FALSE(c.grow(~std::size_t{0} / 8));
  CHECK_FALSE(c.open(~std::size_t{0} / 2));
  CHECK(c.size() == 200);
  CHECK(c[99] == 7);
  auto moved = std::move(c);
  CHECK(moved[99] == 7);
  kv::column<std::uint32_t, 64> aligned;
  REQUIRE(aligned.open(1000));
  CHECK(tokenheap::address_of(aligned.first()) % 64 == 0);
  aligned[999] = 3;
  const auto taken = std::move(aligned);
  CHECK(taken[999] == 3);
  REQUIRE(moved.open(0));
  CHECK(moved.size() == 0);
}
