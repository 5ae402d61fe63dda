// The allocators of device memory that the workloads run on: ours, a limit, and the toolkit's pools where it is found.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include <benchmark/benchmark.h>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/alloc/range_map.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/policy/lock.hpp>

#ifdef TOKENHEAP_HAS_CUB
#include <cub/util_allocator.cuh>
#include <thrust/mr/disjoint_pool.h>
#include <thrust/mr/new.h>
#endif

namespace device_peers {

using namespace tokenheap;

inline constexpr std::size_t stream_count = 128;

/// What a contender has asked of its device so far.
struct device_calls {
  std::size_t waits = 0;
  std::size_t records = 0;
  std::size_t all = 0;
};

// --- ours

struct fast_policy : default_caching_policy {};
struct uncounted_policy : default_caching_policy {
  using counters = no_counters;
};
/// Segments of fixed sizes that the device gives, as PyTorch's default is.
struct fixed_policy : default_caching_policy {
  static constexpr segment_kind kind_of(memory_class) noexcept { return segment_kind::fixed; }
};

template <class Policy>
struct ours {
  using piece = void*;
  using pool = caching_allocator<sim_device, Policy>;

  explicit ours(std::size_t capacity = 64 * GiB, const caching_options& with = {})
      : machine(std::make_unique<sim_machine>(sim_options{.capacity = capacity, .race_check = false})),
        device(machine->device()) {
    for (auto& s : streams)
      if (!device.create_stream(s)) std::abort();
    mem = std::make_unique<pool>(device, with);
  }

  void* take(std::size_t bytes, std::size_t s = 0) { return mem->allocate(streams[s], bytes).data; }
  void give(void* p, std::size_t bytes, std::size_t s = 0) { mem->deallocate(streams[s], {p, bytes}); }
  [[nodiscard]] device_calls calls() const {
    return {machine->calls(sim_call::wait), machine->calls(sim_call::record), machine->device_calls()};
  }

  std::unique_ptr<sim_machine> machine;
  sim_device device;
  std::array<sim_device::stream, stream_count> streams{};
  std::unique_ptr<pool> mem;  // goes before its machine
};

// --- the limit: offsets of one span behind one lock, without streams, owners, statistics or growth

struct with_ranges {
  using piece = range;
  range_map<range_shape{.granularity = 512, .subclasses = 32}> map{{.size = 64 * GiB, .reserve = 1u << 12}};
  spin_lock lock;
  range take(std::size_t bytes, std::size_t = 0) {
    const locked hold(lock);
    return map.allocate(bytes);
  }
  void give(range p, std::size_t, std::size_t = 0) {
    const locked hold(lock);
    benchmark::DoNotOptimize(map.deallocate(p));
  }
  [[nodiscard]] device_calls calls() const { return {}; }
};

/// Allocates nothing: what the loop itself costs.
struct nothing {
  using piece = void*;
  std::uintptr_t next = 1;
  void* take(std::size_t, std::size_t = 0) { return reinterpret_cast<void*>(next++); }
  void give(void* p, std::size_t, std::size_t = 0) { benchmark::DoNotOptimize(p); }
  [[nodiscard]] device_calls calls() const { return {}; }
};

#ifdef TOKENHEAP_HAS_CUB
// --- the toolkit's pools; its runtime is the few functions of fake_cuda.hpp

inline device_calls& runtime() {
  static device_calls counted;
  return counted;
}
inline void* fresh_addresses(std::size_t bytes) {
  static std::uintptr_t next = std::uintptr_t{1} << 32;
  const std::uintptr_t here = next;
  next += align_up(bytes, 512);
  return reinterpret_cast<void*>(here);
}

struct with_cub {
  using piece = void*;
  device_calls before = runtime();
  // bins of 512 B to 2 MiB as by default; the cache is not bounded, or most of it would go back to the device
  std::unique_ptr<cub::CachingDeviceAllocator> mem =
      std::make_unique<cub::CachingDeviceAllocator>(8u, 3u, 7u, cub::CachingDeviceAllocator::INVALID_SIZE, true);
  void* take(std::size_t bytes, std::size_t s = 0) {
    void* p = nullptr;
    if (mem->DeviceAllocate(&p, bytes, stream(s)) != cudaSuccess) std::abort();
    return p;
  }
  void give(void* p, std::size_t, std::size_t = 0) { benchmark::DoNotOptimize(mem->DeviceFree(p)); }
  static cudaStream_t stream(std::size_t s) { return reinterpret_cast<cudaStream_t>(s * 64); }
  [[nodiscard]] device_calls calls() const {
    const device_calls now = runtime();
    return {now.waits - before.waits, now.records - before.records, now.all - before.all};
  }
};

/// Device memory without a device, for Thrust: addresses.
struct addresses final : thrust::mr::memory_resource<> {
  void* do_allocate(std::size_t bytes, std::size_t) override { return ++count, fresh_addresses(bytes); }
  void do_deallocate(void*, std::size_t, std::size_t) noexcept override { ++count; }
  std::size_t count = 0;
};

/// Knows neither streams nor threads.
struct with_thrust {
  using piece = void*;
  std::unique_ptr<addresses> below = std::make_unique<addresses>();
  std::unique_ptr<thrust::mr::new_delete_resource> book = std::make_unique<thrust::mr::new_delete_resource>();
  using pool = thrust::mr::disjoint_unsynchronized_pool_resource<addresses, thrust::mr::new_delete_resource>;
  std::unique_ptr<pool> mem = std::make_unique<pool>(below.get(), book.get());
  void* take(std::size_t bytes, std::size_t = 0) { return mem->do_allocate(bytes, 256); }
  void give(void* p, std::size_t bytes, std::size_t = 0) { mem->do_deallocate(p, bytes, 256); }
  [[nodiscard]] device_calls calls() const { return {0, 0, below->count}; }
};
#endif

}  // namespace device_peers
