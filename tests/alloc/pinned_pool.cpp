#include <tokenheap/alloc/pinned_pool.hpp>

#include <support/catch.hpp>
#include <support/recorder.hpp>
#include <support/verdict.hpp>

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/check/contract.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/policy/stats.hpp>

using namespace tokenheap;

namespace {

using sim_pool = pinned_pool<sim_device>;

/// A device whose pinned memory is addresses alone, so that sizes beyond this machine can be asked for.
class roomy_device : public sim_device {
 public:
  using sim_device::sim_device;
  roomy_device(sim_device d) : sim_device(d) {}
  device_status allocate_pinned(std::size_t bytes, void*& out) noexcept {
    out = reinterpret_cast<void*>(next);
    next += align_up(bytes, 4096) + 4096;
    pinned += bytes;
    return {};
  }
  device_status deallocate_pinned(void*) noexcept { return {}; }
  inline static std::uintptr_t next = 0x5000'0000'0000;
  inline static std::size_t pinned = 0;
};

/// A machine with a stream, device memory to copy to, and a pool.
struct bench {
  explicit bench(pinned_pool_options<sim_device> with = {.device = machine().device()}) : pool(with) {
    REQUIRE(d.create_stream(s));
    REQUIRE(d.create_stream(t));
    REQUIRE(d.allocate(32 * MiB, memory));
  }
  ~bench() {
    CHECK(pool.is_valid());
    CHECK(d.deallocate(memory));
    CHECK(d.destroy_stream(s));
    CHECK(d.destroy_stream(t));
  }
  static sim_machine& machine() {
    static thread_local std::vector<std::unique_ptr<sim_machine>> all;
    if (all.empty() || fresh()) all.push_back(std::make_unique<sim_machine>()), fresh() = false;
    return *all.back();
  }
  static bool& fresh() {
    static thread_local bool wanted = true;
    return wanted;
  }
  static pinned_pool_options<sim_device> with(std::size_t limit, bool wait = true) {
    return {.device = machine().device(), .limit = limit, .wait = wait};
  }
  /// The host fills a piece and enqueues a copy out of it: the stream reads it late.
  void copy_from(allocation a, sim_stream on) {
    m.host_writes(a.data, a.size);
    // each stream writes to its own half of the device memory
    REQUIRE(d.copy(on == t ? offset(memory, 16 * MiB) : memory, a.data, std::min<std::size_t>(a.size, 16 * MiB), on));
  }
  bool holds() const {
    const pinned_pool_stats now = pool.stats();
    return now.live + now.waiting + now.available == now.reserved && now.reserved == m.pinned_used();
  }

  struct next_machine {
    next_machine() { fresh() = true; }
  };

  sim_machine& m = machine();
  sim_device d = m.device();
  sim_stream s{}, t{};
  void* memory = nullptr;
  sim_pool pool;
  next_machine then;
};

}  // namespace

TEST_CASE("a pinned pool keeps the contract of sources, with a device and without") {
  sim_machine machine;
  {
    sim_pool with({.device = machine.device()});
    REQUIRE_CONTRACT(check_source(with, {.rounds = 2000}));
  }
  CHECK(machine.is_clean());
  pinned_pool<> without;
  REQUIRE_CONTRACT(check_source(without, {.rounds = 2000}));
  layered<pinned_pool<>, slab<>> column;
  REQUIRE_CONTRACT(check_source(column, {.rounds = 500}));
}

TEST_CASE("sizes are exact: 40 KiB takes 40 KiB, 80 KiB takes 80 KiB") {
  bench b;
  const allocation small_one = b.pool.allocate(40 * KiB);
  CHECK(small_one.size == 40 * KiB);
  CHECK(b.pool.stats().live == 40 * KiB);
  const allocation large_one = b.pool.allocate(80 * KiB);
  CHECK(large_one.size == 80 * KiB);
  CHECK(b.pool.stats().live == 120 * KiB);
  CHECK(b.pool.stats().reserved == 1 * MiB);
  CHECK(b.holds());
  b.pool.deallocate(small_one);
  b.pool.deallocate(large_one);
  CHECK(b.pool.stats().largest_free == 1 * MiB);
}

TEST_CASE("no size wastes more than an eighth") {
  sim_machine machine;
  for (std::size_t bytes = 512; bytes < 300 * MiB; bytes += bytes / 7 + 13) {
    CAPTURE(bytes);
    roomy_device::pinned = 0;
    pinned_pool<roomy_device> pool({.device = machine.device(), .least_chunk = 4096});
    const allocation a = pool.allocate(bytes);
    REQUIRE(a);
    CHECK((a.size - bytes) * 8 <= a.size);
    CHECK((pool.stats().reserved - bytes <= 4095 || bytes < 4096));
    pool.deallocate(a);
  }
}

TEST_CASE("20.4 GiB pins 20.4 GiB, and blocks of 609 MiB pin 609 MiB each") {
  sim_machine machine;
  roomy_device::pinned = 0;
  {
    pinned_pool<roomy_device> pool({.device = machine.device()});
    const std::size_t bytes = 20 * GiB + 410 * MiB;
    const allocation a = pool.allocate(bytes);
    REQUIRE(a);
    CHECK(a.size == bytes);
    CHECK(pool.stats().reserved == bytes);
    CHECK(roomy_device::pinned == bytes);
    pool.deallocate(a);
    CHECK(pool.trim() == bytes);
  }
  roomy_device::pinned = 0;
  pinned_pool<roomy_device> pool({.device = machine.device()});
  std::vector<allocation> blocks;
  for (int k = 0; k != 49; ++k) blocks.push_back(pool.allocate(609 * MiB));
  CHECK(pool.stats().reserved == 49 * 609 * MiB);
  CHECK(roomy_device::pinned == 49 * 609 * MiB);
  for (const allocation& a : blocks) pool.deallocate(a);
  // the memory serves smaller ones now: split, and merged again
  blocks.clear();
  for (int k = 0; k != 98; ++k) blocks.push_back(pool.allocate(300 * MiB));
  CHECK(pool.stats().reserved == 49 * 609 * MiB);
  for (const allocation& a : blocks) pool.deallocate(a);
  CHECK(pool.stats().largest_free == 609 * MiB);
}

TEST_CASE("the chunks that it takes grow with what is pinned, an eighth at a time") {
  bench b;
  std::vector<allocation> pieces;
  for (int k = 0; k != 400; ++k) {
    pieces.push_back(b.pool.allocate(256 * KiB));
    const pinned_pool_stats now = b.pool.stats();
    CHECK(now.reserved <= now.live + now.live / 4 + 1 * MiB);
  }
  CHECK(b.pool.stats().chunks < 60);
  for (const allocation& a : pieces) b.pool.deallocate(a);
}

TEST_CASE("a piece without uses is handed out again at once, and the device is not asked") {
  bench b;
  const allocation a = b.pool.allocate(64 * KiB);
  b.m.reset_calls();
  for (int k = 0; k != 100; ++k) {
    b.pool.deallocate(a);
    CHECK(b.pool.allocate(64 * KiB) == a);
  }
  CHECK(b.m.device_calls() == 0);
  b.pool.deallocate(a);
}

TEST_CASE("a piece that a copy still reads is not handed out before its event") {
  bench b(bench::with(1 * MiB, false));
  const allocation a = b.pool.allocate(1 * MiB);
  b.copy_from(a, b.s);
  CHECK(b.pool.use(a, b.s) == errc::ok);
  b.m.reset_calls();
  b.pool.deallocate(a);
  CHECK(b.m.calls(sim_call::record) == 1);
  CHECK(b.m.calls(sim_call::query_event) == 0);
  CHECK(b.pool.stats().waiting == 1 * MiB);
  CHECK_FALSE(b.pool.allocate(1 * MiB));
  CHECK(b.pool.last_failure().code == errc::limit_reached);
  CHECK(b.holds());
  b.m.complete(b.s);
  const allocation again = b.pool.allocate(1 * MiB);
  CHECK(again == a);
  b.m.host_writes(again.data, again.size);
  CHECK(b.m.violations() == 0);
  b.pool.deallocate(again);
}

TEST_CASE("the simulator sees the race when nobody named the stream") {
  bench b;
  const allocation a = b.pool.allocate(64 * KiB);
  b.copy_from(a, b.s);
  b.pool.deallocate(a);
  const allocation again = b.pool.allocate(64 * KiB);
  CHECK(again == a);
  b.m.host_writes(again.data, again.size);
  CHECK(b.m.violations() == 1);
  b.pool.deallocate(again);
}

TEST_CASE("with two streams both must be done") {
  bench b(bench::with(1 * MiB, false));
  const allocation a = b.pool.allocate(1 * MiB);
  b.copy_from(a, b.s);
  REQUIRE(b.pool.use(a, b.s) == errc::ok);
  REQUIRE(b.d.copy(offset(b.memory, 16 * MiB), a.data, 1 * MiB, b.t));
  REQUIRE(b.pool.use(a, b.t) == errc::ok);
  b.pool.deallocate(a);
  b.m.complete(b.s);
  CHECK_FALSE(b.pool.allocate(1 * MiB));
  b.m.complete(b.t);
  const allocation again = b.pool.allocate(1 * MiB);
  CHECK(again == a);
  b.pool.deallocate(again);
}

TEST_CASE("a full pool waits for the oldest copy, and no longer than needed") {
  bench b(bench::with(2 * MiB));
  const allocation one = b.pool.allocate(1 * MiB);
  const allocation two = b.pool.allocate(1 * MiB);
  b.copy_from(one, b.s);
  b.copy_from(two, b.t);
  REQUIRE(b.pool.use(one, b.s) == errc::ok);
  REQUIRE(b.pool.use(two, b.t) == errc::ok);
  b.pool.deallocate(two);
  b.pool.deallocate(one);
  b.m.reset_calls();
  const allocation again = b.pool.allocate(1 * MiB);
  CHECK(again == two);
  CHECK(b.m.calls(sim_call::synchronize_event) == 1);
  CHECK(b.m.calls(sim_call::synchronize_device) == 0);
  CHECK(b.pool.stats().waited == 1);
  b.m.host_writes(again.data, again.size);
  CHECK(b.m.violations() == 0);
  CHECK(b.pool.stats().waiting == 1 * MiB);
  b.pool.deallocate(again);
}

TEST_CASE("a slow stream holds nobody else up: what is done behind it comes back first") {
  bench b(bench::with(2 * MiB, false));
  const allocation slow = b.pool.allocate(1 * MiB);
  const allocation fast = b.pool.allocate(1 * MiB);
  b.copy_from(slow, b.s);
  b.copy_from(fast, b.t);
  REQUIRE(b.pool.use(slow, b.s) == errc::ok);
  REQUIRE(b.pool.use(fast, b.t) == errc::ok);
  b.pool.deallocate(slow);
  b.pool.deallocate(fast);
  b.m.complete(b.t);
  CHECK(b.pool.allocate(1 * MiB) == fast);
  CHECK_FALSE(b.pool.allocate(1 * MiB));
  b.pool.deallocate(fast);
}

TEST_CASE("events are made once and used again") {
  bench b;
  for (int k = 0; k != 50; ++k) {
    const allocation a = b.pool.allocate(700 * KiB);
    b.copy_from(a, b.s);
    REQUIRE(b.pool.use(a, b.s) == errc::ok);
    b.pool.deallocate(a);
    b.m.complete(b.s);
  }
  CHECK(b.m.calls(sim_call::create_event) <= 2);
  CHECK(b.m.violations() == 0);
  CHECK(b.pool.stats().reserved <= 2 * MiB);
}

TEST_CASE("an event that cannot be recorded leaves the piece to the device as a whole") {
  for (const sim_call call : {sim_call::create_event, sim_call::record, sim_call::query_event, sim_call::is_capturing}) {
    CAPTURE(to_text(call));
    bench b(bench::with(1 * MiB));
    const allocation a = b.pool.allocate(1 * MiB);
    b.copy_from(a, b.s);
    REQUIRE(b.pool.use(a, b.s) == errc::ok);
    b.m.fail(call, 1, device_error::failed);
    b.pool.deallocate(a);
    CHECK(b.pool.stats().waiting == 1 * MiB);
    const allocation again = b.pool.allocate(1 * MiB);
    CHECK(again == a);
    CHECK(b.pool.stats().lost_uses == 1);
    CHECK(b.m.calls(sim_call::synchronize_device) == 1);
    b.m.host_writes(again.data, again.size);
    CHECK(b.m.violations() == 0);
    b.pool.deallocate(again);
  }
}

TEST_CASE("an error of a query or of a wait is never taken for done") {
  bench b(bench::with(1 * MiB));
  const allocation a = b.pool.allocate(1 * MiB);
  b.copy_from(a, b.s);
  REQUIRE(b.pool.use(a, b.s) == errc::ok);
  b.pool.deallocate(a);
  for (const sim_call call : {sim_call::query_event, sim_call::synchronize_event, sim_call::synchronize_device})
    b.m.fail_always(call, device_error::failed);
  CHECK_FALSE(b.pool.allocate(1 * MiB));
  CHECK_FALSE(b.pool.allocate(1 * MiB));
  CHECK(b.pool.stats().waiting == 1 * MiB);
  CHECK(b.holds());
  b.m.clear_faults();
  CHECK(b.pool.allocate(1 * MiB) == a);
  b.pool.deallocate(a);
}

TEST_CASE("every device call may fail in turn: nothing is lost, no race, and the retry succeeds") {
  for (int k = 0; k <= static_cast<int>(sim_call::current); ++k)
    for (std::size_t nth = 1; nth != 6; ++nth)
      for (const device_error error : {device_error::out_of_memory, device_error::failed, device_error::invalid_handle,
                                       device_error::not_ready}) {
        const auto call = static_cast<sim_call>(k);
        CAPTURE(to_text(call), nth, to_text(error));
        sim_machine m;
        sim_device d = m.device();
        sim_stream s;
        void* memory = nullptr;
        REQUIRE(d.create_stream(s));
        REQUIRE(d.allocate(1 * MiB, memory));
        {
          sim_pool pool({.device = d, .limit = 2 * MiB});
          m.fail(call, nth, error);
          for (int round = 0; round != 6; ++round) {
            allocation a = pool.allocate(1 * MiB);
            if (!a) a = pool.allocate(1 * MiB);
            if (!a) a = pool.allocate(1 * MiB);
            REQUIRE(a);
            m.host_writes(a.data, a.size);
            const device_status copied = d.copy(memory, a.data, a.size, s);
            if (copied) CHECK(pool.use(a, s) == errc::ok);
            pool.deallocate(a);
            const pinned_pool_stats now = pool.stats();
            CHECK(now.live + now.waiting + now.available == now.reserved);
            CHECK(pool.is_valid());
          }
          m.clear_faults();
        }
        CHECK(m.violations() == 0);
        CHECK(d.deallocate(memory));
        CHECK(d.destroy_stream(s));
        // an event whose destruction failed is out until its device goes; nothing else may be
        CHECK(m.live_pinned() == 0);
        CHECK(m.live_events() <= (call == sim_call::destroy_event ? 1u : 0u));
      }
}

TEST_CASE("a piece given back while its stream is captured waits for the end of the capture") {
  bench b(bench::with(1 * MiB));
  const allocation a = b.pool.allocate(1 * MiB);
  REQUIRE(b.d.begin_capture(b.s));
  CHECK(b.d.copy(b.memory, a.data, 1 * MiB, b.s));
  REQUIRE(b.pool.use(a, b.s) == errc::ok);
  b.pool.deallocate(a);
  CHECK(b.m.calls(sim_call::record) == 0);
  CHECK_FALSE(b.pool.try_allocate(1 * MiB));
  CHECK(b.d.end_capture(b.s));
  CHECK(b.pool.allocate(1 * MiB) == a);
  CHECK(b.m.violations() == 0);
  b.pool.deallocate(a);
}

TEST_CASE("misuse is named and changes nothing") {
  bench b;
  const allocation a = b.pool.allocate(64 * KiB);
  support::recorder seen;
  b.pool.deallocate({offset(a.data, 64), 64 * KiB - 64});
  CHECK(seen.last().code == errc::interior_pointer);
  CHECK(b.pool.use({offset(a.data, 64), 100}, b.s) == errc::interior_pointer);
  CHECK(b.pool.use({a.data, 100}, b.s) == errc::wrong_size);
  b.pool.deallocate({a.data, 100});
  CHECK(seen.last().code == errc::wrong_size);
  CHECK(b.pool.stats().live == 64 * KiB);
  b.copy_from(a, b.s);
  REQUIRE(b.pool.use(a, b.s) == errc::ok);
  b.pool.deallocate(a);
  seen.clear();
  b.pool.deallocate(a);
  CHECK(seen.only(errc::double_free));
  CHECK(b.pool.use(a, b.s) == errc::double_free);
  CHECK(b.pool.trim() == 0);
  CHECK(b.holds());
}

TEST_CASE("what can never fit is refused at once, with the cap") {
  bench b(bench::with(8 * MiB));
  b.m.reset_calls();
  CHECK_FALSE(b.pool.allocate(9 * MiB));
  CHECK(b.m.device_calls() == 0);
  const failure f = b.pool.last_failure();
  CHECK(f.code == errc::too_large);
  CHECK(f.need == 9 * MiB);
  CHECK(f.limit == 8 * MiB);
  CHECK(b.pool.allocate(1 * MiB, 3) == allocation{});
  CHECK(b.pool.last_failure().code == errc::invalid_argument);
}

TEST_CASE("at the cap idle chunks go, so that one large piece fits") {
  bench b(bench::with(8 * MiB));
  std::vector<allocation> pieces;
  for (int k = 0; k != 8; ++k) pieces.push_back(b.pool.allocate(1 * MiB));
  for (const allocation& a : pieces) REQUIRE(a);
  CHECK(b.pool.stats().reserved == 8 * MiB);
  for (const allocation& a : pieces) b.pool.deallocate(a);
  const allocation whole = b.pool.allocate(8 * MiB);
  CHECK(whole.size == 8 * MiB);
  CHECK(b.pool.stats().peak_reserved == 8 * MiB);
  CHECK(b.holds());
  b.pool.deallocate(whole);
}

TEST_CASE("trim unpins what is idle, and keeps what it is told to") {
  bench b;
  const allocation keep = b.pool.allocate(3 * MiB);
  const allocation one = b.pool.allocate(4 * MiB);
  const allocation two = b.pool.allocate(5 * MiB);
  b.pool.deallocate(one);
  b.copy_from(two, b.s);
  REQUIRE(b.pool.use(two, b.s) == errc::ok);
  b.pool.deallocate(two);
  CHECK(b.pool.trim(4 * MiB) == 0);
  CHECK(b.pool.trim() == 4 * MiB);
  b.m.complete(b.s);
  CHECK(b.pool.trim() == 5 * MiB);
  CHECK(b.m.pinned_used() == 3 * MiB);
  CHECK(b.holds());
  CHECK(b.m.violations() == 0);
  b.pool.deallocate(keep);
}

TEST_CASE("the end waits for copies, reports what is out, and asks a driver that has gone for nothing twice") {
  sim_machine m;
  sim_device d = m.device();
  sim_stream s;
  REQUIRE(d.create_stream(s));
  void* memory = nullptr;
  REQUIRE(d.allocate(1 * MiB, memory));
  support::recorder seen;
  {
    sim_pool pool({.device = d, .name = "staging"});
    const allocation a = pool.allocate(64 * KiB);
    m.host_writes(a.data, a.size);
    REQUIRE(d.copy(memory, a.data, a.size, s));
    REQUIRE(pool.use(a, s) == errc::ok);
    pool.deallocate(a);
    CHECK(pool.allocate(100));
  }
  CHECK(seen.only(errc::leaked));
  CHECK(seen.last().need == 128);
  CHECK(m.violations() == 0);
  CHECK(m.live_pinned() == 0);
  CHECK(m.live_events() == 0);
  {
    sim_pool pool({.device = d});
    const allocation a = pool.allocate(64 * KiB);
    REQUIRE(pool.use(a, s) == errc::ok);
    pool.deallocate(a);
    m.unload();
  }
}

TEST_CASE("what an operator reads of a pinned pool") {
  bench b(bench::with(8 * MiB));
  const allocation a = b.pool.allocate(1000);
  char line[300];
  const std::size_t length = b.pool.dump(line, sizeof line);
  CHECK(length == std::string(line).size());
  CHECK(std::string(line) == "pinned pool 'pinned pool': 1024 of 1048576 bytes out in 1 pieces, 0 wait for streams in 0, "
                             "1047552 free, largest 1047552, chunks 1, limit 8388608");
  b.pool.deallocate(a);
}

namespace {
struct counted : pinned_policy {
  using stats = counters;
};
}  // namespace

TEST_CASE("a policy counts what is asked and granted") {
  pinned_pool<host_device, counted> pool;
  const allocation a = pool.allocate(100);
  CHECK(pool.counts().values().granted.current == 128);
  pool.deallocate(a);
  CHECK(pool.counts().values().granted.current == 0);
}

TEST_CASE("against a plain model: no overlap, no reuse before its event, counts exact") {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u, 4u);
  CAPTURE(seed);
  contract_random random(seed);
  bench b(bench::with(24 * MiB, seed % 2 == 0));
  struct piece {
    allocation a;
    bool used_s, used_t;
  };
  std::vector<piece> out;
  std::size_t live = 0;
  for (int step = 0; step != 6000; ++step) {
    const std::size_t what = random.below(10);
    if (what < 5) {
      const std::size_t bytes = 1 + random.below(std::size_t{1} << (6 + random.below(17)));
      const allocation a = b.pool.allocate(bytes, std::size_t{1} << random.below(10));
      if (!a) continue;
      for (const piece& p : out)
        REQUIRE((address_of(p.a.data) + p.a.size <= address_of(a.data) || address_of(a.data) + a.size <= address_of(p.a.data)));
      b.m.host_writes(a.data, a.size);
      out.push_back({a, false, false});
      live += a.size;
    } else if (what < 8 && !out.empty()) {
      const std::size_t k = random.below(out.size());
      const allocation a = out[k].a;
      for (int time = 0; time != 2; ++time) {
        if (random.below(2) == 0) continue;
        const sim_stream on = time == 0 ? b.s : b.t;
        REQUIRE(b.d.copy(b.memory, a.data, a.size, b.s));
        REQUIRE(b.pool.use(a, b.s) == errc::ok);
        if (random.below(4) == 0) REQUIRE(b.pool.use(a, on) == errc::ok);
      }
      b.pool.deallocate(a);
      live -= a.size;
      out[k] = out.back();
      out.pop_back();
    } else if (what == 8) {
      b.m.complete(random.below(2) == 0 ? b.s : b.t);
    } else if (random.below(20) == 0) {
      (void)b.pool.trim(random.below(8 * MiB));
    }
    REQUIRE(b.pool.stats().live == live);
    if (step % 64 == 0) REQUIRE((b.holds() && b.pool.is_valid()));
  }
  CHECK(b.pool.stats().peak_reserved <= 24 * MiB);
  for (const piece& p : out) b.pool.deallocate(p.a);
  CHECK(b.m.violations() == 0);
}

TEST_CASE("threads share a pinned pool") {
  sim_machine m;
  sim_device d = m.device();
  {
    sim_pool pool({.device = d, .limit = 32 * MiB});
    std::vector<std::thread> threads;
    for (unsigned t = 0; t != 4; ++t)
      threads.emplace_back([&, t] {
        contract_random random(t + 1);
        sim_stream s;
        (void)d.create_stream(s);
        std::vector<allocation> out;
        for (int k = 0; k != 2000; ++k) {
          if (out.size() < 8 && random.below(2) == 0) {
            const allocation a = pool.allocate(1 + random.below(512 * KiB));
            if (!a) continue;
            *static_cast<unsigned*>(a.data) = t;
            out.push_back(a);
          } else if (!out.empty()) {
            const allocation a = out.back();
            out.pop_back();
            if (*static_cast<unsigned*>(a.data) != t) std::abort();
            if (random.below(2) == 0) (void)pool.use(a, s);
            pool.deallocate(a);
          }
        }
        for (const allocation& a : out) pool.deallocate(a);
        (void)d.synchronize(s);
        (void)d.destroy_stream(s);
      });
    for (std::thread& t : threads) t.join();
    const pinned_pool_stats now = pool.stats();
    CHECK(now.live == 0);
    CHECK(now.live + now.waiting + now.available == now.reserved);
    CHECK(now.peak_reserved <= 32 * MiB);
    CHECK(pool.is_valid());
  }
  CHECK(m.is_clean());
}
