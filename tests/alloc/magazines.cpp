#include <tokenheap/alloc/magazines.hpp>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include <support/catch.hpp>
#include <support/sources.hpp>
#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/alloc/source_ref.hpp>
#include <tokenheap/policy/stats.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;

namespace {

struct shared : layered<host_source, slab<>, magazines<magazine_shape{.slots = 8}>> {};
struct counted : layered<support::counting_source, slab<>, magazines<magazine_shape{.slots = 8}>> {};
struct short_of_memory : layered<support::failing_source, slab<>, magazines<magazine_shape{.slots = 8}>> {};
struct over_arena : layered<host_source, arena<>, slab<>, magazines<magazine_shape{.slots = 8}>> {};
struct watched : layered<host_source, slab<>, magazines<>, with<shared_counters>> {};

static_assert(source<shared> && trimmable<shared> && self_checking<shared>);
static_assert(!resettable<shared> && resettable<over_arena>);
static_assert(!batch_source<host_source> && batch_source<slab<>::on<host_source>>);

}  // namespace

TEST_CASE("magazines hand out what the slab would", "[magazines]") {
  shared mem;
  const allocation a = mem.allocate(100);
  const allocation b = mem.allocate(100, 64);
  const allocation c = mem.allocate(5000);
  REQUIRE((a && b && c));
  CHECK(a.size == 112);
  CHECK(b.size == 128);
  CHECK(address_of(b.data) % 64 == 0);
  CHECK(c.size >= 5000);
  mem.deallocate(c);
  mem.deallocate(b);
  mem.deallocate(a);
  // the slot that came back last goes out first
  CHECK(mem.allocate(100) == a);
  mem.deallocate(a);
}

TEST_CASE("magazines refuse what no source may grant", "[magazines][bad]") {
  shared mem;
  CHECK_FALSE(mem.allocate(0));
  CHECK_FALSE(mem.allocate(~std::size_t{0}));
  CHECK_FALSE(mem.allocate(max_allocation + 1));
  CHECK_FALSE(mem.allocate(16, 0));
  CHECK_FALSE(mem.allocate(16, 24));
  CHECK_FALSE(mem.allocate(16, 2 * max_alignment));
  mem.deallocate({});
  CHECK(mem.stats().live == 0);
  CHECK(mem.is_valid());
}

TEST_CASE("trim takes a thread's own magazines apart", "[magazines]") {
  counted mem;
  std::vector<allocation> out;
  for (int k = 0; k != 100; ++k) out.push_back(mem.allocate(64));
  for (const allocation a : out) mem.deallocate(a);
  CHECK(mem.floor<support::counting_source>().live == 1);
  CHECK(mem.trim(0) == 64 * KiB);
  CHECK(mem.floor<support::counting_source>().live == 0);
  CHECK(mem.stats().slots == 0);
}

TEST_CASE("the end gives everything to the floor below, also what is still out", "[magazines]") {
  support::counting_source below;
  {
    struct column : layered<source_ref, slab<>, magazines<>> {};
    column mem{{source_ref(below)}};
    std::thread([&] { mem.deallocate(mem.allocate(64)); }).join();
    static_cast<void>(mem.allocate(64));
    CHECK(below.live == 1);
  }
  CHECK(below.live == 0);
}

TEST_CASE("a thread that ends gives its slots back", "[magazines]") {
  shared mem;
  std::vector<allocation> out;
  std::thread([&] {
    for (int k = 0; k != 50; ++k) out.push_back(mem.allocate(64));
    for (int k = 0; k != 40; ++k) {
      mem.deallocate(out.back());
      out.pop_back();
    }
  }).join();
  // nothing waits in the magazines of a thread that is gone, and full ones may be in the depot
  CHECK(mem.trim(0) == 0);
  CHECK(mem.stats().live == 10);
  for (const allocation a : out) mem.deallocate(a);
  CHECK(mem.trim(0) == 64 * KiB);
}

TEST_CASE("an allocator may end before the threads that used it", "[magazines]") {
  std::atomic<bool> used{false};
  auto mem = std::make_unique<shared>();
  std::thread user([&] {
    mem->deallocate(mem->allocate(64));
    used.store(true);
    used.notify_one();
    // stays until the allocator is gone; another one may stand at the same address
    for (int k = 0; k != 1000; ++k) {
      shared other;
      const allocation a = other.allocate(64);
      std::memset(a.data, 1, a.size);
      other.deallocate(a);
    }
  });
  used.wait(false);
  mem.reset();
  user.join();
  SUCCEED("no cache of an allocator that ended was touched");
}

TEST_CASE("two allocators of one type keep apart in one thread", "[magazines]") {
  shared one;
  shared two;
  const allocation a = one.allocate(64);
  const allocation b = two.allocate(64);
  one.deallocate(a);
  two.deallocate(b);
  CHECK(one.allocate(64) == a);
  CHECK(two.allocate(64) == b);
  one.deallocate(a);
  two.deallocate(b);
  CHECK(one.trim(0) == 64 * KiB);
  CHECK(two.trim(0) == 64 * KiB);
}

TEST_CASE("without memory below magazines say no and lose nothing", "[magazines][bad]") {
  short_of_memory mem{{support::failing_options{.after = 1}}};
  std::vector<allocation> out;
  while (const allocation a = mem.allocate(4096)) out.push_back(a);
  CHECK(out.size() == 16);
  CHECK_FALSE(mem.allocate(64));
  mem.deallocate(out.back());
  CHECK(mem.allocate(4096) == out.back());
  for (const allocation a : out) mem.deallocate(a);
  // an idle chunk of one class goes down before another class is refused, but this source gives only once
  CHECK_FALSE(mem.allocate(64));
  CHECK(mem.is_valid());
}

TEST_CASE("reset forgets what every thread holds", "[magazines]") {
  over_arena mem;
  const allocation first = mem.allocate(64);
  std::thread([&] { static_cast<void>(mem.allocate(64)); }).join();
  mem.reset();
  CHECK(mem.stats().slots == 0);
  CHECK(mem.allocate(64) == first);
  CHECK(mem.is_valid());
}

TEST_CASE("four threads trade slots and none is given out twice", "[magazines][threads]") {
  const unsigned seed = 20261123;
  CAPTURE(seed);
  watched mem;
  std::mutex mutex;
  std::vector<allocation> box;
  std::atomic<int> damaged{0};
  const auto work = [&](unsigned number) {
    std::mt19937 random(seed + number);
    std::vector<allocation> mine;
    const auto check_and_free = [&](allocation a) {
      // every byte is the owner's mark: the same at both ends, or two owners wrote
      const auto* const bytes = static_cast<const unsigned char*>(a.data);
      if (bytes[0] != bytes[a.size - 1]) ++damaged;
      mem.deallocate(a);
    };
    for (int k = 0; k != 20'000; ++k) {
      if (mine.empty() || random() % 2 == 0) {
        const allocation a = mem.allocate(1 + random() % 5000, std::size_t{16} << (random() % 4));
        if (!a) std::abort();
        std::memset(a.data, static_cast<int>(number + 1), a.size);
        mine.push_back(a);
        continue;
      }
      std::swap(mine[random() % mine.size()], mine.back());
      allocation a = mine.back();
      mine.pop_back();
      if (random() % 3 == 0) {
        // leave it for another thread to free, and free one that somebody left
        const std::lock_guard hold(mutex);
        box.push_back(a);
        std::swap(box[random() % box.size()], box.back());
        a = box.back();
        box.pop_back();
      }
      check_and_free(a);
    }
    for (const allocation a : mine) check_and_free(a);
  };
  std::array<std::thread, 4> threads;
  for (unsigned k = 0; k != threads.size(); ++k) threads[k] = std::thread(work, k);
  for (std::thread& t : threads) t.join();
  for (const allocation a : box) mem.deallocate(a);
  CHECK(damaged == 0);
  const counter_values seen = mem.policy<shared_counters>().values();
  CHECK(seen.calls.current == 0);
  CHECK(seen.granted.current == 0);
  CHECK(seen.calls.allocated == seen.calls.freed);
  CHECK(mem.is_valid());
  static_cast<void>(mem.trim(0));
  CHECK(mem.floor<slab<>>().stats().live == 0);
}
