#include <tokenheap/alloc/arena.hpp>

#include <support/catch.hpp>
#include <support/sources.hpp>

#include <cstring>
#include <string>
#include <vector>

#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/source_ref.hpp>
#include <tokenheap/source/fixed.hpp>

using namespace tokenheap;
using support::counting_source;
using support::failing_options;
using support::failing_source;

namespace {
using small_arena = layered<counting_source, arena<arena_shape{.chunk = 1 * KiB}>>;
}

TEST_CASE("an arena bumps, and takes one chunk at a time", "[alloc]") {
  small_arena mem;
  REQUIRE(mem.floor<counting_source>().taken == 0);
  const allocation a = mem.allocate(1);
  const allocation b = mem.allocate(17);
  REQUIRE(a.size == 16);
  REQUIRE(b.size == 32);
  REQUIRE(b.data == offset(a.data, 16));
  REQUIRE(mem.stats().used == 48);
  REQUIRE(mem.stats().reserved == 1 * KiB);
  for (int k = 0; k != 61; ++k) REQUIRE(mem.allocate(16));
  REQUIRE(mem.floor<counting_source>().taken == 1);
  REQUIRE(mem.stats().used == 1 * KiB);
  REQUIRE(mem.allocate(16));
  REQUIRE(mem.floor<counting_source>().taken == 2);
  REQUIRE(mem.stats().used == 1 * KiB + 16);
  REQUIRE(mem.is_valid());
}

TEST_CASE("an arena gives all chunks down at its end", "[alloc]") {
  counting_source heap;
  {
    layered<source_ref, arena<arena_shape{.chunk = 1 * KiB}>> mem(source_ref{heap});
    for (int k = 0; k != 20; ++k) REQUIRE(mem.allocate(900));
    REQUIRE(heap.live == 20);
  }
  REQUIRE(heap.live == 0);
}

TEST_CASE("an arena takes the last piece back, and only the last", "[alloc]") {
  small_arena mem;
  const allocation a = mem.allocate(64);
  const allocation b = mem.allocate(64);
  mem.deallocate(a);
  REQUIRE(mem.stats().used == 128);
  mem.deallocate(b);
  REQUIRE(mem.stats().used == 64);
  REQUIRE(mem.allocate(32).data == b.data);
}

TEST_CASE("pieces given back youngest first all come back", "[alloc]") {
  small_arena mem;
  std::vector<allocation> pieces;
  for (int k = 0; k != 10; ++k) pieces.push_back(mem.allocate(50));
  while (!pieces.empty()) {
    mem.deallocate(pieces.back());
    pieces.pop_back();
  }
  REQUIRE(mem.stats().used == 0);
}

TEST_CASE("the last piece of the chunk before is not the last piece, though it touches this chunk", "[alloc]") {
  // chunks that lie end to end, as a buffer of the user's own gives them
  alignas(64) static unsigned char bytes[8 * KiB];
  layered<fixed_source, arena<arena_shape{.chunk = 1 * KiB}>> mem(fixed_options{.data = bytes, .size = sizeof bytes});
  allocation first = mem.allocate(1 * KiB);
  const allocation second = mem.allocate(64);
  REQUIRE(second.data == offset(first.data, first.size));
  mem.deallocate(second);
  const allocation before = first;
  REQUIRE_FALSE(mem.try_grow(first, 1 * KiB + 16));
  REQUIRE(first == before);
  mem.deallocate(first);
  REQUIRE(mem.is_valid());
  REQUIRE(mem.stats().used == 1 * KiB);
  REQUIRE(mem.allocate(1 * KiB).data == second.data);
  REQUIRE(mem.is_valid());
}

TEST_CASE("the last piece grows in place, to the end of its chunk and no further", "[alloc]") {
  small_arena mem;
  allocation a = mem.allocate(16);
  allocation b = mem.allocate(16);
  const allocation kept = a;
  REQUIRE_FALSE(mem.try_grow(a, 17));
  REQUIRE(a == kept);
  REQUIRE(mem.try_grow(b, 40));
  REQUIRE(b.size == 48);
  REQUIRE(mem.try_grow(b, 1 * KiB - 16));
  REQUIRE(b.size == 1 * KiB - 16);
  REQUIRE_FALSE(mem.try_grow(b, 1 * KiB - 15));
  REQUIRE(b.size == 1 * KiB - 16);
  REQUIRE(mem.try_grow(b, 1));
  REQUIRE(b.size == 1 * KiB - 16);
}

TEST_CASE("growth that no arena can give is refused", "[alloc][bad]") {
  small_arena mem;
  allocation none{};
  REQUIRE_FALSE(mem.try_grow(none, 1));
  allocation a = mem.allocate(16);
  for (const std::size_t bytes : {~std::size_t{0}, ~std::size_t{0} - 8, max_allocation}) {
    REQUIRE_FALSE(mem.try_grow(a, bytes));
    REQUIRE(a.size == 16);
  }
}

TEST_CASE("reset keeps the chunks and uses them again", "[alloc]") {
  small_arena mem;
  void* const first = mem.allocate(1 * KiB).data;
  static_cast<void>(mem.allocate(1 * KiB));
  mem.reset();
  REQUIRE(mem.stats().used == 0);
  REQUIRE(mem.stats().reserved == 2 * KiB);
  REQUIRE(mem.allocate(1 * KiB).data == first);
  REQUIRE(mem.allocate(1 * KiB));
  REQUIRE(mem.floor<counting_source>().taken == 2);
}

TEST_CASE("trim gives empty chunks down until at most `keep` bytes of them stay", "[alloc]") {
  small_arena mem;
  for (int k = 0; k != 8; ++k) REQUIRE(mem.allocate(1 * KiB));
  REQUIRE(mem.trim() == 0);
  mem.reset();
  REQUIRE(mem.trim(3 * KiB + 100) == 5 * KiB);
  REQUIRE(mem.stats().reserved == 3 * KiB);
  REQUIRE(mem.floor<counting_source>().live == 3);
  REQUIRE(mem.allocate(16));
  REQUIRE(mem.trim(0) == 2 * KiB);
  REQUIRE(mem.is_valid());
  mem.reset();
  REQUIRE(mem.trim(0) == 1 * KiB);
  REQUIRE(mem.stats().reserved == 0);
  REQUIRE(mem.is_valid());
  REQUIRE(mem.allocate(16));
}

TEST_CASE("rollback forgets what came after the mark, across chunks", "[alloc]") {
  small_arena mem;
  const arena_mark start = mem.mark();
  const allocation a = mem.allocate(100);
  std::memset(a.data, 0x5A, a.size);
  const arena_mark after_a = mem.mark();
  const std::size_t used = mem.stats().used;
  for (int k = 0; k != 5; ++k) REQUIRE(mem.allocate(1 * KiB));
  REQUIRE(mem.rollback(after_a) == errc::ok);
  REQUIRE(mem.stats().used == used);
  REQUIRE(mem.is_valid());
  const allocation b = mem.allocate(64);
  REQUIRE(b.data == offset(a.data, a.size));
  for (std::size_t k = 0; k != a.size; ++k) REQUIRE(static_cast<unsigned char*>(a.data)[k] == 0x5A);
  REQUIRE(mem.rollback(start) == errc::ok);
  REQUIRE(mem.stats().used == 0);
  REQUIRE(mem.allocate(16).data == a.data);
}

TEST_CASE("a mark that lies ahead, or nowhere, is refused and changes nothing", "[alloc][bad]") {
  small_arena mem;
  REQUIRE(mem.rollback({.chunk = 1, .used = 0}) == errc::invalid_argument);
  REQUIRE(mem.rollback({.chunk = 0, .used = 16}) == errc::invalid_argument);
  REQUIRE(mem.rollback({}) == errc::ok);
  REQUIRE(mem.allocate(64));
  REQUIRE(mem.rollback({.chunk = 0, .used = 80}) == errc::invalid_argument);
  REQUIRE(mem.rollback({.chunk = 1, .used = 0}) == errc::invalid_argument);
  REQUIRE(mem.rollback({.chunk = 0, .used = 7}) == errc::invalid_argument);
  REQUIRE(mem.rollback({.chunk = ~std::size_t{0}, .used = ~std::size_t{0}}) == errc::invalid_argument);
  REQUIRE(mem.stats().used == 64);
  REQUIRE(mem.allocate(1 * KiB));
  REQUIRE(mem.rollback({.chunk = 0, .used = 1 * KiB + 16}) == errc::invalid_argument);
  REQUIRE(mem.is_valid());
}

TEST_CASE("a request larger than a chunk gets its own, and every alignment is honoured", "[alloc]") {
  small_arena mem;
  const allocation large = mem.allocate(10 * KiB + 1);
  REQUIRE(large.size == 10 * KiB + 16);
  REQUIRE(mem.floor<counting_source>().last.size == 10 * KiB + 16);
  for (std::size_t alignment = 1; alignment <= 1 * MiB; alignment *= 2) {
    const allocation a = mem.allocate(24, alignment);
    REQUIRE(a);
    REQUIRE(address_of(a.data) % alignment == 0);
  }
  REQUIRE(mem.is_valid());
}

TEST_CASE("an arena that gets no chunk says no and stays as it was", "[alloc][bad]") {
  layered<failing_source, arena<arena_shape{.chunk = 1 * KiB}>> mem(failing_options{.after = 1});
  const allocation a = mem.allocate(512);
  REQUIRE(a);
  REQUIRE_FALSE(mem.allocate(2 * KiB));
  REQUIRE_FALSE(mem.allocate(513));
  REQUIRE(mem.stats().used == 512);
  REQUIRE(mem.stats().reserved == 1 * KiB);
  REQUIRE(mem.is_valid());
  REQUIRE(mem.allocate(512));
  mem.floor<failing_source>().after = 1;
  REQUIRE(mem.allocate(2 * KiB));
}

TEST_CASE("an empty arena over nothing at all", "[alloc][bad]") {
  layered<failing_source, arena<>> mem(failing_options{.after = 0});
  REQUIRE_FALSE(mem.allocate(1));
  REQUIRE(mem.trim(0) == 0);
  mem.reset();
  REQUIRE(mem.rollback(mem.mark()) == errc::ok);
  REQUIRE(mem.is_valid());
  REQUIRE_FALSE(mem.owns(nullptr));
}

TEST_CASE("the granule is the step and the least alignment", "[alloc]") {
  layered<counting_source, arena<arena_shape{.chunk = 4 * KiB, .granule = 256}>> mem;
  const allocation a = mem.allocate(1, 1);
  const allocation b = mem.allocate(257, 1);
  REQUIRE(a.size == 256);
  REQUIRE(b.size == 512);
  REQUIRE(address_of(a.data) % 256 == 0);
  layered<counting_source, arena<arena_shape{.chunk = 1 * KiB, .granule = 1}>> packed;
  REQUIRE(packed.allocate(3, 1).size == 3);
  const allocation c = packed.allocate(5, 1);
  REQUIRE(packed.stats().used == 8);
  REQUIRE(address_of(packed.allocate(8, 8).data) == address_of(c.data) + 5);
}

TEST_CASE("dump says in one line what an arena holds", "[arena]") {
  struct bump : layered<host_source, arena<arena_shape{.chunk = 1 * KiB}>> {};
  bump mem;
  static_cast<void>(mem.allocate(100));
  char line[128] = {};
  const std::size_t length = mem.dump(line, sizeof line);
  CHECK(length == std::strlen(line));
  CHECK(std::string(line) == "arena on 'host': 1 chunks, 1024 bytes reserved, 112 used");
  CHECK(mem.dump(line, 6) == 5);
  CHECK(std::string(line) == "arena");
}
