// Every schedule of two host threads over a pinned pool that holds one piece at a time, and every fault on the way.
#include <support/catch.hpp>

#include <tokenheap/alloc/pinned_pool.hpp>
#include <tokenheap/check/explorer.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/device/sim_lock.hpp>

using namespace tokenheap;

namespace {

struct scheduled : pinned_policy {
  using lock = sim_lock<>;
};

enum class told { of_the_stream, of_nothing };

/// Each thread fills a piece, enqueues a copy out of it, gives it back, and does that once more.
template <told What, unsigned Rounds>
struct copies {
  static constexpr unsigned threads = 2;
  sim_machine machine{};
  sim_device device = machine.device();
  sim_stream streams[threads] = {};
  void* memory[threads] = {};
  pinned_pool<sim_device, scheduled> pool{{.device = device, .limit = 4 * KiB, .least_chunk = 4 * KiB}};
  char text[256] = {};

  copies() noexcept {
    for (unsigned t = 0; t != threads; ++t) {
      (void)device.create_stream(streams[t]);
      (void)device.allocate(4 * KiB, memory[t]);
    }
  }
  void run(unsigned t) noexcept {
    for (unsigned round = 0; round != Rounds; ++round) {
      const allocation a = pool.allocate(4 * KiB);
      // the other thread has it
      if (!a) continue;
      machine.host_writes(a.data, a.size);
      const bool copied = static_cast<bool>(device.copy(memory[t], a.data, a.size, streams[t]));
      if (copied && What == told::of_the_stream) (void)pool.use(a, streams[t]);
      pool.deallocate(a);
    }
  }
  const char* check() noexcept {
    const pinned_pool_stats now = pool.stats();
    if (now.live + now.waiting + now.available != now.reserved) return "live + waiting + available is not reserved";
    if (now.live != 0 || now.peak_reserved > 4 * KiB || !pool.is_valid()) return "a piece is lost, or the cap is broken";
    // whatever failed before: a piece can be had again
    const allocation again = pool.allocate(4 * KiB);
    if (!again && !broken()) return "the piece does not come back";
    if (again) {
      machine.host_writes(again.data, again.size);
      pool.deallocate(again);
    }
    if (machine.violations() == 0) return nullptr;
    machine.describe(0, text, sizeof text);
    return text;
  }
  // after a fault that the explorer chose, the device may refuse the last wait as well
  [[nodiscard]] bool broken() noexcept { return pool.stats().lost_uses != 0; }
};

}  // namespace

TEST_CASE("no schedule of two threads with four preemptions hands a piece out before the copy that reads it is done") {
  const explore_report found = explore<copies<told::of_the_stream, 1>>(explore_options{.preemptions = 4, .schedules = 400'000});
  INFO(found.schedules << " schedules; " << found.broken << "; " << found.schedule);
  CHECK(found);
}

TEST_CASE("two rounds each, with two preemptions") {
  const explore_report found =
      explore<copies<told::of_the_stream, 2>>(explore_options{.preemptions = 2, .busy_answers = 3, .schedules = 400'000});
  INFO(found.schedules << " schedules; " << found.broken << "; " << found.schedule);
  CHECK(found);
}

TEST_CASE("every device call may fail once, in every schedule with two preemptions") {
  const explore_report found =
      explore<copies<told::of_the_stream, 1>>(explore_options{.preemptions = 2, .busy_answers = 2, .faults = 1,
                                                              .schedules = 400'000});
  INFO(found.schedules << " schedules; " << found.broken << "; " << found.schedule);
  CHECK(found);
}

TEST_CASE("the race is found when nobody names the stream") {
  const explore_report found = explore<copies<told::of_nothing, 1>>(explore_options{});
  INFO(found.schedules << " schedules");
  CHECK(found.violations != 0);
  CHECK(found.broken.find("race") != std::string::npos);
}
