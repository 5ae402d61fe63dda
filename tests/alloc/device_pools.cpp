#include <tokenheap/alloc/device_pools.hpp>

#include <support/catch.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;

namespace {

constexpr auto empty = [](std::uint32_t) noexcept { return true; };

}  // namespace

TEST_CASE("device_pools: users are counted, and the number of an empty pool is used again", "[alloc]") {
  device_pools<host_source> pools(host_source{});
  CHECK_FALSE(pools.knows(0));
  CHECK(pools.retain(1) == errc::not_open);
  const std::uint32_t one = pools.create(empty);
  const std::uint32_t two = pools.create(empty);
  CHECK(one == 1);
  CHECK(two == 2);
  CHECK(pools.retain(one) == errc::ok);
  CHECK(pools.uses(one) == 2);
  CHECK(pools.release(one) == errc::ok);
  CHECK(pools.release(one) == errc::ok);
  CHECK(pools.release(one) == errc::not_open);
  CHECK(pools.retain(one) == errc::not_open);
  CHECK(pools.create([](std::uint32_t) noexcept { return false; }) == 3);
  CHECK(pools.create(empty) == one);
}

TEST_CASE("device_pools: begin and end", "[alloc]") {
  device_pools<host_source> pools(host_source{});
  const std::uint32_t one = pools.create(empty);
  CHECK(pools.begin(one + 1, {}) == errc::not_open);
  CHECK(pools.end(one) == errc::not_open);
  CHECK(pools.begin(one, {}) == errc::ok);
  CHECK(pools.begin(one, {}) == errc::in_use);
  CHECK(pools.release(one) == errc::in_use);
  const std::uint32_t two = pools.create(empty);
  const stream_filter seven{[](void*, std::uint64_t id) noexcept { return id == 7; }, nullptr};
  CHECK(pools.begin(two, seven) == errc::ok);
  CHECK(pools.open_count() == 2);
  CHECK(pools.open(0).pool == one);
  CHECK(pools.open(1).filter(7));
  CHECK_FALSE(pools.open(1).filter(8));
  CHECK(pools.open(0).filter(8));
  CHECK(pools.end(one) == errc::ok);
  CHECK(pools.open(0).pool == two);
  CHECK(pools.end(two) == errc::ok);
  CHECK(pools.end(two) == errc::not_open);
  CHECK(pools.open_count() == 0);
}

TEST_CASE("device_pools: so many can be open at once", "[alloc]") {
  device_pools<host_source> pools(host_source{});
  for (std::size_t k = 0; k != device_pools<host_source>::most_open; ++k) CHECK(pools.begin(pools.create(empty), {}) == errc::ok);
  CHECK(pools.begin(pools.create(empty), {}) == errc::limit_reached);
}
