#include <tokenheap/source/region_book.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

namespace {
struct region {
  std::uintptr_t address;
  std::size_t size;
};
}  // namespace

TEST_CASE("region_book: finds by any address inside, and by none outside", "[region_book]") {
  region_book<region> book;
  for (const region r : {region{500, 100}, region{100, 50}, region{300, 100}}) {
    REQUIRE(book.reserve_one());
    book.insert(r);
  }
  REQUIRE(book.size() == 3);
  REQUIRE(book.is_valid());
  CHECK(book.find(100) == 0);
  CHECK(book.find(149) == 0);
  CHECK(book.find(150) == 3);
  CHECK(book.find(99) == 3);
  CHECK(book.find(399) == 1);
  CHECK(book.find(599) == 2);
  CHECK(book.find(600) == 3);
  book.erase(1);
  CHECK(book.find(300) == 2);
  CHECK(book.find(500) == 1);
  CHECK(book.is_valid());
}

TEST_CASE("region_book: many, in and out of order", "[region_book]") {
  region_book<region> book;
  for (std::uintptr_t k = 0; k != 1000; ++k) {
    REQUIRE(book.reserve_one());
    book.insert({(k * 7919 % 1000) * 16 + 16, 16});
  }
  REQUIRE(book.is_valid());
  for (std::uintptr_t k = 0; k != 1000; ++k) REQUIRE(book.find(k * 16 + 31) == k);
}

TEST_CASE("region_book: sees what overlaps", "[region_book]") {
  region_book<region> book;
  REQUIRE(book.reserve_one());
  book.insert({100, 50});
  REQUIRE(book.reserve_one());
  book.insert({120, 50});
  CHECK_FALSE(book.is_valid());
}
