#include <tokenheap/alloc/with.hpp>

#include <support/catch.hpp>
#include <support/recorder.hpp>
#include <support/sources.hpp>

#include <cstring>
#include <thread>
#include <vector>

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/guarded.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/policy/limit.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/policy/stats.hpp>
#include <tokenheap/policy/trace.hpp>

using namespace tokenheap;
using support::counting_source;
using support::failing_options;
using support::failing_source;

namespace {

/// Knows whether it is held: `held()` tells a callback that it runs under the lock.
struct watched_lock {
  void lock() noexcept { ++depth; }
  void unlock() noexcept { --depth; }
  int depth = 0;
};

struct limited : layered<counting_source, slab<>, with<hard_limit>, with<watched_lock>> {
  using layered::layered;
};

struct pressure {
  limited* mem = nullptr;
  std::vector<allocation> spare{};
  std::size_t calls = 0;
  int depth_seen = 0;
  bool always = false;
  bool allocates = false;
  allocation taken_inside{};
};

bool give_one_back(void* user, std::size_t) noexcept {
  auto& p = *static_cast<pressure*>(user);
  ++p.calls;
  p.depth_seen += p.mem->policy<watched_lock>().depth;
  if (p.allocates) {
    p.taken_inside = p.mem->allocate(64);
    if (p.taken_inside) p.mem->deallocate(p.taken_inside);
  }
  if (p.spare.empty()) return p.always;
  p.mem->deallocate(p.spare.back());
  p.spare.pop_back();
  return true;
}

}  // namespace

TEST_CASE("a hard limit counts granted bytes, to the byte", "[alloc][bad]") {
  layered<counting_source, slab<>, with<hard_limit>> mem(hard_limit_options{.limit = 1000});
  const hard_limit& limit = mem.policy<hard_limit>();
  const allocation a = mem.allocate(790);  // a slot of 896
  REQUIRE(a.size == 896);
  REQUIRE(limit.held() == 896);
  REQUIRE_FALSE(mem.allocate(105));
  REQUIRE_FALSE(mem.allocate(100));  // 100 would fit, its slot of 112 does not
  REQUIRE(limit.held() == 896);
  REQUIRE(mem.floor<slab<>>().stats().live == 1);
  const allocation b = mem.allocate(96);
  REQUIRE(b);
  REQUIRE(limit.held() == 992);
  REQUIRE_FALSE(mem.allocate(16));
  mem.deallocate(a);
  mem.deallocate(b);
  REQUIRE(limit.held() == 0);
  REQUIRE_FALSE(mem.allocate(1001));
  REQUIRE_FALSE(mem.allocate(~std::size_t{0}));
  REQUIRE(limit.held() == 0);
}

TEST_CASE("a limit takes growth in place into account", "[alloc][bad]") {
  layered<counting_source, arena<>, with<hard_limit>> mem(hard_limit_options{.limit = 256});
  allocation a = mem.allocate(100);
  REQUIRE(a.size == 112);
  REQUIRE(mem.try_grow(a, 200));
  REQUIRE(a.size == 208);
  CHECK(mem.policy<hard_limit>().held() == 208);
  REQUIRE_FALSE(mem.try_grow(a, 257));
  CHECK(mem.policy<hard_limit>().held() == 208);
  REQUIRE(mem.try_grow(a, 256));
  REQUIRE_FALSE(mem.allocate(16));
  mem.deallocate(a);
  REQUIRE(mem.policy<hard_limit>().held() == 0);
}

TEST_CASE("growth that the floor below rounds up counts in full, above the limit too", "[alloc][bad]") {
  layered<counting_source, arena<>, with<hard_limit>> mem(hard_limit_options{.limit = 200});
  allocation a = mem.allocate(96);
  REQUIRE(mem.try_grow(a, 200));
  REQUIRE(a.size == 208);
  REQUIRE(mem.policy<hard_limit>().held() == 208);
  REQUIRE_FALSE(mem.try_grow(a, 209));
  REQUIRE_FALSE(mem.allocate(1));
  mem.deallocate(a);
  REQUIRE(mem.policy<hard_limit>().held() == 0);
  REQUIRE(mem.allocate(192));
}

TEST_CASE("a reset gives the limit everything back", "[alloc]") {
  layered<counting_source, arena<>, with<hard_limit>, with<soft_limit>> mem(hard_limit_options{.limit = 1 * KiB});
  REQUIRE(mem.allocate(1 * KiB));
  REQUIRE_FALSE(mem.allocate(16));
  mem.reset();
  REQUIRE(mem.policy<hard_limit>().held() == 0);
  REQUIRE(mem.policy<soft_limit>().held() == 0);
  REQUIRE(mem.allocate(1 * KiB));
}

TEST_CASE("a callback that frees lets the request through, and never runs under a lock", "[alloc]") {
  pressure p;
  limited mem(hard_limit_options{.limit = 1 * KiB, .on_refusal = {&give_one_back, &p}});
  p.mem = &mem;
  for (int k = 0; k != 8; ++k) p.spare.push_back(mem.allocate(128));
  REQUIRE(p.calls == 0);
  const allocation a = mem.allocate(512);
  REQUIRE(a);
  REQUIRE(p.calls == 4);
  REQUIRE(p.depth_seen == 0);
  REQUIRE(mem.policy<watched_lock>().depth == 0);
  REQUIRE(mem.policy<hard_limit>().held() == 4 * 128 + 512);
}

TEST_CASE("a callback that has nothing to give ends the request", "[alloc][bad]") {
  pressure p;
  limited mem(hard_limit_options{.limit = 100, .on_refusal = {&give_one_back, &p}});
  p.mem = &mem;
  REQUIRE_FALSE(mem.allocate(101));
  REQUIRE(p.calls == 1);
}

TEST_CASE("a callback that says yes for ever is asked 16 times", "[alloc][bad]") {
  pressure p;
  p.always = true;
  limited mem(hard_limit_options{.limit = 100, .on_refusal = {&give_one_back, &p}});
  p.mem = &mem;
  REQUIRE_FALSE(mem.allocate(101));
  REQUIRE(p.calls == 16);
  REQUIRE(mem.policy<hard_limit>().held() == 0);
  REQUIRE(mem.floor<slab<>>().stats().live == 0);
}

TEST_CASE("a callback may use the very allocator that calls it", "[alloc]") {
  pressure p;
  p.allocates = true;
  limited mem(hard_limit_options{.limit = 1 * KiB, .on_refusal = {&give_one_back, &p}});
  p.mem = &mem;
  for (int k = 0; k != 4; ++k) p.spare.push_back(mem.allocate(256));
  // full: the request made inside is refused at once, without a second callback
  const allocation a = mem.allocate(256);
  REQUIRE(a);
  REQUIRE(p.calls == 1);
  REQUIRE_FALSE(p.taken_inside);
  REQUIRE(mem.policy<hard_limit>().held() == 1 * KiB);
  mem.deallocate(a);
  const allocation b = mem.allocate(512);  // 256 free now: the inner request of 64 is served
  REQUIRE(b);
  REQUIRE(p.taken_inside);
  REQUIRE(p.depth_seen == 0);
}

TEST_CASE("the callback also runs when the source below has no more", "[alloc]") {
  struct column : layered<failing_source, with<hard_limit>> {
    using layered::layered;
  };
  struct state {
    column* mem = nullptr;
    std::size_t calls = 0;
  } s;
  column mem(failing_options{.after = 1},
             hard_limit_options{.limit = 1 * MiB, .on_refusal = {[](void* user, std::size_t bytes) noexcept {
                                                                   auto& seen = *static_cast<state*>(user);
                                                                   ++seen.calls;
                                                                   seen.mem->floor<failing_source>().after = bytes;
                                                                   return true;
                                                                 },
                                                                 &s}});
  s.mem = &mem;
  const allocation a = mem.allocate(100);
  const allocation b = mem.allocate(100);
  REQUIRE(b);
  REQUIRE(s.calls == 1);
  REQUIRE(mem.policy<hard_limit>().held() == 200);
  mem.deallocate(a);
  mem.deallocate(b);
}

TEST_CASE("a soft limit tells once per crossing, after the memory was given", "[alloc]") {
  struct state {
    std::size_t calls = 0;
    std::size_t bytes = 0;
  } s;
  layered<counting_source, with<soft_limit>> mem(soft_limit_options{
      .limit = 1000, .on_pressure = {[](void* user, std::size_t bytes) noexcept {
                                       auto& seen = *static_cast<state*>(user);
                                       ++seen.calls;
                                       seen.bytes = bytes;
                                       return true;
                                     },
                                     &s}});
  const allocation a = mem.allocate(1000);
  REQUIRE(s.calls == 0);
  const allocation b = mem.allocate(10);
  REQUIRE(b);
  REQUIRE(s.calls == 1);
  REQUIRE(s.bytes == 10);
  const allocation c = mem.allocate(10);
  REQUIRE(s.calls == 1);
  mem.deallocate(a);
  const allocation d = mem.allocate(981);
  REQUIRE(s.calls == 2);
  REQUIRE(mem.policy<soft_limit>().crossings() == 2);
  for (const allocation& x : {b, c, d}) mem.deallocate(x);
  REQUIRE(mem.policy<soft_limit>().held() == 0);
}

TEST_CASE("counters see what passes where they stand", "[alloc]") {
  layered<counting_source, with<exact_counters>, slab<>, with<counters>> mem;
  const allocation a = mem.allocate(100);
  const allocation b = mem.allocate(1000);
  mem.deallocate(a);
  REQUIRE_FALSE(mem.allocate(0));
  mem.deallocate({});
  const counter_values above = mem.policy<counters>().values();
  REQUIRE(above.calls == gauge{1, 2, 2, 1});
  REQUIRE(above.granted == gauge{1024, 1136, 1136, 112});
  REQUIRE(above.requested.allocated == 1100);
  REQUIRE(above.failures == 1);
  REQUIRE(above.failed_bytes == 0);
  const counter_values below = mem.policy<exact_counters>().values();
  REQUIRE(below.calls == gauge{2, 2, 2, 0});
  REQUIRE(below.granted.current == mem.floor<counting_source>().live_bytes);
  REQUIRE(below.requested == below.granted);
  REQUIRE(below.failures == 0);  // 0 bytes never reach the floor below the slab
  mem.deallocate(b);
}

TEST_CASE("exact counters give requested bytes back as they were asked for", "[alloc]") {
  layered<counting_source, arena<>, with<exact_counters>> mem;
  allocation a = mem.allocate(100);
  REQUIRE(mem.try_grow(a, 150));
  REQUIRE(a.size == 160);
  counter_values v = mem.policy<exact_counters>().values();
  REQUIRE(v.requested == gauge{150, 150, 250, 100});
  REQUIRE(v.granted == gauge{160, 160, 272, 112});
  REQUIRE(v.calls == gauge{1, 1, 2, 1});
  REQUIRE(mem.try_grow(a, 155));
  v = mem.policy<exact_counters>().values();
  CHECK(v.requested.current == 155);
  mem.deallocate(a);
  v = mem.policy<exact_counters>().values();
  REQUIRE(v.requested.current == 0);
  REQUIRE(v.granted.current == 0);
  static_cast<void>(mem.allocate(7));
  mem.reset();
  v = mem.policy<exact_counters>().values();
  REQUIRE(v.requested.current == 0);
  REQUIRE(v.calls.current == 0);
  REQUIRE(v.resets == 1);
  REQUIRE(mem.is_valid());
}

TEST_CASE("exact counters do not count what they never saw", "[alloc][bad]") {
  const support::recorder seen;
  layered<counting_source, arena<>, with<exact_counters>> mem;
  const allocation a = mem.allocate(100);
  alignas(16) unsigned char elsewhere[64] = {};
  mem.deallocate({elsewhere, 64});
  mem.deallocate({offset(a.data, 16), 96});
  REQUIRE(mem.policy<exact_counters>().values().calls == gauge{1, 1, 1, 0});
  allocation strange{elsewhere, 64};
  REQUIRE_FALSE(mem.try_grow(strange, 128));
  // ends where the last piece ends, but was never handed out
  allocation inside{offset(a.data, 16), 96};
  REQUIRE_FALSE(mem.try_grow(inside, 128));
  REQUIRE(inside.size == 96);
  mem.deallocate(a);
  mem.deallocate(a);
  REQUIRE(mem.policy<exact_counters>().values().calls == gauge{0, 1, 1, 1});
}

TEST_CASE("a trace records what passes, in order", "[alloc]") {
  layered<counting_source, arena<>, with<ring_trace<trace_shape{.events = 8}>>> mem;
  allocation a = mem.allocate(100);
  REQUIRE_FALSE(mem.allocate(0));
  REQUIRE(mem.try_grow(a, 128));
  mem.deallocate(a);
  mem.deallocate({});
  mem.reset();
  static_cast<void>(mem.trim(0));
  const auto& ring = mem.policy<ring_trace<trace_shape{.events = 8}>>();
  REQUIRE(ring.recorded() == 7);
  const trace_kind kinds[] = {trace_kind::allocate,   trace_kind::out_of_memory, trace_kind::deallocate, trace_kind::allocate,
                              trace_kind::deallocate, trace_kind::reset,         trace_kind::trim};
  for (std::size_t k = 0; k != 7; ++k) REQUIRE(ring[k].kind == kinds[k]);
  REQUIRE(ring[0].requested == 100);
  REQUIRE(ring[0].granted == 112);
  REQUIRE(ring[0].address == a.data);
  REQUIRE(ring[1].address == nullptr);
  REQUIRE(ring[3].requested == 128);
  REQUIRE(ring[4].granted == 128);
  REQUIRE(ring[6].granted == 64 * KiB);
  static_cast<void>(mem.allocate(1));
  REQUIRE_FALSE(ring.overflowed());
  static_cast<void>(mem.allocate(1));
  REQUIRE(ring.overflowed());
  REQUIRE(ring.first() == 1);
}

TEMPLATE_TEST_CASE("two threads through one lock lose nothing", "[alloc][threads]", spin_lock, mutex_lock) {
  layered<counting_source, with<hard_limit>, slab<>, with<counters>, with<TestType>> mem;
  const auto work = [&](unsigned char mark) {
    std::vector<allocation> mine;
    for (std::size_t k = 0; k != 3000; ++k) {
      const allocation a = mem.allocate(1 + (k * 37 + mark) % 3000);
      std::memset(a.data, mark, a.size);
      mine.push_back(a);
      if (mine.size() == 50) {
        for (const allocation& x : mine) {
          if (static_cast<unsigned char*>(x.data)[x.size - 1] != mark) return false;
          mem.deallocate(x);
        }
        mine.clear();
        static_cast<void>(mem.trim(64 * KiB));
      }
    }
    return true;
  };
  bool first = false;
  std::thread other([&] { first = work(1); });
  const bool second = work(2);
  other.join();
  REQUIRE(first);
  REQUIRE(second);
  REQUIRE(mem.is_valid());
  const counter_values v = mem.template policy<counters>().values();
  REQUIRE(v.calls == gauge{0, v.calls.peak, 6000, 6000});
}

TEST_CASE("shared counters above a lock: two threads, exact sums", "[alloc][threads]") {
  layered<counting_source, slab<>, with<spin_lock>, with<shared_counters>> mem;
  const auto work = [&] {
    for (int k = 0; k != 5000; ++k) mem.deallocate(mem.allocate(64));
  };
  std::thread other(work);
  work();
  other.join();
  const counter_values v = mem.policy<shared_counters>().values();
  REQUIRE(v.calls.current == 0);
  REQUIRE(v.calls.allocated == 10'000);
  REQUIRE(v.granted.allocated == 640'000);
  REQUIRE(v.granted.peak <= 128);
}

TEST_CASE("a growth that changes nothing is not counted", "[alloc]") {
  layered<host_source, arena<>, with<counters>, with<exact_counters>> mem;
  allocation a = mem.allocate(100);
  for (int k = 0; k != 5; ++k) REQUIRE(mem.try_grow(a, 10));
  REQUIRE(mem.policy<exact_counters>().values().calls.allocated == 1);
  REQUIRE(mem.policy<exact_counters>().values().requested.current == 100);
  REQUIRE(mem.policy<counters>().values().calls.allocated == 1);
}

TEST_CASE("a crossing inside another pool's callback is told by the next allocation", "[alloc]") {
  struct told {
    layered<host_source, with<soft_limit>>* inner = nullptr;
    allocation piece{};
    int count = 0;
  } state;
  const auto count = [](void* user, std::size_t) noexcept { return ++static_cast<told*>(user)->count, false; };
  layered<host_source, with<soft_limit>> inner(soft_limit_options{.limit = 100, .on_pressure = {count, &state}});
  state.inner = &inner;
  const auto cross = [](void* user, std::size_t) noexcept {
    auto& own = *static_cast<told*>(user);
    own.piece = own.inner->allocate(200);
    return false;
  };
  layered<host_source, with<hard_limit>> outer(hard_limit_options{.limit = 10, .on_refusal = {cross, &state}});
  REQUIRE_FALSE(outer.allocate(11));
  REQUIRE(state.piece);
  REQUIRE(state.count == 0);
  const allocation next = inner.allocate(1);
  REQUIRE(state.count == 1);
  inner.deallocate(next);
  inner.deallocate(state.piece);
}
