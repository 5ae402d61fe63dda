#include <tokenheap/observe/leaks.hpp>

#include <support/catch.hpp>

#include <string>

#include <support/recorder.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;

namespace {

const sample_options all{.interval = 1, .by = sampling::fixed, .owner = "pool", .walk = nullptr};

}  // namespace

TEST_CASE("leaks are summed up by owner, most bytes first", "[observe]") {
  allocation_samples s(all);
  s.came(0x1000, 10);
  {
    const owner_scope kv("kv");
    s.came(0x2000, 300);
    s.came(0x3000, 400);
    s.came(0x4000, 9000);
    s.went(0x4000);
  }
  owner_leak found[4];
  REQUIRE(leaks_by_owner(s, found, 4) == 2);
  CHECK(std::string(found[0].owner) == "kv");
  CHECK(found[0].bytes == 700);
  CHECK(found[0].samples == 2);
  CHECK(found[0].largest == reinterpret_cast<void*>(0x3000));
  CHECK(found[0].largest_bytes == 400);
  CHECK(std::string(found[1].owner) == "pool");
  CHECK(found[1].bytes == 10);
}

TEST_CASE("owners beyond the room are counted together", "[observe][bad]") {
  allocation_samples s(all);
  const char* const names[] = {"a", "b", "c", "d"};
  for (std::size_t k = 0; k != 4; ++k) {
    const owner_scope mine(names[k]);
    s.came(16 * (k + 1), 100);
  }
  owner_leak found[2];
  REQUIRE(leaks_by_owner(s, found, 2) == 2);
  CHECK(found[0].bytes == 300);
  CHECK(std::string(found[0].owner) == "(others)");
  CHECK(found[1].bytes == 100);
  CHECK(leaks_by_owner(s, found, 0) == 0);
}

TEST_CASE("an allocator with a leak says at its end who has it", "[observe]") {
  struct pool : layered<host_source, with<allocation_samples>> {
    using layered::layered;
  };
  support::recorder seen;
  host_source heap;
  allocation lost;
  {
    sample_options with = all;
    with.at_end = &report_leaks;
    pool mem(with);
    const owner_scope model("model");
    lost = mem.allocate(123);
    const allocation back = mem.allocate(1000);
    REQUIRE((lost && back));
    mem.deallocate(back);
    CHECK(seen.count() == 0);
  }
  REQUIRE(seen.only(errc::leaked));
  CHECK(std::string(seen[0].pool) == "model");
  CHECK(seen[0].need == 123);
  CHECK(seen[0].address == lost.data);
  heap.deallocate(lost);
}

TEST_CASE("nothing out is nothing reported", "[observe][bad]") {
  support::recorder seen;
  allocation_samples s(all);
  s.came(0x1000, 10);
  s.went(0x1000);
  report_leaks(s);
  CHECK(seen.count() == 0);
}
