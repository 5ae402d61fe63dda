#include <tokenheap/observe/reading_of.hpp>

#include <support/catch.hpp>

#include <atomic>
#include <string>
#include <thread>

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/pinned_pool.hpp>
#include <tokenheap/alloc/ranges.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/device/host.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;

namespace {

struct counted : layered<host_source, with<hard_limit>, arena<>, slab<>, with<exact_counters>, with<spin_lock>> {
  using layered::layered;
};
struct bare : layered<host_source, arena<arena_shape{.chunk = 4096}>> {};
struct many : layered<host_source, slab<>, magazines<>> {};
struct mapped : layered<host_source, ranges<>, with<soft_limit>, with<mutex_lock>> {
  using layered::layered;
};

static_assert(is_a_column<counted> && is_a_column<bare> && !is_a_column<host_source>);
static_assert(!reads_alone<counted> && reads_alone<bare> && !reads_alone<many> && !reads_alone<mapped>);
static_assert(readable<counted> && readable<bare> && !readable<host_source>);

struct one_thread : default_caching_policy {
  using lock = no_lock;
};
struct uncounted : default_caching_policy {
  using counters = no_counters;
};
static_assert(!reads_alone<caching_allocator<sim_device>> && reads_alone<caching_allocator<sim_device, one_thread>>);
static_assert(!reads_alone<pinned_pool<>>);

template <class Pool>
pool_reading read(Pool& pool) {
  pool_reading into;
  read_pool(pool, into);
  return into;
}

}  // namespace

TEST_CASE("a column says what its counters, its limit and its lowest layer know", "[reading_of]") {
  counted mem(hard_limit_options{.limit = 1 * MiB});
  const allocation a = mem.allocate(100);
  const allocation b = mem.allocate(1000);
  mem.deallocate(mem.allocate(50));
  CHECK_FALSE(mem.allocate(8 * MiB));
  const pool_reading now = read(mem);
  CHECK(std::string(now.kind) == "column");
  CHECK(now.bytes.live == a.size + b.size);
  CHECK(now.bytes.capacity() == mem.floor<arena<>>().stats().reserved);
  CHECK(now.bytes.peak == a.size + b.size + 64);
  CHECK(now.bytes.limit == 1 * MiB);
  CHECK(now.pieces == 2);
  CHECK(now.allocations == 3);
  CHECK(now.deallocations == 1);
  CHECK(now.allocated_bytes == a.size + b.size + 64);
  CHECK(now.failures.of("refused") == 1);
  CHECK(now.waste.of("rounding") == a.size + b.size - 1100);
  CHECK(now.bytes.cached == not_counted);
  mem.deallocate(a);
  mem.deallocate(b);
  CHECK(read(mem).bytes.live == 0);
}

TEST_CASE("a column without counters says what its upper layer holds", "[reading_of]") {
  bare mem;
  const allocation a = mem.allocate(100);
  pool_reading now = read(mem);
  CHECK(now.bytes.live == mem.stats().used);
  CHECK(now.bytes.live + now.bytes.free == mem.stats().reserved);
  CHECK(now.pieces == not_counted);
  CHECK(now.allocations == not_counted);
  CHECK(now.bytes.limit == not_counted);
  mem.deallocate(a);

  many shared;
  const allocation b = shared.allocate(100);
  now = read(shared);
  CHECK(now.bytes.live == shared.stats().live_bytes);  // what the magazines hold is live to the slab
  CHECK(now.pieces == shared.stats().live);
  CHECK(now.bytes.capacity() == shared.stats().reserved);
  shared.deallocate(b);

  mapped spans(soft_limit_options{.limit = 500});
  const allocation c = spans.allocate(1000);
  now = read(spans);
  CHECK(now.bytes.live == spans.floor<ranges<>>().stats().out);
  CHECK(now.bytes.free == spans.floor<ranges<>>().stats().available);
  CHECK(now.largest_free == spans.floor<ranges<>>().stats().largest_free);
  CHECK(now.pieces == 1);
  CHECK(now.soft_limit == 500);
  CHECK(now.bytes.limit == not_counted);
  spans.deallocate(c);
}

TEST_CASE("a column is read under its own lock", "[reading_of]") {
  counted mem;
  mem.policy<spin_lock>().lock();
  std::atomic<bool> done{false};
  std::thread reader([&] {
    static_cast<void>(read(mem));
    done = true;
  });
  for (int k = 0; k != 1000; ++k) std::this_thread::yield();
  CHECK_FALSE(done);
  mem.policy<spin_lock>().unlock();
  reader.join();
  CHECK(done);
}

TEST_CASE("the caching allocator's numbers tile, and its owners are told", "[reading_of]") {
  sim_machine machine;
  sim_device device = machine.device();
  sim_stream s[2];
  REQUIRE(device.create_stream(s[0]));
  REQUIRE(device.create_stream(s[1]));
  {
    caching_allocator<sim_device> gpu(device, {.name = "gpu", .limit = 256 * MiB});
    const auto chat = gpu.add_owner({.name = "chat"});
    REQUIRE(chat);
    const allocation a = gpu.allocate(s[0], device_request{.bytes = 3 * MiB + 1, .of = memory_class::weights});
    const allocation b = gpu.allocate(s[0], device_request{.bytes = 1000, .owner = *chat});
    const allocation c = gpu.allocate(s[0], device_request{.bytes = 5 * MiB});
    gpu.deallocate(s[0], c);
    CHECK_FALSE(gpu.allocate(s[0], device_request{.bytes = 512 * MiB}));
    const device_stats stats = gpu.stats();
    const pool_reading now = read(gpu);
    CHECK(std::string(now.kind) == "caching_allocator");
    CHECK(now.bytes.live == a.size + b.size);
    CHECK(now.bytes.capacity() == stats.all.reserved_bytes.current);
    CHECK(now.bytes.cached == stats.cached_bytes);
    CHECK(now.bytes.evictable == stats.cached_bytes - stats.all.inactive_split_bytes.current);
    CHECK(now.bytes.peak == stats.all.allocated_bytes.peak);
    CHECK(now.pieces == 2);
    CHECK(now.pending_pieces == 0);
    CHECK(now.allocations == 3);
    CHECK(now.deallocations == 1);
    CHECK(now.allocated_bytes == a.size + b.size + c.size);
    CHECK(now.failures.of("out_of_memory") == 1);
    CHECK(now.waste.of("rounding") == a.size + b.size - (3 * MiB + 1) - 1000);
    CHECK(now.device_calls.of("allocate") == stats.num_device_alloc);
    CHECK(now.largest_free == stats.largest_free);
    CHECK(now.fragmentation() >= 0);
    std::uint64_t weights = 0, of_chat = 0, sum = 0;
    for (const owner_reading& o : now.owners) {
      sum += o.bytes;
      if (o.owner == "weights") weights = o.bytes;
      if (o.owner == "chat") of_chat = o.bytes;
    }
    CHECK(weights == a.size);
    CHECK(of_chat == b.size);
    CHECK(sum == now.bytes.live);
    gpu.deallocate(s[0], a);
    gpu.deallocate(s[0], b);
    CHECK(read(gpu).bytes.live == 0);
  }
  {
    caching_allocator<sim_device, uncounted> gpu(device);
    const allocation a = gpu.allocate(s[0], 1000);
    const pool_reading now = read(gpu);
    CHECK(now.bytes.live == not_counted);
    CHECK(now.allocations == not_counted);
    CHECK(now.waste.size() == 0);
    CHECK(now.bytes.cached == gpu.stats().cached_bytes);
    gpu.deallocate(s[0], a);
  }
  CHECK(device.destroy_stream(s[0]));
  CHECK(device.destroy_stream(s[1]));
}

TEST_CASE("a registered caching allocator has its labels from itself", "[reading_of]") {
  registry_head list;
  caching_allocator<host_device> gpu(host_device{}, {.name = "gpu"});
  const registration r(gpu, {.owner = "engine", .limit_bytes = 77}, registry(list));
  const auto now = registry(list).snapshot();
  REQUIRE(now.size() == 1);
  CHECK(now[0].pool == "gpu");
  CHECK(now[0].space == "device");
  CHECK(now[0].device == "0");
  CHECK(now[0].bytes.limit == 77);
}

TEST_CASE("pinned memory tiles", "[reading_of]") {
  sim_machine machine;
  pinned_pool<sim_device> pool({.device = machine.device(), .name = "staging"});
  const allocation a = pool.allocate(1000);
  REQUIRE(a);
  const pinned_pool_stats stats = pool.stats();
  const pool_reading now = read(pool);
  CHECK(now.bytes.live == a.size);
  CHECK(now.bytes.pending == 0);
  CHECK(now.bytes.free == stats.available);
  CHECK(now.bytes.capacity() == stats.reserved);
  CHECK(now.pieces == 1);
  CHECK(now.device_calls.of("allocate") == stats.grown);
  CHECK(now.bytes.peak == a.size);
  pool.deallocate(a);
}
