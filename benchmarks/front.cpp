// Fronts of the caching allocator: pairs of one size, by threads with a stream each, with and without a front.

#include <benchmark/benchmark.h>

#include <tokenheap/alloc/front_cache.hpp>
#include <tokenheap/device/sim.hpp>

namespace {

using namespace tokenheap;
using gpu_type = caching_allocator<sim_device>;

struct machine_room {
  sim_machine machine{sim_options{.capacity = 8 * GiB, .race_check = false}};
  sim_device device = machine.device();
  front_caches<gpu_type> fronts;
  gpu_type gpu{device, {.on_pressure = fronts.callback()}};
};

/// One for all threads of a run, as an engine has one for a device.
machine_room& room() {
  static machine_room only;
  return only;
}

enum class through { allocator, front };

template <through Way>
void hot_pair(benchmark::State& state) {
  machine_room& r = room();
  sim_device::stream s{};
  if (!r.device.create_stream(s)) return state.SkipWithError("no stream");
  {
    auto front = r.fronts.open(r.gpu);
    for (auto _ : state) {
      if constexpr (Way == through::front) {
        allocation a = front.allocate(s, 64 * KiB);
        benchmark::DoNotOptimize(a);
        front.deallocate(s, a);
      } else {
        allocation a = r.gpu.allocate(s, 64 * KiB);
        benchmark::DoNotOptimize(a);
        r.gpu.deallocate(s, a);
      }
    }
  }
  state.SetItemsProcessed(state.iterations());
  static_cast<void>(r.gpu.retire(s));
}

// four sizes, given back in the order that they came, so that a slot is looked for
template <through Way>
void four_sizes(benchmark::State& state) {
  machine_room& r = room();
  sim_device::stream s{};
  if (!r.device.create_stream(s)) return state.SkipWithError("no stream");
  {
    auto front = r.fronts.open(r.gpu);
    allocation held[4];
    for (auto _ : state) {
      for (std::size_t k = 0; k != 4; ++k) {
        const std::size_t bytes = (k + 1) * 16 * KiB;
        held[k] = Way == through::front ? front.allocate(s, bytes) : r.gpu.allocate(s, bytes);
      }
      benchmark::DoNotOptimize(held);
      for (const allocation& a : held) Way == through::front ? front.deallocate(s, a) : r.gpu.deallocate(s, a);
    }
  }
  state.SetItemsProcessed(4 * state.iterations());
  static_cast<void>(r.gpu.retire(s));
}

BENCHMARK(hot_pair<through::allocator>)->Name("front/pair/allocator")->ThreadRange(1, 2)->UseRealTime();
BENCHMARK(hot_pair<through::front>)->Name("front/pair/front")->ThreadRange(1, 2)->UseRealTime();
BENCHMARK(four_sizes<through::allocator>)->Name("front/four_sizes/allocator")->ThreadRange(1, 2)->UseRealTime();
BENCHMARK(four_sizes<through::front>)->Name("front/four_sizes/front")->ThreadRange(1, 2)->UseRealTime();

}  // namespace
