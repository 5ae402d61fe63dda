#include <tokenheap/alloc/ledger.hpp>

#include <support/catch.hpp>

#include <map>
#include <random>

using namespace tokenheap;
using state = ledger_entry::state;

namespace {
const void* at(std::uintptr_t address) { return reinterpret_cast<const void*>(address); }
}  // namespace

TEST_CASE("an empty ledger knows nothing", "[alloc][bad]") {
  const ledger book;
  REQUIRE(book.find(nullptr) == nullptr);
  REQUIRE(book.find(at(64)) == nullptr);
  REQUIRE(book.find_around(at(64)) == nullptr);
  REQUIRE(book.live() == 0);
  REQUIRE(book.is_valid());
}

TEST_CASE("an entry is 24 bytes and keeps both sizes", "[alloc]") {
  STATIC_REQUIRE(sizeof(ledger_entry) == 24);
  ledger book;
  REQUIRE(book.reserve_one());
  book.insert(at(0x1000), 100, 112);
  REQUIRE(book.find(at(0x1000))->requested == 100);
  REQUIRE(book.find(at(0x1000))->granted == 112);
  REQUIRE(book.find(at(0x1008)) == nullptr);
  REQUIRE(book.find_around(at(0x106F))->address == 0x1000);
  REQUIRE(book.find_around(at(0x1070)) == nullptr);
  book.set_sizes(at(0x1000), 110, 128);
  REQUIRE(book.find(at(0x1000))->granted == 128);
  book.mark(at(0x1000), state::gone);
  REQUIRE(book.live() == 0);
  REQUIRE(book.find(at(0x1000))->is() == state::gone);
  REQUIRE(book.find_around(at(0x1001)) == nullptr);
}

TEST_CASE("a ledger agrees with a map through growth, reuse and rebuilds", "[alloc]") {
  const unsigned seed = 11;
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  ledger book;
  std::map<std::uintptr_t, std::size_t> live;
  for (std::size_t round = 0; round != 20'000; ++round) {
    const std::uintptr_t address = (1 + random() % 3000) * 16;
    if (const auto known = live.find(address); known != live.end()) {
      book.mark(at(address), state::gone);
      live.erase(known);
    } else if (live.size() < 1000) {
      REQUIRE(book.reserve_one());
      book.insert(at(address), round, round + 1);
      live[address] = round;
    }
    if (round % 500 != 0) continue;
    REQUIRE(book.live() == live.size());
    REQUIRE(book.is_valid());
    for (const auto& [where, requested] : live) {
      REQUIRE(book.find(at(where))->is() == state::live);
      REQUIRE(book.find(at(where))->requested == requested);
    }
  }
  std::size_t walked = 0;
  book.for_each_live([&](const ledger_entry& e) { walked += live.count(e.address); });
  REQUIRE(walked == live.size());
  book.clear();
  REQUIRE(book.live() == 0);
  REQUIRE(book.is_valid());
  REQUIRE(book.find(at(16)) == nullptr);
}

TEST_CASE("held addresses outlive a rebuild, gone ones do not", "[alloc]") {
  ledger book;
  REQUIRE(book.reserve_one());
  book.insert(at(0x10), 1, 16);
  book.mark(at(0x10), state::held);
  REQUIRE(book.reserve_one());
  book.insert(at(0x20), 1, 16);
  book.mark(at(0x20), state::gone);
  for (std::uintptr_t k = 1; k != 200; ++k) {
    REQUIRE(book.reserve_one());
    book.insert(at(0x1000 + k * 16), 1, 16);
  }
  REQUIRE(book.find(at(0x10))->is() == state::held);
  REQUIRE(book.find(at(0x20)) == nullptr);
  REQUIRE(book.live() == 199);
}
