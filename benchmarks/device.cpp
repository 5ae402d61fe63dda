// Device memory: the caching allocator over the simulated device, beside CUB's and Thrust's pools and a limit.
//
// The device keeps addresses only, and its race check is off. Every workload runs once before it is timed, so that what
// is timed is the cache; device calls in the timed part are counted. Rows without a time have counters: bytes reserved,
// addresses used, waits and event records.

#include <benchmark/benchmark.h>

#include <random>
#include <string>
#include <vector>

#include "device_peers.hpp"
#include "fake_cuda.hpp"

namespace {

using namespace device_peers;

// --- random sizes: the loop of RMM's benchmark

/// What is live, and the extremes that it reached.
struct random_loop {
  std::size_t pieces;
  std::size_t most_bytes;                   // sizes are uniform from 1 to this
  std::size_t most_live = 16'000 * MiB;
  std::default_random_engine random{};

  /// 2N steps: 73 % allocate until N pieces were, the others give a random piece back. `seen(p, bytes, live)` after each.
  template <class Contender, class Seen>
  void run(Contender& mem, Seen seen) {
    struct held {
      typename Contender::piece p;
      std::size_t bytes;
    };
    std::uniform_int_distribution<std::size_t> size(1, most_bytes);
    std::uniform_int_distribution<int> chance(0, 99);
    std::uniform_int_distribution<std::size_t> victim(0, pieces - 1);
    std::vector<held> live;
    std::size_t live_bytes = 0;
    std::size_t taken = 0;
    for (std::size_t step = 0; step != 2 * pieces; ++step) {
      const std::size_t bytes = size(random);
      bool takes = true;
      if (!live.empty()) takes = chance(random) < 73 && taken < pieces && live_bytes + bytes < most_live;
      if (takes) {
        live.push_back({mem.take(bytes), bytes});
        live_bytes += bytes;
        ++taken;
        seen(live.back().p, bytes, live_bytes);
      } else {
        const std::size_t v = victim(random) % live.size();
        const held gone = live[v];
        live[v] = live.back();
        live.pop_back();
        mem.give(gone.p, gone.bytes);
        live_bytes -= gone.bytes;
      }
    }
    for (const held& h : live) mem.give(h.p, h.bytes);
  }
};

void note_calls(benchmark::State& state, const device_calls& before, const device_calls& after, double operations) {
  state.counters["device_calls_per_op"] = static_cast<double>(after.all - before.all) / operations;
}

template <class Contender>
void random_sizes(benchmark::State& state, std::size_t pieces, std::size_t most_bytes) {
  Contender mem;
  random_loop{pieces, most_bytes}.run(mem, [](auto...) {});
  const device_calls before = mem.calls();
  for (auto _ : state) random_loop{pieces, most_bytes}.run(mem, [](auto...) {});
  const auto operations = static_cast<double>(state.iterations()) * 2.0 * static_cast<double>(pieces);
  state.SetItemsProcessed(static_cast<std::int64_t>(operations));
  note_calls(state, before, mem.calls(), operations);
}

// --- a pair beside holes that are too small for it

template <class Contender>
void pair(benchmark::State& state, std::size_t bytes, std::size_t holes) {
  Contender mem;
  std::vector<typename Contender::piece> all(2 * holes);
  for (auto& p : all) p = mem.take(512);
  for (std::size_t k = 0; k != all.size(); k += 2) mem.give(all[k], 512);
  mem.give(mem.take(bytes), bytes);
  const device_calls before = mem.calls();
  for (auto _ : state) {
    auto p = mem.take(bytes);
    benchmark::DoNotOptimize(p);
    mem.give(p, bytes);
  }
  note_calls(state, before, mem.calls(), static_cast<double>(state.iterations()));
  for (std::size_t k = 1; k < all.size(); k += 2) mem.give(all[k], 512);
}

// --- refusals: the allocator's limit is reached

enum class asked { full_ladder, try_only };

template <class Policy>
void refusal(benchmark::State& state, asked how, std::size_t holes) {
  ours<Policy> mem(64 * GiB, {.limit = 2 * GiB});
  std::vector<void*> all(2 * holes);
  for (auto& p : all) p = mem.take(512);
  std::vector<std::pair<void*, std::size_t>> rest;
  for (std::size_t bytes = 64 * MiB; bytes != 256; bytes /= 2)
    while (void* const p = mem.take(bytes)) rest.push_back({p, bytes});
  for (std::size_t k = 0; k < all.size(); k += 2) mem.give(all[k], 512);
  const device_request request{.bytes = 1 * MiB};
  // the first refusals try everything
  for (int k = 0; k != 3; ++k)
    if (mem.mem->allocate(mem.streams[0], request)) std::abort();
  const device_calls before = mem.calls();
  for (auto _ : state) {
    const allocation a = how == asked::full_ladder ? mem.mem->allocate(mem.streams[0], request)
                                                   : mem.mem->try_allocate(mem.streams[0], request);
    if (a) std::abort();
  }
  note_calls(state, before, mem.calls(), static_cast<double>(state.iterations()));
  for (std::size_t k = 1; k < all.size(); k += 2) mem.give(all[k], 512);
  for (const auto& [p, bytes] : rest) mem.give(p, bytes);
}

// --- streams that share nothing: each keeps up to four pieces

template <class Contender>
void round_robin(benchmark::State& state) {
  constexpr std::size_t kept = 4;
  Contender mem;
  struct held {
    typename Contender::piece p;
    std::size_t bytes;
  };
  std::array<std::array<held, kept>, stream_count> live{};
  std::default_random_engine random;
  std::uniform_int_distribution<std::size_t> size(4 * KiB, 4 * MiB);
  std::size_t step = 0;
  const auto one = [&] {
    const std::size_t s = step % stream_count;
    held& h = live[s][step / stream_count % kept];
    if (h.bytes != 0) mem.give(h.p, h.bytes, s);
    h.bytes = size(random);
    h.p = mem.take(h.bytes, s);
    ++step;
  };
  for (std::size_t k = 0; k != 200 * stream_count; ++k) one();
  const device_calls before = mem.calls();
  for (auto _ : state) one();
  const device_calls after = mem.calls();
  // an iteration is two operations
  const double operations = 2.0 * static_cast<double>(state.iterations());
  state.SetItemsProcessed(2 * static_cast<std::int64_t>(state.iterations()));
  state.counters["waits_per_op"] = static_cast<double>(after.waits - before.waits) / operations;
  state.counters["records_per_op"] = static_cast<double>(after.records - before.records) / operations;
  for (std::size_t s = 0; s != stream_count; ++s)
    for (const held& h : live[s])
      if (h.bytes != 0) mem.give(h.p, h.bytes, s);
}

// --- how much is reserved

/// A scratch buffer that grows by 64 KiB a thousand times; the new one is taken when the old one is back.
template <class Policy>
void growing_scratch(benchmark::State& state) {
  std::size_t reserved = 0;
  std::size_t calls = 0;
  for (auto _ : state) {
    ours<Policy> mem;
    for (std::size_t k = 0; k <= 1000; ++k) {
      const std::size_t bytes = 100 * MiB + k * 64 * KiB;
      mem.give(mem.take(bytes), bytes);
    }
    reserved = mem.mem->stats().all.reserved_bytes.peak;
    calls = mem.calls().all;
  }
  state.counters["reserved_MiB"] = static_cast<double>(reserved) / static_cast<double>(MiB);
  state.counters["device_calls"] = static_cast<double>(calls);
}

/// The extremes of the addresses that were handed out, for small and large requests apart: each has its own addresses.
struct high_water {
  std::uintptr_t low[2] = {~std::uintptr_t{0}, ~std::uintptr_t{0}};
  std::uintptr_t high[2] = {};
  std::size_t peak_live = 0;
  void note(std::uintptr_t at, std::size_t bytes, std::size_t live) {
    const bool large = bytes > 1 * MiB;
    low[large] = std::min(low[large], at);
    high[large] = std::max(high[large], at + bytes);
    peak_live = std::max(peak_live, live);
  }
  [[nodiscard]] double over_peak() const {
    std::size_t all = 0;
    for (int k = 0; k != 2; ++k) all += high[k] == 0 ? 0 : high[k] - low[k];
    return static_cast<double>(all) / static_cast<double>(peak_live);
  }
};

template <class Policy>
void packing(benchmark::State& state, std::size_t pieces, std::size_t most_bytes) {
  high_water seen;
  std::size_t reserved = 0;
  for (auto _ : state) {
    seen = {};
    ours<Policy> mem;
    random_loop{pieces, most_bytes}.run(
        mem, [&](void* p, std::size_t bytes, std::size_t live) { seen.note(reinterpret_cast<std::uintptr_t>(p), bytes, live); });
    reserved = mem.mem->stats().all.reserved_bytes.peak;
  }
  state.counters["high_water_over_peak"] = seen.over_peak();
  state.counters["reserved_over_peak"] = static_cast<double>(reserved) / static_cast<double>(seen.peak_live);
}
void packing_of_ranges(benchmark::State& state, std::size_t pieces, std::size_t most_bytes) {
  std::size_t high = 0;
  std::size_t peak = 0;
  for (auto _ : state) {
    high = peak = 0;
    with_ranges mem;
    random_loop{pieces, most_bytes}.run(mem, [&](range r, std::size_t bytes, std::size_t live) {
      high = std::max(high, r.offset + bytes);
      peak = std::max(peak, live);
    });
  }
  state.counters["high_water_over_peak"] = static_cast<double>(high) / static_cast<double>(peak);
}

// --- the table

template <class Run>
auto* add(const std::string& workload, const char* contender, Run run) {
  return benchmark::RegisterBenchmark((workload + "/" + contender).c_str(), run);
}

/// One workload for everybody; `run` is called with a contender's type in an identity.
template <class T>
struct of {
  using type = T;
};
template <class Run>
void add_all(const std::string& workload, Run run) {
  const auto one = [&]<class C>(of<C> who, const char* name) {
    add(workload, name, [run, who](benchmark::State& state) { run(state, who); });
  };
  one(of<ours<fast_policy>>{}, "tokenheap");
  one(of<ours<uncounted_policy>>{}, "tokenheap_no_counters");
  one(of<ours<fixed_policy>>{}, "tokenheap_fixed_segments");
  one(of<with_ranges>{}, "limit_ranges");
#ifdef TOKENHEAP_HAS_CUB
  one(of<with_cub>{}, "CUB");
  one(of<with_thrust>{}, "Thrust");
#endif
}

void register_all() {
  for (const std::size_t pieces : {std::size_t{10'000}, std::size_t{100'000}}) {
    const std::string name = "device random sizes up to 1 MiB " + std::to_string(pieces);
    const auto run = [pieces]<class C>(benchmark::State& state, of<C>) { random_sizes<C>(state, pieces, 1 * MiB); };
    add_all(name, run);
    add(name, "limit_loop_alone", [=](benchmark::State& state) { run(state, of<nothing>{}); });
  }
  for (const std::size_t holes : {std::size_t{64}, std::size_t{1024}, std::size_t{16'384}, std::size_t{65'536}}) {
    add_all("device pair 1 KiB beside holes " + std::to_string(holes),
            [holes]<class C>(benchmark::State& state, of<C>) { pair<C>(state, 1024, holes); });
  }
  add_all("device hot pair 1 MiB", []<class C>(benchmark::State& state, of<C>) { pair<C>(state, 1 * MiB, 0); });
  for (const std::size_t holes : {std::size_t{0}, std::size_t{16'384}}) {
    const std::string name = "device refusal beside holes " + std::to_string(holes);
    add(name, "tokenheap", [=](benchmark::State& s) { refusal<fast_policy>(s, asked::full_ladder, holes); });
    add(name, "tokenheap_try", [=](benchmark::State& s) { refusal<fast_policy>(s, asked::try_only, holes); });
    add(name, "tokenheap_fixed_segments", [=](benchmark::State& s) { refusal<fixed_policy>(s, asked::full_ladder, holes); });
  }
  add_all("device streams 128", []<class C>(benchmark::State& state, of<C>) { round_robin<C>(state); });
  add("device growing scratch", "tokenheap", growing_scratch<fast_policy>)->Iterations(1);
  add("device growing scratch", "tokenheap_fixed_segments", growing_scratch<fixed_policy>)->Iterations(1);
  const auto packs = [](std::size_t pieces, std::size_t mib) {
    const std::string name = "device packing up to " + std::to_string(mib) + " MiB " + std::to_string(pieces);
    add(name, "tokenheap", [=](benchmark::State& s) { packing<fast_policy>(s, pieces, mib * MiB); })->Iterations(1);
    add(name, "limit_ranges", [=](benchmark::State& s) { packing_of_ranges(s, pieces, mib * MiB); })->Iterations(1);
  };
  packs(10'000, 64);
  packs(10'000, 4);
  packs(10'000, 256);
}

}  // namespace

int main(int argc, char** argv) {
  register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
