#include <tokenheap/alloc/ranges.hpp>

#include <support/catch.hpp>
#include <support/recorder.hpp>
#include <support/sources.hpp>

#include <cstring>
#include <string>
#include <vector>

#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/policy/limit.hpp>
#include <tokenheap/policy/stats.hpp>
#include <tokenheap/source/fixed.hpp>
#include <tokenheap/source/pages.hpp>

using namespace tokenheap;

namespace {

constexpr ranges_shape little{.chunk = 64 * KiB, .granularity = 256};
struct over_heap : layered<support::counting_source, ranges<little>> {};
struct over_buffer : layered<fixed_source, ranges<>> {
  using layered::layered;
};
struct over_pages : layered<page_source, ranges<>> {};
struct over_device : layered<basic_fixed_source<device_space>, ranges<>> {
  using layered::layered;
};
struct over_failing : layered<support::failing_source, ranges<little>> {
  using layered::layered;
};

static_assert(source<over_heap> && owner<over_heap> && resettable<over_heap> && trimmable<over_heap>);
static_assert(growable<over_heap> && self_checking<over_heap> && named<over_heap>);
static_assert(std::same_as<over_device::space, device_space>);
static_assert(has_an_end<fixed_source> && !has_an_end<host_source> && !has_an_end<page_source>);

alignas(4096) unsigned char buffer[1 * MiB];

}  // namespace

TEST_CASE("ranges: over a buffer, to the last byte, and merged at the end", "[ranges]") {
  over_buffer memory(fixed_options{.data = buffer, .size = sizeof buffer, .name = "tensor"});
  std::vector<allocation> all;
  while (const allocation a = memory.allocate(4096, 4096)) {
    CHECK(address_of(a.data) % 4096 == 0);
    std::memset(a.data, 1, a.size);
    all.push_back(a);
  }
  CHECK(all.size() == 256);
  CHECK(memory.stats().available == 0);
  CHECK(std::string(memory.why(4096).pool) == "tensor");
  CHECK(memory.why(4096).code == errc::out_of_memory);
  for (std::size_t k = 0; k != all.size(); k += 2) memory.deallocate(all[k]);
  CHECK_FALSE(memory.allocate(8192));
  CHECK(memory.stats().fragmentation() == 1.0 - 1.0 / 128);
  for (std::size_t k = 1; k < all.size(); k += 2) memory.deallocate(all[k]);
  CHECK(memory.allocate(sizeof buffer).data == buffer);
  CHECK(memory.is_valid());
}

TEST_CASE("ranges: a misaligned buffer loses less than one granule on each side", "[ranges]") {
  over_buffer memory(fixed_options{.data = buffer + 3, .size = 64 * KiB});
  const allocation a = memory.allocate(1);
  REQUIRE(a);
  CHECK(a.data == buffer + 256);
  CHECK(memory.stats().capacity == 64 * KiB - 256);
}

TEST_CASE("ranges: over pages of the kernel", "[ranges]") {
  over_pages memory;
  const allocation a = memory.allocate(100000);
  const allocation b = memory.allocate(200 * MiB, 1 * MiB);
  REQUIRE(a);
  REQUIRE(b);
  CHECK(a.size == 100096);
  CHECK(address_of(b.data) % (1 * MiB) == 0);
  CHECK(memory.floor<page_source>().regions() == 2);
  memory.deallocate({a.data, 100000});
  memory.deallocate(b);
  CHECK(memory.trim(64 * MiB) == 200 * MiB);
  CHECK(memory.floor<page_source>().regions() == 1);
  CHECK(memory.trim(0) == 64 * MiB);
  CHECK(memory.floor<page_source>().regions() == 0);
}

TEST_CASE("ranges: device memory is never touched", "[ranges]") {
  over_device memory(fixed_options{.data = reinterpret_cast<void*>(0x7000'0000'0000), .size = 80 * GiB});
  const allocation a = memory.allocate(5 * GiB + 1, 2 * MiB);
  const allocation b = memory.allocate(1);
  REQUIRE(a);
  REQUIRE(b);
  CHECK(a.size == 5 * GiB + 256);
  memory.deallocate(a);
  memory.deallocate(b);
  CHECK(memory.stats().largest_free == 80 * GiB);
}

TEST_CASE("ranges: chunks come from below, large requests get their own, all go back at the end", "[ranges]") {
  std::size_t live = 0;
  {
    over_heap memory;
    auto& below = memory.floor<support::counting_source>();
    const allocation a = memory.allocate(1000);
    CHECK(below.live_bytes == 64 * KiB);
    const allocation b = memory.allocate(300 * KiB);
    CHECK(below.live_bytes == 364 * KiB);
    CHECK(memory.owns(a.data));
    CHECK(memory.owns(offset(b.data, b.size - 1)));
    CHECK_FALSE(memory.owns(&live));
    CHECK(memory.trim(0) == 0);
    memory.deallocate(b);
    CHECK(memory.trim(0) == 300 * KiB);
    CHECK(below.live == 1);
    memory.reset();
    CHECK(memory.stats().out == 0);
    CHECK(memory.trim(0) == 64 * KiB);
    CHECK(below.live == 0);
    CHECK(memory.allocate(5));
    live = below.live;
  }
  CHECK(live == 1);
}

TEST_CASE("ranges: grows in place, and says no when a neighbour is in the way", "[ranges]") {
  over_heap memory;
  allocation a = memory.allocate(1000);
  allocation b = memory.allocate(1000);
  CHECK(a.size == 1024);
  CHECK(memory.try_grow(a, 1024));
  CHECK_FALSE(memory.try_grow(a, 1025));
  CHECK(a.size == 1024);
  memory.deallocate(b);
  CHECK(memory.try_grow(a, 10000));
  CHECK(a.size == 10240);
  CHECK_FALSE(memory.try_grow(a, ~std::size_t{0}));
  allocation nothing;
  CHECK_FALSE(memory.try_grow(nothing, 1));
  memory.deallocate(a);
  CHECK(memory.stats().out == 0);
}

TEST_CASE("ranges: every misuse has its name and changes nothing", "[ranges]") {
  const support::recorder seen;
  over_buffer memory(fixed_options{.data = buffer, .size = sizeof buffer, .name = "tensor"});
  const allocation a = memory.allocate(1000);
  const allocation b = memory.allocate(1000);
  int foreign = 0;
  memory.deallocate({&foreign, 4});
  CHECK(seen.last().code == errc::foreign_pointer);
  memory.deallocate({offset(a.data, 256), 256});
  CHECK(seen.last().code == errc::interior_pointer);
  memory.deallocate({a.data, 2000});
  CHECK(seen.last().code == errc::wrong_size);
  memory.deallocate({a.data, 0});
  CHECK(seen.last().code == errc::wrong_size);
  memory.deallocate({offset(buffer, 100000), 256});
  CHECK(seen.last().code == errc::double_free);
  CHECK(seen.count() == 5);
  memory.deallocate({});
  memory.deallocate({a.data, 1000});
  CHECK(seen.count() == 5);
  memory.deallocate(a);
  CHECK(seen.last().code == errc::double_free);
  CHECK(seen.last().address == a.data);
  CHECK(seen.line().find("pool 'tensor': double free") != std::string::npos);
  CHECK(memory.stats().out == 1024);
  memory.deallocate(b);
  CHECK(memory.is_valid());
}

TEST_CASE("ranges: requests that make no sense take nothing from below", "[ranges]") {
  over_heap memory;
  CHECK_FALSE(memory.allocate(0));
  CHECK_FALSE(memory.allocate(~std::size_t{0}));
  CHECK_FALSE(memory.allocate(max_allocation + 1));
  CHECK_FALSE(memory.allocate(1, 0));
  CHECK_FALSE(memory.allocate(1, 12));
  CHECK_FALSE(memory.allocate(1, 2 * GiB));
  CHECK(memory.floor<support::counting_source>().asked == 0);
  CHECK(memory.why(1, 12).code == errc::invalid_argument);
  over_buffer empty(fixed_options{});
  CHECK_FALSE(empty.allocate(1));
  CHECK(empty.is_valid());
}

TEST_CASE("ranges: a source that says no leaves everything as it was", "[ranges]") {
  over_failing memory(support::failing_options{.after = 1});
  const allocation a = memory.allocate(60 * KiB);
  REQUIRE(a);
  CHECK_FALSE(memory.allocate(8 * KiB));
  CHECK(memory.stats().spans == 1);
  CHECK(memory.allocate(4 * KiB));
  CHECK(memory.is_valid());
  memory.deallocate(a);
  CHECK(memory.allocate(60 * KiB) == a);
}

TEST_CASE("ranges: describes itself", "[ranges]") {
  over_buffer memory(fixed_options{.data = buffer, .size = 4096, .name = "tensor"}, ranges_options{.reserve = 10});
  (void)memory.allocate(1);
  char line[200];
  const std::size_t length = memory.dump(line, sizeof line);
  CHECK(length == std::string(line).size());
  CHECK(std::string(line) ==
        "ranges 'tensor': 256 of 4096 bytes out in 1 ranges, 3840 free in 1, largest 3840, spans 1");
}

TEST_CASE("a chunk goes down with the size that was granted, and all that was granted is used", "[alloc]") {
  // pages grant whole pages; the chunk asked for is not a multiple of them
  layered<page_source, with<hard_limit>, with<counters>, ranges<ranges_shape{.chunk = 1280}>> mem(
      hard_limit_options{.limit = 64 * KiB});
  for (int round = 0; round != 100; ++round) {
    const allocation a = mem.allocate(256);
    REQUIRE(a);
    REQUIRE(mem.stats().capacity == 4096);
    mem.deallocate(a);
    REQUIRE(mem.trim(0) == 4096);
    REQUIRE(mem.policy<hard_limit>().held() == 0);
  }
  REQUIRE(mem.policy<counters>().values().granted.current == 0);
}
