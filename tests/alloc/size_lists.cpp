#include <tokenheap/alloc/size_lists.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

namespace {
struct piece {
  std::size_t offset = 0;
  std::size_t size = 0;
  std::uint32_t before = 0;
  std::uint32_t after = 0;
};
using lists_type = size_lists<size_lists_shape{.granularity = 1, .subclasses = 8, .scan = 2}>;
}  // namespace

TEST_CASE("size_lists: two lists share one array", "[size_lists]") {
  piece pieces[5] = {{}, {0, 100}, {1000, 200}, {2000, 100}, {3000, 50}};
  lists_type a;
  lists_type b;
  a.insert(pieces, 1);
  a.insert(pieces, 2);
  b.insert(pieces, 3);
  b.insert(pieces, 4);
  CHECK(a.find(pieces, 90) == 1);
  CHECK(b.find(pieces, 90) == 3);
  CHECK(a.find(pieces, 101) == 2);
  CHECK(b.find(pieces, 101) == lists_type::none);
  CHECK(a.largest(pieces) == 200);
  a.erase(pieces, 2);
  CHECK(a.largest(pieces) == 100);
  CHECK(a.find(pieces, 101) == lists_type::none);
  std::size_t found = 0;
  std::size_t bytes = 0;
  CHECK(b.is_valid(pieces, 2, found, bytes));
  CHECK(found == 2);
  CHECK(bytes == 150);
}

TEST_CASE("size_lists: what is visited may leave", "[size_lists]") {
  piece pieces[4] = {{}, {0, 100}, {1000, 101}, {2000, 7}};
  lists_type lists;
  for (std::uint32_t n = 1; n != 4; ++n) lists.insert(pieces, n);
  std::size_t bytes = 0;
  const piece* const array = pieces;
  lists.for_each(array, [&](std::uint32_t n) {
    bytes += pieces[n].size;
    lists.erase(pieces, n);
  });
  CHECK(bytes == 208);
  CHECK(lists.find(pieces, 1) == lists_type::none);
  CHECK(lists.largest(pieces) == 0);
}

TEST_CASE("size_lists: an aligned fit is found where the nearest size is none", "[size_lists]") {
  piece pieces[3] = {{}, {100, 128}, {1000, 200}};
  lists_type lists;
  lists.insert(pieces, 1);
  lists.insert(pieces, 2);
  CHECK(lists.find(pieces, 128, 1) == 1);
  CHECK(lists.find(pieces, 128, 64) == 2);
  CHECK(lists.find(pieces, 128, 1024) == 2);
  CHECK(lists.find(pieces, 180, 1024) == lists_type::none);
}
