#include <tokenheap/alloc/layered.hpp>

#include <support/catch.hpp>
#include <support/recorder.hpp>
#include <support/sources.hpp>

#include <cstring>
#include <random>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/alloc/source_ref.hpp>
#include <tokenheap/policy/guard.hpp>
#include <tokenheap/policy/limit.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/policy/none.hpp>
#include <tokenheap/policy/stats.hpp>
#include <tokenheap/policy/trace.hpp>
#include <tokenheap/source/fixed.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;
using support::counting_source;

namespace {

// policies that do nothing cost nothing: not a byte more than the bare column
using bare_arena = layered<host_source, arena<>>;
using bare_slab = layered<host_source, slab<>>;
static_assert(sizeof(bare_arena) == 6 * sizeof(void*));
static_assert(sizeof(layered<host_source, with<no_limit>, arena<>, with<no_stats>, with<no_trace>, with<no_lock>>) ==
              sizeof(bare_arena));
static_assert(sizeof(layered<host_source, with<no_limit>, slab<>, with<no_stats>, with<no_trace>, with<no_lock>>) ==
              sizeof(bare_slab));
static_assert(sizeof(layered<source_ref, arena<>>) == sizeof(bare_arena) + sizeof(source_ref));
static_assert(sizeof(layered<host_source, with<counters>>) == sizeof(counters));
static_assert(sizeof(layered<host_source, with<hard_limit>>) == sizeof(hard_limit));

// what a column can do is what its parts can do, and what they cannot is absent
static_assert(source<bare_arena> && resettable<bare_arena> && trimmable<bare_arena> && growable<bare_arena>);
static_assert(owner<bare_arena> && self_checking<bare_arena> && named<bare_arena>);
static_assert(source<bare_slab> && trimmable<bare_slab> && !resettable<bare_slab> && !growable<bare_slab>);
static_assert(!owner<bare_slab> && owner<layered<host_source, arena<>, slab<>>>);
using plain = layered<host_source, with<counters>>;
static_assert(source<plain> && !resettable<plain> && !trimmable<plain> && !growable<plain> && !self_checking<plain>);
using everything = layered<host_source, with<soft_limit>, arena<>, with<hard_limit>, with<exact_counters>,
                           with<guard<>>, with<ring_trace<>>, with<spin_lock>>;
static_assert(source<everything> && resettable<everything> && trimmable<everything> && growable<everything>);
static_assert(owner<everything> && self_checking<everything> && cpu_accessible<everything>);
static_assert(!cpu_accessible<layered<support::untouchable_source, arena<>>>);
static_assert(!std::is_copy_constructible_v<bare_arena> && !std::is_move_constructible_v<bare_arena>);

struct lower : layered<counting_source, with<hard_limit>, arena<>> {
  using layered::layered;
};
struct upper : layered<lower, slab<>, with<counters>> {
  using layered::layered;
};

struct held_lock {
  void lock() noexcept { ++depth; }
  void unlock() noexcept { --depth; }
  int depth = 0;
};

/// Live pieces beside the column under test: what it must not give twice, and must not touch.
template <class Memory>
class model {
 public:
  model(Memory& mem, unsigned seed) : mem_(mem), random_(seed) {}

  void step() {
    const unsigned what = static_cast<unsigned>(random_() % 100);
    if (what < 50 || live_.empty()) return take();
    if (what < 90) return give(random_() % live_.size());
    if constexpr (growable<Memory>) grow(random_() % live_.size());
  }
  void check() {
    for (const piece& p : live_) REQUIRE(intact(p));
  }
  void end() {
    while (!live_.empty()) give(random_() % live_.size());
  }
  [[nodiscard]] std::size_t size() const { return live_.size(); }
  [[nodiscard]] std::size_t bytes() const {
    std::size_t sum = 0;
    for (const piece& p : live_) sum += p.whole.size;
    return sum;
  }

 private:
  struct piece {
    allocation whole;
    unsigned char mark;
  };

  void take() {
    const std::size_t bytes = 1 + random_() % (std::size_t{1} << (random_() % 14));
    const std::size_t alignment = std::size_t{1} << (random_() % 10);
    const allocation a = mem_.allocate(bytes, alignment);
    if (!a) return give(0);
    REQUIRE(a.size >= bytes);
    REQUIRE(address_of(a.data) % alignment == 0);
    for (const piece& p : live_) {
      const bool apart = address_of(p.whole.data) + p.whole.size <= address_of(a.data) ||
                         address_of(a.data) + a.size <= address_of(p.whole.data);
      if (!apart) FAIL("two pieces overlap");
    }
    live_.push_back({a, static_cast<unsigned char>(random_())});
    fill(live_.back());
  }
  void give(std::size_t k) {
    if (live_.empty()) return;
    REQUIRE(intact(live_[k]));
    mem_.deallocate(live_[k].whole);
    live_[k] = live_.back();
    live_.pop_back();
  }
  void grow(std::size_t k) {
    piece& p = live_[k];
    const allocation before = p.whole;
    const std::size_t wanted = before.size + random_() % 300;
    const bool grown = mem_.try_grow(p.whole, wanted);
    REQUIRE(p.whole.data == before.data);
    REQUIRE((grown ? p.whole.size >= wanted : p.whole.size == before.size));
    fill(p);
  }
  static void fill(const piece& p) {
    if constexpr (cpu_accessible<Memory>) std::memset(p.whole.data, p.mark, p.whole.size);
  }
  static bool intact(const piece& p) {
    if constexpr (cpu_accessible<Memory>) {
      const auto* const bytes = static_cast<const unsigned char*>(p.whole.data);
      for (std::size_t k = 0; k != p.whole.size; ++k) {
        if (bytes[k] != p.mark) return false;
      }
    }
    return true;
  }

  Memory& mem_;
  std::mt19937_64 random_;
  std::vector<piece> live_;
};

using deep_guard = guard<guard_shape{.canary = 8, .quarantine = 16 * KiB, .poison = true, .annotate = true}>;
// asked by type: `policy<P>()` of a column without it does not compile
template <class Memory>
constexpr bool counts_exactly = false;
template <source S, class... Layers>
constexpr bool counts_exactly<layered<S, Layers...>> = (std::same_as<Layers, with<exact_counters>> || ...);
static_assert(counts_exactly<everything> && !counts_exactly<bare_slab>);

using columns = std::tuple<
    everything, upper, layered<counting_source, slab<slab_shape{.keep = free_slots::in_place}>, with<deep_guard>>,
    layered<counting_source, arena<>, with<deep_guard>, with<exact_counters>>,
    layered<counting_source, with<deep_guard>, slab<>, with<exact_counters>>,
    layered<support::untouchable_source, arena<>, slab<>, with<guard<guard_shape{.quarantine = 8 * KiB}>>>,
    layered<counting_source, arena<arena_shape{.chunk = 4 * KiB}>, slab<slab_shape{.largest = 256, .chunk = 1 * KiB}>>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("random calls against a model", "[alloc][random]", columns) {
  const support::recorder seen;
  for (const unsigned seed : {1u, 2u, 3u}) {
    CAPTURE(seed);
    TestType mem;
    model<TestType> oracle(mem, seed);
    for (int round = 0; round != 3000; ++round) {
      oracle.step();
      if (round % 300 != 0) continue;
      oracle.check();
      REQUIRE(mem.is_valid());
      if constexpr (trimmable<TestType>) static_cast<void>(mem.trim(round % 600 == 0 ? 0 : 32 * KiB));
      oracle.check();
    }
    if constexpr (counts_exactly<TestType>) {
      const counter_values v = mem.template policy<exact_counters>().values();
      REQUIRE(v.calls.current == oracle.size());
      REQUIRE(v.calls.current == v.calls.allocated - v.calls.freed);
      REQUIRE(v.granted.current == v.granted.allocated - v.granted.freed);
      REQUIRE(v.requested.current <= v.granted.current);
    }
    oracle.end();
    REQUIRE(mem.is_valid());
  }
  REQUIRE(seen.count() == 0);
}

TEST_CASE("each part finds its own options, in any order", "[alloc]") {
  static unsigned char bytes[4 * KiB];
  struct column : layered<fixed_source, with<hard_limit>, arena<arena_shape{.chunk = 1 * KiB}>, with<guard<>>> {
    using layered::layered;
  };
  column one(fixed_options{.data = bytes, .size = sizeof bytes, .name = "buffer"}, hard_limit_options{.limit = 2 * KiB},
             guard_options{.name = "guarded"});
  REQUIRE(one.floor<fixed_source>().capacity() == 4 * KiB);
  REQUIRE(one.policy<hard_limit>().limit() == 2 * KiB);
  REQUIRE(std::string_view(one.name()) == "guarded");
  column two(guard_options{.name = "guarded"}, fixed_options{.data = bytes, .size = 512});
  REQUIRE(two.floor<fixed_source>().capacity() == 512);
  REQUIRE(two.policy<hard_limit>().limit() == ~std::size_t{0});
  column none;
  REQUIRE(none.floor<fixed_source>().capacity() == 0);
  REQUIRE_FALSE(none.allocate(1));
}

TEST_CASE("the limit of a column is met before its source is asked", "[alloc][bad]") {
  layered<counting_source, with<hard_limit>, arena<>> mem(hard_limit_options{.limit = 64 * KiB - 1});
  REQUIRE_FALSE(mem.allocate(1));  // one chunk is already too many
  REQUIRE(mem.floor<counting_source>().asked == 0);
  mem.policy<hard_limit>().set_limit(64 * KiB);
  REQUIRE(mem.allocate(1));
  REQUIRE_FALSE(mem.allocate(64 * KiB));
  REQUIRE(mem.floor<counting_source>().taken == 1);
}

TEST_CASE("floors and policies are found by name, nearest first", "[alloc]") {
  layered<counting_source, with<counters>, arena<>, slab<>, with<counters>, with<spin_lock>> mem;
  REQUIRE(mem.allocate(100));
  REQUIRE(mem.policy<counters>().values().granted.current == 112);
  REQUIRE(mem.floor<slab<>>().stats().live == 1);
  REQUIRE(mem.floor<arena<>>().stats().reserved == mem.floor<counting_source>().live_bytes);
  REQUIRE(mem.floor<arena<>>().policy<counters>().values().granted.current == mem.floor<counting_source>().live_bytes);
  const auto& unchanged = mem;
  REQUIRE(unchanged.floor<counting_source>().taken == 1);
  REQUIRE(unchanged.policy<counters>().values().calls.current == 1);
}

TEST_CASE("a named column is a source for another, with its options and its parts", "[alloc]") {
  upper mem(hard_limit_options{.limit = 64 * KiB});
  REQUIRE(mem.allocate(100));
  REQUIRE_FALSE(mem.allocate(5000));  // a second chunk of the arena is above the limit
  REQUIRE(mem.policy<hard_limit>().held() == 64 * KiB);
  REQUIRE(mem.policy<counters>().values().failures == 1);
  REQUIRE(mem.floor<counting_source>().taken == 1);
  REQUIRE(mem.floor<lower>().stats().reserved == 64 * KiB);
  mem.reset();
  REQUIRE(mem.policy<counters>().values().calls.current == 0);
}

TEST_CASE("a limit inside a named column asks outside the locks of the column above", "[alloc]") {
  struct inner : layered<counting_source, with<hard_limit>> {
    using layered::layered;
  };
  struct outer : layered<inner, with<held_lock>> {
    using layered::layered;
  };
  struct state {
    outer* mem = nullptr;
    allocation spare{};
    std::size_t calls = 0;
    int depth = 0;
  } s;
  outer mem(hard_limit_options{.limit = 100, .on_refusal = {[](void* user, std::size_t) noexcept {
                                                              auto& seen = *static_cast<state*>(user);
                                                              ++seen.calls;
                                                              seen.depth += seen.mem->policy<held_lock>().depth;
                                                              seen.mem->deallocate(seen.spare);
                                                              seen.spare = {};
                                                              return true;
                                                            },
                                                            &s}});
  s.mem = &mem;
  s.spare = mem.allocate(80);
  const allocation a = mem.allocate(90);
  REQUIRE(a);
  REQUIRE(s.calls == 1);
  REQUIRE(s.depth == 0);
  REQUIRE(mem.policy<held_lock>().depth == 0);
  mem.deallocate(a);
}

TEST_CASE("a reference to a column stands for it", "[alloc]") {
  layered<counting_source, slab<>, with<counters>> mem;
  source_ref ref = mem;
  layered<source_ref, arena<arena_shape{.chunk = 1 * KiB}>> step(ref);
  REQUIRE(step.allocate(100));
  REQUIRE(mem.policy<counters>().values().granted.current == 1 * KiB);
  step.reset();
  REQUIRE(step.trim(0) == 1 * KiB);
  REQUIRE(mem.policy<counters>().values().calls.current == 0);
  REQUIRE(std::string_view(step.name()) == "counting");
}

TEST_CASE("a column of empty policies is its source", "[alloc]") {
  layered<counting_source, with<no_lock>, with<no_stats>, with<no_limit>, with<no_trace>> mem;
  const allocation a = mem.allocate(64);
  REQUIRE(a.size == 64);
  mem.deallocate(a);
  REQUIRE(mem.live == 0);
}
