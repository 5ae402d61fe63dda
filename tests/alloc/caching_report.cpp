#include <tokenheap/alloc/caching_report.hpp>

#include <map>
#include <random>
#include <string>

#include "caching_kit.hpp"

using namespace caching_kit;

// What an operator sees, and whether it is true.

namespace {

struct long_trace_fixed : fixed_policy {
  using trace = device_ring_trace<trace_shape{.events = 1 << 16}>;
};
struct long_trace_growable : growable_policy {
  using trace = device_ring_trace<trace_shape{.events = 1 << 16}>;
};

}  // namespace

TEMPLATE_TEST_CASE("C36: the observer of shortages is called once, and may allocate", "[caching]", fixed_policy, growable_policy) {
  struct state {
    caching_allocator<sim_device, TestType>* gpu = nullptr;
    sim_device::stream s{};
    int called = 0;
    shortage seen{};
    bool got = false;
  } of;
  const shortage_observer watch{[](void* user, const shortage& why) noexcept {
                                  auto& me = *static_cast<state*>(user);
                                  ++me.called;
                                  me.seen = why;
                                  const allocation a = me.gpu->allocate(me.s, 512);
                                  me.got = bool(a);
                                  me.gpu->deallocate(me.s, a);
                                },
                                &of};
  rig<TestType> r(100 * MiB, {.limit = 80 * MiB, .on_shortage = watch});
  of.gpu = &r.gpu();
  of.s = r.streams[1];
  const allocation a = r.take(60 * MiB);
  const allocation tiny = r.take(512, 1);
  CHECK_FALSE(r.take(40 * MiB));
  CHECK(of.called == 1);
  CHECK(of.seen.code == errc::out_of_memory);
  CHECK(of.seen.need == 40 * MiB);
  CHECK(of.seen.limit == 80 * MiB);
  CHECK(of.seen.ordinal == 0);
  CHECK(of.seen.device_free == 38 * MiB);
  CHECK(of.got);
  CHECK(std::string(of.seen.top[0].name) == "general");
  CHECK(of.seen.top[0].current == 60 * MiB + 512);
  r.give(a);
  r.give(tiny, 1);
}

TEMPLATE_TEST_CASE("C38, C42: after any operations the pieces tile the segments, and the trace tells the same", "[caching]",
                   long_trace_fixed, long_trace_growable) {
  const unsigned seed = GENERATE(1u, 2u, 3u);
  CAPTURE(seed);
  std::mt19937 random(seed);
  rig<TestType> r(256 * MiB);
  std::map<std::size_t, std::pair<allocation, std::size_t>> live;
  for (int k = 0; k != 3000; ++k) {
    const std::size_t s = random() % 2;
    if (live.size() < 4 || random() % 2 == 0) {
      const std::size_t bytes = random() % 4 == 0 ? 1 + random() % (20 * MiB) : 1 + random() % (64 * KiB);
      const allocation a = r.gpu().allocate(r.streams[s], bytes);
      if (!a) continue;
      REQUIRE(r.device.launch_write(r.streams[s], a.data, a.size));
      const auto next = live.lower_bound(address_of(a.data));
      REQUIRE((next == live.end() || next->first >= address_of(a.data) + a.size));
      REQUIRE((next == live.begin() || std::prev(next)->first + std::prev(next)->second.first.size <= address_of(a.data)));
      live[address_of(a.data)] = {a, s};
    } else {
      const auto one = std::next(live.begin(), static_cast<std::ptrdiff_t>(random() % live.size()));
      const auto [a, home] = one->second;
      if (random() % 4 == 0) {
        r.follow(1 - home, home);
        REQUIRE(r.device.launch_read(r.streams[1 - home], a.data, a.size));
        REQUIRE(r.gpu().record_stream(a, r.streams[1 - home]) == errc::ok);
        if (random() % 2 == 0) r.machine.complete(r.streams[1 - home]);
      }
      r.gpu().deallocate(r.streams[home], a);
      live.erase(one);
    }
    if (k % 256 == 0) {
      CHECK(r.gpu().is_valid());
      const device_stats now = r.gpu().stats();
      CHECK(now.all.allocated_bytes.current + now.pending_bytes + now.cached_bytes == now.all.reserved_bytes.current);
      CHECK(now.all.reserved_bytes.current == r.machine.used());
      CHECK(now.all.reserved_bytes.allocated - now.all.reserved_bytes.freed == now.all.reserved_bytes.current);
    }
  }
  std::size_t tiled = 0;
  std::map<std::size_t, std::size_t> out;
  std::size_t end = 0;
  std::size_t segment = 0;
  bool tiles = true;
  r.gpu().for_each_piece([&](const device_segment& g, std::size_t at, std::size_t bytes, piece_state state) {
    tiles = tiles && (g.address == segment ? at == end : at == g.address);
    segment = g.address;
    end = at + bytes;
    if (state != piece_state::unmapped) tiled += bytes;
    if (state == piece_state::out) out[at] = bytes;
  });
  CHECK(tiles);
  CHECK(tiled == r.reserved());
  std::map<std::size_t, std::size_t> told;
  std::size_t mapped = 0;
  REQUIRE_FALSE(r.gpu().trace().overflowed());
  for (std::size_t k = 0; k != r.gpu().trace().size(); ++k) {
    const device_event& e = r.gpu().trace()[k];
    if (e.action == device_action::alloc) told[e.address] = e.bytes;
    if (e.action == device_action::free_requested) CHECK(told.erase(e.address) == 1);
    if (e.action == device_action::segment_alloc || e.action == device_action::segment_map) mapped += e.bytes;
    if (e.action == device_action::segment_free || e.action == device_action::segment_unmap) mapped -= e.bytes;
    if (e.action == device_action::oom) CHECK(e.address <= 256 * MiB);
  }
  CHECK(mapped == r.reserved());
  CHECK(told.size() == out.size());
  bool same = true;
  for (const auto& [at, bytes] : out) same = same && told.count(at) == 1 && told[at] <= bytes && live.count(at) == 1;
  CHECK(same);
  for (const auto& [at, one] : live) r.gpu().deallocate(r.streams[one.second], one.first);
  CHECK(r.out() == 0);
}

TEMPLATE_TEST_CASE("one line about an allocator", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r(64 * MiB, {.name = "weights"});
  const allocation a = r.take(4 * MiB);
  char line[400] = {};
  const std::size_t length = r.gpu().dump(line, sizeof line);
  CHECK(length == std::string(line).size());
  CHECK(std::string(line).find("device memory 'weights': 4194304 bytes out") == 0);
  r.give(a);
  r.gpu().reset_peaks();
  CHECK(r.gpu().stats().all.allocated_bytes.peak == 0);
  r.gpu().reset_accumulated();
  CHECK(r.gpu().stats().num_device_alloc == 0);
  CHECK(r.gpu().stats().all.allocated_bytes.allocated == 0);
}
