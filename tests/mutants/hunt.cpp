// A short run of everything that must hold for the caching allocator: 0 if it does, 1 and one line if it does not.
// cmake/mutants.py compiles it against headers with one bug each, and demands that each is found.
#include <cstdio>
#include <cstdlib>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/check/explorer.hpp>
#include <tokenheap/check/programs.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/device/sim_lock.hpp>

using namespace tokenheap;

namespace {

template <segment_kind Kind, borrowing Borrow>
struct policy : default_caching_policy {
  using lock = sim_lock<>;
  using growth_lock = sim_lock<>;
  static constexpr borrowing borrow = Borrow;
  static constexpr segment_kind kind_of(memory_class) noexcept { return Kind; }
};
using on_fixed = policy<segment_kind::fixed, borrowing::always>;
using never_borrows = policy<segment_kind::fixed, borrowing::never>;
using on_growable = policy<segment_kind::growable, borrowing::always>;

[[noreturn]] void found(const char* what) {
  std::printf("found: %s\n", what);
  std::exit(1);
}
void demand(bool holds, const char* what) {
  if (!holds) found(what);
}

template <class Policy>
struct bench {
  explicit bench(std::size_t capacity, const caching_options& with = {})
      : machine(sim_options{.capacity = capacity, .allocates_in_capture = true}), device(machine.device()) {
    for (sim_stream& s : streams) static_cast<void>(device.create_stream(s));
    gpu = new caching_allocator<sim_device, Policy>(device, with);
  }
  ~bench() { end(); }
  bench(const bench&) = delete;
  bench& operator=(const bench&) = delete;
  /// What is wrong after everything went back, or null.
  const char* end() noexcept {
    if (gpu == nullptr) return nullptr;
    const char* wrong = gpu->is_valid() ? nullptr : "the structures do not hold together";
    delete gpu;
    gpu = nullptr;
    for (sim_stream& s : streams) static_cast<void>(device.destroy_stream(s));
    if (machine.violations() != 0) {
      machine.describe(0, text, sizeof text);
      return text;
    }
    return wrong != nullptr ? wrong : machine.is_clean() ? nullptr : "something was left behind on the device";
  }
  allocation take(std::size_t bytes, unsigned on) {
    const allocation a = gpu->allocate(streams[on], bytes);
    if (a) static_cast<void>(device.launch_write(streams[on], a.data, a.size));
    demand(!a || a.size >= bytes, "a piece is smaller than what was asked for");
    return a;
  }
  void follow(unsigned waits, unsigned first) {
    sim_event e{};
    demand(device.create_event(e) && device.record(e, streams[first]) && device.wait(streams[waits], e) &&
               device.destroy_event(e), "the simulated device works");
  }

  sim_machine machine;
  sim_device device;
  sim_stream streams[3] = {};
  caching_allocator<sim_device, Policy>* gpu = nullptr;
  char text[256] = {};
};

// every program of five steps; every second piece is read by another stream before it goes back
template <class Policy>
void play_programs(std::size_t capacity, bool shared) {
  static char line[200];
  for_each_program({.length = 5}, [&](const program& p) {
    bench<Policy> b(capacity);
    struct piece {
      allocation a;
      unsigned stream;
    } live[8];
    std::size_t count = 0;
    for (const program_step& s : p) {
      if (s.verb == program_verb::allocate) {
        const allocation a = b.take(s.size == 0 ? 3 * MiB : 7 * MiB, s.stream);
        if (a) live[count++] = {a, s.stream};
      } else if (count != 0) {
        const std::size_t k = s.verb == program_verb::free_first ? 0 : count - 1;
        const unsigned other = (live[k].stream + 1) % 3;
        if (shared && k % 2 == 0 && b.gpu->record_stream(live[k].a, b.streams[other]) == errc::ok) {
          b.follow(other, live[k].stream);
          static_cast<void>(b.device.launch_read(b.streams[other], live[k].a.data, live[k].a.size));
        }
        b.gpu->deallocate(b.streams[live[k].stream], live[k].a);
        for (std::size_t j = k; j + 1 < count; ++j) live[j] = live[j + 1];
        --count;
      }
      if (!b.gpu->is_valid()) std::snprintf(line, sizeof line, "structures after %s", write_program(p).c_str()), found(line);
    }
    for (std::size_t k = 0; k != count; ++k) b.gpu->deallocate(b.streams[live[k].stream], live[k].a);
    if (const char* wrong = b.end()) std::snprintf(line, sizeof line, "%s: %.120s", write_program(p).c_str(), wrong), found(line);
  });
}

// one thread, every call failing in every way; afterwards a retry works and nothing is lost
template <class Policy>
struct faulty {
  static constexpr unsigned threads = 1;
  bench<Policy> b{20 * MiB};

  void run(unsigned) noexcept {
    // memory for one piece: the second stream gets what the first one wrote
    if (const allocation a = b.take(12 * MiB, 0)) b.gpu->deallocate(b.streams[0], a);
    if (const allocation c = b.take(12 * MiB, 1)) {
      sim_event e{};
      if (b.gpu->record_stream(c, b.streams[2]) == errc::ok && b.device.create_event(e)) {
        if (b.device.record(e, b.streams[1]) && b.device.wait(b.streams[2], e))
          static_cast<void>(b.device.launch_read(b.streams[2], c.data, c.size));
        static_cast<void>(b.device.destroy_event(e));
      }
      b.gpu->deallocate(b.streams[1], c);
    }
    if (const allocation d = b.take(12 * MiB, 1)) b.gpu->deallocate(b.streams[1], d);
    static_cast<void>(b.gpu->trim());
  }
  const char* check() noexcept {
    if (!b.gpu->is_valid()) return "the structures do not hold together after a fault";
    if (b.machine.violations() != 0) return "a race after a fault";
    const allocation again = b.gpu->allocate(b.streams[0], 18 * MiB);
    if (!again) return "memory was lost to a fault";
    b.gpu->deallocate(b.streams[0], again);
    return b.end();
  }
};
// the only way to the memory of the first stream is a wait for the device, and that fails
template <class Policy>
struct faulty_wait {
  static constexpr unsigned threads = 1;
  bench<Policy> b{20 * MiB};

  void run(unsigned) noexcept {
    const allocation stays = b.take(5 * MiB, 0);
    if (const allocation a = b.take(10 * MiB, 0)) b.gpu->deallocate(b.streams[0], a);
    // the second try must not find what the first one could not wait for
    for (int k = 0; k != 2; ++k)
      if (const allocation c = b.take(8 * MiB, 1)) b.gpu->deallocate(b.streams[1], c);
    if (stays) b.gpu->deallocate(b.streams[0], stays);
  }
  const char* check() noexcept { return b.end(); }
};
fault_list mild(sim_call call) noexcept {
  using enum device_error;
  // the test itself must be able to clean up: destroying and freeing are left alone
  if (call == sim_call::destroy_event || call == sim_call::destroy_stream || call == sim_call::create_stream ||
      call == sim_call::release_pages || call == sim_call::unmap || call == sim_call::unreserve ||
      call == sim_call::launch || call == sim_call::current)
    return {};
  return {{out_of_memory, invalid_value, capture_refused, failed}, 4};
}

// two threads, each with its stream; memory for one
template <class Policy>
struct workers {
  static constexpr unsigned threads = 2;
  bench<Policy> b{20 * MiB};
  const char* wrong = nullptr;

  void run(unsigned k) noexcept {
    const allocation a = b.take(12 * MiB, k);
    if (!a) return;
    if (k == 0) {
      if (b.gpu->record_stream(a, b.streams[2]) != errc::ok) wrong = "a note was refused";
      b.follow(2, 0);
      static_cast<void>(b.device.launch_read(b.streams[2], a.data, a.size));
    }
    b.gpu->deallocate(b.streams[k], a);
  }
  const char* check() noexcept { return wrong != nullptr ? wrong : b.end(); }
};

std::size_t misuses = 0;

void single_rules() {
  set_failure_handler([](const failure&) noexcept { ++misuses; });
  {
    bench<on_fixed> b(64 * MiB, {.limit = 40 * MiB});
    const auto owner = b.gpu->add_owner({.name = "tenant", .hard = 2 * MiB});
    for (int k = 0; k != 3; ++k) {
      const allocation a = b.gpu->allocate(b.streams[0], device_request{.bytes = 2 * MiB, .owner = *owner});
      demand(static_cast<bool>(a), "an owner gets its room back");
      demand(!b.gpu->allocate(b.streams[0], device_request{.bytes = 512, .owner = *owner}), "an owner has a limit");
      b.gpu->deallocate(b.streams[0], a);
    }
    const allocation a = b.take(512, 0);
    b.gpu->deallocate(b.streams[0], a);
    b.gpu->deallocate(b.streams[0], a);
    demand(misuses == 1, "a double free is seen");
    const allocation big = b.take(20 * MiB, 0);
    demand(big && !b.take(30 * MiB, 1), "the limit holds");
    b.gpu->deallocate(b.streams[0], big);
    if (const char* wrong = b.end()) found(wrong);
  }
  {
    // a stream is destroyed without a word, and another gets its handle
    bench<on_fixed> b(20 * MiB);
    const allocation a = b.take(12 * MiB, 0);
    b.gpu->deallocate(b.streams[0], a);
    demand(static_cast<bool>(b.device.destroy_stream(b.streams[0])), "destroy");
    demand(static_cast<bool>(b.device.create_stream(b.streams[0])), "create");
    const allocation c = b.take(12 * MiB, 1);
    demand(static_cast<bool>(c), "memory of a lost stream comes back");
    b.gpu->deallocate(b.streams[1], c);
    if (const char* wrong = b.end()) found(wrong);
  }
  {
    // a stream that was retired first: its memory is to be had behind its last event
    bench<on_fixed> b(20 * MiB);
    const allocation a = b.take(12 * MiB, 0);
    b.gpu->deallocate(b.streams[0], a);
    demand(b.gpu->retire(b.streams[0]) == errc::ok, "retire");
    demand(b.device.destroy_stream(b.streams[0]) && b.device.create_stream(b.streams[0]), "a new stream");
    const allocation c = b.take(12 * MiB, 1);
    demand(c && b.gpu->stats().num_sync_all_streams == 0, "memory of a retired stream is to be had without a wait of the host");
    b.gpu->deallocate(b.streams[1], c);
    if (const char* wrong = b.end()) found(wrong);
  }
  {
    // a pool keeps its memory while it has users, and what is freed in a capture records no event in it
    bench<on_fixed> b(256 * MiB);
    const auto pool = b.gpu->create_pool();
    const allocation shared = b.take(12 * MiB, 0);
    demand(b.gpu->record_stream(shared, b.streams[1]) == errc::ok, "note");
    demand(b.device.begin_capture(b.streams[1]) && b.gpu->begin_pool(*pool) == errc::ok, "begin");
    const allocation a = b.gpu->allocate(b.streams[1], 12 * MiB);
    b.gpu->deallocate(b.streams[0], shared);
    b.gpu->deallocate(b.streams[1], a);
    demand(b.gpu->end_pool(*pool) == errc::ok && b.device.end_capture(b.streams[1]), "end");
    const std::size_t before = b.gpu->stats().all.reserved_bytes.current;
    static_cast<void>(b.gpu->trim());
    const std::size_t after = b.gpu->stats().all.reserved_bytes.current;
    demand(after != 0 && after <= before, "a pool in use keeps its memory");
    static_cast<void>(b.device.synchronize());
    static_cast<void>(b.gpu->trim());
    static_cast<void>(b.device.synchronize());
    static_cast<void>(b.gpu->trim());
    demand(b.gpu->stats().pending_bytes == 0, "what waited comes back");
    if (const char* wrong = b.end()) found(wrong);
  }
  {
    // a capture that nobody told of: what is freed meanwhile records no event in it
    bench<on_fixed> b(64 * MiB);
    const allocation a = b.take(12 * MiB, 0);
    demand(b.gpu->record_stream(a, b.streams[1]) == errc::ok, "note");
    demand(static_cast<bool>(b.device.begin_capture(b.streams[1])), "begin");
    b.gpu->deallocate(b.streams[0], a);
    demand(static_cast<bool>(b.device.end_capture(b.streams[1])), "a capture is left alone");
    for (int k = 0; k != 2; ++k) demand(b.device.synchronize() && (b.gpu->trim(), true), "wait");
    demand(b.gpu->stats().pending_bytes == 0, "what waited for a capture comes back");
    if (const char* wrong = b.end()) found(wrong);
  }
  {
    // a segment with a live piece stays
    bench<on_fixed> b(64 * MiB);
    const allocation a = b.take(5 * MiB, 0);
    const allocation c = b.take(5 * MiB, 0);
    b.gpu->deallocate(b.streams[0], a);
    demand(b.gpu->trim() == 0 && b.gpu->is_valid(), "a segment in use stays");
    static_cast<void>(b.device.launch_write(b.streams[0], c.data, c.size));
    b.gpu->deallocate(b.streams[0], c);
    if (const char* wrong = b.end()) found(wrong);
  }
  {
    // pages go only when the stream that used them last is done
    bench<on_growable> b(256 * MiB);
    const allocation a = b.take(64 * MiB, 0);
    b.gpu->deallocate(b.streams[0], a);
    demand(b.gpu->trim() == 64 * MiB && b.gpu->stats().all.reserved_bytes.current == 0, "pages go");
    if (const char* wrong = b.end()) found(wrong);
  }
}

}  // namespace

int main() {
  single_rules();
  play_programs<on_fixed>(40 * MiB, false);
  play_programs<on_fixed>(40 * MiB, true);
  play_programs<on_growable>(12 * MiB, false);
  play_programs<on_growable>(16 * MiB, true);
  const auto judge = [](const explore_report& r) { if (r.violations != 0) found((r.broken + " in " + r.schedule).c_str()); };
  judge(explore<workers<on_fixed>>({.preemptions = 2, .schedules = 20'000}));
  judge(explore<workers<on_growable>>({.preemptions = 2, .schedules = 20'000}));
  judge(explore<faulty<on_fixed>>({.faults = 2, .errors = mild}));
  judge(explore<faulty<on_growable>>({.faults = 1, .errors = mild}));
  judge(explore<faulty_wait<never_borrows>>({.faults = 1, .errors = mild}));
  std::printf("nothing found\n");
  return 0;
}
