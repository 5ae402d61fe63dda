#include <tokenheap/kv/page_table.hpp>

#include <support/catch.hpp>

#include <cstdint>
#include <vector>

#include <kv/kit.hpp>

namespace kv = tokenheap::kv;
using tokenheap::errc;
using numbers = std::vector<std::int32_t>;

TEST_CASE("a batch in CSR: lengths can be read back from it", "[kv][page_table]") {
  const kit::ids a{5, 9, 2};
  const kit::ids b{7};
  const kit::ids spare{1, 3};
  const std::vector<kv::table_row> rows{{a, 33}, {{}, 0}, {b, 16}, {spare, 1}};
  numbers indptr(5, -1);
  numbers indices(5, -1);
  numbers last(4, -1);
  REQUIRE(kv::write_csr(rows, 16, {indptr, indices, last}) == errc::ok);
  CHECK(indptr == numbers{0, 3, 3, 4, 5});
  CHECK(indices == numbers{5, 9, 2, 7, 1});
  CHECK(last == numbers{1, 0, 16, 1});
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto pages = static_cast<std::size_t>(indptr[r + 1] - indptr[r]);
    CHECK((pages == 0 ? 0 : 16 * (pages - 1) + static_cast<std::size_t>(last[r])) == rows[r].tokens);
  }
}

TEST_CASE("a batch as a dense table, and the slots of tokens", "[kv][page_table]") {
  const kit::ids a{5, 9, 2};
  const std::vector<kv::table_row> rows{{a, 33}, {{}, 0}};
  numbers table(8, 77);
  REQUIRE(kv::write_dense(rows, 4, -1, table) == errc::ok);
  CHECK(table == numbers{5, 9, 2, -1, -1, -1, -1, -1});
  std::vector<std::int64_t> slots(4);
  REQUIRE(kv::write_slots(a, 16, 14, slots) == errc::ok);
  CHECK(slots == std::vector<std::int64_t>{94, 95, 144, 145});
  const kit::ids far{kv::no_block - 1};
  REQUIRE(kv::write_slots(far, 4096, 4095, std::span(slots).first(1)) == errc::ok);
  CHECK(slots[0] == std::int64_t{4294967294} * 4096 + 4095);
}

TEST_CASE("what does not fit a table is refused and nothing is written", "[kv][page_table][bad]") {
  const kit::ids a{5, 9, 2};
  const kit::ids far{std::uint32_t{1} << 31};
  numbers indptr(2, 7);
  numbers indices(3, 7);
  numbers last(1, 7);
  const auto csr = [&](kv::table_row row, std::size_t block_tokens, kv::csr_table out) {
    const errc got = kv::write_csr(std::span(&row, 1), block_tokens, out);
    CHECK(indptr == numbers{7, 7});
    CHECK(indices == numbers{7, 7, 7});
    CHECK(last == numbers{7});
    return got;
  };
  const std::span<std::int32_t> none;
  CHECK(csr({a, 33}, 16, {std::span(indptr).first(1), indices, last}) == errc::invalid_argument);
  CHECK(csr({a, 33}, 16, {indptr, std::span(indices).first(2), last}) == errc::invalid_argument);
  CHECK(csr({a, 33}, 16, {indptr, indices, none}) == errc::invalid_argument);
  CHECK(csr({a, 33}, 0, {indptr, indices, last}) == errc::invalid_argument);
  CHECK(csr({a, 49}, 16, {indptr, indices, last}) == errc::invalid_argument);
  CHECK(csr({far, 1}, 16, {indptr, indices, last}) == errc::size_overflow);
  CHECK(csr({a, 1}, std::size_t{1} << 31, {indptr, indices, last}) == errc::size_overflow);

  numbers table(4, 7);
  const kv::table_row row{a, 33};
  const kv::table_row far_row{far, 1};
  CHECK(kv::write_dense(std::span(&row, 1), 2, 0, table) == errc::invalid_argument);
  CHECK(kv::write_dense(std::span(&row, 1), 5, 0, table) == errc::invalid_argument);
  CHECK(kv::write_dense(std::span(&far_row, 1), 4, 0, table) == errc::size_overflow);
  CHECK(table == numbers{7, 7, 7, 7});
  std::vector<std::int64_t> slots(2, 7);
  CHECK(kv::write_slots(a, 16, 47, slots) == errc::invalid_argument);
  CHECK(kv::write_slots(a, 0, 0, slots) == errc::invalid_argument);
  CHECK(kv::write_slots(a, 16, ~std::size_t{0}, slots) == errc::size_overflow);
  CHECK(slots == std::vector<std::int64_t>{7, 7});
}
