#include <tokenheap/alloc/guarded.hpp>

#include <support/catch.hpp>
#include <support/recorder.hpp>
#include <support/sources.hpp>

#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/alloc/source_ref.hpp>

using namespace tokenheap;
using support::counting_source;
using support::failing_options;
using support::failing_source;
using support::recorder;

namespace {

using canaries = guard<guard_shape{.canary = 16}>;
using holding = guard<guard_shape{.quarantine = 1 * KiB}>;
using poisoning = guard<guard_shape{.quarantine = 1 * KiB, .poison = true}>;

struct checked : layered<counting_source, slab<>, with<guard<>>> {
  using layered::layered;
};

unsigned char* bytes_of(allocation a) { return static_cast<unsigned char*>(a.data); }

}  // namespace

TEST_CASE("sound use of a guard says nothing", "[alloc]") {
  const recorder seen;
  {
    checked mem;
    std::vector<allocation> all;
    for (std::size_t k = 1; k != 500; ++k) all.push_back(mem.allocate(k));
    REQUIRE(mem.live() == 499);
    for (const allocation& a : all) mem.deallocate(a);
    REQUIRE(mem.live() == 0);
    REQUIRE(mem.is_valid());
    mem.deallocate({});
    mem.deallocate({nullptr, 64});
  }
  REQUIRE(seen.count() == 0);
}

TEST_CASE("a double free is reported with pool, size and address, and changes nothing", "[alloc][bad]") {
  const recorder seen;
  checked mem(guard_options{.name = "requests"});
  const allocation a = mem.allocate(100);
  const allocation b = mem.allocate(100);
  mem.deallocate(a);
  mem.deallocate(a);
  REQUIRE(seen.only(errc::double_free));
  REQUIRE(seen.last().address == a.data);
  REQUIRE(seen.last().need == 112);
  REQUIRE(std::string_view(seen.last().pool) == "requests");
  REQUIRE(seen.line().find("pool 'requests': double free: bytes of an allocation; need 112") == 0);
  REQUIRE(seen.line().find("fix: give back each allocation once") != std::string::npos);
  // the slot is free once: it is given out once
  REQUIRE(mem.allocate(100).data == a.data);
  REQUIRE(mem.allocate(100).data != a.data);
  mem.deallocate(b);
  REQUIRE(mem.is_valid());
  REQUIRE(seen.count() == 1);
}

TEST_CASE("a double free is still one after the book was rebuilt, though then as foreign", "[alloc][bad]") {
  checked mem;
  const recorder seen;
  const allocation a = mem.allocate(100);
  mem.deallocate(a);
  // other sizes, so that the address does not come back into use
  std::vector<allocation> all;
  for (int k = 0; k != 1000; ++k) all.push_back(mem.allocate(1000));
  mem.deallocate(a);
  REQUIRE(seen.only(errc::foreign_pointer));
  for (const allocation& other : all) mem.deallocate(other);
  REQUIRE(seen.count() == 1);
  REQUIRE(mem.is_valid());
}

TEST_CASE("a double free of a piece that was given out again is the new owner's loss, not the book's", "[alloc]") {
  const recorder seen;
  checked mem;
  const allocation a = mem.allocate(100);
  mem.deallocate(a);
  REQUIRE(mem.allocate(100).data == a.data);
  mem.deallocate(a);  // no address tells the two apart
  REQUIRE(seen.count() == 0);
  REQUIRE(mem.live() == 0);
}

TEST_CASE("an interior pointer is told from a foreign one", "[alloc][bad]") {
  const recorder seen;
  checked mem;
  const allocation a = mem.allocate(100);
  for (const std::size_t at : {1u, 16u, 111u}) {
    mem.deallocate({offset(a.data, at), a.size});
    REQUIRE(seen.last().code == errc::interior_pointer);
  }
  mem.deallocate({offset(a.data, 112), 112});
  REQUIRE(seen.last().code == errc::foreign_pointer);
  int elsewhere = 0;
  mem.deallocate({&elsewhere, sizeof elsewhere});
  REQUIRE(seen.last().code == errc::foreign_pointer);
  mem.deallocate({reinterpret_cast<void*>(~std::uintptr_t{0}), 1});
  REQUIRE(seen.last().code == errc::foreign_pointer);
  REQUIRE(seen.count() == 6);
  REQUIRE(mem.live() == 1);
  mem.deallocate(a);
  REQUIRE(seen.count() == 6);
}

TEST_CASE("a pointer of one pool given to another is foreign there", "[alloc][bad]") {
  const recorder seen;
  checked one(guard_options{.name = "one"});
  checked other(guard_options{.name = "other"});
  const allocation a = one.allocate(64);
  static_cast<void>(other.allocate(64));
  other.deallocate(a);
  REQUIRE(seen.only(errc::foreign_pointer));
  REQUIRE(std::string_view(seen.last().pool) == "other");
  one.deallocate(a);
  REQUIRE(seen.count() == 1);
}

TEST_CASE("a wrong size names both sizes, and the piece stays out", "[alloc][bad]") {
  const recorder seen;
  checked mem;
  const allocation a = mem.allocate(100);
  for (const std::size_t size : {std::size_t{0}, std::size_t{100}, std::size_t{111}, std::size_t{113}, std::size_t{224},
                                 ~std::size_t{0}}) {
    mem.deallocate({a.data, size});
    REQUIRE(seen.last().code == errc::wrong_size);
    REQUIRE(seen.last().need == size);
    REQUIRE(seen.last().limit == 112);
  }
  REQUIRE(seen.count() == 6);
  REQUIRE(mem.live() == 1);
  mem.deallocate(a);
  REQUIRE(seen.count() == 6);
  REQUIRE(mem.live() == 0);
}

TEST_CASE("with a canary the caller sees what he asked for, and one byte behind it is seen", "[alloc][bad]") {
  const recorder seen;
  layered<counting_source, with<canaries>> mem;
  const allocation a = mem.allocate(100);
  REQUIRE(a.size == 100);
  REQUIRE(mem.floor<counting_source>().live_bytes == 116);
  std::memset(a.data, 0xFF, 100);
  REQUIRE(mem.is_valid());
  for (const std::size_t at : {100u, 115u}) {
    const unsigned char before = bytes_of(a)[at];
    bytes_of(a)[at] ^= 1;
    REQUIRE_FALSE(mem.is_valid());
    bytes_of(a)[at] = before;
    REQUIRE(mem.is_valid());
  }
  bytes_of(a)[100] ^= 0x80;
  mem.deallocate(a);
  REQUIRE(seen.only(errc::corrupted));
  REQUIRE(seen.last().address == a.data);
  REQUIRE(seen.line().find("behind the end") != std::string::npos);
  REQUIRE(mem.live() == 0);
}

TEST_CASE("behind a canary a slot is guarded up to its end", "[alloc][bad]") {
  const recorder seen;
  layered<counting_source, slab<>, with<canaries>> mem;
  const allocation a = mem.allocate(100);  // 116 bytes of a slot of 128
  bytes_of(a)[127] = 0;
  mem.deallocate(a);
  REQUIRE(seen.only(errc::corrupted));
}

TEST_CASE("a canary moves along when a piece grows in place", "[alloc][bad]") {
  const recorder seen;
  {
    layered<counting_source, arena<>, with<canaries>> mem;
    allocation a = mem.allocate(100);
    std::memset(a.data, 1, a.size);
    REQUIRE(mem.try_grow(a, 300));
    REQUIRE(a.size == 300);
    std::memset(a.data, 2, a.size);
    REQUIRE(mem.is_valid());
    const allocation b = mem.allocate(10);
    const allocation kept = a;
    REQUIRE_FALSE(mem.try_grow(a, 400));
    REQUIRE(a == kept);
    REQUIRE(mem.is_valid());
    allocation wrong{a.data, 299};
    REQUIRE_FALSE(mem.try_grow(wrong, 400));
    allocation inside{offset(a.data, 16), 100};
    REQUIRE_FALSE(mem.try_grow(inside, 400));
    REQUIRE_FALSE(mem.try_grow(a, ~std::size_t{0} - 3));
    REQUIRE(seen.count() == 2);
    REQUIRE(seen[0].code == errc::wrong_size);
    REQUIRE(seen[1].code == errc::interior_pointer);
    mem.deallocate(b);
    mem.deallocate(a);
  }
  REQUIRE(seen.count() == 2);
}

TEST_CASE("quarantine keeps addresses from coming back at once, within its bytes", "[alloc]") {
  const recorder leaks;
  layered<counting_source, slab<>, with<holding>> mem;
  const allocation a = mem.allocate(128);
  mem.deallocate(a);
  REQUIRE(mem.quarantined_bytes() == 128);
  REQUIRE(mem.live() == 0);
  for (int k = 0; k != 7; ++k) {
    const allocation b = mem.allocate(128);
    REQUIRE(b.data != a.data);
    mem.deallocate(b);
    REQUIRE(mem.quarantined_bytes() <= 1 * KiB);
  }
  REQUIRE(mem.quarantined_bytes() == 1 * KiB);
  const allocation last = mem.allocate(128);
  mem.deallocate(last);  // the ninth: the first leaves
  REQUIRE(mem.quarantined_bytes() == 1 * KiB);
  REQUIRE(mem.allocate(128).data == a.data);
  const allocation larger = mem.allocate(1 * KiB + 1);
  mem.deallocate(larger);  // larger than all of the quarantine: it goes at once
  REQUIRE(mem.quarantined_bytes() == 1 * KiB);
}

TEST_CASE("a double free of a piece in quarantine is known as one", "[alloc][bad]") {
  const recorder seen;
  layered<counting_source, with<holding>> mem;
  const allocation a = mem.allocate(100);
  mem.deallocate(a);
  mem.deallocate(a);
  REQUIRE(seen.only(errc::double_free));
  REQUIRE(mem.quarantined_bytes() == 100);
}

TEST_CASE("a write after the free is found when the piece leaves quarantine", "[alloc][bad]") {
  const recorder seen;
  {
    layered<counting_source, with<poisoning>> mem;
    const allocation a = mem.allocate(64);
    const allocation b = mem.allocate(64);
    mem.deallocate(a);
    mem.deallocate(b);
    bytes_of(a)[63] = 0;
    REQUIRE(seen.count() == 0);
  }
  REQUIRE(seen.only(errc::corrupted));
  REQUIRE(seen.last().need == 64);
}

TEST_CASE("quarantine is emptied before anybody is refused", "[alloc]") {
  const recorder leaks;
  layered<failing_source, slab<slab_shape{.largest = 1 * KiB, .chunk = 8 * KiB}>, with<holding>> mem(
      failing_options{.after = 1});
  std::vector<allocation> all;
  for (int k = 0; k != 8; ++k) all.push_back(mem.allocate(1 * KiB));
  REQUIRE_FALSE(mem.allocate(1 * KiB));
  mem.deallocate(all[0]);
  REQUIRE(mem.quarantined_bytes() == 1 * KiB);
  const allocation again = mem.allocate(1 * KiB);
  REQUIRE(again == all[0]);
  REQUIRE(mem.quarantined_bytes() == 0);
}

TEST_CASE("trim and reset empty the quarantine", "[alloc]") {
  layered<counting_source, arena<>, slab<>, with<holding>> mem;
  mem.deallocate(mem.allocate(100));
  REQUIRE(mem.quarantined_bytes() == 112);
  static_cast<void>(mem.trim());
  REQUIRE(mem.quarantined_bytes() == 0);
  mem.deallocate(mem.allocate(100));
  static_cast<void>(mem.allocate(100));
  mem.reset();
  REQUIRE(mem.quarantined_bytes() == 0);
  REQUIRE(mem.live() == 0);
}

TEST_CASE("what is still out at the end is reported once, with number and bytes", "[alloc][bad]") {
  const recorder seen;
  support::counting_source heap;
  allocation a;
  allocation b;
  {
    layered<source_ref, with<guard<>>> mem(source_ref{heap}, guard_options{.name = "leaky"});
    a = mem.allocate(100);
    b = mem.allocate(50);
    mem.deallocate(mem.allocate(7));
  }
  REQUIRE(seen.only(errc::leaked));
  REQUIRE(seen.last().need == 150);
  REQUIRE(seen.last().limit == 2);
  REQUIRE(std::string_view(seen.last().pool) == "leaky");
  REQUIRE(heap.live == 2);
  heap.deallocate(a);
  heap.deallocate(b);
}

TEST_CASE("a reset pool has leaked nothing", "[alloc]") {
  const recorder seen;
  {
    layered<counting_source, arena<>, with<guard<>>> mem;
    const allocation a = mem.allocate(64);
    mem.reset();
    REQUIRE(mem.live() == 0);
    mem.deallocate(a);
    REQUIRE(seen.only(errc::foreign_pointer));
  }
  REQUIRE(seen.count() == 1);
}

TEST_CASE("a guard watches memory that it must not touch", "[alloc][bad]") {
  const recorder seen;
  {
    layered<support::untouchable_source, arena<>, slab<>, with<holding>> mem;
    const allocation a = mem.allocate(1000);
    mem.deallocate(a);
    mem.deallocate(a);
    REQUIRE(seen.only(errc::double_free));
    const allocation b = mem.allocate(64);
    mem.deallocate({offset(b.data, 1), 64});
    REQUIRE(seen.last().code == errc::interior_pointer);
    mem.deallocate(b);
    REQUIRE(mem.is_valid());
  }
  REQUIRE(seen.count() == 2);
}

TEST_CASE("requests that make no sense are refused before the book is asked", "[alloc][bad]") {
  layered<counting_source, with<canaries>> mem;
  REQUIRE_FALSE(mem.allocate(0));
  REQUIRE_FALSE(mem.allocate(~std::size_t{0}));
  REQUIRE_FALSE(mem.allocate(~std::size_t{0} - 15));
  REQUIRE_FALSE(mem.allocate(max_allocation));  // the canary would not fit
  REQUIRE_FALSE(mem.allocate(64, 3));
  REQUIRE(mem.live() == 0);
  REQUIRE(mem.floor<counting_source>().live == 0);
}

TEST_CASE("the name of a guard is its own, or that of the floor below", "[alloc]") {
  layered<counting_source, slab<>, with<guard<>>> unnamed;
  REQUIRE(std::string_view(unnamed.name()) == "counting");
  layered<counting_source, slab<>, with<guard<>>> named(guard_options{.name = "mine"});
  REQUIRE(std::string_view(named.name()) == "mine");
  layered<failing_source, with<guard<>>> nameless;
  REQUIRE(std::string_view(nameless.name()) == "unnamed");
}

#ifdef TOKENHEAP_HAS_ASAN
extern "C" int __asan_address_is_poisoned(void const volatile* address);

TEST_CASE("AddressSanitizer knows which bytes are out", "[alloc]") {
  layered<counting_source, slab<>, with<guard<guard_shape{.canary = 16, .quarantine = 4 * KiB, .annotate = true}>>> mem;
  const allocation a = mem.allocate(100);
  REQUIRE(__asan_address_is_poisoned(bytes_of(a) + 99) == 0);
  REQUIRE(__asan_address_is_poisoned(bytes_of(a) + 104) == 1);
  mem.deallocate(a);
  REQUIRE(__asan_address_is_poisoned(bytes_of(a)) == 1);
  // the quarantine is empty after a trim; the chunk stays, or the heap would forbid its bytes itself
  REQUIRE(mem.trim(1 * MiB) == 0);
  REQUIRE(__asan_address_is_poisoned(bytes_of(a)) == 0);
}

TEST_CASE("AddressSanitizer sees the canary move when a piece grows", "[alloc]") {
  layered<counting_source, arena<>, with<guard<guard_shape{.canary = 16, .annotate = true}>>> mem;
  allocation a = mem.allocate(100);
  REQUIRE(mem.try_grow(a, 1000));
  REQUIRE(__asan_address_is_poisoned(bytes_of(a) + 104) == 0);
  REQUIRE(__asan_address_is_poisoned(bytes_of(a) + 1000) == 1);
  std::memset(a.data, 1, a.size);
  mem.deallocate(a);
}
#endif

TEST_CASE("misuse through try_grow is reported like any other", "[alloc][bad]") {
  const recorder seen;
  layered<counting_source, arena<>, with<guard<>>> mem(guard_options{.name = "growing"});
  const allocation a = mem.allocate(64);
  allocation wrong{a.data, 32};
  REQUIRE_FALSE(mem.try_grow(wrong, 128));
  REQUIRE(seen.last().code == errc::wrong_size);
  allocation inside{bytes_of(a) + 16, 16};
  REQUIRE_FALSE(mem.try_grow(inside, 128));
  REQUIRE(seen.last().code == errc::interior_pointer);
  mem.deallocate(a);
  allocation gone = a;
  REQUIRE_FALSE(mem.try_grow(gone, 128));
  REQUIRE(seen.last().code == errc::double_free);
  REQUIRE(seen.count() == 3);
  allocation none;
  REQUIRE_FALSE(mem.try_grow(none, 128));
  REQUIRE(seen.count() == 3);
}

TEST_CASE("a damaged canary is reported at reset and at the end too", "[alloc][bad]") {
  const recorder seen;
  {
    layered<counting_source, arena<>, with<guard<guard_shape{.canary = 16}>>> mem;
    bytes_of(mem.allocate(64))[64] = 1;
    mem.reset();
    REQUIRE(seen.only(errc::corrupted));
    bytes_of(mem.allocate(64))[64] = 1;
  }
  REQUIRE(seen.count() == 3);
  REQUIRE(seen[1].code == errc::corrupted);
  REQUIRE(seen[2].code == errc::leaked);
}

TEST_CASE("a pointer into a piece in quarantine is an interior one", "[alloc][bad]") {
  const recorder seen;
  layered<counting_source, slab<>, with<guard<guard_shape{.quarantine = 4 * KiB}>>> mem;
  const allocation a = mem.allocate(256);
  mem.deallocate(a);
  mem.deallocate({bytes_of(a) + 64, 64});
  REQUIRE(seen.only(errc::interior_pointer));
}
