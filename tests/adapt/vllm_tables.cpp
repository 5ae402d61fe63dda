#include <tokenheap/adapt/vllm_tables.hpp>

#include <support/catch.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <kv/kit.hpp>

#include "tables_kit.hpp"

using namespace tokenheap;
using namespace tokenheap::adapt;
using namespace tables_kit;

namespace {

using slots = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("vLLM's table lists all blocks of a row, its null block behind them and in holes, and lengths") {
  const ids windowed{kv::no_block, kv::no_block, 8, 4};
  const std::vector<kv::table_row> rows{{three, 33}, {{}, 0}, {windowed, 60}, {with_draft, 1}};
  numbers table(16, 77), lengths(4, 77);
  REQUIRE(write_vllm(rows, 16, {.blocks = table, .width = 4, .seq_lens = lengths}).code == errc::ok);
  CHECK(table == numbers{5, 9, 2, 0, 0, 0, 0, 0, 0, 0, 8, 4, 1, 3, 0, 0});
  CHECK(lengths == numbers{33, 0, 60, 1});
  REQUIRE(write_vllm(rows, 16, {.blocks = table, .width = 4, .padding = -1}).code == errc::ok);
  CHECK(table == numbers{5, 9, 2, -1, -1, -1, -1, -1, -1, -1, 8, 4, 1, 3, -1, -1});
}

TEST_CASE("blocks are cut into blocks of the kernel as vLLM's map_to_kernel_blocks does") {
  const ids all{0, 1, 2};
  numbers table(8, 77);
  REQUIRE(write_vllm(std::vector<kv::table_row>{{all, 96}}, 32, {.blocks = table, .width = 8, .parts = 2, .padding = 9})
              .code == errc::ok);
  CHECK(table == numbers{0, 1, 2, 3, 4, 5, 9, 9});
  const ids hole{4, kv::no_block};
  REQUIRE(write_vllm(std::vector<kv::table_row>{{hole, 96 - 32}}, 32, {.blocks = table, .width = 8, .parts = 4}).code ==
          errc::ok);
  CHECK(table == numbers{16, 17, 18, 19, 0, 0, 0, 0});
  CHECK(vllm_width(5, 16) == 8);
  CHECK(vllm_width(8, 16) == 8);
  CHECK(vllm_width(3, 128) == 3);
  CHECK(vllm_width(3, 256) == 3);
  CHECK(vllm_width(1, 1) == 128);
  CHECK(vllm_width(0, 16) == 0);
  CHECK(vllm_width(2, 0) == 2);
}

TEST_CASE("a table of vLLM's that does not fit says the room it needs and is left alone") {
  numbers table(16, 7), lengths(4, 7);
  const std::span<std::int32_t> places(table);
  const auto refused = [&](const std::vector<kv::table_row>& rows, std::size_t tokens, const vllm_table& out, errc code,
                           std::size_t need, std::size_t available) {
    CHECK(says(write_vllm(rows, tokens, out), code, need, available));
    CHECK(table == numbers(16, 7));
    CHECK(lengths == numbers(4, 7));
  };
  const vllm_table fits{.blocks = table, .width = 4, .seq_lens = lengths};
  refused(batch, 16, {.blocks = places.first(15), .width = 4}, errc::invalid_argument, 16, 15);
  refused(batch, 16, {.blocks = table, .width = 2}, errc::invalid_argument, 3, 2);
  refused(batch, 16, {.blocks = table, .width = 4, .seq_lens = std::span(lengths).first(3)}, errc::invalid_argument, 4,
          3);
  refused(batch, 16, {.blocks = table, .width = 4, .parts = 0}, errc::invalid_argument, 16, 0);
  refused(batch, 16, {.blocks = table, .width = 4, .parts = 3}, errc::invalid_argument, 16, 3);
  refused(batch, 16, {.blocks = table, .width = 4, .parts = 2}, errc::invalid_argument, 3, 2);
  refused(batch, 16, {.blocks = table, .width = ~std::size_t{0}}, errc::size_overflow, 4, ~std::size_t{0});
  refused(batch, 0, fits, errc::invalid_argument, 0, 2147483647);
  refused({{three, 49}}, 16, fits, errc::invalid_argument, 4, 3);
  const ids largest{2147483647}, beyond{2147483648u}, half{1073741823}, over_half{1073741824};
  refused({{beyond, 1}}, 16, fits, errc::size_overflow, 2147483648u, 2147483647);
  refused({{over_half, 1}}, 16, {.blocks = table, .width = 4, .parts = 2}, errc::size_overflow, 1073741824, 1073741823);
  const ids two{1, 2};
  refused({{two, std::size_t{1} << 31}}, std::size_t{1} << 30, fits, errc::size_overflow, std::size_t{1} << 31,
          2147483647);

  REQUIRE(write_vllm(std::vector<kv::table_row>{{largest, 1}}, 16, fits).code == errc::ok);
  CHECK(table[0] == 2147483647);
  REQUIRE(write_vllm(std::vector<kv::table_row>{{half, 1}}, 16, {.blocks = table, .width = 2, .parts = 2}).code ==
          errc::ok);
  CHECK(table[1] == 2147483647);
}

TEST_CASE("slots of a step: from the middle of a block to the middle of another, and -1 behind") {
  const std::vector<query_row> rows{{three, 14, 4}, {one, 0, 0}, {one, 15, 1}, {with_draft, 0, 17}};
  slots out(24, 77);
  numbers starts(5, 77);
  REQUIRE(write_vllm_slots(rows, 16, out, starts).code == errc::ok);
  CHECK(starts == numbers{0, 4, 4, 5, 22});
  slots expected{94, 95, 144, 145, 127};
  for (std::int64_t n = 16; n != 32; ++n) expected.push_back(n);
  expected.push_back(48);
  expected.resize(24, -1);
  CHECK(out == expected);
  const ids far{kv::no_block - 1};
  REQUIRE(write_vllm_slots(std::vector<query_row>{{far, 4095, 1}}, 4096, out).code == errc::ok);
  CHECK(out[0] == std::int64_t{4294967294} * 4096 + 4095);
}

TEST_CASE("slots that do not fit are refused with the room they need") {
  slots out(4, 7);
  numbers starts(2, 7);
  const auto refused = [&](const query_row& row, std::size_t tokens, std::span<std::int32_t> at, errc code,
                           std::size_t need, std::size_t available) {
    CHECK(says(write_vllm_slots(std::vector<query_row>{row}, tokens, out, at), code, need, available));
    CHECK(out == slots(4, 7));
    CHECK(starts == numbers(2, 7));
  };
  refused({three, 0, 5}, 16, starts, errc::invalid_argument, 5, 4);
  refused({three, 45, 4}, 16, starts, errc::invalid_argument, 49, 48);
  refused({three, 0, 4}, 16, std::span(starts).first(1), errc::invalid_argument, 2, 1);
  refused({three, 0, 4}, 0, starts, errc::invalid_argument, 0, 2147483647);
  refused({three, ~std::size_t{0}, 2}, 16, starts, errc::size_overflow, 2, 2147483647);
  refused({three, 0, std::size_t{1} << 31}, 16, starts, errc::size_overflow, std::size_t{1} << 31, 2147483647);
  const ids hole{kv::no_block, 4};
  refused({hole, 15, 2}, 16, starts, errc::invalid_argument, 0, 0);
  CHECK(write_vllm_slots(std::vector<query_row>{{hole, 16, 2}}, 16, out, starts).code == errc::ok);
  CHECK(out == slots{64, 65, -1, -1});
}

TEST_CASE("forks list the blocks that they share, and their own tails") {
  auto pool = kit::pool_of(16, 4);
  auto first = kit::opened(pool, kit::count_up(8));
  auto second = first.fork();
  REQUIRE(second);
  const kv::token next[] = {99};
  REQUIRE(second->append(next) == errc::ok);
  const std::vector<kv::table_row> rows{kv::row_of(first), kv::row_of(*second)};
  numbers table(6), lengths(2);
  REQUIRE(write_vllm(rows, 4, {.blocks = table, .width = 3, .seq_lens = lengths}).code == errc::ok);
  CHECK(lengths == numbers{8, 9});
  CHECK(numbers(table.begin(), table.begin() + 2) == numbers(table.begin() + 3, table.begin() + 5));
  CHECK(table[2] == 0);
  CHECK(static_cast<kv::block_id>(table[5]) == second->blocks()[2]);
}
