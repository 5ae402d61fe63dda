#include <tokenheap/kv/regions.hpp>

#include <support/catch.hpp>

using namespace tokenheap;
using namespace tokenheap::kv;

TEST_CASE("pieces stand in order, neighbours on one device are one, and nothing overlaps") {
  unsigned char bytes[100];
  memory_regions all;
  CHECK(all.add(bytes + 60, 20));
  CHECK(all.add(bytes, 20));
  CHECK(all.size() == 2);
  CHECK(!all.add(bytes + 10, 5));
  CHECK(!all.add(bytes + 50, 11));
  CHECK(!all.add(nullptr, 5));
  CHECK(!all.add(bytes, 0));
  CHECK(!all.add(reinterpret_cast<void*>(~std::uintptr_t{0} - 4), 8));
  CHECK(all.find(bytes + 5, 15) == 0);
  CHECK(all.find(bytes + 5, 16) == all.size());
  CHECK(all.add(bytes + 20, 40));
  CHECK(all.size() == 1);
  CHECK(all[0] == memory_region{address_of(bytes), 80, -1});
  CHECK(all.add({bytes + 80, 20}, 3));
  CHECK(all.size() == 2);
  CHECK(all.find(bytes + 70, 20) == 2);
  CHECK(all.find(bytes + 90, 10) == 1);
}
