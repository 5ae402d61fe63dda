#include <tokenheap/kv/number_format.hpp>

#include <support/catch.hpp>

#include <string>

namespace kv = tokenheap::kv;
using kv::dtype;
using kv::scale_per;
using kv::scale_type;

namespace {

constexpr dtype all_types[] = {dtype::float32,     dtype::float16, dtype::bfloat16, dtype::float8_e4m3, dtype::float8_e5m2,
                               dtype::int8,        dtype::int4,    dtype::nvfp4,    dtype::mxfp4};

std::string complaint(dtype type, const kv::scaling& with) {
  const char* why = kv::why_not(type, with);
  return why == nullptr ? "" : why;
}

}  // namespace

TEST_CASE("a format has its bits, and bytes are rounded up", "[kv][number_format]") {
  constexpr std::size_t bits[] = {32, 16, 16, 8, 8, 8, 4, 4, 4};
  for (std::size_t n = 0; n < std::size(all_types); ++n) {
    CHECK(kv::bits_of(all_types[n]) == bits[n]);
    CHECK(kv::bytes_of(all_types[n], 128) == 16 * bits[n]);
    CHECK(kv::bytes_of(all_types[n]) == (bits[n] + 7) / 8);
  }
  CHECK(kv::bytes_of(dtype::int4, 3) == 2);
  CHECK(kv::bytes_of(dtype::int4, 0) == 0);
  CHECK(kv::bits_of(static_cast<dtype>(77)) == 0);
  CHECK(kv::bytes_of(static_cast<scale_type>(77)) == 0);
  CHECK(dtype::float8 == dtype::float8_e4m3);
}

TEST_CASE("scales are counted by head", "[kv][number_format]") {
  CHECK(kv::scaling{}.count(128) == 0);
  CHECK(kv::scaling{.per = scale_per::tensor}.count(128) == 0);
  CHECK(kv::scaling{.per = scale_per::token_head}.count(128) == 1);
  CHECK(kv::default_scaling(dtype::nvfp4).count(128) == 8);
  CHECK(kv::default_scaling(dtype::mxfp4).count(128) == 4);
  CHECK(kv::default_scaling(dtype::mxfp4).count(80) == 3);  // the last one has 16 numbers
  CHECK(kv::has_tensor_scale(dtype::nvfp4, kv::default_scaling(dtype::nvfp4)));
  CHECK(kv::has_tensor_scale(dtype::float8, kv::default_scaling(dtype::float8)));
  CHECK_FALSE(kv::has_tensor_scale(dtype::mxfp4, kv::default_scaling(dtype::mxfp4)));
  CHECK_FALSE(kv::has_tensor_scale(dtype::float8, {}));
}

TEST_CASE("every format takes its own scaling, wherever the scales are", "[kv][number_format]") {
  for (const dtype type : all_types)
    for (const auto place : {kv::scale_place::page, kv::scale_place::row, kv::scale_place::beside})
      CHECK(complaint(type, kv::default_scaling(type, place)).empty());
}

TEST_CASE("formats and scalings that cannot be are refused", "[kv][number_format][bad]") {
  CHECK(complaint(static_cast<dtype>(77), {}) == "dtype of a layout");
  CHECK(complaint(dtype::int8, {.per = static_cast<scale_per>(9)}) == "scaling of a layout");
  CHECK(complaint(dtype::int8, {.place = static_cast<kv::scale_place>(9)}) == "scaling of a layout");
  CHECK(complaint(dtype::float16, {.per = scale_per::token_head}) == "scales of numbers that need none");
  CHECK(complaint(dtype::int8, {.per = scale_per::token_head, .type = static_cast<scale_type>(9)}) == "format of the scales");
  CHECK(complaint(dtype::int8, {.per = scale_per::group}) == "numbers that share a scale");
  CHECK(complaint(dtype::int8, {.per = scale_per::token_head, .group = 4}) == "numbers that share a scale");
  CHECK(complaint(dtype::nvfp4, {}) == "scales that define a 4-bit float");
  CHECK(complaint(dtype::mxfp4, kv::default_scaling(dtype::nvfp4)) == "scales that define a 4-bit float");
  // nobody need scale numbers of a byte, or may do so by groups of any size
  CHECK(complaint(dtype::int8, {}).empty());
  CHECK(complaint(dtype::int4, {.per = scale_per::group, .type = scale_type::float16, .group = 48}).empty());
}
