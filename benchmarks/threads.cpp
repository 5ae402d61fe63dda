// Two threads on the host: private churn, and one thread that allocates while the other frees.
//
// Names are workload/contender; one iteration is one allocation with its give-back, over both threads.

#include <benchmark/benchmark.h>

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>

#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/magazines.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/source/host.hpp>

#include "peers.hpp"

namespace {

using namespace tokenheap;

struct shared_slots : layered<host_source, slab<>, magazines<>> {};
struct locked_slots : layered<host_source, slab<>, with<spin_lock>> {};

template <class Mem>
struct ours {
  Mem mem;
  void* take(std::size_t bytes) { return mem.allocate(bytes).data; }
  void give(void* p, std::size_t bytes) { mem.deallocate({p, bytes}); }
};

/// One size class per thread, by hand: two magazines of 64 in a thread-local array, a depot under a spin lock.
template <std::size_t Slot>
struct magazine_limit {
  static constexpr std::size_t rounds = 64;
  struct magazine {
    std::size_t count = 0;
    void* slots[rounds];
  };
  struct pairs {
    magazine* loaded = nullptr;
    magazine* spare = nullptr;
  };
  struct depot {
    std::atomic_flag taken = ATOMIC_FLAG_INIT;
    std::vector<magazine*> full, empty;
    std::vector<void*> chunks;
    ~depot() {
      for (void* c : chunks) std::free(c);
    }
  };
  std::unique_ptr<depot> shared{new depot()};
  static inline thread_local pairs mine{};

  magazine_limit() = default;
  void lock() const {
    while (shared->taken.test_and_set(std::memory_order_acquire)) __builtin_ia32_pause();
  }
  void unlock() const { shared->taken.clear(std::memory_order_release); }
  /// Every thread starts each run with magazines of its own: the ones of the last run belong to a depot that is gone.
  static void begin() { mine = {new magazine(), new magazine()}; }

  void* take(std::size_t) {
    if (mine.loaded->count == 0) [[unlikely]] refill();
    return mine.loaded->slots[--mine.loaded->count];
  }
  void give(void* p, std::size_t) {
    if (mine.loaded->count == rounds) [[unlikely]] spill();
    mine.loaded->slots[mine.loaded->count++] = p;
  }
  __attribute__((noinline)) void refill() {
    if (mine.spare->count != 0) return std::swap(mine.loaded, mine.spare);
    lock();
    if (!shared->full.empty()) {
      shared->empty.push_back(mine.loaded);
      mine.loaded = shared->full.back();
      shared->full.pop_back();
    } else {
      auto* const c = static_cast<unsigned char*>(std::malloc(rounds * Slot));
      shared->chunks.push_back(c);
      for (std::size_t k = 0; k != rounds; ++k) mine.loaded->slots[k] = c + k * Slot;
      mine.loaded->count = rounds;
    }
    unlock();
  }
  __attribute__((noinline)) void spill() {
    if (mine.spare->count == 0) return std::swap(mine.loaded, mine.spare);
    lock();
    shared->full.push_back(mine.loaded);
    if (shared->empty.empty()) {
      mine.loaded = new magazine();
    } else {
      mine.loaded = shared->empty.back();
      shared->empty.pop_back();
    }
    mine.loaded->count = 0;
    unlock();
  }
};

template <class Pool>
void begin_thread() {
  if constexpr (requires { Pool::begin(); }) Pool::begin();
}

std::vector<std::uint16_t> sizes_between(std::uint32_t low, std::uint32_t high) {
  std::mt19937 random(17);
  std::vector<std::uint16_t> sizes(4096);
  for (auto& s : sizes) s = static_cast<std::uint16_t>(low + random() % (high - low + 1));
  return sizes;
}

/// Both threads do the same to pieces of their own.
template <class Pool>
void private_churn(benchmark::State& state, Pool& pool, const std::vector<std::uint16_t>& sizes) {
  constexpr std::size_t batch = 1 << 18;
  const auto work = [&](std::uint32_t seed) {
    begin_thread<Pool>();
    struct piece {
      void* p;
      std::size_t bytes;
    };
    std::vector<piece> live(1000);
    for (std::size_t k = 0; k != live.size(); ++k) live[k] = {pool.take(sizes[k]), sizes[k]};
    std::uint32_t x = seed;
    for (std::size_t k = 0; k != batch; ++k) {
      x = x * 1664525 + 1013904223;
      piece& l = live[(x >> 16) % 1000];
      pool.give(l.p, l.bytes);
      l.bytes = sizes[(x >> 8) & 4095];
      l.p = pool.take(l.bytes);
      *static_cast<std::uint32_t*>(l.p) = x;
    }
    for (piece& l : live) pool.give(l.p, l.bytes);
  };
  while (state.KeepRunningBatch(2 * batch)) {
    std::thread other(work, 1);
    work(2);
    other.join();
  }
}

/// One thread allocates and writes, the other reads and frees; a ring of 1024 pieces between them.
template <class Pool>
void here_and_there(benchmark::State& state, Pool& pool, const std::vector<std::uint16_t>& sizes) {
  constexpr std::size_t batch = 1 << 18;
  struct piece {
    void* p;
    std::size_t bytes;
  };
  struct ring {
    std::array<piece, 1024> pieces;
    alignas(64) std::atomic<std::size_t> written{0};
    alignas(64) std::atomic<std::size_t> read{0};
  };
  const auto between = std::make_unique<ring>();
  while (state.KeepRunningBatch(batch)) {
    between->written = between->read = 0;
    std::thread frees([&] {
      begin_thread<Pool>();
      std::uint32_t sum = 0;
      for (std::size_t k = 0; k != batch;) {
        const std::size_t ready = between->written.load(std::memory_order_acquire);
        if (k == ready) __builtin_ia32_pause();
        for (; k != ready; ++k) {
          const piece l = between->pieces[k % 1024];
          sum += *static_cast<std::uint32_t*>(l.p);
          pool.give(l.p, l.bytes);
          if (k % 32 == 31) between->read.store(k + 1, std::memory_order_release);
        }
        between->read.store(k, std::memory_order_release);
      }
      benchmark::DoNotOptimize(sum);
    });
    begin_thread<Pool>();
    std::size_t room = 1024;
    for (std::size_t k = 0; k != batch; ++k) {
      while (k == room) {
        between->written.store(k, std::memory_order_release);
        room = between->read.load(std::memory_order_acquire) + 1024;
        if (k == room) __builtin_ia32_pause();
      }
      const std::size_t bytes = sizes[k & 4095];
      void* const p = pool.take(bytes);
      *static_cast<std::uint32_t*>(p) = static_cast<std::uint32_t>(k);
      between->pieces[k % 1024] = {p, bytes};
      if (k % 32 == 31) between->written.store(k + 1, std::memory_order_release);
    }
    between->written.store(batch, std::memory_order_release);
    frees.join();
  }
}

template <class Pool, class Run>
void add_pool(const std::string& workload, const char* contender, Run run) {
  benchmark::RegisterBenchmark((workload + "/" + contender).c_str(), [run](benchmark::State& s) {
    const auto pool = std::make_unique<Pool>();
    run(s, *pool);
  })->UseRealTime();
}

template <std::size_t LimitSlot, class Run>
void add_workload(const std::string& workload, Run run) {
  add_pool<ours<shared_slots>>(workload, "tokenheap", run);
  add_pool<ours<locked_slots>>(workload, "tokenheap, one lock", run);
  add_pool<magazine_limit<LimitSlot>>(workload, "limit: magazines", run);
  for (const auto& [contender, calls] : peers::generals()) {
    benchmark::RegisterBenchmark((workload + "/" + contender).c_str(), [run, g = calls](benchmark::State& s) {
      peers::general_pool pool{g};
      run(s, pool);
    })->UseRealTime();
  }
}

}  // namespace

int main(int count, char** arguments) {
  static const auto one_size = sizes_between(64, 64);
  static const auto small_sizes = sizes_between(16, 1024);
  const auto churn = [](benchmark::State& s, auto& pool) { private_churn(s, pool, one_size); };
  const auto cross = [](benchmark::State& s, auto& pool) { here_and_there(s, pool, one_size); };
  const auto cross_mixed = [](benchmark::State& s, auto& pool) { here_and_there(s, pool, small_sizes); };
  add_workload<64>("two threads, private churn 64 B", churn);
  add_workload<64>("allocate here, free there 64 B", cross);
  add_workload<1024>("allocate here, free there 16..1024 B", cross_mixed);

  benchmark::Initialize(&count, arguments);
  if (benchmark::ReportUnrecognizedArguments(count, arguments)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
