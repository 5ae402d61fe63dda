#include <tokenheap/adapt/tensor_axes.hpp>

#include <support/catch.hpp>

#include <cstdint>
#include <string>
#include <vector>

using namespace tokenheap;
using namespace tokenheap::adapt;

namespace {

using numbers = std::vector<std::int64_t>;

failure read(const char* axes, const numbers& shape, const numbers& strides, detail::axis_sizes& out) {
  return detail::read_axes("kv", {.number_bytes = 2, .axes = axes, .shape = shape, .strides = strides}, out);
}

void refused(const char* axes, const numbers& shape, const numbers& strides, std::size_t need, std::size_t available,
             errc code = errc::invalid_argument) {
  detail::axis_sizes none;
  const failure no = read(axes, shape, strides, none);
  INFO(axes);
  CHECK(no.code == code);
  CHECK(no.need == need);
  CHECK(no.available == available);
  CHECK(std::string(no.pool) == "kv");
  CHECK(std::string(no.fix) != "");
}

}  // namespace

TEST_CASE("axes of an engine's tensor: strides in bytes by letter, dense where none are given", "[adapt]") {
  detail::axis_sizes dense, said, one_head;
  REQUIRE(read("BKNHD", {10, 2, 16, 4, 8}, {}, dense).code == errc::ok);
  CHECK(dense.count[detail::axis_b] == 10);
  CHECK(dense.count[detail::axis_l] == 1);
  CHECK(dense.step[detail::axis_d] == 2);
  CHECK(dense.step[detail::axis_h] == 16);
  CHECK(dense.step[detail::axis_n] == 64);
  CHECK(dense.step[detail::axis_k] == 1024);
  CHECK(dense.step[detail::axis_b] == 2048);
  CHECK(dense.there[detail::axis_k]);
  CHECK_FALSE(dense.there[detail::axis_l]);
  REQUIRE(read("BKNHD", {10, 2, 16, 4, 8}, {1024, 512, 32, 8, 1}, said).code == errc::ok);
  CHECK(said == dense);
  // what counts 1 has no stride to speak of
  REQUIRE(read("BKNHD", {10, 2, 16, 1, 8}, {256, 128, 8, -7, 1}, one_head).code == errc::ok);
  CHECK(one_head.step[detail::axis_h] == 16);
  CHECK(detail::axis_of('D') == detail::axis_d);
  CHECK(detail::axis_of('X') == detail::axes_there_are);
}

TEST_CASE("axes of an engine's tensor: what cannot be one is refused with both numbers", "[adapt]") {
  refused("BKNHD", {10, 2, 16, 4}, {}, 5, 4);
  refused("BND", {10, 16, 8}, {128, 8}, 3, 2);
  refused("BNB", {10, 16, 8}, {}, 0, 3);
  refused("BXD", {10, 16, 8}, {}, 1, 3);
  refused("BND", {10, 0, 8}, {}, 1, 0);
  refused("BND", {10, 16, 8}, {0, 8, 1}, 1, 0);
  refused("BND", {INT64_MAX, 16, 8}, {}, INT64_MAX, max_allocation, errc::size_overflow);
}
