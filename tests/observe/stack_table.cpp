#include <tokenheap/observe/stack_table.hpp>

#include <support/catch.hpp>

#include <string>
#include <vector>

using namespace tokenheap;

namespace {

void* frame(std::size_t n) { return reinterpret_cast<void*>(0x1000 + n); }

}  // namespace

TEST_CASE("a stack is kept once per owner", "[observe]") {
  const char* const a = "a";
  const char* const b = "b";
  stack_table table;
  REQUIRE(table.open(8, 4));
  void* one[] = {frame(1), frame(2), frame(3)};
  void* other[] = {frame(1), frame(2), frame(4)};
  const std::uint32_t first = table.number_of(a, one, 3);
  CHECK(first == 1);
  CHECK(table.number_of(a, one, 3) == first);
  CHECK(table.number_of(a, other, 3) == 2);
  CHECK(table.number_of(a, one, 2) == 3);
  CHECK(table.number_of(b, one, 3) == 4);
  CHECK(table.number_of(b, one, 0) == 5);
  CHECK(table.number_of(b, nullptr, 0) == 5);
  CHECK(table.size() == 6);
  // the frames are a copy
  one[0] = frame(9);
  CHECK(table[first].frames[0] == frame(1));
  CHECK(table[first].depth == 3);
  CHECK(std::string(table[4].owner) == "b");
}

TEST_CASE("what comes and goes is summed up by stack", "[observe]") {
  stack_table table;
  REQUIRE(table.open(2, 1));
  void* f[] = {frame(1)};
  const std::uint32_t n = table.number_of("a", f, 1);
  table.came(n, 100);
  table.came(n, 50);
  table.went(n, 100);
  CHECK(table[n].live_bytes == 50);
  CHECK(table[n].live_samples == 1);
  CHECK(table[n].total_bytes == 150);
  CHECK(table[n].total_samples == 2);
  table.all_went();
  CHECK(table[n].live_bytes == 0);
  CHECK(table[n].live_samples == 0);
  CHECK(table[n].total_bytes == 150);
}

TEST_CASE("stacks beyond the room are counted together, and known ones are still found", "[observe][bad]") {
  const char* const a = "a";
  stack_table table;
  REQUIRE(table.open(100, 1));
  for (std::size_t k = 0; k != 100; ++k) {
    void* f[] = {frame(k)};
    CHECK(table.number_of(a, f, 1) == k + 1);
  }
  void* more[] = {frame(500)};
  CHECK(table.number_of(a, more, 1) == 0);
  for (std::size_t k = 0; k != 100; ++k) {
    void* f[] = {frame(k)};
    CHECK(table.number_of(a, f, 1) == k + 1);
  }
  CHECK(table.size() == 101);
  CHECK(table[0].depth == 0);
}

TEST_CASE("a table of no stacks, and one of more than can be numbered", "[observe][bad]") {
  stack_table none;
  REQUIRE(none.open(0, 1));
  void* f[] = {frame(1)};
  CHECK(none.number_of("a", f, 1) == 0);
  stack_table huge;
  CHECK_FALSE(huge.open(stack_table::most_stacks + 1, 64));
  CHECK_FALSE(huge.open(~std::size_t{0}, 64));
  CHECK(stack_table::memory_for(8, 4) == 9 * (4 * 8 + sizeof(sampled_stack)) + 32 * 4);
}
