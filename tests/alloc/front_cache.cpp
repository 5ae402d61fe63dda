#include <tokenheap/alloc/front_cache.hpp>

#include <support/catch.hpp>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include <tokenheap/check/explorer.hpp>

#include "caching_kit.hpp"
#include "caching_programs.hpp"

using namespace caching_kit;

namespace {

/// Counts how often it is taken; sim_lock tells the simulated device of the order of threads.
struct counted_lock {
  void lock() noexcept {
    below.lock();
    ++turns();
  }
  void unlock() noexcept { below.unlock(); }
  static std::atomic<std::size_t>& turns() {
    static std::atomic<std::size_t> count{0};
    return count;
  }
  sim_lock<> below;
};
struct counted_policy : default_caching_policy {
  using lock = counted_lock;
  using growth_lock = counted_lock;
};
struct threaded_policy : default_caching_policy {};

/// A machine, streams, a book of fronts and an allocator that calls it; its end demands that nothing is left anywhere.
template <class Policy, front_shape Shape = front_shape{.fronts = 8, .slots = 4}>
struct front_rig {
  using gpu_type = caching_allocator<sim_device, Policy>;
  using fronts_type = front_caches<gpu_type, Shape>;
  using front = front_cache<gpu_type, Shape>;
  using stream = sim_device::stream;

  explicit front_rig(std::size_t capacity = 1 * GiB, pressure_callback then = {}, bool backed = false)
      : machine(sim_options{.capacity = capacity, .backed = backed, .one_host = true}), device(machine.device()), fronts(then) {
    for (stream& s : streams) REQUIRE(device.create_stream(s));
    gpu = new gpu_type(device, {.on_pressure = fronts.callback()});
  }
  front_rig(const front_rig&) = delete;
  front_rig& operator=(const front_rig&) = delete;
  ~front_rig() {
    CHECK(fronts.stats().pieces == 0);
    CHECK(gpu->stats().all.allocated_bytes.current == 0);
    CHECK(gpu->is_valid());
    delete gpu;
    for (stream& s : streams) CHECK(device.destroy_stream(s));
    CHECK(machine.violations() == 0);
    CHECK(machine.is_clean());
  }
  std::size_t out() { return gpu->stats().all.allocated_bytes.current; }

  sim_machine machine;
  sim_device device;
  stream streams[8];
  fronts_type fronts;
  gpu_type* gpu = nullptr;
};
using rig_of_fronts = front_rig<counted_policy>;

TEST_CASE("fronts: a hot pair takes no lock and makes no device call", "[front]") {
  rig_of_fronts r;
  auto front = r.fronts.open(*r.gpu);
  CHECK(front.keeps());
  const allocation first = front.allocate(r.streams[0], 3000);
  REQUIRE(first);
  CHECK(first.size == 3072);
  front.deallocate(r.streams[0], first);
  const std::size_t calls = r.machine.device_calls();
  const std::size_t turns = counted_lock::turns();
  for (int k = 0; k != 100; ++k) {
    const allocation a = front.allocate(r.streams[0], 3000);
    CHECK(a == first);
    CHECK(r.device.launch_write(r.streams[0], a.data, a.size));
    front.deallocate(r.streams[0], a);
  }
  CHECK(counted_lock::turns() == turns);
  CHECK(r.machine.device_calls() == calls + 100);  // the kernels
  CHECK(r.fronts.stats().hits == 100);
  CHECK(r.fronts.stats().bytes == first.size);
  CHECK(r.fronts.stats().pieces == 1);
  CHECK(r.out() == first.size);
  CHECK(r.fronts.flush() == first.size);
  CHECK(r.out() == 0);
  CHECK(r.fronts.flush() == 0);
}

TEST_CASE("fronts: a piece is for its own stream, size, class, owner and alignment", "[front]") {
  rig_of_fronts r;
  auto front = r.fronts.open(*r.gpu);
  const auto tenant = r.gpu->add_owner({.name = "tenant"});
  REQUIRE(tenant);
  const allocation first = r.gpu->allocate(r.streams[0], 512);  // what comes behind it is not aligned to more
  const auto misses = [&](std::size_t on, const device_request& with) {
    const allocation kept = front.allocate(r.streams[0], 3000);
    front.deallocate(r.streams[0], kept);
    CHECK(r.fronts.stats().pieces == 1);
    const allocation a = front.allocate(r.streams[on], with);
    CHECK(a);
    CHECK(a.data != kept.data);
    front.deallocate(r.streams[on], a);
    CHECK(r.fronts.stats().pieces == 2);
    r.fronts.flush();
    return r.out() == first.size && r.fronts.stats().hits == 0;
  };
  CHECK(misses(1, {.bytes = 3000}));
  CHECK(misses(0, {.bytes = 3001}));
  CHECK(misses(0, {.bytes = 3000, .of = memory_class::scratch}));
  CHECK(misses(0, {.bytes = 3000, .owner = *tenant}));
  CHECK(misses(0, {.bytes = 3000, .alignment = 64 * KiB}));
  r.gpu->deallocate(r.streams[0], first);
  front.deallocate(r.streams[0], front.allocate(r.streams[0], 3000));
  CHECK(r.fronts.stats().hits == 0);
  for (const device_request& nonsense : {device_request{}, device_request{.bytes = 3000, .alignment = 3}})
    CHECK_FALSE(front.allocate(r.streams[0], nonsense));
  CHECK(r.fronts.stats().pieces == 1);
}

TEST_CASE("fronts: what fits only when they are empty is granted", "[front]") {
  rig_of_fronts r(64 * MiB);
  auto mine = r.fronts.open(*r.gpu);
  auto other = r.fronts.open(*r.gpu);
  SECTION("the device is full: a request of the allocator itself") {
    other.deallocate(r.streams[1], other.allocate(r.streams[1], 48 * MiB));
    CHECK(r.fronts.stats().bytes == 48 * MiB);
    const allocation all = r.gpu->allocate(r.streams[0], 60 * MiB);
    REQUIRE(all);
    CHECK(r.fronts.stats().bytes == 0);
    CHECK(r.out() == all.size);
    r.gpu->deallocate(r.streams[0], all);
  }
  SECTION("an owner's limit: a request of another front") {
    other.deallocate(r.streams[1], other.allocate(r.streams[1], 4 * MiB));
    CHECK(r.gpu->set_owner_limits(0, 4 * MiB));
    CHECK_FALSE(mine.try_allocate(r.streams[0], {.bytes = 4 * MiB}));
    const allocation a = mine.allocate(r.streams[0], 4 * MiB);
    CHECK(a);
    shortage why;
    CHECK_FALSE(mine.allocate(r.streams[0], {.bytes = 512}, &why));
    CHECK(why.code == errc::limit_reached);
    mine.deallocate(r.streams[0], a);
  }
}

TEST_CASE("fronts: the user's callback stands behind theirs", "[front]") {
  std::size_t asked = 0;
  rig_of_fronts r(64 * MiB, {[](void* user, std::size_t bytes) noexcept {
                              *static_cast<std::size_t*>(user) += bytes;
                              return false;
                            }, &asked});
  auto front = r.fronts.open(*r.gpu);
  front.deallocate(r.streams[0], front.allocate(r.streams[0], 40 * MiB));
  CHECK(asked == 0);
  const allocation a = r.gpu->allocate(r.streams[0], 50 * MiB);
  CHECK(a);
  CHECK(asked == 50 * MiB);
  r.gpu->deallocate(a);
}

TEST_CASE("fronts: misuse is caught and changes nothing", "[front]") {
  rig_of_fronts r;
  auto mine = r.fronts.open(*r.gpu);
  auto other = r.fronts.open(*r.gpu);
  failure_counter failures;
  const allocation a = mine.allocate(r.streams[0], 3000);
  SECTION("a wrong size") {
    mine.deallocate(r.streams[0], {a.data, 512});
    CHECK(failures[errc::wrong_size] == 1);
    mine.deallocate(r.streams[0], {a.data, 3000});
    CHECK(r.fronts.stats().pieces == 1);
  }
  SECTION("twice through the same front") {
    mine.deallocate(r.streams[0], a);
    mine.deallocate(r.streams[0], a);
    CHECK(failures[errc::double_free] == 1);
    CHECK(r.fronts.stats().pieces == 1);
    CHECK(mine.record_stream(a, r.streams[1]) == errc::double_free);
  }
  SECTION("twice through two fronts, in both orders") {
    mine.deallocate(r.streams[0], a);
    other.deallocate(r.streams[0], a);
    CHECK(failures[errc::double_free] == 1);
    const allocation b = mine.allocate(r.streams[0], 3000);
    CHECK(b == a);
    other.deallocate(r.streams[0], b);
    mine.deallocate(r.streams[0], b);
    CHECK(failures[errc::double_free] == 2);
    CHECK(r.fronts.stats().pieces == 0);
  }
  SECTION("twice, with the fronts emptied between") {
    mine.deallocate(r.streams[0], a);
    r.fronts.flush();
    mine.deallocate(r.streams[0], a);
    CHECK(failures[errc::double_free] == 1);
  }
  SECTION("past the fronts: seen when the piece is handed out again") {
    mine.deallocate(r.streams[0], a);
    r.gpu->deallocate(r.streams[0], a);
    const allocation b = other.allocate(r.streams[0], 3000);
    CHECK(b == a);
    CHECK(failures[errc::double_free] == 1);
    CHECK(r.fronts.stats().pieces == 0);
    other.deallocate(r.streams[0], b);
    CHECK(r.fronts.stats().pieces == 1);
  }
  SECTION("what is nobody's") {
    mine.deallocate(r.streams[0], {reinterpret_cast<void*>(0x1000), 512});
    CHECK(failures[errc::foreign_pointer] == 1);
    mine.deallocate(r.streams[0], {offset(a.data, 512), a.size - 512});
    CHECK(failures[errc::interior_pointer] == 1);
    mine.deallocate(r.streams[0], {});
    mine.deallocate(r.streams[0], a);
  }
  CHECK(r.gpu->is_valid());
}

TEST_CASE("fronts: a piece that other streams use goes straight back", "[front]") {
  rig_of_fronts r;
  auto front = r.fronts.open(*r.gpu);
  const allocation a = front.allocate(r.streams[0], 1 * MiB);
  CHECK(r.device.launch_write(r.streams[0], a.data, a.size));
  CHECK(front.record_stream(a, r.streams[1]) == errc::ok);
  front.deallocate(r.streams[0], a);
  CHECK(r.fronts.stats().pieces == 0);
  CHECK(r.gpu->stats().pending_bytes == 1 * MiB);
  const allocation b = front.allocate(r.streams[0], 1 * MiB);
  CHECK(b.data != a.data);
  front.deallocate(r.streams[0], b);
  // given back on another stream it is that stream's
  const allocation c = front.allocate(r.streams[0], 1 * MiB);
  CHECK(c == b);
  front.deallocate(r.streams[2], c);
  CHECK(r.fronts.stats().pieces == 0);
  const allocation d = r.gpu->try_allocate(r.streams[2], {.bytes = 1 * MiB});
  CHECK(d == c);
  r.gpu->deallocate(r.streams[2], d);
}

TEST_CASE("fronts: a pause lets everything through", "[front]") {
  rig_of_fronts r;
  auto front = r.fronts.open(*r.gpu);
  const allocation a = front.allocate(r.streams[0], 3000);
  const allocation b = front.allocate(r.streams[0], 4000);
  front.deallocate(r.streams[0], a);
  r.fronts.pause();
  CHECK(r.fronts.flush() == a.size);
  front.deallocate(r.streams[0], b);
  const allocation c = front.allocate(r.streams[0], 3000);
  front.deallocate(r.streams[0], c);
  CHECK(r.out() == 0);
  const allocation d = front.allocate(r.streams[0], 5000);
  r.fronts.resume();
  front.deallocate(r.streams[0], d);
  CHECK(r.fronts.stats().pieces == 0);
  front.deallocate(r.streams[0], front.allocate(r.streams[0], 5000));
  CHECK(r.fronts.stats().pieces == 1);
}

TEST_CASE("fronts: a front that ends gives everything back, one too many keeps nothing", "[front]") {
  rig_of_fronts r;
  const allocation later = [&] {
    auto front = r.fronts.open(*r.gpu);
    front.deallocate(r.streams[0], front.allocate(r.streams[0], 3000));
    auto moved = std::move(front);
    CHECK_FALSE(front.keeps());  // NOLINT: what is left of it is asked
    CHECK(r.fronts.stats().pieces == 1);
    return moved.allocate(r.streams[0], 9000);
  }();
  CHECK(r.fronts.stats().pieces == 0);
  CHECK(r.out() == later.size);
  std::vector<rig_of_fronts::front> all;
  all.reserve(9);
  for (int k = 0; k != 9; ++k) {
    all.push_back(r.fronts.open(*r.gpu));
    CHECK(all.back().keeps() == (k != 8));
  }
  all[8].deallocate(r.streams[0], later);
  CHECK(r.out() == 0);
  all[8].deallocate(r.streams[0], all[8].allocate(r.streams[0], 3000));
  CHECK(r.out() == 0);
  const allocation a = all[0].allocate(r.streams[0], 3000);
  all[8].deallocate(r.streams[0], a);
  CHECK(r.out() == 0);
  // a book serves one allocator after the other
  all.clear();
  delete r.gpu;
  r.gpu = new rig_of_fronts::gpu_type(r.device, {.on_pressure = r.fronts.callback()});
  auto front = r.fronts.open(*r.gpu);
  front.deallocate(r.streams[0], front.allocate(r.streams[0], 3000));
  CHECK(r.fronts.stats().pieces == 1);
}

// ---- random requests against a plain model ---------------------------------------------------------------------------

TEST_CASE("fronts: random requests agree with a plain model", "[front]") {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u);
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  front_rig<default_caching_policy, front_shape{.fronts = 4, .slots = 12}> r(24 * MiB);
  struct held {
    allocation a;
    std::size_t home;
  };
  std::vector<decltype(r)::front> fronts;
  for (int k = 0; k != 3; ++k) fronts.push_back(r.fronts.open(*r.gpu));
  std::map<std::size_t, held> live;
  std::size_t sum = 0;
  std::size_t refused = 0;
  bool sound = true;
  for (int step = 0; step != 20000 && sound; ++step) {
    auto& front = fronts[random() % 3];
    if (random() % 100 < 51) {
      const std::size_t bytes = random() % 16 == 0 ? random() % (2 * MiB) + 1 : (random() % 3 + 1) * 700;
      const std::size_t home = random() % 2;
      const allocation a = random() % 8 == 0 ? r.gpu->allocate(r.streams[home], bytes) : front.allocate(r.streams[home], bytes);
      if (!a) ++refused;
      // a refusal is a refusal of the allocator alone: with nothing in fronts
      if (!a) sound &= r.fronts.stats().pieces == 0;
      if (!a) continue;
      sound &= a.size >= bytes && r.device.launch_write(r.streams[home], a.data, a.size);
      const std::size_t at = address_of(a.data);
      const auto after = live.lower_bound(at);
      sound &= after == live.end() || at + a.size <= after->first;
      sound &= after == live.begin() || std::prev(after)->first + std::prev(after)->second.a.size <= at;
      live.emplace(at, held{a, home});
      sum += a.size;
    } else if (!live.empty()) {
      auto e = live.lower_bound(std::next(live.begin(), static_cast<std::ptrdiff_t>(random() % live.size()))->first);
      front.deallocate(r.streams[e->second.home], e->second.a);
      sum -= e->second.a.size;
      live.erase(e);
    }
    if (step % 16 == 0) sound &= r.out() == sum + r.fronts.stats().bytes;
    if (step % 500 == 0) {
      r.fronts.flush();
      sound &= r.out() == sum && r.gpu->is_valid();
    }
    sound &= r.machine.violations() == 0;
  }
  CHECK(sound);
  CHECK(refused != 0);
  CHECK(r.fronts.stats().hits > 200);
  for (const auto& [at, h] : live) fronts[0].deallocate(r.streams[h.home], h.a);
}

// ---- threads ---------------------------------------------------------------------------------------------------------

/// Eight threads with a stream and a front each, memory for few of them, and pieces that go to others.
TEST_CASE("fronts: threads are emptied in the middle of their calls", "[front]") {
  constexpr std::size_t threads = 8;
  constexpr std::size_t pairs = 3000;
  const std::uint64_t seed = 71;
  CAPTURE(seed);
  front_rig<threaded_policy> r(12 * MiB, {}, true);
  std::atomic<std::size_t> wrong{0};
  std::atomic<std::size_t> refused{0};
  const auto work = [&](std::size_t k) {
    std::mt19937_64 random(seed + k);
    auto front = r.fronts.open(*r.gpu);
    for (std::size_t n = 0; n != pairs; ++n) {
      const std::uint64_t mark = k << 32 | n;
      const std::size_t bytes = random() % 16 == 0 ? 2 * MiB : (random() % 4 + 1) * 4096;
      const allocation a = front.allocate(r.streams[k], bytes);
      if (!a) {
        ++refused;
        continue;
      }
      if (!r.device.launch_write(r.streams[k], a.data, a.size)) ++wrong;
      // nobody else may hold the piece, so plain writes of both ends must not meet another thread's
      std::memcpy(a.data, &mark, sizeof mark);
      std::memcpy(offset(a.data, a.size - sizeof mark), &mark, sizeof mark);
      if (random() % 32 == 0) r.fronts.flush();
      if (std::memcmp(a.data, &mark, sizeof mark) != 0) ++wrong;
      if (std::memcmp(offset(a.data, a.size - sizeof mark), &mark, sizeof mark) != 0) ++wrong;
      front.deallocate(r.streams[k], a);
      if (random() % 256 == 0 && r.fronts.stats().pieces > 8 * 4) ++wrong;
    }
  };
  std::vector<std::thread> all;
  for (std::size_t k = 0; k != threads; ++k) all.emplace_back(work, k);
  for (std::thread& t : all) t.join();
  CHECK(wrong == 0);
  CHECK(r.fronts.stats().hits != 0);
  CHECK(r.out() == 0);
}

/// Pieces of one thread's front are given back by another's, while a third empties both.
TEST_CASE("fronts: threads give each other's pieces back", "[front]") {
  front_rig<threaded_policy> r;
  std::mutex mutex;
  std::vector<allocation> handed;
  std::atomic<bool> done{false};
  std::atomic<std::size_t> wrong{0};
  std::thread giver([&] {
    auto front = r.fronts.open(*r.gpu);
    for (bool last = false; !last;) {
      last = done;
      std::vector<allocation> mine;
      {
        const std::lock_guard<std::mutex> hold(mutex);
        mine.swap(handed);
      }
      for (const allocation& a : mine) front.deallocate(r.streams[0], a);
      std::this_thread::yield();
    }
  });
  {
    auto front = r.fronts.open(*r.gpu);
    for (std::size_t n = 0; n != 5000; ++n) {
      const allocation a = front.allocate(r.streams[0], (n % 3 + 1) * 512);
      if (!a) ++wrong;
      if (n % 64 == 0) r.fronts.flush();
      if (n % 2 == 0) {
        front.deallocate(r.streams[0], a);
        continue;
      }
      const std::lock_guard<std::mutex> hold(mutex);
      handed.push_back(a);
    }
  }
  done = true;
  giver.join();
  CHECK(wrong == 0);
  CHECK(r.out() == 0);
}

// ---- every schedule of two threads -----------------------------------------------------------------------------------

struct steered : caching_programs::tiny_policy<segment_kind::growable, borrowing::when_out_of_memory> {
  using lock = sim_lock<>;
  using growth_lock = sim_lock<>;
};

/// One thread works through its front while the other, on a stream of its own, can be served only by what the first keeps.
struct taken_over {
  using gpu_type = caching_allocator<sim_device, steered>;
  using fronts_type = front_caches<gpu_type, front_shape{.fronts = 2, .slots = 2}>;

  taken_over()
      : machine(sim_options{.capacity = 4 * KiB, .page_bytes = 2 * KiB, .one_host = true}), device(machine.device()),
        gpu(device, {.address_space = 16 * KiB, .on_pressure = fronts.callback()}),
        handles{fronts.open(gpu), fronts.open(gpu)} {
    for (auto& s : streams) static_cast<void>(device.create_stream(s));
    const allocation a = handles[0].allocate(streams[0], 3 * KiB);
    static_cast<void>(device.launch_write(streams[0], a.data, a.size));
    handles[0].deallocate(streams[0], a);
  }
  void run(unsigned k) noexcept {
    const allocation a = handles[k].allocate(streams[k], 3 * KiB);
    if (!a) {
      ++refused;
      return;
    }
    static_cast<void>(device.launch_write(streams[k], a.data, a.size));
    handles[k].deallocate(streams[k], a);
  }
  const char* check() noexcept {
    fronts.flush();
    if (!gpu.is_valid()) return "is_valid says no";
    const device_stats now = gpu.stats();
    if (now.all.allocated_bytes.current != 0) return "bytes are out";
    if (now.cached_bytes + now.pending_bytes != now.all.reserved_bytes.current) return "the sums do not add up";
    if (refused == 2) return "both were refused";
    for (unsigned k = 0; k != 2; ++k) {
      refused = 0;
      run(k);
      if (refused != 0) return "memory is lost";
    }
    if (machine.violations() == 0) return nullptr;
    machine.describe(0, text, sizeof text);
    return text;
  }

  static constexpr unsigned threads = 2;
  sim_machine machine;
  sim_device device;
  fronts_type fronts;
  gpu_type gpu;
  front_cache<gpu_type, front_shape{.fronts = 2, .slots = 2}> handles[2];
  sim_device::stream streams[2];
  std::atomic<unsigned> refused{0};
  char text[256] = {};
};

TEST_CASE("fronts: every schedule of one that works and one that is short", "[front][schedules]") {
  explore_options with{.preemptions = caching_programs::is_slow ? 2u : 3u, .schedules = 1'000'000};
  const explore_report found = explore([] { return taken_over(); }, with);
  INFO(found.first_broken() << "; schedule: " << found.schedule);
  CHECK(found);
  CHECK(found.schedules > 10);
}

}  // namespace
