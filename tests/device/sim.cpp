#include <tokenheap/device/sim.hpp>

#include <support/catch.hpp>

#include <array>
#include <bitset>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace tokenheap;
using enum device_error;

namespace {

// each call of the two concepts once, with arguments that make sense as far as they can
template <class Seen>
void every_call(sim_device d, Seen seen) {
  void* p = nullptr;
  sim_stream s;
  sim_event e{};
  sim_pages pages{};
  device_memory memory;
  bool flag = false;
  int ordinal = -7;
  int x = 0;
  seen(sim_call::allocate, d.allocate(512, p));
  seen(sim_call::deallocate, d.deallocate(&x));
  seen(sim_call::memory, d.memory(memory));
  seen(sim_call::allocate_pinned, d.allocate_pinned(64, p));
  seen(sim_call::deallocate_pinned, d.deallocate_pinned(&x));
  seen(sim_call::register_host, d.register_host(&x, sizeof x));
  seen(sim_call::unregister_host, d.unregister_host(&x));
  seen(sim_call::create_stream, d.create_stream(s));
  seen(sim_call::destroy_stream, d.destroy_stream({99, 0}));
  seen(sim_call::identify, d.identify(0, s));
  seen(sim_call::wait, d.wait({}, e));
  seen(sim_call::synchronize_stream, d.synchronize(sim_stream{}));
  seen(sim_call::query_stream, d.query({}));
  seen(sim_call::is_capturing, d.is_capturing({}, flag));
  seen(sim_call::create_event, d.create_event(e));
  seen(sim_call::destroy_event, d.destroy_event(e));
  seen(sim_call::record, d.record(e, {}));
  seen(sim_call::query_event, d.query_event(e));
  seen(sim_call::synchronize_event, d.synchronize_event(e));
  seen(sim_call::copy, d.copy(&x, &x, sizeof x, {}));
  seen(sim_call::fill, d.fill(&x, 0, sizeof x, {}));
  seen(sim_call::synchronize_device, d.synchronize());
  seen(sim_call::current, d.current(ordinal));
  seen(sim_call::reserve, d.reserve(2 * MiB, 0, p));
  seen(sim_call::unreserve, d.unreserve(&x, 2 * MiB));
  seen(sim_call::create_pages, d.create_pages(2 * MiB, pages));
  seen(sim_call::release_pages, d.release_pages(pages));
  seen(sim_call::map, d.map(&x, 2 * MiB, pages));
  seen(sim_call::set_access, d.set_access(&x, 2 * MiB));
  seen(sim_call::unmap, d.unmap(&x, 2 * MiB));
  seen(sim_call::launch, d.launch_read({}, &x, sizeof x));
  seen(sim_call::call_host, d.call_host({}, [](void*) noexcept {}, nullptr));
  seen(sim_call::begin_capture, d.begin_capture({}));
  seen(sim_call::end_capture, d.end_capture({}));
  if (flag || ordinal != -7 || p != nullptr || s.id != 0 || memory.total != 0) seen(sim_call::current, device_status{});
}

}  // namespace

TEST_CASE("every call is counted", "[device]") {
  sim_machine m;
  std::size_t n = 0;
  every_call(m.device(), [&](sim_call call, device_status) {
    if (++n <= sim_calls) REQUIRE(m.calls(call) == 1);
  });
  REQUIRE(m.device_calls() == sim_calls);
  m.reset_calls();
  REQUIRE(m.device_calls() == 0);
}

TEST_CASE("without a driver every call has one answer, and outputs stay as they were", "[device]") {
  const device_error answer = GENERATE(no_device, gone, forked);
  sim_machine m({.devices = answer == no_device ? 0 : 1});
  if (answer == gone) m.unload();
  if (answer == forked) m.fork_child();
  std::size_t n = 0;
  every_call(m.device(), [&](sim_call, device_status s) {
    REQUIRE(s.error == answer);
    ++n;
  });
  REQUIRE(n == sim_calls);
  REQUIRE(m.violations() == (answer == forked ? sim_calls : 0));
  REQUIRE(m.is_clean());
}

TEST_CASE("every call can be made to fail, and then changes nothing", "[device]") {
  sim_machine m;
  for (unsigned k = 0; k != sim_calls; ++k) m.fail_always(static_cast<sim_call>(k), failed);
  std::size_t n = 0;
  every_call(m.device(), [&](sim_call, device_status s) {
    REQUIRE(s.error == failed);
    ++n;
  });
  REQUIRE(n == sim_calls);
  REQUIRE((m.is_clean() && m.violations() == 0 && m.used() == 0));
  m.clear_faults();
  m.fail(sim_call::allocate, 2, out_of_memory);
  void* p = nullptr;
  void* q = nullptr;
  REQUIRE(m.device().allocate(512, p));
  REQUIRE(m.device().allocate(512, q).error == out_of_memory);
  REQUIRE((q == nullptr && m.live_allocations() == 1));
  REQUIRE(m.device().allocate(512, q));
}

TEST_CASE("what is out is counted by kind", "[device]") {
  sim_machine m;
  sim_device d = m.device();
  REQUIRE(m.is_clean());
  void* p = nullptr;
  void* at = nullptr;
  void* pinned = nullptr;
  sim_stream s;
  sim_event e{};
  sim_pages pages{};
  REQUIRE((d.allocate(512, p) && !m.is_clean() && d.deallocate(p) && m.is_clean()));
  REQUIRE((d.allocate_pinned(1, pinned) && !m.is_clean() && d.deallocate_pinned(pinned) && m.is_clean()));
  REQUIRE((d.create_stream(s) && m.live_streams() == 1 && !m.is_clean() && d.destroy_stream(s) && m.is_clean()));
  REQUIRE((d.create_event(e) && m.live_events() == 1 && !m.is_clean() && d.destroy_event(e) && m.is_clean()));
  REQUIRE((d.create_pages(2 * MiB, pages) && !m.is_clean()));
  REQUIRE((d.reserve(2 * MiB, 0, at) && d.map(at, 2 * MiB, pages) && d.release_pages(pages) && !m.is_clean()));
  REQUIRE((d.unmap(at, 2 * MiB) && !m.is_clean() && d.unreserve(at, 2 * MiB) && m.is_clean()));
  // default streams are not made by anybody
  (void)d.per_thread();
  REQUIRE((d.legacy().id == 1 && m.is_clean()));
}

TEST_CASE("a finding is told in one line", "[device]") {
  sim_machine m;
  sim_device d = m.device();
  sim_stream a;
  sim_stream b;
  void* p = nullptr;
  REQUIRE((d.create_stream(a) && d.create_stream(b) && d.allocate(512, p)));
  REQUIRE((d.launch_write(a, p, 512) && d.launch_read(b, p, 100)));
  char text[200];
  m.describe(0, text, sizeof text);
  REQUIRE(std::string(text) ==
          "race at 0x200000000000, 100 bytes: launch writes on stream 2 of device 0; then launch reads on stream 3 of device 0");
  REQUIRE(m.violation(5).address == 0);
}

TEST_CASE("every thread has a current device", "[device]") {
  sim_machine m({.devices = 2});
  int out = -1;
  REQUIRE((m.device(1).current(out) && out == 0));
  m.device(1).make_current();
  REQUIRE((m.device(0).current(out) && out == 1));
  std::thread([&] { REQUIRE((m.device(0).current(out) && out == 0)); }).join();
  REQUIRE((m.device(1).ordinal() == 1 && m.device(1) == m.device(1)));
  REQUIRE((m.device(0) != m.device(1) && &m.device(0).machine() == &m));
  REQUIRE(std::string(m.device().to_text({out_of_memory, 0})) == "out of memory");
}

TEST_CASE("two machines in one process know nothing of each other", "[device]") {
  sim_machine one;
  sim_machine two;
  void* p = nullptr;
  void* q = nullptr;
  REQUIRE((one.device().allocate(512, p) && two.device().allocate(512, q) && p == q));
  REQUIRE((one.device().launch_write({}, p, 512) && two.device().launch_write({}, p, 512)));
  REQUIRE((one.violations() == 0 && two.violations() == 0));
}

TEST_CASE("two runs of one program give the same addresses, handles and findings", "[device]") {
  const auto run = [] {
    sim_machine m;
    sim_device d = m.device();
    std::vector<std::uintptr_t> seen;
    std::uint64_t random = 7;
    std::vector<void*> out;
    sim_stream s[3];
    for (sim_stream& each : s) REQUIRE(d.create_stream(each));
    for (int step = 0; step != 300; ++step) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      void* p = nullptr;
      if (random >> 63 != 0 || out.empty()) {
        if (d.allocate((random >> 40) % 5000 + 1, p)) out.push_back(p);
        (void)d.launch_write(s[step % 3], p, 1);
      } else {
        (void)d.launch_read(s[step % 3], out.back(), 1);
        (void)d.deallocate(out.back());
        out.pop_back();
      }
      seen.push_back(address_of(p));
      seen.push_back(m.violations());
    }
    return seen;
  };
  REQUIRE(run() == run());
}

// what must come before what as a graph, with every path written down; no clocks
TEST_CASE("the first race of a random program is the one that a graph of its order has", "[device]") {
  struct touched {
    std::size_t node, slot;
    bool writes;
  };
  std::size_t races = 0;
  std::size_t clean = 0;
  for (std::uint32_t seed = 1; seed != 401; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto below = [&](std::uint32_t n) { return static_cast<std::size_t>(random() % n); };
    sim_machine m;
    sim_device d = m.device();
    void* p = nullptr;
    REQUIRE(d.allocate(4096, p));
    std::array<sim_stream, 4> s{};  // the last one is the legacy default stream
    std::array<sim_event, 3> e{};
    for (std::size_t k = 0; k != 3; ++k) REQUIRE((d.create_stream(s[k]) && d.create_event(e[k])));
    s[3] = d.legacy();
    std::vector<std::bitset<128>> before(1);  // node 0: the host at the start
    std::array<std::size_t, 4> last{};
    std::array<std::size_t, 3> recorded{};
    std::size_t host = 0;
    std::vector<touched> seen;
    const auto node = [&](std::initializer_list<std::size_t> from) {
      std::bitset<128> all;
      for (const std::size_t f : from) all |= before[f], all.set(f);
      before.push_back(all);
      return before.size() - 1;
    };
    // legacy work is behind all streams, and all work is behind the legacy work before it
    const auto in_stream = [&](std::size_t k, std::size_t also) {
      return last[k] = k == 3 ? node({host, last[0], last[1], last[2], last[3], also}) : node({host, last[k], last[3], also});
    };
    bool raced = false;
    for (int step = 0; step != 60 && !raced; ++step) {
      const std::size_t k = below(8) == 0 ? 3 : below(3);
      const std::size_t event = below(3);
      switch (below(7)) {
        case 0: REQUIRE(d.record(e[event], s[k])); recorded[event] = in_stream(k, 0); break;
        case 1: REQUIRE(d.wait(s[k], e[event])); in_stream(k, recorded[event]); break;
        case 2: REQUIRE(d.record(e[event], s[k])); recorded[event] = in_stream(k, 0); break;
        case 3: REQUIRE(d.wait(s[k], e[event])); in_stream(k, recorded[event]); break;
        case 4:
          if (below(3) != 0) break;
          REQUIRE(d.synchronize_event(e[event]));
          host = node({host, recorded[event]});
          break;
        default: {
          const touched now{in_stream(k, 0), below(12), below(4) == 0};
          for (const touched& t : seen) {
            raced = raced || (t.slot == now.slot && (t.writes || now.writes) && !before[now.node][t.node]);
          }
          seen.push_back(now);
          REQUIRE(d.launch(s[k], {{offset(p, 64 * now.slot), 64, now.writes ? sim_access::write : sim_access::read}}));
        }
      }
      REQUIRE(m.violations() == (raced ? 1 : 0));
    }
    ++(raced ? races : clean);
  }
  REQUIRE((races > 50 && clean > 20));
}

TEST_CASE("calls from many threads are safe", "[device][threads]") {
  sim_machine m({.devices = 2});
  std::vector<std::thread> threads;
  for (int k = 0; k != 4; ++k) {
    threads.emplace_back([&m, k] {
      sim_device d = m.device(k % 2);
      sim_stream s;
      sim_event e{};
      if (!d.create_stream(s) || !d.create_event(e)) return;
      for (int round = 0; round != 500; ++round) {
        void* p = nullptr;
        void* pinned = nullptr;
        if (!d.allocate(1000, p) || !d.allocate_pinned(64, pinned)) return;
        m.host_writes(pinned, 64);
        (void)d.copy(p, pinned, 64, s);
        (void)d.record(e, s);
        (void)d.launch_write(d.per_thread(), offset(p, 512), 100);
        (void)d.query_event(e);
        (void)d.wait(d.per_thread(), e);
        (void)d.synchronize(s);
        m.host_writes(pinned, 64);
        (void)d.deallocate_pinned(pinned);
        (void)d.deallocate(p);
      }
      (void)d.destroy_event(e);
      (void)d.destroy_stream(s);
    });
  }
  for (std::thread& t : threads) t.join();
  REQUIRE(m.violations() == 0);
  REQUIRE(m.is_clean());
  REQUIRE(m.calls(sim_call::copy) == 2000);
}
