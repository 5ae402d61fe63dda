#include <tokenheap/alloc/range_table.hpp>

#include <support/catch.hpp>
#include <tokenheap/source/host.hpp>

#include <random>
#include <unordered_map>
#include <vector>

using namespace tokenheap;

namespace {

struct node {
  std::size_t offset;
  std::uint32_t before;
  std::uint32_t after;
};

// a budget that all copies of a source share
struct rationed {
  using space = host_space;
  static inline int left = 0;
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment) noexcept {
    return left-- > 0 ? host_source{}.allocate(bytes, alignment) : allocation{};
  }
  void deallocate(allocation a) noexcept { host_source{}.deallocate(a); }
};

}  // namespace

TEST_CASE("grown_array: keeps what it holds, zeroes what is new, and a failed growth changes nothing", "[range_table]") {
  rationed::left = 2;
  grown_array<int, rationed> array{rationed{}};
  CHECK(array.capacity() == 0);
  REQUIRE(array.ensure(1));
  CHECK(array.capacity() == 16);
  CHECK(array[15] == 0);
  array[15] = 7;
  REQUIRE(array.ensure(17));
  CHECK(array.capacity() == 32);
  CHECK(array[15] == 7);
  CHECK(array[31] == 0);
  CHECK_FALSE(array.ensure(33));
  CHECK(array.capacity() == 32);
  CHECK(array[15] == 7);
  CHECK_FALSE(array.ensure(~std::size_t{0}));
  array.release();
  CHECK(array.capacity() == 0);
}

TEST_CASE("range_table: agrees with a map over a long churn", "[range_table]") {
  constexpr unsigned seed = 77;
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::vector<node> nodes(2001);
  range_table<host_source> table{host_source{}};
  std::unordered_map<std::size_t, std::uint32_t> model;
  std::vector<std::uint32_t> idle;
  for (std::uint32_t n = 1; n != nodes.size(); ++n) idle.push_back(n);
  CHECK(table.find(0, nodes.data()) == 0);
  for (int step = 0; step != 30000; ++step) {
    const std::size_t offset = random() % 3000 * 256;
    if (const auto known = model.find(offset); known != model.end()) {
      REQUIRE(table.find(offset, nodes.data()) == known->second);
      table.erase(known->second, nodes.data());
      idle.push_back(known->second);
      model.erase(known);
    } else if (!idle.empty()) {
      REQUIRE(table.find(offset, nodes.data()) == 0);
      REQUIRE(table.ensure(model.size() + 1, nodes.data()));
      nodes[idle.back()].offset = offset;
      table.insert(idle.back(), nodes.data());
      model[offset] = idle.back();
      idle.pop_back();
    }
  }
  CHECK(table.count(nodes.data(), model.size()) == model.size());
  table.clear();
  CHECK(table.count(nodes.data(), 10) == 0);
}

TEST_CASE("range_table: a rebuild that fails loses nothing", "[range_table]") {
  rationed::left = 1;
  std::vector<node> nodes(200);
  range_table<rationed> table{rationed{}};
  std::uint32_t held = 0;
  while (table.ensure(held + 1, nodes.data())) {
    ++held;
    nodes[held].offset = held * 512;
    table.insert(held, nodes.data());
  }
  CHECK(held == 32);
  for (std::uint32_t n = 1; n <= held; ++n) CHECK(table.find(n * 512, nodes.data()) == n);
}
