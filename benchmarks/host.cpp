// One thread on the host: arena, slab pairs, out-and-back, random order, and mixed churn, beside peers and limits.
//
// Names are workload/contender; `benchmarks/report.sh` makes the table. Each iteration is one operation: an allocation
// with its share of the give-back.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <string>

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/policy/none.hpp>
#include <tokenheap/source/host.hpp>

#include "peers.hpp"

namespace {

using namespace tokenheap;

struct bump : layered<host_source, arena<arena_shape{.chunk = 1 * MiB}>> {};
struct slots : layered<host_source, slab<>> {};
struct slots_in_place : layered<host_source, slab<slab_shape{.keep = free_slots::in_place}>> {};
/// The same slab with every policy that does nothing: it must cost what the bare one costs.
struct slots_with_nothing : layered<host_source, slab<>, with<no_stats>, with<no_limit>, with<no_trace>, with<no_lock>> {};
static_assert(sizeof(slots_with_nothing) == sizeof(slots), "policies that do nothing take no space");

template <class Mem>
struct ours {
  Mem mem;
  void* take(std::size_t bytes) { return mem.allocate(bytes).data; }
  void give(void* p, std::size_t bytes) { mem.deallocate({p, bytes}); }
};

// --- arena ------------------------------------------------------------------------------------------------------

std::array<std::uint32_t, 1000> mixed_sizes() {
  std::mt19937 random(7);
  std::array<std::uint32_t, 1000> sizes{};
  for (auto& s : sizes) s = static_cast<std::uint32_t>(16 + random() % 241);
  return sizes;
}

/// Moves a pointer down through one buffer: nothing else to do, nothing checked but the end.
struct bump_limit {
  std::unique_ptr<unsigned char[]> room{new unsigned char[1 * MiB]};
  unsigned char* at = room.get() + 1 * MiB;
  void* take(std::size_t bytes) {
    auto* const p = reinterpret_cast<unsigned char*>((reinterpret_cast<std::uintptr_t>(at) - bytes) & ~std::uintptr_t{15});
    if (p < room.get()) [[unlikely]] std::abort();
    return at = p;
  }
  void reset() { at = room.get() + 1 * MiB; }
};
struct bump_ours {
  bump mem;
  void* take(std::size_t bytes) { return mem.allocate(bytes).data; }
  void reset() { mem.reset(); }
};
struct bump_pmr {
  std::unique_ptr<unsigned char[]> room{new unsigned char[1 * MiB]};
  std::pmr::monotonic_buffer_resource mem{room.get(), 1 * MiB};
  void* take(std::size_t bytes) { return mem.allocate(bytes, 16); }
  void reset() { mem.release(); }
};

template <class Arena>
void arena_reset(benchmark::State& state, Arena a) {
  const auto sizes = mixed_sizes();
  while (state.KeepRunningBatch(1000)) {
    for (const std::uint32_t s : sizes) benchmark::DoNotOptimize(a->take(s));
    a->reset();
  }
}

void arena_general(benchmark::State& state, peers::general g) {
  const auto sizes = mixed_sizes();
  std::array<void*, 1000> out{};
  while (state.KeepRunningBatch(1000)) {
    for (std::size_t k = 0; k != sizes.size(); ++k) benchmark::DoNotOptimize(out[k] = g.take(sizes[k]));
    for (void* p : out) g.give(p);
  }
}

// --- slots ------------------------------------------------------------------------------------------------------

template <std::size_t Bytes, class Pool>
void pair(benchmark::State& state, Pool pool) {
  std::array<void*, 128> live{};
  for (auto& p : live) p = pool->take(Bytes);
  std::size_t k = 0;
  for (auto _ : state) {
    void*& p = live[k++ & 127];
    pool->give(p, Bytes);
    benchmark::DoNotOptimize(p = pool->take(Bytes));
  }
  for (void* p : live) pool->give(p, Bytes);
}

template <std::size_t Bytes, class Pool>
void out_and_back(benchmark::State& state, Pool pool) {
  std::array<void*, 1000> live{};
  while (state.KeepRunningBatch(1000)) {
    for (auto& p : live) benchmark::DoNotOptimize(p = pool->take(Bytes));
    for (void* p : live) pool->give(p, Bytes);
  }
}

template <std::size_t Bytes, class Pool>
void random_order(benchmark::State& state, Pool pool) {
  std::vector<void*> live(10'000);
  std::vector<std::uint32_t> order(live.size());
  for (std::uint32_t k = 0; k != order.size(); ++k) order[k] = k;
  std::shuffle(order.begin(), order.end(), std::mt19937(11));
  while (state.KeepRunningBatch(10'000)) {
    for (auto& p : live) benchmark::DoNotOptimize(p = pool->take(Bytes));
    for (const std::uint32_t k : order) pool->give(live[k], Bytes);
  }
}

template <class Pool>
void mixed_churn(benchmark::State& state, Pool pool) {
  struct step {
    std::uint32_t place, bytes;
  };
  std::mt19937 random(13);
  std::vector<step> steps(1 << 16);
  for (auto& s : steps) {
    // sizes spread evenly over the powers of two between 16 and 4096
    const auto shift = random() % 8;
    s = {static_cast<std::uint32_t>(random() % 10'000), static_cast<std::uint32_t>((16u << shift) + random() % (16u << shift) + 1)};
    s.bytes = std::min(s.bytes, 4096u);
  }
  struct piece {
    void* p;
    std::size_t bytes;
  };
  std::vector<piece> live(10'000);
  for (auto& l : live) {
    l.bytes = 64;
    l.p = pool->take(64);
  }
  std::size_t at = 0;
  for (auto _ : state) {
    const step s = steps[at++ & (steps.size() - 1)];
    piece& l = live[s.place];
    pool->give(l.p, l.bytes);
    l.bytes = s.bytes;
    benchmark::DoNotOptimize(l.p = pool->take(s.bytes));
  }
  for (auto& l : live) pool->give(l.p, l.bytes);
}

// --- who runs what ----------------------------------------------------------------------------------------------

template <class Run>
void add(const std::string& name, Run run) {
  benchmark::RegisterBenchmark(name.c_str(), run);
}

/// A workload on one kind of pool; the pool is made when the benchmark starts.
template <class Pool, class Workload>
void add_pool(const std::string& workload, const char* contender, Workload run) {
  add(workload + "/" + contender, [run](benchmark::State& s) { run(s, std::make_unique<Pool>()); });
}

template <class Workload>
void add_generals(const std::string& workload, Workload run) {
  for (const auto& [contender, calls] : peers::generals()) {
    add(workload + "/" + contender, [run, g = calls](benchmark::State& s) {
      peers::general_pool pool{g};
      run(s, &pool);
    });
  }
}

template <std::size_t Bytes, class Workload>
void add_slots(const std::string& workload, Workload run) {
  add_pool<ours<slots>>(workload, "tokenheap", run);
  add_pool<ours<slots_with_nothing>>(workload, "tokenheap, no_ policies", run);
  add_pool<ours<slots_in_place>>(workload, "tokenheap, in place", run);
  add_pool<peers::list_limit<Bytes>>(workload, "limit: list", run);
  add_pool<peers::stack_limit<Bytes>>(workload, "limit: stack", run);
#ifdef TOKENHEAP_HAS_BOOST_POOL
  add_pool<peers::boost_pool<Bytes>>(workload, "Boost.Pool", run);
#endif
  add_pool<peers::pmr_pool>(workload, "pmr", run);
  add_generals(workload, run);
}

template <std::size_t Bytes>
void add_size(const std::string& size) {
  add_slots<Bytes>("slab pair " + size, [](benchmark::State& s, auto pool) { pair<Bytes>(s, std::move(pool)); });
  if (Bytes == 256) return;
  add_slots<Bytes>("slab 1000 out and back " + size,
                   [](benchmark::State& s, auto pool) { out_and_back<Bytes>(s, std::move(pool)); });
  add_slots<Bytes>("slab 10000 random order " + size,
                   [](benchmark::State& s, auto pool) { random_order<Bytes>(s, std::move(pool)); });
}

}  // namespace

int main(int count, char** arguments) {
  const auto reset = [](benchmark::State& s, auto a) { arena_reset(s, std::move(a)); };
  add_pool<bump_ours>("arena 1000 mixed", "tokenheap", reset);
  add_pool<bump_limit>("arena 1000 mixed", "limit: bump down", reset);
  add_pool<bump_pmr>("arena 1000 mixed", "pmr", reset);
  for (const auto& [contender, calls] : peers::generals()) {
    add(std::string("arena 1000 mixed/") + contender, [g = calls](benchmark::State& s) { arena_general(s, g); });
  }
  add_size<64>("64 B");
  add_size<256>("256 B");
  add_size<4096>("4 KiB");
  const auto churn = [](benchmark::State& s, auto pool) { mixed_churn(s, std::move(pool)); };
  add_pool<ours<slots>>("mixed churn 16..4096 B", "tokenheap", churn);
  add_pool<ours<slots_in_place>>("mixed churn 16..4096 B", "tokenheap, in place", churn);
  add_pool<peers::classes_limit>("mixed churn 16..4096 B", "limit: stacks by class", churn);
  add_pool<peers::pmr_pool>("mixed churn 16..4096 B", "pmr", churn);
  add_generals("mixed churn 16..4096 B", churn);

  benchmark::Initialize(&count, arguments);
  if (benchmark::ReportUnrecognizedArguments(count, arguments)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
