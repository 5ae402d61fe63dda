#include <tokenheap/observe/report_series.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace {

using tokenheap::report_line;
using tokenheap::thin_rows;

std::vector<std::size_t> kept(std::size_t rows, std::span<const report_line> lines, std::size_t most) {
  std::vector<std::size_t> all;
  thin_rows(rows, lines, most, [&](std::size_t row) { all.push_back(row); });
  return all;
}

TEST_CASE("few rows all stay") {
  const std::vector<double> values(64, 1);
  const report_line lines[] = {{.name = "one", .values = values}};
  const std::vector<std::size_t> all = kept(64, lines, 64);
  REQUIRE(all.size() == 64);
  for (std::size_t k = 0; k != 64; ++k) CHECK(all[k] == k);
  CHECK(kept(0, lines, 64).empty());
  CHECK(kept(0, {}, 64).empty());
}

TEST_CASE("no peak and no dip of any line or of the sum is lost") {
  const unsigned seed = 2026;
  INFO("seed " << seed);
  std::mt19937 random(seed);
  const std::size_t rows = 65 + random() % 50000;
  const std::size_t count = 1 + random() % tokenheap::most_report_lines;
  std::vector<std::vector<double>> values(count, std::vector<double>(rows));
  for (auto& line : values)
    for (double& value : line) value = static_cast<double>(random() % 1000);
  std::vector<std::size_t> extremes = {0, rows - 1};
  for (auto& line : values) {
    extremes.push_back(random() % rows);
    line[extremes.back()] = 1e6;
    extremes.push_back(random() % rows);
    line[extremes.back()] = -1e6;
  }
  std::vector<report_line> lines;
  for (const auto& line : values) lines.push_back({.name = "", .values = line});
  const std::size_t most = 64 + random() % 2000;
  INFO(rows << " rows, " << count << " lines, at most " << most);
  const std::vector<std::size_t> all = kept(rows, lines, most);
  CHECK(all.size() <= most);
  for (std::size_t k = 1; k < all.size(); ++k) REQUIRE(all[k - 1] < all[k]);
  CHECK(all.back() < rows);
  // a later extreme may have overwritten an earlier one of the same line, or hidden it in the sum: the values must be there
  for (std::size_t n = 0; n != count; ++n) {
    const auto& line = values[n];
    const auto [least, greatest] = std::minmax_element(line.begin(), line.end());
    double low = 1e9, high = -1e9;
    for (const std::size_t row : all) low = std::min(low, line[row]), high = std::max(high, line[row]);
    CHECK(low == *least);
    CHECK(high == *greatest);
  }
  CHECK(all.front() == 0);
  CHECK(all.back() == rows - 1);
}

TEST_CASE("the sum of the lines has its own peaks") {
  // two lines that change places: each is as high everywhere, but their sum is high once
  std::vector<double> first(1000), second(1000);
  for (std::size_t k = 0; k != 1000; ++k) {
    first[k] = k % 2 == 0 ? 10 : 1;
    second[k] = k % 2 == 0 ? 1 : 10;
  }
  first[503] = 9;
  const report_line lines[] = {{.name = "", .values = first}, {.name = "", .values = second}};
  const std::vector<std::size_t> all = kept(1000, lines, 64);
  CHECK(all.size() <= 64);
  CHECK(std::find(all.begin(), all.end(), 503) != all.end());
}

TEST_CASE("gaps do not hide what is beside them") {
  std::vector<double> values(1000, std::nan(""));
  values[500] = 7;
  values[501] = 9;
  const report_line lines[] = {{.name = "", .values = values}};
  const std::vector<std::size_t> all = kept(1000, lines, 64);
  CHECK(std::find(all.begin(), all.end(), 501) != all.end());
}

TEST_CASE("lines beyond those that are drawn count for nothing") {
  std::vector<double> values(5000, 1);
  const std::vector<report_line> lines(40, report_line{.name = "", .values = values});
  CHECK(kept(5000, lines, 64).size() <= 64);
}

}  // namespace
