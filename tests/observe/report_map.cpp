#include <tokenheap/observe/report_map.hpp>

#include <support/catch.hpp>

#include <random>
#include <vector>

namespace {

using tokenheap::merge_pieces;
using tokenheap::report_cell;
using tokenheap::report_piece;

std::vector<report_cell> merged(const std::vector<report_piece>& pieces, std::size_t most) {
  std::vector<report_cell> cells;
  const std::size_t count = merge_pieces(pieces, most, [&](const report_cell& c) { cells.push_back(c); });
  CHECK(count == cells.size());
  return cells;
}

TEST_CASE("few pieces stay as they are") {
  const std::vector<report_piece> pieces = {{.begin = 0, .size = 4, .state = 1, .filled = 0.5, .label = "a"},
                                            {.begin = 4, .size = 1, .state = 0, .label = "b"},
                                            {.begin = 0, .size = 3, .lane = 1, .state = 200}};
  const auto cells = merged(pieces, 3);
  REQUIRE(cells.size() == 3);
  CHECK((cells[0].first.size == 4 && cells[0].pieces == 1 && cells[0].of[1] == 4 && cells[0].filled == 2));
  CHECK((cells[1].first.begin == 4 && cells[1].of[0] == 1 && cells[1].first.label == std::string_view("b")));
  // a state that no page knows is counted as the last one
  CHECK((cells[2].first.lane == 1 && cells[2].of[7] == 3));
  CHECK(merged({}, 3).empty());
}

TEST_CASE("many pieces become few cells, and each byte is in one of them") {
  const unsigned seed = 2026;
  INFO("seed " << seed);
  std::mt19937 random(seed);
  std::vector<report_piece> pieces;
  std::size_t sums[3] = {};
  double filled = 0;
  const auto lanes = static_cast<std::uint32_t>(1 + random() % 5);
  for (std::uint32_t lane = 0; lane != lanes; ++lane) {
    std::size_t at = 0;
    for (std::size_t k = 0; k != 2000; ++k) {
      const std::size_t size = random() % 100 == 0 ? 100000 : 1 + random() % 64;
      const auto state = static_cast<std::uint8_t>(random() % 3);
      pieces.push_back({.begin = at, .size = size, .lane = lane, .state = state, .filled = 0.25});
      sums[state] += size;
      filled += 0.25 * static_cast<double>(size);
      at += size;
    }
  }
  const auto cells = merged(pieces, 100);
  CHECK(cells.size() <= 100 + lanes);
  std::size_t found[3] = {};
  std::size_t counted = 0;
  double full = 0;
  std::uint32_t lane = 0;
  std::size_t expected = 0;
  for (const report_cell& c : cells) {
    if (c.first.lane != lane) expected = 0;
    lane = c.first.lane;
    REQUIRE(c.first.begin == expected);
    expected += c.first.size;
    REQUIRE(c.of[0] + c.of[1] + c.of[2] == c.first.size);
    for (std::size_t k = 0; k != 3; ++k) found[k] += c.of[k];
    counted += c.pieces;
    full += c.filled;
  }
  CHECK(counted == pieces.size());
  for (std::size_t k = 0; k != 3; ++k) CHECK(found[k] == sums[k]);
  CHECK(full == filled);
}

TEST_CASE("blocks of a large pool share cells evenly") {
  std::vector<report_piece> pieces;
  for (std::size_t id = 0; id != 100000; ++id) pieces.push_back({.begin = id, .state = 1});
  const auto cells = merged(pieces, 2000);
  REQUIRE(cells.size() == 1961);
  for (std::size_t k = 0; k + 1 < cells.size(); ++k) REQUIRE(cells[k].first.size == 51);
  CHECK(cells.back().first.size == 40);
}

}  // namespace
