#include <tokenheap/alloc/caching.hpp>

#include <cstdio>
#include <new>

#include <support/catch.hpp>
#include <tokenheap/check/explorer.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/device/sim_lock.hpp>

#include "caching_programs.hpp"

using namespace tokenheap;

// Host threads: every order of their device calls and lock operations, and every answer of a query.

namespace {

template <segment_kind Kind, borrowing Borrow>
struct steered : caching_programs::tiny_policy<Kind, Borrow> {
  using lock = sim_lock<>;
  using growth_lock = sim_lock<>;
};

/// A machine, an allocator and a stream for each thread; the judgement that all scenarios share.
template <class Policy>
struct stage {
  using gpu = caching_allocator<sim_device, Policy>;
  using stream = sim_device::stream;

  explicit stage(std::size_t capacity, const caching_options& with = {.address_space = 16 * KiB})
      : machine(sim_options{.capacity = capacity, .page_bytes = 2 * KiB}), device(machine.device()), made(device, with) {
    for (stream& s : streams) static_cast<void>(device.create_stream(s));
  }
  stage(const stage&) = delete;
  stage& operator=(const stage&) = delete;
  ~stage() = default;

  allocation take(unsigned on, std::size_t bytes) noexcept {
    const allocation a = made.allocate(streams[on], bytes);
    if (a) static_cast<void>(device.launch_write(streams[on], a.data, a.size));
    return a;
  }
  void give(unsigned on, allocation a) noexcept { made.deallocate(streams[on], a); }

  /// For `check`: nothing raced, nothing is out, everything adds up, and a last request gets all there is.
  const char* judge() noexcept {
    if (!made.is_valid()) return "is_valid says no";
    const device_stats now = made.stats();
    if (now.all.allocated_bytes.current != 0) return "bytes are out";
    if (now.cached_bytes + now.pending_bytes != now.all.reserved_bytes.current) return "the sums do not add up";
    if (now.all.reserved_bytes.current != machine.used()) return "reserved_bytes is not what the device gave";
    machine.host_barrier();
    const allocation a = take(0, 3 * KiB);
    if (!a) return "memory is lost";
    give(0, a);
    if (machine.violations() != 0) {
      machine.describe(0, text, sizeof text);
      return text;
    }
    return nullptr;
  }

  sim_machine machine;
  sim_device device;
  gpu made;
  stream streams[3];
  char text[256] = {};
};

/// Free against allocate: what one stream gives back the other borrows.
template <class Policy>
struct free_and_take : stage<Policy> {
  explicit free_and_take(unsigned count) : stage<Policy>(4 * KiB), threads(count) { first = this->take(0, 3 * KiB); }
  void run(unsigned k) noexcept {
    if (k == 0) return this->give(0, first);
    const allocation a = this->take(k, 3 * KiB);
    if (a) this->give(k, a);
  }
  const char* check() noexcept { return this->judge(); }
  unsigned threads;
  allocation first{};
};

/// A use is told while another piece comes back; then the used one comes back, and a third stream wants it.
template <class Policy>
struct use_and_free : stage<Policy> {
  explicit use_and_free(unsigned count) : stage<Policy>(4 * KiB), threads(count) {
    first = this->take(0, 1 * KiB);
    other = this->take(0, 1 * KiB);
  }
  void run(unsigned k) noexcept {
    if (k == 0) {
      sim_device::event e{};
      static_cast<void>(this->device.create_event(e));
      static_cast<void>(this->device.record(e, this->streams[0]));
      static_cast<void>(this->device.wait(this->streams[1], e));
      static_cast<void>(this->device.destroy_event(e));
      static_cast<void>(this->device.launch_read(this->streams[1], first.data, first.size));
      if (this->made.record_stream(first, this->streams[1]) != errc::ok) wrong = "the use was not noted";
      return this->give(0, first);
    }
    if (k == 1) this->give(0, other);
    const allocation a = this->take(2, 3 * KiB);
    if (a) this->give(2, a);
  }
  const char* check() noexcept { return wrong != nullptr ? wrong : this->judge(); }
  unsigned threads;
  const char* wrong = nullptr;
  allocation first{};
  allocation other{};
};

/// Two threads find the cache empty and grow at once; there is room for both.
template <class Policy>
struct two_grow : stage<Policy> {
  explicit two_grow(unsigned count) : stage<Policy>(16 * KiB), threads(count) {}
  void run(unsigned k) noexcept {
    const allocation a = this->take(k, 3 * KiB);
    if (!a) wrong = "there was room for all";
    this->give(k, a);
  }
  const char* check() noexcept { return wrong != nullptr ? wrong : this->judge(); }
  unsigned threads;
  const char* wrong = nullptr;
};

/// A stream ends while another borrows what it freed.
template <class Policy>
struct retire_and_take : stage<Policy> {
  explicit retire_and_take(unsigned count) : stage<Policy>(4 * KiB), threads(count) {
    const allocation a = this->take(2, 3 * KiB);
    this->give(2, a);
  }
  void run(unsigned k) noexcept {
    if (k == 0) {
      if (this->made.retire(this->streams[2]) != errc::ok) wrong = "the stream was not retired";
      static_cast<void>(this->device.destroy_stream(this->streams[2]));
      return;
    }
    const allocation a = this->take(k - 1, 3 * KiB);
    if (a) this->give(k - 1, a);
  }
  const char* check() noexcept { return wrong != nullptr ? wrong : this->judge(); }
  unsigned threads;
  const char* wrong = nullptr;
};

/// Idle memory goes back while others ask for memory.
template <class Policy>
struct trim_and_take : stage<Policy> {
  explicit trim_and_take(unsigned count) : stage<Policy>(8 * KiB), threads(count) {
    const allocation a = this->take(0, 3 * KiB);
    const allocation b = this->take(1, 3 * KiB);
    this->give(0, a);
    this->give(1, b);
  }
  void run(unsigned k) noexcept {
    if (k == 0) return static_cast<void>(this->made.trim());
    const allocation a = this->take(k - 1, 3 * KiB);
    if (!a) wrong = "there was room for all";
    this->give(k - 1, a);
  }
  const char* check() noexcept { return wrong != nullptr ? wrong : this->judge(); }
  unsigned threads;
  const char* wrong = nullptr;
};

/// The callback under pressure gives back a piece that it holds, and asks for one itself.
template <class Policy>
struct pressure : stage<Policy> {
  static caching_options relieved(pressure* self) { return {.address_space = 16 * KiB, .on_pressure = {&relieve, self}}; }
  explicit pressure(unsigned count) : stage<Policy>(4 * KiB, relieved(this)), threads(count) {
    kept = this->take(0, 3 * KiB);
  }
  static bool relieve(void* user, std::size_t) noexcept {
    auto& self = *static_cast<pressure*>(user);
    const allocation a = std::exchange(self.kept, allocation{});
    if (!a) return false;
    self.give(0, a);
    const allocation tiny = self.take(0, 512);
    if (tiny) self.give(0, tiny);
    return true;
  }
  void run(unsigned k) noexcept {
    const allocation a = this->take(k, 3 * KiB);
    if (a) this->give(k, a);
  }
  const char* check() noexcept {
    if (kept) this->give(0, std::exchange(kept, allocation{}));
    return this->judge();
  }
  unsigned threads;
  allocation kept{};
};

/// A pool opens and closes while another stream asks; the pool takes one stream alone.
template <class Policy>
struct pool_and_take : stage<Policy> {
  explicit pool_and_take(unsigned count) : stage<Policy>(16 * KiB), threads(count) { pool = *this->made.create_pool(); }
  void run(unsigned k) noexcept {
    if (k == 0) {
      const stream_filter mine{[](void* id, std::uint64_t asked) noexcept { return *static_cast<std::uint64_t*>(id) == asked; },
                               &this->streams[0].id};
      if (this->made.begin_pool(pool, mine) != errc::ok) wrong = "begin_pool";
      const allocation a = this->take(0, 3 * KiB);
      if (!a) wrong = "the pool got nothing";
      this->give(0, a);
      if (this->made.end_pool(pool) != errc::ok) wrong = "end_pool";
      if (this->made.release_pool(pool) != errc::ok) wrong = "release_pool";
      return;
    }
    const allocation a = this->take(k, 3 * KiB);
    if (!a) wrong = "there was room for all";
    this->give(k, a);
  }
  const char* check() noexcept { return wrong != nullptr ? wrong : this->judge(); }
  unsigned threads;
  std::uint32_t pool = 0;
  const char* wrong = nullptr;
};

std::size_t schedules = 0;

template <class Scenario>
void all_orders(const char* name) {
  // two threads: all schedules; where they are too many for a test of seconds, all with three preemptions (two under a sanitizer)
  explore_options two{.schedules = caching_programs::is_long() ? 20'000'000u : caching_programs::is_slow ? 6'000u : 60'000u};
  explore_report found = explore([] { return Scenario(2); }, two);
  std::printf("%s, 2 threads: %zu schedules%s\n", name, found.schedules, found.complete ? ", all" : "");
  INFO(name << ": " << found.first_broken() << "; schedule: " << found.schedule);
  CHECK(found.violations == 0);
  schedules += found.schedules;
  if (!found.complete) {
    two.preemptions = caching_programs::is_slow ? 2 : 3;
    two.schedules = 1'000'000;
    found = explore([] { return Scenario(2); }, two);
    std::printf("%s, 2 threads, %zu preemptions: %zu schedules%s\n", name, two.preemptions, found.schedules,
                found.complete ? ", all" : "");
    CHECK(found);
    schedules += found.schedules;
  }
  const std::size_t switches = (caching_programs::is_long() ? 3 : 2) - (caching_programs::is_slow ? 1 : 0);
  explore_options three{.preemptions = switches, .schedules = 100'000'000};
  found = explore([] { return Scenario(3); }, three);
  std::printf("%s, 3 threads, %zu preemptions: %zu schedules%s\n", name, three.preemptions, found.schedules,
              found.complete ? ", all" : "");
  INFO("3 threads: " << found.first_broken() << "; schedule: " << found.schedule);
  CHECK(found);
  schedules += found.schedules;
}

}  // namespace

using fixed_always = steered<segment_kind::fixed, borrowing::always>;
using growable_always = steered<segment_kind::growable, borrowing::always>;
using growable_scarce = steered<segment_kind::growable, borrowing::when_out_of_memory>;

TEMPLATE_TEST_CASE("schedules: free and allocate", "[caching][schedules]", fixed_always, growable_always, growable_scarce) {
  all_orders<free_and_take<TestType>>("free and allocate");
}
TEMPLATE_TEST_CASE("schedules: record_stream and free", "[caching][schedules]", fixed_always, growable_always) {
  all_orders<use_and_free<TestType>>("record_stream and free");
}
TEMPLATE_TEST_CASE("schedules: two growths at once", "[caching][schedules]", fixed_always, growable_always) {
  all_orders<two_grow<TestType>>("two growths");
}
TEMPLATE_TEST_CASE("schedules: retire and borrow", "[caching][schedules]", fixed_always, growable_always) {
  all_orders<retire_and_take<TestType>>("retire and borrow");
}
TEMPLATE_TEST_CASE("schedules: trim and allocate", "[caching][schedules]", fixed_always, growable_always) {
  all_orders<trim_and_take<TestType>>("trim and allocate");
}
TEMPLATE_TEST_CASE("schedules: pressure", "[caching][schedules]", fixed_always, growable_always) {
  all_orders<pressure<TestType>>("pressure");
}
TEMPLATE_TEST_CASE("schedules: a pool opens and closes", "[caching][schedules]", fixed_always, growable_always) {
  all_orders<pool_and_take<TestType>>("a pool");
}
