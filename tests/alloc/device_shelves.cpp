#include <tokenheap/alloc/device_shelves.hpp>

#include <support/catch.hpp>
#include <tokenheap/device/sim.hpp>

using namespace tokenheap;

namespace {

constexpr size_lists_shape lists{.granularity = 512, .subclasses = 4, .scan = 4};
using shelves_type = device_shelves<sim_device, lists, host_source>;

}  // namespace

TEST_CASE("device_shelves: a stream is met once, by its identity and not by its handle", "[alloc]") {
  shelves_type shelves(host_source{});
  const sim_device::stream a{.handle = 1, .id = 10};
  const sim_device::stream reborn{.handle = 1, .id = 11};
  CHECK(shelves.find(a) == 0);
  const std::uint32_t met = shelves.meet(a);
  REQUIRE(met != 0);
  CHECK(shelves.meet(a) == met);
  CHECK(shelves.find(reborn) == 0);
  const std::uint32_t other = shelves.meet(reborn);
  CHECK(other != met);
  CHECK(shelves.find(a) == met);
  CHECK(shelves.of(met).stream == a);
  for (std::uint64_t id = 100; id != 400; ++id) REQUIRE(shelves.meet({.handle = id, .id = id}) != 0);
  bool right = true;
  for (std::uint64_t id = 100; id != 400; ++id) right = right && shelves.of(shelves.find({.handle = id, .id = id})).stream.id == id;
  CHECK(right);
  CHECK(shelves.find(a) == met);
}

TEST_CASE("device_shelves: a shelf for each stream, pool, class and size", "[alloc]") {
  shelves_type shelves(host_source{});
  const std::uint32_t one = shelves.meet({.handle = 1, .id = 1});
  const std::uint32_t two = shelves.meet({.handle = 2, .id = 2});
  CHECK(shelves.find(one, 0, memory_class::kv, true) == 0);
  const std::uint32_t a = shelves.open(one, 0, memory_class::kv, true);
  REQUIRE(a != 0);
  CHECK(shelves.open(one, 0, memory_class::kv, true) == a);
  CHECK(shelves.open(one, 0, memory_class::kv, false) != a);
  CHECK(shelves.open(one, 0, memory_class::weights, true) != a);
  CHECK(shelves.open(two, 0, memory_class::kv, true) != a);
  const std::uint32_t p = shelves.open(one, 3, memory_class::kv, true);
  const std::uint32_t q = shelves.open(one, 4, memory_class::kv, true);
  CHECK(p != a);
  CHECK(p != q);
  CHECK(shelves.find(one, 3, memory_class::kv, true) == p);
  CHECK(shelves.find(two, 3, memory_class::kv, true) == 0);
  CHECK(shelves[q].pool == 4);
  CHECK(shelves[p].of == memory_class::kv);
  CHECK(shelves.end() == 7);
}

TEST_CASE("device_shelves: a stream that ends is looked up again, and goes on when it is named", "[alloc]") {
  shelves_type shelves(host_source{});
  const sim_device::stream a{.handle = 1, .id = 1};
  const sim_device::stream b{.handle = 2, .id = 2};
  auto* const one = shelves.at(a, 0, memory_class::kv, true);
  REQUIRE(one != nullptr);
  CHECK(shelves.at(a, 0, memory_class::kv, true) == one);
  CHECK(&shelves[one->number] == one);
  CHECK(shelves.is_of(*one, a));
  CHECK_FALSE(shelves.is_of(*one, b));
  auto* const other = shelves.at(b, 0, memory_class::kv, true);
  REQUIRE(other != nullptr);
  CHECK(shelves.is_of(*other, b));
  CHECK_FALSE(shelves.is_of(*one, b));
  const std::uint32_t met = shelves.find(b);
  shelves.retire(met);
  CHECK(shelves.of(met).retired);
  CHECK_FALSE(shelves.is_of(*other, b));
  CHECK(shelves.at(b, 0, memory_class::kv, true) == other);
  CHECK_FALSE(shelves.of(met).retired);
  CHECK(shelves.at(b, 7, memory_class::kv, true) != other);
}
