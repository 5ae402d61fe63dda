#include <tokenheap/alloc/chunk_book.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <random>
#include <vector>

using namespace tokenheap;

namespace {
void* at(std::uintptr_t address) { return reinterpret_cast<void*>(address); }
}  // namespace

TEST_CASE("the chunk of an address is found among many", "[alloc]") {
  const unsigned seed = 7;
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::vector<std::uintptr_t> starts;
  for (std::uintptr_t k = 1; k <= 200; ++k) starts.push_back(k * 0x10000);
  std::shuffle(starts.begin(), starts.end(), random);
  chunk_book book;
  REQUIRE(book.find(at(0x10000)) == nullptr);
  for (const std::uintptr_t start : starts) {
    REQUIRE(book.reserve_one());
    book.insert({at(start), 0x8000}, start / 0x10000);
  }
  REQUIRE(book.size() == 200);
  for (const std::uintptr_t start : starts) {
    for (const std::uintptr_t inside : {start, start + 1, start + 0x7FFF}) {
      const chunk_entry* const found = book.find(at(inside));
      REQUIRE(found != nullptr);
      REQUIRE(found->whole.data == at(start));
      REQUIRE(found->slot_class == start / 0x10000);
    }
    REQUIRE(book.find(at(start - 1)) == nullptr);
    REQUIRE(book.find(at(start + 0x8000)) == nullptr);
  }
  REQUIRE(book.find(nullptr) == nullptr);
  REQUIRE(book.find(at(~std::uintptr_t{0})) == nullptr);
}

TEST_CASE("chunks leave in any order and the rest stays sorted", "[alloc]") {
  chunk_book book;
  for (std::uintptr_t k = 10; k != 0; --k) {
    REQUIRE(book.reserve_one());
    book.insert({at(k * 0x1000), 0x1000}, k);
  }
  book.erase_if([](const chunk_entry& c) { return c.slot_class % 3 == 0; });
  REQUIRE(book.size() == 7);
  REQUIRE(book.find(at(0x3000)) == nullptr);
  REQUIRE(book.find(at(0x4FFF))->slot_class == 4);
  REQUIRE(std::is_sorted(book.begin(), book.end(), [](const chunk_entry& a, const chunk_entry& b) {
    return a.whole.data < b.whole.data;
  }));
  book.clear();
  REQUIRE(book.find(at(0x4000)) == nullptr);
}
