#include <tokenheap/kv/quantise.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace kv = tokenheap::kv;
using kv::dtype;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
constexpr kv::scale_place places[] = {kv::scale_place::page, kv::scale_place::row, kv::scale_place::beside};

kv::layout shape_of(dtype type, kv::scale_place place = kv::scale_place::page) {
  return {.layers = 2, .kv_heads = 2, .head_size = 48, .type = type, .block_tokens = 3, .value_head_size = 20,
          .scales = kv::default_scaling(type, place)};
}

// how far a number may be from what was written, where `most` is the largest of its group
float error_bound(dtype type, float value, float most) {
  const float size = std::fabs(value);
  switch (type) {
    case dtype::float32: return 0;
    case dtype::float16: return size * 0x1p-11F + 0x1p-25F;
    case dtype::bfloat16: return size * 0x1p-8F;
    case dtype::float8_e4m3: return size * 0x1p-4F + 0x1p-10F;
    case dtype::float8_e5m2: return size * 0x1p-3F + 0x1p-17F;
    case dtype::int8: return most / 127 * 0.501F;
    case dtype::int4: return most / 7 * 0.501F;
    case dtype::nvfp4: return most / 6 * 1.0625F * 1.001F;  // half a step of 2, times the error of the scale
    case dtype::mxfp4: return most / 4;                     // 8 becomes 6
  }
  return 0;
}

// one block with its second region, and bytes around that nobody may touch
struct block {
  explicit block(const kv::layout& l)
      : page(l.block_bytes() + 1, std::byte{0xA5}), beside(l.beside_bytes() + 1, std::byte{0xA5}) {}
  std::vector<std::byte> page, beside;
};

std::vector<float> read_back(const kv::quantiser& with, const std::vector<float>& numbers, std::size_t plane = 0) {
  block b(with.shape());
  std::vector<float> out(numbers.size());
  const kv::element e{1, plane, 1, 2};
  with.write(e, numbers.data(), b.page.data(), b.beside.data());
  with.read(e, b.page.data(), out.data(), b.beside.data());
  return out;
}

}  // namespace

TEST_CASE("numbers come back within half a step, wherever the scales are", "[kv][quantise]") {
  const std::uint32_t seed = GENERATE(1U, 2U);
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (const dtype type : {dtype::float32, dtype::float16, dtype::bfloat16, dtype::float8_e4m3, dtype::float8_e5m2,
                           dtype::int8, dtype::int4, dtype::nvfp4, dtype::mxfp4}) {
    for (std::size_t plane = 0; plane < 2; ++plane) {
      for (int n = 0; n < 200; ++n) {
        std::vector<float> in(plane == 0 ? 48 : 20);
        for (float& v : in) v = normal(random) * (n % 2 == 0 ? 1.0F : 3.0F);
        std::vector<float> first;
        for (const auto place : places) {
          const kv::quantiser with(shape_of(type, place));
          const std::vector<float> out = read_back(with, in, plane);
          if (first.empty()) first = out;
          REQUIRE(out == first);
        }
        const kv::scaling scales = kv::default_scaling(type);
        const std::size_t group = scales.group != 0 ? scales.group : in.size();
        for (std::size_t k = 0; k < in.size(); ++k) {
          float most = 0;
          for (std::size_t i = k / group * group; i < in.size() && i < (k / group + 1) * group; ++i)
            most = std::max(most, std::fabs(in[i]));
          if (!(std::fabs(first[k] - in[k]) <= error_bound(type, in[k], most)))
            FAIL("format " << int(type) << ": " << in[k] << " came back as " << first[k] << ", largest " << most);
        }
      }
    }
  }
}

TEST_CASE("a format that is scaled by token and head or by group uses its whole range", "[kv][quantise]") {
  for (const dtype type : {dtype::float8_e4m3, dtype::float8_e5m2, dtype::int8, dtype::int4})
    for (const kv::scaling scales : {kv::scaling{.per = kv::scale_per::token_head},
                                     kv::scaling{.per = kv::scale_per::group, .type = kv::scale_type::float16, .group = 12},
                                     kv::scaling{.per = kv::scale_per::group, .type = kv::scale_type::bfloat16, .group = 7},
                                     kv::scaling{.per = kv::scale_per::group, .type = kv::scale_type::e8m0, .group = 32}})
      for (const float size : {1e-3F, 1.0F, 1000.0F}) {
        // 1e-3 / 57344 is nothing in half precision
        if (type == dtype::float8_e5m2 && scales.type == kv::scale_type::float16 && size < 1) continue;
        kv::layout l = shape_of(type);
        l.scales = scales;
        REQUIRE(l.why_not().code == tokenheap::errc::ok);
        std::vector<float> in(48);
        for (std::size_t k = 0; k < in.size(); ++k) in[k] = size * (k % 2 == 0 ? 1.0F : -0.25F);
        const std::vector<float> out = read_back(kv::quantiser(l), in);
        // of seven steps the nearest is half a step away; a coarse scale, or a power of two, costs as much again
        for (std::size_t k = 0; k < in.size(); ++k) REQUIRE(std::fabs(out[k] - in[k]) <= size / 7);
      }
}

TEST_CASE("all pairs of 4-bit codes come back, and each half of a byte is its own", "[kv][quantise]") {
  for (const dtype type : {dtype::int4, dtype::nvfp4, dtype::mxfp4}) {
    const float largest = kv::largest_of(type);
    kv::layout l{.layers = 1, .kv_heads = 1, .head_size = 4, .type = type, .block_tokens = 1, .planes = 1,
                 .scales = kv::default_scaling(type)};
    const kv::quantiser with(l);
    for (unsigned both = 0; both < 256; ++both) {
      // the largest number is among them, so that the scale is 1
      std::vector<float> in{kv::decode(type, both & 15U), kv::decode(type, both >> 4), largest, -largest};
      if (in[0] < -largest || in[1] < -largest) continue;  // -8 is read, never written
      block b(l);
      with.write(kv::element{}, in.data(), b.page.data());
      REQUIRE(std::to_integer<unsigned>(b.page[0]) == both);
      std::vector<float> out(4);
      with.read(kv::element{}, b.page.data(), out.data());
      REQUIRE(out == in);
    }
  }
  CHECK(kv::decode(dtype::int4, 8) == -8);
  CHECK(kv::decode(dtype::int4, 7) == 7);
  CHECK(kv::decode(dtype::int8, 0x80) == -128);
}

TEST_CASE("bytes of fp8 with a scale for the tensor come back, each one", "[kv][quantise]") {
  for (const dtype type : {dtype::float8_e4m3, dtype::float8_e5m2})
    for (const float scale : {1.0F, 0.25F, 0.37F})
      for (unsigned code = 0; code < 256; ++code) {
        kv::layout l = shape_of(type);
        const kv::quantiser with(l, scale);
        const float value = kv::decode(type, code);
        if (std::isinf(value)) continue;
        const std::vector<float> in(48, value * scale);
        const std::vector<float> out = read_back(with, in);
        if (std::isnan(value)) {
          REQUIRE(std::isnan(out[0]));
        } else {
          REQUIRE(std::bit_cast<std::uint32_t>(out[47]) == std::bit_cast<std::uint32_t>(in[47]));
        }
      }
}

TEST_CASE("a scale of the tensor widens what nvfp4 can hold", "[kv][quantise]") {
  const std::vector<float> in(48, 1e6F);
  CHECK(read_back(kv::quantiser(shape_of(dtype::nvfp4)), in)[0] == 6 * 448);  // the largest scale, the largest number
  CHECK(std::fabs(read_back(kv::quantiser(shape_of(dtype::nvfp4), 1000.0F), in)[0] - 1e6F) <= 1e6F / 16);
  const std::vector<float> little(48, 1e-4F);
  CHECK(read_back(kv::quantiser(shape_of(dtype::nvfp4)), little)[0] == 0);
  CHECK(std::fabs(read_back(kv::quantiser(shape_of(dtype::nvfp4), 1e-4F), little)[0] - 1e-4F) <= 1e-4F / 16);
}

TEST_CASE("a NaN is never a number, and makes those under its scale NaN too", "[kv][quantise]") {
  for (const dtype type : {dtype::int8, dtype::int4, dtype::nvfp4, dtype::mxfp4})
    for (const float bad : {nan_value, -nan_value, infinity, -infinity})
      for (const std::size_t at : {0U, 5U, 47U}) {
        std::vector<float> in(48, 1.0F);
        in[at] = bad;
        const std::vector<float> out = read_back(kv::quantiser(shape_of(type)), in);
        const std::size_t scaled = kv::default_scaling(type).group;
        const std::size_t group = scaled == 0 ? 48 : scaled;
        for (std::size_t k = 0; k < 48; ++k) REQUIRE(std::isnan(out[k]) == (k / group == at / group));
      }
  for (const dtype type : {dtype::float32, dtype::float16, dtype::bfloat16, dtype::float8_e4m3, dtype::float8_e5m2}) {
    std::vector<float> in(48, 1.0F);
    in[3] = nan_value, in[4] = infinity, in[5] = -infinity;
    const std::vector<float> out = read_back(kv::quantiser(shape_of(type)), in);
    CHECK(std::isnan(out[3]));
    const float largest = kv::largest_of(type) != 0 ? kv::largest_of(type) : infinity;
    CHECK((out[4] == largest && out[5] == -largest && out[2] == 1));
  }
  // whole numbers without scales have no NaN
  kv::layout l = shape_of(dtype::int8);
  l.scales = {};
  std::vector<float> in(48, 300.0F);
  in[3] = nan_value, in[4] = -infinity, in[5] = 2.5F, in[6] = -3.5F;
  const std::vector<float> out = read_back(kv::quantiser(l), in);
  CHECK((out[3] == 0 && out[4] == -127 && out[5] == 2 && out[6] == -4 && out[7] == 127));
}

TEST_CASE("zeros and the least numbers of a float", "[kv][quantise]") {
  for (const dtype type : {dtype::float32, dtype::float16, dtype::bfloat16, dtype::float8_e4m3, dtype::float8_e5m2,
                           dtype::int8, dtype::int4, dtype::nvfp4, dtype::mxfp4})
    for (const float tiny : {0.0F, -0.0F, 1e-45F, 1e-42F, 1e-39F}) {
      const std::vector<float> in(48, tiny);
      for (const float v : read_back(kv::quantiser(shape_of(type)), in)) {
        REQUIRE(!std::isnan(v));
        REQUIRE(std::fabs(v) <= 2 * std::fabs(tiny));
      }
    }
}

TEST_CASE("zeros under a scale of their own are zeros", "[kv][quantise]") {
  for (const dtype type : {dtype::float8_e4m3, dtype::float8_e5m2, dtype::int8, dtype::int4}) {
    kv::layout l = shape_of(type);
    l.scales = {.per = kv::scale_per::token_head};
    for (const float v : read_back(kv::quantiser(l), std::vector<float>(48))) REQUIRE(v == 0);
  }
}

TEST_CASE("a head's bytes are its own", "[kv][quantise]") {
  for (const dtype type : {dtype::float32, dtype::float8_e4m3, dtype::int8, dtype::int4, dtype::nvfp4, dtype::mxfp4})
    for (const auto place : places) {
      const kv::layout l = shape_of(type, place);
      const kv::quantiser with(l);
      block b(l);
      std::vector<std::vector<float>> kept;
      const std::vector<float> first(48, 1.0F), second(48, -2.0F);
      // all heads of the block are written, then one again: the others read as before, and so do the bytes between
      for (int round = 0; round < 2; ++round)
        for (std::size_t n = 0; n < 24; ++n) {
          const kv::element e{n / 12, n / 6 % 2, n / 3 % 2, n % 3};
          if (round == 1 && n != 16) continue;
          with.write(e, round == 0 ? first.data() : second.data(), b.page.data(), b.beside.data());
        }
      for (std::size_t n = 0; n < 24; ++n) {
        const kv::element e{n / 12, n / 6 % 2, n / 3 % 2, n % 3};
        std::vector<float> out(l.size_of(e.plane));
        with.read(e, b.page.data(), out.data(), b.beside.data());
        for (const float v : out) REQUIRE(std::fabs(v - (n == 16 ? -2.0F : 1.0F)) < 0.07F);
      }
      CHECK(b.page.back() == std::byte{0xA5});
      CHECK(b.beside.back() == std::byte{0xA5});
    }
}

TEST_CASE("a latent row of 656 bytes keeps its last numbers exact to 8 bits", "[kv][quantise]") {
  const kv::layout l{.layers = 1, .kv_heads = 1, .head_size = 512, .type = dtype::float8_e4m3, .block_tokens = 2,
                     .planes = 1, .scales = {.per = kv::scale_per::group, .group = 128, .place = kv::scale_place::row},
                     .tail_size = 64};
  const std::uint32_t seed = 9;
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> in(576), out(576);
  for (float& v : in) v = normal(random);
  block b(l);
  const kv::quantiser with(l);
  with.write(kv::element{.token = 1}, in.data(), b.page.data());
  with.read(kv::element{.token = 1}, b.page.data(), out.data());
  for (std::size_t k = 0; k < 576; ++k) {
    const float bound = k < 512 ? std::fabs(in[k]) / 16 + 1e-4F : std::fabs(in[k]) / 256;
    REQUIRE(std::fabs(in[k] - out[k]) <= bound);
  }
  // the first row was never touched
  for (std::size_t k = 0; k < 656; ++k) REQUIRE(b.page[k] == std::byte{0xA5});
}
