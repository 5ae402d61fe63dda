#include <tokenheap/source/fixed.hpp>

#include <support/catch.hpp>
#include <support/recorder.hpp>

#include <string>

using namespace tokenheap;

namespace {
alignas(4096) unsigned char buffer[4096];
}  // namespace

TEST_CASE("fixed: the whole buffer, to the last byte", "[fixed]") {
  fixed_source source({.data = buffer, .size = sizeof buffer});
  const allocation a = source.allocate(4096, 4096);
  CHECK(a == allocation{buffer, 4096});
  CHECK(source.available() == 0);
  CHECK_FALSE(source.allocate(1, 1));
  CHECK(source.last_failure().code == errc::out_of_memory);
  source.deallocate(a);
  CHECK(source.available() == 4096);
  CHECK(source.is_valid());
}

TEST_CASE("fixed: a misaligned buffer gives aligned addresses", "[fixed]") {
  fixed_source source({.data = buffer + 3, .size = 1000});
  const allocation a = source.allocate(100, 64);
  CHECK(a.data == buffer + 64);
  const allocation b = source.allocate(10, 1);
  CHECK(b.data == buffer + 164);
  CHECK(source.owns(buffer + 3));
  CHECK(source.owns(buffer + 1002));
  CHECK_FALSE(source.owns(buffer + 1003));
  CHECK_FALSE(source.owns(buffer + 2));
}

TEST_CASE("fixed: holes are used again when the end is full", "[fixed]") {
  fixed_source source({.data = buffer, .size = 300});
  const allocation a = source.allocate(100, 1);
  const allocation b = source.allocate(100, 1);
  const allocation c = source.allocate(100, 1);
  source.deallocate(b);
  CHECK(source.allocate(101, 1) == allocation{});
  CHECK(source.allocate(100, 1) == b);
  source.deallocate(a);
  CHECK(source.allocate(60, 1).data == a.data);
  source.deallocate(c);
  CHECK(source.available() == 100);
  source.reset();
  CHECK(source.available() == 300);
  CHECK(source.is_valid());
}

TEST_CASE("fixed: grows a piece into the free bytes behind it", "[fixed]") {
  fixed_source source({.data = buffer, .size = 300});
  allocation a = source.allocate(100, 1);
  allocation b = source.allocate(100, 1);
  CHECK_FALSE(source.try_grow(a, 101));
  CHECK(source.try_grow(b, 200));
  CHECK(b.size == 200);
  CHECK_FALSE(source.try_grow(b, 201));
  source.deallocate(b);
  CHECK(source.try_grow(a, 300));
  CHECK(a.size == 300);
}

TEST_CASE("fixed: bad requests and their reasons", "[fixed]") {
  fixed_source source({.data = buffer, .size = 1000, .name = "tensor"});
  CHECK_FALSE(source.allocate(0, 16));
  CHECK(source.last_failure().code == errc::invalid_argument);
  CHECK_FALSE(source.allocate(1, 48));
  CHECK(std::string(source.last_failure().fix) == "use a power of two up to max_alignment as the alignment");
  CHECK_FALSE(source.allocate(1001, 1));
  CHECK(source.last_failure().code == errc::too_large);
  CHECK(source.last_failure().need == 1001);
  CHECK(source.last_failure().limit == 1000);
  CHECK_FALSE(source.allocate(~std::size_t{0}, 1));
  CHECK(source.last_failure().code == errc::invalid_argument);
  const allocation taken = source.allocate(1, 1);
  CHECK_FALSE(source.allocate(1, max_alignment));
  CHECK(source.last_failure().code == errc::out_of_memory);
  CHECK(std::string(source.last_failure().pool) == "tensor");
  source.deallocate(taken);
  CHECK(source.available() == 1000);
}

TEST_CASE("fixed: no buffer, an empty one, and one that wraps hold nothing", "[fixed]") {
  const auto with = GENERATE(fixed_options{}, fixed_options{.data = nullptr, .size = 100},
                             fixed_options{.data = buffer, .size = 0},
                             fixed_options{.data = buffer, .size = ~std::size_t{0}});
  fixed_source source(with);
  CHECK(source.capacity() == 0);
  CHECK_FALSE(source.allocate(1, 1));
  CHECK(source.last_failure().code == errc::too_large);
  CHECK_FALSE(source.owns(buffer));
  CHECK_FALSE(source.owns(nullptr));
  CHECK(source.is_valid());
}

TEST_CASE("fixed: every misuse has its name and changes nothing", "[fixed]") {
  const support::recorder seen;
  fixed_source source({.data = buffer, .size = 300, .name = "tensor"});
  const allocation a = source.allocate(100, 1);
  const allocation b = source.allocate(100, 1);
  unsigned char foreign = 0;
  source.deallocate({&foreign, 1});
  CHECK(seen.last().code == errc::foreign_pointer);
  source.deallocate({offset(a.data, 1), 99});
  CHECK(seen.last().code == errc::interior_pointer);
  source.deallocate({a.data, 99});
  CHECK(seen.last().code == errc::wrong_size);
  source.deallocate({a.data, 0});
  CHECK(seen.last().code == errc::wrong_size);
  CHECK(seen.count() == 4);
  source.deallocate(a);
  CHECK(seen.count() == 4);
  source.deallocate(a);
  CHECK(seen.last().code == errc::double_free);
  CHECK(seen.line().find("pool 'tensor'") != std::string::npos);
  CHECK(seen.count() == 5);
  CHECK(source.available() == 100);
  source.deallocate(b);
  CHECK(source.available() == 300);
}

TEST_CASE("fixed: an address that was never given out is a stranger, even inside the buffer", "[fixed]") {
  const support::recorder seen;
  fixed_source source({.data = buffer, .size = 1000});
  const auto misuse = [&](allocation a) {
    source.deallocate(a);
    return seen.last().code;
  };
  allocation a = source.allocate(100, 1);
  const allocation b = source.allocate(100, 1);
  CHECK(misuse({buffer + 500, 10}) == errc::foreign_pointer);
  CHECK(misuse({buffer + 200, 100}) == errc::foreign_pointer);
  CHECK(misuse({buffer + 150, 50}) == errc::interior_pointer);
  source.deallocate(b);
  CHECK(misuse(b) == errc::double_free);
  CHECK(misuse({buffer + 150, 50}) == errc::foreign_pointer);
  // bytes that went out again in a larger piece: the old start lies inside it, and is no start any more when it goes
  CHECK(source.try_grow(a, 150));
  CHECK(misuse(b) == errc::interior_pointer);
  source.deallocate(a);
  CHECK(misuse(b) == errc::foreign_pointer);
  CHECK(misuse(a) == errc::double_free);
  const allocation c = source.allocate(60, 1);
  CHECK(c.data == a.data);
  CHECK(misuse({a.data, 150}) == errc::wrong_size);
  source.reset();
  CHECK(misuse(c) == errc::double_free);
  CHECK(seen.count() == 10);
  CHECK(source.is_valid());
  CHECK(source.available() == 1000);
}

TEST_CASE("fixed: many pieces gone are forgotten when one covers them", "[fixed]") {
  const support::recorder seen;
  fixed_source source({.data = buffer, .size = 4096});
  allocation all[64];
  for (allocation& a : all) a = source.allocate(64, 1);
  for (int k = 63; k >= 0; k -= 2) source.deallocate(all[k]);
  for (int k = 0; k < 64; k += 2) source.deallocate(all[k]);
  for (const allocation& a : all) {
    source.deallocate(a);
    REQUIRE(seen.last().code == errc::double_free);
  }
  const allocation half = source.allocate(2048 + 32, 1);
  source.deallocate(half);
  for (int k = 0; k < 64; ++k) {
    source.deallocate(all[k]);
    const errc expected = k == 0 || k > 32 ? errc::double_free : errc::foreign_pointer;
    REQUIRE(seen.last().code == expected);
  }
  CHECK(source.is_valid());
}

TEST_CASE("fixed: device memory is never touched", "[fixed]") {
  // an address that faults when it is read or written
  basic_fixed_source<device_space> source({.data = reinterpret_cast<void*>(0x7000'0000'0000), .size = 8 * GiB});
  const allocation a = source.allocate(5 * GiB, 512);
  REQUIRE(a);
  CHECK(a.size == 5 * GiB);
  source.deallocate(a);
  CHECK(source.available() == 8 * GiB);
}
