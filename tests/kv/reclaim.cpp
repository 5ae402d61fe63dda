#include <tokenheap/kv/reclaim.hpp>

#include <support/catch.hpp>

#include <numeric>
#include <vector>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/kv/sequence.hpp>

using namespace tokenheap;

TEST_CASE("cached blocks go before a request for device memory is refused, live ones stay", "[kv][reclaim]") {
  sim_machine machine(sim_options{.capacity = 64 * MiB});
  sim_device device = machine.device();
  sim_device::stream stream;
  REQUIRE(device.create_stream(stream));
  auto opened = kv::block_pool<>::open({.blocks = 6, .block_tokens = 2});
  REQUIRE(opened);
  kv::block_pool<>& pool = *opened;
  std::vector<allocation> memory(6);
  std::vector<kv::block_id> taken;
  caching_allocator<sim_device>* gpu = nullptr;
  const auto give_back = [&](kv::block_id id) noexcept -> std::size_t {
    taken.push_back(id);
    gpu->deallocate(stream, memory[id]);
    return 10 * MiB;
  };
  kv::cache_reclaim idle(pool, give_back);
  {
    caching_allocator<sim_device> own(device, {.name = "gpu", .limit = 64 * MiB, .on_pressure = idle.callback()});
    gpu = &own;
    for (allocation& a : memory) REQUIRE((a = own.allocate(stream, 10 * MiB)));
    std::vector<kv::token> prompt(8);
    std::iota(prompt.begin(), prompt.end(), 1);
    const std::vector<kv::token> other{90, 91};
    using sequence = kv::sequence<kv::block_pool<>>;
    auto cached = sequence::open(pool, prompt);
    auto live = sequence::open(pool, other);
    REQUIRE(cached);
    REQUIRE(live);
    REQUIRE(cached->publish(8) == errc::ok);
    REQUIRE(live->publish(2) == errc::ok);
    REQUIRE(cached->close() == errc::ok);

    const allocation step = own.allocate(stream, 30 * MiB);  // one free block, then the tail of what is cached
    REQUIRE(step);
    CHECK(taken == std::vector<kv::block_id>{5, 3, 2});
    CHECK(pool.match(prompt) == 4);
    CHECK(pool.match(other) == 2);
    CHECK(pool.is_valid());

    const allocation more = own.allocate(stream, 30 * MiB);  // two cached ones are not enough
    CHECK_FALSE(more);
    CHECK(taken.size() == 5);
    CHECK(pool.match(prompt) == 0);
    CHECK(pool.match(other) == 2);

    own.deallocate(stream, step);
    for (const kv::block_id id : taken) REQUIRE((memory[id] = own.allocate(stream, 10 * MiB)));
    pool.deallocate(std::span<const kv::block_id>(taken));
    CHECK(pool.stats().free == 5);
    REQUIRE(live->close() == errc::ok);
    for (const allocation& a : memory) own.deallocate(stream, a);
  }
  CHECK(device.destroy_stream(stream));
}
