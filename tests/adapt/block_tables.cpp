#include <tokenheap/adapt/block_tables.hpp>

#include <support/catch.hpp>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <kv/kit.hpp>

#include "tables_kit.hpp"

using namespace tokenheap;
using namespace tokenheap::adapt;
using namespace tables_kit;

TEST_CASE("the room of a batch counts blocks that hold tokens, and the widest row with its drafts") {
  const table_room room = room_of(batch, 16);
  CHECK(room.rows == 4);
  CHECK(room.pages == 5);
  CHECK(room.widest == 3);
  CHECK(room_of({}, 16).rows == 0);
  CHECK(room_of(batch, 0).pages == 0);
}

TEST_CASE("FlashInfer's table is read back by both of FlashInfer's own formulas") {
  const std::size_t page = GENERATE(1u, 2u, 16u, 64u);
  std::mt19937 random(11);
  std::vector<ids> lists;
  std::vector<kv::table_row> rows;
  for (int r = 0; r != 40; ++r) {
    ids list(random() % 9);
    for (kv::block_id& id : list) id = static_cast<kv::block_id>(random() % 1000);
    lists.push_back(list);
  }
  for (const ids& list : lists) rows.push_back({list, list.empty() ? 0 : random() % (list.size() * page + 1)});
  const table_room room = room_of(rows, page);
  numbers indptr(room.rows + 1, -7), indices(room.pages, -7), last(room.rows, -7);
  REQUIRE(write_flashinfer(rows, page, {indptr, indices, last}).code == errc::ok);
  for (std::size_t r = 0; r != rows.size(); ++r) {
    const auto from = static_cast<std::size_t>(indptr[r]), to = static_cast<std::size_t>(indptr[r + 1]);
    const auto end = static_cast<std::size_t>(last[r]);
    CHECK((to == from ? 0 : (to - from - 1) * page + end) == rows[r].tokens);    // page.cuh, get_length
    CHECK((to - from <= 1 ? 0 : to - from - 1) * page + end == rows[r].tokens);  // page.py, get_seq_lens
    for (std::size_t at = from; at != to; ++at)
      CHECK(static_cast<kv::block_id>(indices[at]) == rows[r].blocks[at - from]);
  }
}

TEST_CASE("a table of FlashInfer's that does not fit says the room it needs and is left alone") {
  numbers indptr(5, 7), indices(5, 7), last(4, 7);
  const auto untouched = [&] { return indptr == numbers(5, 7) && indices == numbers(5, 7) && last == numbers(4, 7); };
  const std::span<std::int32_t> all(indptr), pages(indices), ends(last);
  CHECK(says(write_flashinfer(batch, 16, {all.first(4), pages, ends}), errc::invalid_argument, 5, 4));
  CHECK(says(write_flashinfer(batch, 16, {all, pages.first(4), ends}), errc::invalid_argument, 5, 4));
  CHECK(says(write_flashinfer(batch, 16, {all, pages, ends.first(3)}), errc::invalid_argument, 4, 3));
  CHECK(says(write_flashinfer(batch, 0, {all, pages, ends}), errc::invalid_argument, 0, 2147483647));
  CHECK(says(write_flashinfer(batch, std::size_t{1} << 31, {all, pages, ends}), errc::invalid_argument, 1u << 31,
             2147483647));
  const std::vector<kv::table_row> greedy{{three, 49}};
  const failure no = write_flashinfer(greedy, 16, {all, pages, ends});
  CHECK(says(no, errc::invalid_argument, 4, 3));
  CHECK(no.address == &greedy[0]);
  const ids far{std::uint32_t{1} << 31}, hole{kv::no_block, 4};
  CHECK(says(write_flashinfer(std::vector<kv::table_row>{{far, 1}}, 16, {all, pages, ends}), errc::size_overflow,
             1u << 31, 2147483647));
  CHECK(
      says(write_flashinfer(std::vector<kv::table_row>{{hole, 17}}, 16, {all, pages, ends}), errc::unsupported, 1, 0));
  CHECK(untouched());
  // an id that no token reaches is no matter
  const ids drafts{3, std::uint32_t{1} << 31};
  CHECK(write_flashinfer(std::vector<kv::table_row>{{drafts, 16}}, 16, {all, pages, ends}).code == errc::ok);
  CHECK(indptr[1] == 1);
}
