#include <tokenheap/core/allocation.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

namespace {
constexpr std::size_t all = ~std::size_t{0};
}

TEST_CASE("an allocation is two words, null when it was made from nothing", "[core]") {
  STATIC_REQUIRE(sizeof(allocation) == 2 * sizeof(void*));
  constexpr allocation none;
  STATIC_REQUIRE(!none);
  STATIC_REQUIRE(none == allocation{nullptr, 0});
  int x = 0;
  REQUIRE(allocation{&x, sizeof x});
  REQUIRE(allocation{&x, 4} != allocation{&x, 5});
}

TEST_CASE("requests that make sense are told from those that do not", "[core][bad]") {
  STATIC_REQUIRE(is_request(1, 1));
  STATIC_REQUIRE(is_request(max_allocation, max_alignment));
  STATIC_REQUIRE_FALSE(is_request(0, 16));
  STATIC_REQUIRE_FALSE(is_request(max_allocation + 1, 16));
  STATIC_REQUIRE_FALSE(is_request(all, 16));
  STATIC_REQUIRE_FALSE(is_request(64, 0));
  STATIC_REQUIRE_FALSE(is_request(64, 3));
  STATIC_REQUIRE_FALSE(is_request(64, 2 * max_alignment));
  STATIC_REQUIRE_FALSE(is_request(64, all));
}

TEST_CASE("powers of two", "[core]") {
  STATIC_REQUIRE_FALSE(is_power_of_two(0));
  STATIC_REQUIRE_FALSE(is_power_of_two(all));
  for (unsigned k = 0; k != 64; ++k) {
    REQUIRE(is_power_of_two(std::size_t{1} << k));
    REQUIRE(is_alignment(std::size_t{1} << k) == (k <= 30));
    if (k > 1) REQUIRE_FALSE(is_power_of_two((std::size_t{1} << k) - 1));
  }
}

TEST_CASE("rounding", "[core]") {
  STATIC_REQUIRE(align_up(0, 16) == 0);
  STATIC_REQUIRE(align_up(1, 16) == 16);
  STATIC_REQUIRE(align_up(16, 16) == 16);
  STATIC_REQUIRE(align_up(17, 1) == 17);
  STATIC_REQUIRE(align_up(max_allocation, max_alignment) >= max_allocation);
  STATIC_REQUIRE(align_down(31, 16) == 16);
  STATIC_REQUIRE(align_down(15, 16) == 0);
  STATIC_REQUIRE(divide_up(0, 8) == 0);
  STATIC_REQUIRE(divide_up(1, 8) == 1);
  STATIC_REQUIRE(divide_up(8, 8) == 1);
  STATIC_REQUIRE(divide_up(all, 2) == all / 2 + 1);
  STATIC_REQUIRE(larger(2, all) == all);
  STATIC_REQUIRE(larger(all, 2) == all);
  STATIC_REQUIRE(smaller(2, all) == 2);
  STATIC_REQUIRE(smaller(all, 2) == 2);
}

TEST_CASE("bits and bytes of numbers", "[core]") {
  for (unsigned at = 0; at < 64; ++at) {
    const std::uint64_t bit = std::uint64_t{1} << at;
    CHECK(trailing_zeros(bit) == at);
    CHECK(highest_bit(bit) == at);
    CHECK(trailing_zeros(all << at) == at);
    CHECK(highest_bit(all >> (63 - at)) == at);
  }
  STATIC_REQUIRE(byte_swapped(std::uint32_t{0x01020384}) == 0x84030201);
  STATIC_REQUIRE(byte_swapped(std::uint64_t{0x0102030405060788}) == 0x8807060504030201);
}

TEST_CASE("products of 128 bits", "[core]") {
  struct row {
    std::uint64_t a, b, high, low;
  };
  constexpr row rows[] = {
      {0, all, 0, 0},
      {1, all, 0, all},
      {all, all, all - 1, 1},
      {std::uint64_t{1} << 32, std::uint64_t{1} << 32, 1, 0},
      {0xffffffff, 0xffffffff, 0, 0xfffffffe00000001},
      {0xffffffff00000000, 0xffffffff, 0xfffffffe, 0x0000000100000000},
      {0x123456789abcdef0, 0xfedcba9876543210, 0x121fa00ad77d7422, 0x236d88fe5618cf00},
  };
  for (const row& r : rows) {
    std::uint64_t high = 7;
    CHECK(multiply_wide(r.a, r.b, high) == r.low);
    CHECK(high == r.high);
    CHECK(multiply_wide(r.b, r.a, high) == r.low);
    CHECK(high == r.high);
  }
}

TEST_CASE("size arithmetic that does not fit is seen", "[core][bad]") {
  std::size_t out = 0;
  REQUIRE(checked_add(all - 1, 1, out));
  REQUIRE(out == all);
  REQUIRE_FALSE(checked_add(all, 1, out));
  REQUIRE(checked_mul(std::size_t{1} << 32, (std::size_t{1} << 32) - 1, out));
  REQUIRE(out == 0xFFFFFFFF00000000u);
  REQUIRE_FALSE(checked_mul(std::size_t{1} << 32, std::size_t{1} << 32, out));
  REQUIRE(checked_mul(0, all, out));
  REQUIRE(out == 0);
  REQUIRE(checked_align_up(5 * GiB + 1, 4096, out));
  REQUIRE(out == 5 * GiB + 4096);
  REQUIRE_FALSE(checked_align_up(all - 10, 16, out));
  REQUIRE_FALSE(checked_align_up(64, 0, out));
  REQUIRE_FALSE(checked_align_up(64, 48, out));
}

TEST_CASE("address arithmetic", "[core]") {
  unsigned char bytes[8] = {};
  REQUIRE(offset(bytes, 5) == &bytes[5]);
  REQUIRE(address_of(&bytes[7]) - address_of(bytes) == 7);
  REQUIRE(address_of(nullptr) == 0);
}
