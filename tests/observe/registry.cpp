#include <tokenheap/observe/registry.hpp>

#include <support/catch.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

using namespace tokenheap;

namespace registry_test {

// says of itself that others must keep out while it is read
struct bare_pool {
  std::uint64_t live = 5;
};
inline void read_pool(bare_pool& pool, pool_reading& into) noexcept { into.bytes.live = pool.live; }

}  // namespace registry_test

template <>
inline constexpr bool tokenheap::reads_alone<registry_test::bare_pool> = true;

namespace {

using registry_test::bare_pool;

// a pool of the user's own: two numbers that always add up under its lock
struct own_pool {
  using space = pinned_space;
  [[nodiscard]] const char* name() const noexcept { return "own"; }
  mutable mutex_lock lock;
  std::uint64_t live = 0, left = 100;
  std::atomic<int> reads{0};
  void (*during)(own_pool&) = nullptr;
};
void read_pool(own_pool& pool, pool_reading& into) noexcept {
  const locked hold(pool.lock);
  ++pool.reads;
  into.bytes.live = pool.live;
  into.bytes.free = pool.left;
  if (pool.during != nullptr) pool.during(pool);
}

struct silent {};

struct with_device {
  struct gpu {
    [[nodiscard]] int ordinal() const noexcept { return 3; }
  };
  [[nodiscard]] gpu device() const noexcept { return {}; }
};
void read_pool(with_device&, pool_reading&) noexcept {}

static_assert(readable<own_pool> && readable<bare_pool> && !readable<silent> && !readable<int>);
static_assert(!std::is_copy_constructible_v<registration> && !std::is_move_constructible_v<registration>);

}  // namespace

TEST_CASE("what is registered is in the snapshot, in order, until its end", "[registry]") {
  registry_head list;
  const registry all(list);
  CHECK(all.snapshot().empty());
  own_pool a, b;
  a.live = 1;
  b.live = 2;
  std::optional<registration> first, second;
  first.emplace(a, registration_options{.owner = "llama"}, all);
  second.emplace(b, registration_options{.pool = "other", .space = "", .device = "7", .limit_bytes = 50}, all);
  CHECK(all.size() == 2);
  auto now = all.snapshot();
  REQUIRE(now.size() == 2);
  CHECK(now[0].pool == "own");
  CHECK(now[0].owner == "llama");
  CHECK(now[0].space == "pinned");
  CHECK(now[0].device.empty());
  CHECK(now[0].bytes.live == 1);
  CHECK(now[0].bytes.limit == not_counted);
  CHECK(now[1].pool == "other");
  CHECK(now[1].space.empty());
  CHECK(now[1].device == "7");
  CHECK(now[1].bytes.live == 2);
  CHECK(now[1].bytes.limit == 50);

  first.reset();
  CHECK(all.size() == 1);
  first.emplace(a, registration_options{}, all);  // again, and now behind
  now = all.snapshot();
  REQUIRE(now.size() == 2);
  CHECK(now[0].pool == "other");
  second.reset();
  first.reset();
  CHECK(all.size() == 0);
  CHECK(list.first == nullptr);
  CHECK(list.last == nullptr);
}

TEST_CASE("a pool says its name, its space and its device itself", "[registry]") {
  registry_head list;
  with_device gpu;
  bare_pool bare;
  no_lock none;
  const registration a(gpu, {}, registry(list));
  const registration b(bare, none, {.owner = nullptr}, registry(list));
  const auto now = registry(list).snapshot();
  REQUIRE(now.size() == 2);
  CHECK(now[0].device == "3");
  CHECK(now[0].pool.empty());
  CHECK(now[1].bytes.live == 5);
  CHECK(now[1].owner.empty());
}

TEST_CASE("texts are copied when a pool registers", "[registry]") {
  registry_head list;
  own_pool a;
  auto name = std::make_unique<std::string>("soon gone, and too long for any small buffer");
  const registration r(a, {.pool = name->c_str(), .owner = name->c_str()}, registry(list));
  name.reset();
  const auto now = registry(list).snapshot();
  CHECK(now[0].pool == "soon gone, and too long for any small buffer");
  CHECK(now[0].owner == now[0].pool);
}

TEST_CASE("refusals and latencies stand beside what the pool says", "[registry]") {
  registry_head list;
  own_pool a;
  refusal_counts refused;
  latency_histogram opens;
  opens.add(700);
  refused.count(errc::too_large);
  refused.count(errc::device_failed);
  const registration r(a, {.refusals = &refused, .latencies = {{{"open", &opens}}}}, registry(list));
  const auto now = registry(list).snapshot();
  CHECK(now[0].failures.of("too_large") == 1);
  CHECK(now[0].failures.of("device_failed") == 1);
  CHECK(now[0].failures.of("out_of_memory") == 0);      // common ones are there from the start
  CHECK(now[0].failures.of("corrupted") == not_counted);
  REQUIRE(now[0].latencies.size() == 1);
  CHECK(now[0].latencies[0].op == "open");
  CHECK(now[0].latencies[0].counts.in[3] == 1);
}

TEST_CASE("a registered pool costs nothing until somebody looks", "[registry]") {
  registry_head list;
  own_pool a;
  const registration r(a, {}, registry(list));
  CHECK(a.reads == 0);
  static_cast<void>(registry(list).snapshot());
  CHECK(a.reads == 1);
}

TEST_CASE("a pool that is not thread-safe is read under the lock that guards it", "[registry][threads]") {
  struct probe {
    bool held = false;
    int times = 0;
    void lock() noexcept { held = true, ++times; }
    void unlock() noexcept { held = false; }
  } lock;
  registry_head list;
  bare_pool a;
  const registration r(a, lock, {}, registry(list));
  CHECK(lock.times == 0);
  CHECK(registry(list).snapshot()[0].bytes.live == 5);
  CHECK(lock.times == 1);
  CHECK_FALSE(lock.held);
}

TEST_CASE("while a pool is read the list is free: others register, leave and look", "[registry][threads]") {
  static registry_head list;
  own_pool a;
  a.during = [](own_pool&) {
    own_pool inner;
    const registration more(inner, {}, registry(list));
    CHECK(registry(list).size() == 2);
  };
  const registration r(a, {}, registry(list));
  CHECK(registry(list).snapshot().size() == 1);
  CHECK(registry(list).size() == 1);
}

TEST_CASE("an end waits for the snapshot that is inside", "[registry][threads]") {
  static std::atomic<int> stage;
  stage = 0;
  registry_head list;
  own_pool a;
  // reading stops in the pool until the other thread has been seen on its way to the end
  a.during = [](own_pool&) {
    stage = 1;
    while (stage < 2) std::this_thread::yield();
    for (int k = 0; k != 1000; ++k) std::this_thread::yield();
    CHECK(stage == 2);  // the end has not come
  };
  std::optional<registration> r;
  r.emplace(a, registration_options{}, registry(list));
  std::thread ends([&] {
    while (stage != 1) std::this_thread::yield();
    stage = 2;
    r.reset();
    stage = 3;
  });
  CHECK(registry(list).snapshot().size() == 1);
  ends.join();
  CHECK(stage == 3);
  CHECK(registry(list).size() == 0);
}

TEST_CASE("snapshots among pools that come, go and change: each pool adds up", "[registry][threads]") {
  registry_head list;
  const registry all(list);
  own_pool steady;
  const registration keeps(steady, {.pool = "steady"}, all);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    for (std::uint64_t k = 0; !stop; ++k) {
      const locked hold(steady.lock);
      steady.live = k % 101;
      steady.left = 100 - steady.live;
    }
  });
  for (int t = 0; t != 2; ++t)
    threads.emplace_back([&] {
      while (!stop) {
        auto gone = std::make_unique<own_pool>();
        const registration r(*gone, {.pool = "comes and goes"}, all);
      }
    });
  std::size_t wrong = 0, steady_seen = 0;
  for (int k = 0; k != 500; ++k) {
    for (const pool_reading& p : all.snapshot()) {
      wrong += p.bytes.capacity() != 100;
      steady_seen += p.pool == "steady";
    }
  }
  stop = true;
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
  CHECK(steady_seen == 500);
  CHECK(all.size() == 1);
}
