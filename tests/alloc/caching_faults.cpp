#include <tokenheap/alloc/caching.hpp>

#include <cstdio>
#include <new>
#include <string>

#include <support/catch.hpp>
#include <tokenheap/check/explore_options.hpp>
#include <tokenheap/device/sim.hpp>

#include "caching_programs.hpp"

using namespace tokenheap;

// Every device call of a scenario fails, with each of the errors that a driver gives there; in the short ones every pair.

namespace {

using caching_programs::tiny_policy;
using stream = sim_device::stream;

struct planned {
  std::size_t call = 0;  ///< the number of the call in the run, from 1; 0: none
  device_error error = device_error::ok;
};

/// Makes planned calls fail and counts all of them.
struct breaker {
  planned plan[2] = {};
  std::size_t seen = 0;
  std::size_t failed = 0;
  std::vector<sim_call> calls;

  breaker() : before(set_sim_hooks(&hooks)) {
    hooks.user = this;
    hooks.fault = [](void* self, sim_call call) noexcept { return static_cast<breaker*>(self)->next(call); };
  }
  ~breaker() { set_sim_hooks(before); }
  breaker(const breaker&) = delete;
  breaker& operator=(const breaker&) = delete;

  device_error next(sim_call call) noexcept {
    if (!on) return device_error::ok;
    calls.push_back(call);
    ++seen;
    for (const planned& p : plan)
      if (p.call == seen) return ++failed, kept_pages = kept_pages || call == sim_call::unmap, p.error;
    return device_error::ok;
  }
  bool on = false;
  bool kept_pages = false;  // a call to take pages away failed
  sim_hooks hooks{};
  const sim_hooks* before;
};

/// What a scenario may use; only calls of the allocator fail, those of the program work.
template <class Policy>
struct bench {
  using gpu = caching_allocator<sim_device, Policy>;
  breaker& faults;
  sim_device device;
  gpu& made;
  stream* streams;

  allocation take(unsigned on, std::size_t bytes) noexcept {
    faults.on = true;
    const allocation a = made.allocate(streams[on], bytes);
    faults.on = false;
    if (a) static_cast<void>(device.launch_write(streams[on], a.data, a.size));
    return a;
  }
  void give(unsigned on, allocation a) noexcept {
    faults.on = true;
    made.deallocate(streams[on], a);
    faults.on = false;
  }
  void use(unsigned by, unsigned home, allocation a) noexcept {
    if (!a) return;
    sim_device::event e{};
    static_cast<void>(device.create_event(e));
    static_cast<void>(device.record(e, streams[home]));
    static_cast<void>(device.wait(streams[by], e));
    static_cast<void>(device.destroy_event(e));
    static_cast<void>(device.launch_read(streams[by], a.data, a.size));
    if (made.record_stream(a, streams[by]) != errc::ok) wrong = "a use was not noted";
  }
  const char* wrong = nullptr;
};

struct told {
  const char* name;
  bool is_short;
  std::size_t capacity;
};
constexpr told stories[] = {
    {"one pair", true, 4 * KiB},          {"grow twice", true, 8 * KiB},       {"borrow", true, 4 * KiB},
    {"borrow from two", true, 4 * KiB},   {"a use", true, 4 * KiB},            {"two uses", true, 4 * KiB},
    {"run out", true, 4 * KiB},           {"trim", true, 12 * KiB},            {"retire", true, 4 * KiB},
    {"a pool", true, 12 * KiB},           {"a deferred free", true, 12 * KiB}, {"a long day", false, 12 * KiB},
    {"three streams", false, 6 * KiB},
};

template <class Policy>
void play(std::size_t story, bench<Policy>& b) {
  const allocation none{};
  switch (story) {
    case 0: b.give(0, b.take(0, 1 * KiB)); break;
    case 1: {
      const allocation a = b.take(0, 3 * KiB);
      const allocation c = b.take(0, 3 * KiB);
      b.give(0, a);
      b.give(0, c);
      break;
    }
    case 2:
      b.give(0, b.take(0, 3 * KiB));
      b.give(1, b.take(1, 3 * KiB));
      break;
    case 3:
      b.give(0, b.take(0, 1 * KiB));
      b.give(1, b.take(1, 1 * KiB));
      b.give(2, b.take(2, 4 * KiB));
      break;
    case 4: {
      const allocation a = b.take(0, 3 * KiB);
      b.use(1, 0, a);
      b.give(0, a);
      b.give(0, b.take(0, 3 * KiB));
      break;
    }
    case 5: {
      const allocation a = b.take(0, 3 * KiB);
      b.use(1, 0, a);
      b.use(2, 0, a);
      b.give(0, a);
      b.give(1, b.take(1, 3 * KiB));
      break;
    }
    case 6: {
      const allocation a = b.take(0, 3 * KiB);
      b.give(1, b.take(1, 3 * KiB));
      b.give(0, a);
      break;
    }
    case 7: {
      b.give(0, b.take(0, 3 * KiB));
      b.give(1, b.take(1, 4 * KiB));
      b.faults.on = true;
      static_cast<void>(b.made.trim());
      b.faults.on = false;
      b.give(0, b.take(0, 3 * KiB));
      break;
    }
    case 8: {
      b.give(2, b.take(2, 3 * KiB));
      b.faults.on = true;
      errc done = b.made.retire(b.streams[2]);
      b.faults.on = false;
      // a caller who is told no tries again before it destroys the stream
      if (done != errc::ok) done = b.made.retire(b.streams[2]);
      if (done != errc::ok) b.wrong = "the second retire failed without a fault";
      static_cast<void>(b.device.destroy_stream(b.streams[2]));
      b.give(0, b.take(0, 3 * KiB));
      break;
    }
    case 9: {
      const auto pool = b.made.create_pool();
      if (!pool || b.made.begin_pool(*pool) != errc::ok) b.wrong = "no pool";
      const allocation a = b.take(0, 3 * KiB);
      b.give(0, a);
      if (b.made.end_pool(*pool) != errc::ok || b.made.release_pool(*pool) != errc::ok) b.wrong = "the pool did not end";
      b.give(1, b.take(1, 4 * KiB));
      break;
    }
    case 10: {
      const auto pool = b.made.create_pool();
      const allocation a = b.take(0, 3 * KiB);
      b.use(1, 0, a);
      if (!pool || b.made.begin_pool(*pool) != errc::ok) b.wrong = "no pool";
      b.give(0, a);
      b.faults.on = true;
      if (b.made.end_pool(*pool) != errc::ok || b.made.release_pool(*pool) != errc::ok) b.wrong = "the pool did not end";
      b.faults.on = false;
      b.give(2, b.take(2, 3 * KiB));
      break;
    }
    default: {
      allocation held[3] = {};
      for (unsigned k = 0; k != 24; ++k) {
        const unsigned s = k % 3;
        if (story == 11 && k % 5 == 0) b.use((s + 1) % 3, s, held[s]);
        b.give(s, std::exchange(held[s], none));
        held[s] = b.take(s, k % 4 == 0 ? 3 * KiB : 1 * KiB);
      }
      for (unsigned s = 0; s != 3; ++s) b.give(s, held[s]);
    }
  }
}

/// The errors to try at a call. Pages whose handle the driver does not let go of are lost to everybody: no error there.
fault_list errors_of(sim_call call) noexcept { return call == sim_call::release_pages ? fault_list{} : usual_faults(call); }

struct swept {
  std::size_t runs = 0;
  std::size_t faults = 0;
  std::size_t broken = 0;
  std::string first;
};

/// One run with faults; how many calls of the allocator there were comes back in `seen`.
template <class Policy>
const char* run_once(std::size_t story, const planned (&plan)[2], std::vector<sim_call>& calls, swept& all) {
  static char text[256];
  breaker faults;
  faults.plan[0] = plan[0];
  faults.plan[1] = plan[1];
  const char* wrong = nullptr;
  sim_machine machine(sim_options{.capacity = stories[story].capacity, .page_bytes = 2 * KiB, .one_host = true});
  sim_device device = machine.device();
  stream streams[3];
  for (stream& s : streams) static_cast<void>(device.create_stream(s));
  {
    caching_allocator<sim_device, Policy> made(device, {.address_space = 16 * KiB});
    bench<Policy> b{faults, device, made, streams};
    play(story, b);
    wrong = b.wrong;
    all.faults += faults.failed;
    ++all.runs;
    if (!wrong && !made.is_valid()) wrong = "is_valid says no";
    const device_stats now = made.stats();
    if (!wrong && now.all.allocated_bytes.current != 0) wrong = "bytes are out";
    if (!wrong && now.cached_bytes + now.pending_bytes != now.all.reserved_bytes.current) wrong = "the sums do not add up";
    // nothing is lost: without faults a piece of the largest size can be had on both streams
    calls = faults.calls;
    faults.plan[0] = faults.plan[1] = {};
    for (unsigned s = 0; s != 2 && !wrong; ++s) {
      const allocation a = b.take(s, 4 * KiB);
      if (!a) wrong = "memory is lost";
      b.give(s, a);
    }
    if (!wrong && !made.is_valid()) wrong = "is_valid says no after the retry";
    // pages that an undone growth could not let go of are taken away by the next growth at their place, or at the end
    if (!wrong && !faults.kept_pages && made.stats().all.reserved_bytes.current != machine.used())
      wrong = "reserved_bytes is not what the device gave";
  }
  for (stream& s : streams) static_cast<void>(device.destroy_stream(s));
  // a scenario that ends a stream itself has it destroyed twice here, which is a finding of its own kind
  const std::size_t own = story == 8 ? 1 : 0;
  if (!wrong && machine.violations() != own) {
    machine.describe(0, text, sizeof text);
    wrong = text;
  }
  return !wrong && !machine.is_clean() ? "something is left on the device" : wrong;
}

template <class Policy>
void note(swept& all, std::size_t story, const planned (&plan)[2], const char* wrong) {
  if (wrong == nullptr || all.broken++ != 0) return;
  all.first = std::string(stories[story].name) + ", call " + std::to_string(plan[0].call) + " " + to_text(plan[0].error) +
              ", call " + std::to_string(plan[1].call) + " " + to_text(plan[1].error) + ": " + wrong;
}

template <class Policy>
void sweep(const char* name) {
  const failure_handler before = set_failure_handler([](const failure&) noexcept {});
  swept all;
  for (std::size_t story = 0; story != std::size(stories); ++story) {
    std::vector<sim_call> plain;
    std::vector<sim_call> calls;
    const planned no_fault[2] = {};
    note<Policy>(all, story, no_fault, run_once<Policy>(story, no_fault, plain, all));
    // calls grow with faults: retries and other rungs come behind
    for (std::size_t k = 1; k <= plain.size() + 8; ++k) {
      const sim_call at = k <= plain.size() ? plain[k - 1] : sim_call::allocate;
      const fault_list errors = errors_of(at);
      for (unsigned e = 0; e != errors.count; ++e) {
        const planned one[2] = {{k, errors.errors[e]}, {}};
        note<Policy>(all, story, one, run_once<Policy>(story, one, calls, all));
        if (!stories[story].is_short) continue;
        const std::vector<sim_call> with_one = calls;
        for (std::size_t j = k + 1; j <= with_one.size(); ++j) {
          const fault_list more = errors_of(with_one[j - 1]);
          for (unsigned f = 0; f != more.count; ++f) {
            const planned two[2] = {one[0], {j, more.errors[f]}};
            note<Policy>(all, story, two, run_once<Policy>(story, two, calls, all));
          }
        }
      }
    }
  }
  set_failure_handler(before);
  std::printf("%s: %zu runs, %zu faults\n", name, all.runs, all.faults);
  INFO(all.first);
  CHECK(all.broken == 0);
  CHECK(all.faults > 5000);
}

}  // namespace

TEST_CASE("faults: fixed segments, borrowing always", "[caching][faults]") {
  sweep<tiny_policy<segment_kind::fixed, borrowing::always>>("fixed, always");
}
TEST_CASE("faults: fixed segments, borrowing when memory runs out", "[caching][faults]") {
  sweep<tiny_policy<segment_kind::fixed, borrowing::when_out_of_memory>>("fixed, when_out_of_memory");
}
TEST_CASE("faults: growable segments, borrowing always", "[caching][faults]") {
  sweep<tiny_policy<segment_kind::growable, borrowing::always>>("growable, always");
}
TEST_CASE("faults: growable segments, borrowing when memory runs out", "[caching][faults]") {
  sweep<tiny_policy<segment_kind::growable, borrowing::when_out_of_memory>>("growable, when_out_of_memory");
}
