#include <tokenheap/kv/narrow_float.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace kv = tokenheap::kv;
using kv::bfloat16_bits;
using kv::e2m1_bits;
using kv::e4m3_bits;
using kv::e5m2_bits;
using kv::float16_bits;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

static_assert(e4m3_bits::decode(0x7E) == 448 && e4m3_bits::decode(0x01) == 0x1p-9F && e4m3_bits::decode(0x08) == 0x1p-6F);
static_assert(e5m2_bits::decode(0x7B) == 57344 && e5m2_bits::decode(0x01) == 0x1p-16F && e5m2_bits::decode(0x7C) == infinity);
static_assert(e2m1_bits::decode(1) == 0.5F && e2m1_bits::decode(7) == 6 && e2m1_bits::decode(0xF) == -6);
static_assert(float16_bits::decode(0x7BFF) == 65504 && float16_bits::decode(1) == 0x1p-24F && float16_bits::decode(0x3C00) == 1);
static_assert(bfloat16_bits::decode(0x3F80) == 1 && bfloat16_bits::decode(1) == 0x1p-133F);
static_assert(kv::e8m0_bits::decode(127) == 1 && kv::e8m0_bits::decode(0) == 0x1p-127F && kv::e8m0_bits::decode(254) == 0x1p127F);

// the code of `value`, found among all codes with exact arithmetic
template <class Bits>
std::uint32_t nearest_code(float value) {
  // beyond the largest all are equally far, as far as a double can tell
  const double size = std::min(std::fabs(static_cast<double>(value)), double{Bits::decode(Bits::largest)});
  std::uint32_t best = 0;
  double distance = std::numeric_limits<double>::infinity();
  for (std::uint32_t code = 0; code <= Bits::largest; ++code) {
    const double d = std::fabs(size - static_cast<double>(Bits::decode(code)));
    if (d < distance || (d == distance && code % 2 == 0)) best = code, distance = d;
  }
  return best | (std::signbit(value) ? Bits::sign_bit : 0);
}

}  // namespace

TEMPLATE_TEST_CASE("every code comes back as it went, NaN as the one NaN", "[kv][narrow_float]", e4m3_bits, e5m2_bits,
                   e2m1_bits, float16_bits, bfloat16_bits) {
  std::size_t numbers = 0, nans = 0;
  for (std::uint32_t code = 0; code < 2 * TestType::sign_bit; ++code) {
    const float value = TestType::decode(code);
    const std::uint32_t again = TestType::encode(value);
    if (std::isnan(value)) {
      ++nans;
      REQUIRE(again == ((code & TestType::sign_bit) | TestType::nan));
    } else if (std::isinf(value) && TestType::saturates) {
      REQUIRE(again == ((code & TestType::sign_bit) | TestType::largest));
    } else {
      ++numbers;
      REQUIRE(again == code);
    }
  }
  const std::uint32_t left_out = TestType::sign_bit - 1 - TestType::largest;
  const std::size_t infinities = left_out > 1 ? 2 : 0;
  CHECK(nans == 2 * left_out - infinities);
  CHECK(numbers + nans + (TestType::saturates ? infinities : 0) == 2 * TestType::sign_bit);
}

TEMPLATE_TEST_CASE("between two codes the nearer one is taken, and in the middle the even one", "[kv][narrow_float]",
                   e4m3_bits, e5m2_bits, e2m1_bits, float16_bits, bfloat16_bits) {
  for (std::uint32_t code = 0; code < TestType::largest; ++code) {
    // exact: both have few bits
    const double low = TestType::decode(code), high = TestType::decode(code + 1);
    const auto middle = static_cast<float>((low + high) / 2);
    REQUIRE(low < high);
    REQUIRE(static_cast<double>(middle) * 2 == low + high);
    for (const float sign : {1.0F, -1.0F}) {
      const std::uint32_t bit = sign < 0 ? TestType::sign_bit : 0;
      REQUIRE(TestType::encode(sign * middle) == (bit | (code % 2 == 0 ? code : code + 1)));
      REQUIRE(TestType::encode(sign * std::nextafter(middle, 0.0F)) == (bit | code));
      REQUIRE(TestType::encode(sign * std::nextafter(middle, infinity)) == (bit | (code + 1)));
    }
  }
}

TEMPLATE_TEST_CASE("any float gets the nearest code", "[kv][narrow_float]", e4m3_bits, e5m2_bits, e2m1_bits) {
  const std::uint32_t seed = GENERATE(1U, 2U, 3U);
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int n = 0; n < 20'000; ++n) {
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (std::isnan(value) || std::isinf(value)) continue;
    if (TestType::encode(value) != nearest_code<TestType>(value)) FAIL("the code of " << value);
    // where numbers of the format are
    const float inside = std::ldexp(value < 0 ? -1.0F : 1.0F, static_cast<int>(random() % 34) - 17) *
                       (1 + static_cast<float>(random() % 4096) / 4096);
    if (TestType::encode(inside) != nearest_code<TestType>(inside)) FAIL("the code of " << inside);
  }
}

TEST_CASE("what is too large saturates in a byte and is infinity beyond", "[kv][narrow_float]") {
  for (const float huge : {1e30F, 3e38F, infinity}) {
    CHECK(e4m3_bits::encode(huge) == 0x7E);
    CHECK(e4m3_bits::encode(-huge) == 0xFE);
    CHECK(e5m2_bits::encode(huge) == 0x7B);
    CHECK(e2m1_bits::encode(-huge) == 0xF);
    CHECK(float16_bits::encode(huge) == 0x7C00);
  }
  CHECK(e4m3_bits::encode(449) == 0x7E);
  CHECK(e4m3_bits::encode(480) == 0x7E);
  CHECK(float16_bits::encode(65519.99F) == 0x7BFF);
  CHECK(float16_bits::encode(65520) == 0x7C00);
  CHECK(bfloat16_bits::encode(3.4e38F) == 0x7F80);
  CHECK(bfloat16_bits::encode(-infinity) == 0xFF80);
}

TEST_CASE("what is too near to zero is zero of its sign", "[kv][narrow_float]") {
  for (const float tiny : {0.0F, 1e-45F, 1e-38F, 1e-12F}) {
    CHECK(e4m3_bits::encode(tiny) == 0);
    CHECK(e4m3_bits::encode(-tiny) == 0x80);
    CHECK(e2m1_bits::encode(-tiny) == 0x8);
    CHECK(float16_bits::encode(-tiny) == 0x8000);
  }
  CHECK(std::signbit(e4m3_bits::decode(0x80)));
  CHECK(e4m3_bits::encode(0x1p-10F) == 0);  // half of the least number: the even code
  CHECK(e4m3_bits::encode(0x1.8p-10F) == 1);
}

TEST_CASE("a power of two is the one below", "[kv][narrow_float]") {
  using kv::e8m0_bits;
  for (std::uint32_t code = 0; code < 255; ++code) {
    const float power = e8m0_bits::decode(code);
    if (code != 0) CHECK(e8m0_bits::encode_floor(power) == code);
    if (code != 0) CHECK(e8m0_bits::encode_floor(std::nextafter(2 * power, 0.0F)) == code);
    CHECK(e8m0_bits::encode_floor(-power) == code);
  }
  CHECK(e8m0_bits::encode_floor(7.9F, -2) == 127);
  CHECK(e8m0_bits::encode_floor(0, -2) == 0);
  CHECK(e8m0_bits::encode_floor(1e-38F, -100) == 0);
  CHECK(e8m0_bits::encode_floor(3e38F, 20) == 254);
  CHECK(e8m0_bits::encode_floor(infinity) == e8m0_bits::nan);
  CHECK(std::isnan(e8m0_bits::decode(e8m0_bits::nan)));
}
