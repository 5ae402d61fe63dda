#include <tokenheap/check/explorer.hpp>

#include <support/catch.hpp>

#include <string>
#include <vector>

#include <tokenheap/check/programs.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/device/sim_lock.hpp>

using namespace tokenheap;

namespace {

/// A scenario over a machine of its own, judged by what the machine saw.
struct on_machine {
  sim_machine machine{};
  sim_device device = machine.device();
  char text[256] = {};

  const char* findings() noexcept {
    if (machine.violations() == 0) return nullptr;
    machine.describe(0, text, sizeof text);
    return text;
  }
};

// ---- what host threads know of each other

enum class guarded { by_nothing, by_a_lock };

/// Two threads write the same pinned bytes without the device.
template <guarded How>
struct two_writers : on_machine {
  static constexpr unsigned threads = 2;
  void* bytes = nullptr;
  sim_lock<> lock;

  two_writers() noexcept {
    device.allocate_pinned(64, bytes);
    machine.host_writes(bytes, 64);  // before the threads: known to both
  }
  ~two_writers() { device.deallocate_pinned(bytes); }
  void run(unsigned) noexcept {
    if (How == guarded::by_a_lock) lock.lock();
    machine.host_writes(bytes, 64);
    if (How == guarded::by_a_lock) lock.unlock();
  }
  const char* check() noexcept {
    machine.host_writes(bytes, 64);  // after them: knows both
    return findings();
  }
};

/// As above, and the machine was not called before the threads were there.
struct strangers : on_machine {
  static constexpr unsigned threads = 2;
  char bytes[64] = {};
  void run(unsigned thread) noexcept {
    sim_stream s{};
    device.create_stream_nonblocking(s);
    if (thread == 0) device.register_host(bytes, sizeof bytes);
    machine.host_writes(bytes, sizeof bytes);
  }
  const char* check() noexcept { return findings(); }
};

}  // namespace

TEST_CASE("threads of a scenario know what was before them, nothing of each other, and are joined", "[check]") {
  CHECK(explore<two_writers<guarded::by_a_lock>>());
  const explore_report r = explore<two_writers<guarded::by_nothing>>({.stop_after = explore_options::unlimited});
  CHECK(r.complete);
  CHECK(r.violations == r.schedules);  // whatever the order
  CHECK(r.broken.find("host thread 0; then the program writes on host thread 1") != std::string::npos);
  CHECK_FALSE(explore<strangers>());
}

namespace {

// ---- a cache of one size; what is wrong with it is a parameter

enum class defect { none, records_late, believes_errors, ignores_record };

template <defect Defect>
class toy_cache {
 public:
  explicit toy_cache(sim_device device) noexcept : device_(device) {}
  ~toy_cache() {
    for (const block& b : idle_) {
      device_.destroy_event(b.freed);
      device_.deallocate(b.data);
    }
  }

  bool allocate(sim_stream stream, void*& data) noexcept {
    {
      const locked guard(lock_);
      for (std::size_t k = 0; k != idle_.size(); ++k) {
        if (!is_done(idle_[k], stream)) continue;
        data = idle_[k].data;
        out_.push_back(idle_[k]);
        idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(k));
        return true;
      }
    }
    block fresh{};
    if (!device_.create_event(fresh.freed)) return false;
    if (!device_.allocate(4 * KiB, fresh.data)) {
      device_.destroy_event(fresh.freed);
      return false;
    }
    data = fresh.data;
    const locked guard(lock_);
    out_.push_back(fresh);
    return true;
  }

  void deallocate(sim_stream stream, void* data) noexcept {
    lock_.lock();
    std::size_t k = 0;
    while (out_[k].data != data) ++k;
    block freed = out_[k];
    out_.erase(out_.begin() + static_cast<std::ptrdiff_t>(k));
    freed.stream = stream;
    if (Defect != defect::records_late && !device_.record(freed.freed, stream) && Defect != defect::ignores_record)
      device_.synchronize(stream);
    idle_.push_back(freed);
    lock_.unlock();
    if (Defect == defect::records_late) device_.record(freed.freed, stream);
  }

 private:
  struct block {
    void* data = nullptr;
    sim_event freed{};
    sim_stream stream{};
  };
  bool is_done(const block& b, sim_stream stream) noexcept {
    if (b.stream == stream) return true;
    const device_status s = device_.query_event(b.freed);
    return Defect == defect::believes_errors ? s.error != device_error::not_ready : static_cast<bool>(s);
  }

  sim_device device_;
  sim_lock<> lock_;
  std::vector<block> idle_;
  std::vector<block> out_;
};

template <defect Defect>
struct workers : on_machine {
  unsigned threads;
  sim_stream streams[3] = {};
  toy_cache<Defect> cache{device};

  explicit workers(unsigned count) noexcept : threads(count) {
    for (sim_stream& s : streams) device.create_stream_nonblocking(s);
  }
  void run(unsigned k) noexcept {
    void* p = nullptr;
    if (!cache.allocate(streams[k], p)) return;
    device.launch_write(streams[k], p, 4 * KiB);
    cache.deallocate(streams[k], p);
  }
  const char* check() noexcept { return findings(); }
};

template <defect Defect>
explore_report look(unsigned threads, const explore_options& with) {
  return explore([=] { return workers<Defect>(threads); }, with);
}

}  // namespace

TEST_CASE("an event recorded after its block is there for others is found with one preemption", "[check]") {
  CHECK(look<defect::records_late>(2, {.preemptions = 0}));
  const explore_report r = look<defect::records_late>(2, {.preemptions = 1});
  INFO(r.schedule);
  CHECK(r.violations == 1);
  CHECK(r.schedules < 10);
  CHECK(r.broken.rfind("race", 0) == 0);
  CHECK(replay([] { return workers<defect::records_late>(2); }, r.schedule.c_str()).broken == r.broken);
  const explore_report random = explore_random([] { return workers<defect::records_late>(3); }, 11, 1000);
  INFO("seed 11: " << random.schedule);
  CHECK(random.violations == 1);
  CHECK(replay([] { return workers<defect::records_late>(3); }, random.schedule.c_str()).broken == random.broken);
}

TEST_CASE("a sound cache has no race in any schedule, with any answer", "[check]") {
  const explore_report two = look<defect::none>(2, {.preemptions = 4});
  CHECK(two);
  const explore_report three = look<defect::none>(3, {.preemptions = 2});
  CHECK(three);
  CHECK(two.schedules > 1000);
  CHECK(three.schedules > 1000);
}

TEST_CASE("what a failing call may break is found by the sweep", "[check]") {
  // a block taken from another stream because its query failed
  const explore_report believes = look<defect::believes_errors>(2, {.preemptions = 0, .faults = 1});
  CHECK(believes.broken.rfind("race", 0) == 0);
  CHECK(believes.schedule.find(':') != std::string::npos);
  // a record that failed leaves an event that is done
  const explore_report ignores = look<defect::ignores_record>(2, {.preemptions = 0, .faults = 1});
  CHECK(ignores.broken.rfind("race", 0) == 0);
  CHECK(look<defect::believes_errors>(2, {.preemptions = 0}));
  CHECK(look<defect::ignores_record>(2, {.preemptions = 0}));
  const explore_report sound = look<defect::none>(2, {.preemptions = 1, .faults = 1});
  CHECK(sound);
  CHECK(sound.faults > 100);
}

namespace {

// ---- one stretch of memory, cut by first fit; a freed piece that grows by a neighbour must keep both orders

template <bool Keeps>
class toy_pool {
 public:
  static constexpr std::size_t units = 4;

  toy_pool(sim_device device, sim_stream* streams, unsigned count) noexcept
      : device_(device), streams_(streams), count_(count) {
    static_cast<void>(device_.allocate(units * 512, base_));
    for (unsigned k = 0; k != count; ++k) static_cast<void>(device_.create_event(events_[k]));
    for (std::uint8_t& o : owners_) o = program_step::own;
  }

  // `size` 0 is one unit, 1 is two
  std::size_t allocate(unsigned size, std::uint8_t stream) noexcept {
    const std::size_t n = size + std::size_t{1};
    for (std::size_t at = 0; at + n <= units; ++at) {
      bool idle = true;
      for (std::size_t k = at; k != at + n; ++k) idle = idle && !taken_[k];
      if (!idle) continue;
      // the wrong one asks only the first unit where the piece comes from
      for (std::size_t k = at; k != at + n; ++k) {
        if (owners_[k] != program_step::own && owners_[k] != stream && (Keeps || k == at)) follow(stream, owners_[k]);
        taken_[k] = true;
        owners_[k] = stream;
      }
      static_cast<void>(device_.launch_write(streams_[stream], offset(base_, at * 512), n * 512));
      return at;
    }
    return units;
  }
  void deallocate(std::size_t at, unsigned size) noexcept {
    for (std::size_t k = at; k != at + size + 1; ++k) taken_[k] = false;
  }

 private:
  void follow(std::uint8_t stream, std::uint8_t donor) noexcept {
    static_cast<void>(device_.record(events_[donor], streams_[donor]));
    static_cast<void>(device_.wait(streams_[stream], events_[donor]));
  }

  sim_device device_;
  sim_stream* streams_;
  unsigned count_;
  void* base_ = nullptr;
  sim_event events_[3] = {};
  bool taken_[units] = {};
  std::uint8_t owners_[units] = {};
};

template <bool Keeps>
std::string play(const program& p) {
  sim_machine machine;
  sim_device device = machine.device();
  sim_stream streams[3] = {};
  for (sim_stream& s : streams) device.create_stream_nonblocking(s);
  toy_pool<Keeps> pool(device, streams, 3);
  struct live {
    std::size_t at;
    unsigned size;
  };
  std::vector<live> out;
  for (const program_step& s : p) {
    if (s.verb == program_verb::allocate) {
      const std::size_t at = pool.allocate(s.size, s.stream);
      out.push_back({at, s.size});
      continue;
    }
    const auto which = s.verb == program_verb::free_first ? out.begin() : out.end() - 1;
    if (which->at != toy_pool<Keeps>::units) pool.deallocate(which->at, which->size);
    out.erase(which);
  }
  return machine.violations() == 0 ? "" : write_program(p);
}

}  // namespace

TEST_CASE("a pool that forgets an order when pieces join is found by its shortest program", "[check]") {
  const auto first_wrong = [](std::size_t length) {
    std::string found;
    for_each_program({.length = length}, [&](const program& p) {
      found = play<false>(p);
      return found.empty();
    });
    return found;
  };
  CHECK(first_wrong(4).empty());
  const std::string wrong = first_wrong(5);
  CHECK(wrong == "a0@0 a0@1 first first a1@0");
  program p;
  REQUIRE(read_program(wrong.c_str(), p));
  CHECK(play<false>(p) == wrong);
  CHECK(play<true>(p).empty());
  std::size_t racy = 0;
  const std::uint64_t shown = for_each_program({.length = 5}, [&](const program& q) {
    racy += static_cast<std::size_t>(!play<true>(q).empty());
  });
  CHECK(shown > 3000);
  CHECK(racy == 0);
}
