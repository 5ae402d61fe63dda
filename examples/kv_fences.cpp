// Blocks that are given back while the device still uses them: by steps that the engine counts, and by streams.

#include <cstdio>
#include <numeric>
#include <vector>

#include <tokenheap/device/sim.hpp>
#include <tokenheap/kv/sequence.hpp>
#include <tokenheap/kv/stream_fence.hpp>

namespace kv = tokenheap::kv;
using tokenheap::errc;
using tokenheap::MiB;
using tokenheap::sim_device;

#define EXPECT(condition)                                           \
  do {                                                              \
    if (!(condition)) {                                             \
      std::fprintf(stderr, "kv_fences: expected %s\n", #condition); \
      return 1;                                                     \
    }                                                               \
  } while (false)

// [steps_policy]
struct counted : kv::default_policy {
  using fence = kv::step_fence;
};
// [steps_policy]

// [streams_policy]
struct copied : kv::default_policy {
  using fence = kv::stream_fence<sim_device>;  // cuda_device in an engine
};
// [streams_policy]

int steps() {
  auto opened = kv::block_pool<counted>::open({.blocks = 4, .name = "steps"});
  if (!opened) return 1;
  auto& pool = *opened;
  std::vector<kv::token> prompt(40);
  std::iota(prompt.begin(), prompt.end(), 1);

  // [steps]
  auto request = kv::sequence<kv::block_pool<counted>>::open(pool, prompt);  // 3 of 4 blocks
  if (!request) return 1;
  const std::uint64_t step = pool.begin_step();  // the step that reads and writes them goes to the device
  EXPECT(request->close() == errc::ok);          // the user went away meanwhile
  EXPECT(pool.stats().in_flight == 3 && pool.stats().free == 1);
  EXPECT(pool.settle(step) == errc::ok);  // the device is done with it
  EXPECT(pool.stats().in_flight == 0 && pool.stats().free == 4);
  // [steps]
  return 0;
}

int streams() {
  tokenheap::sim_machine machine{{.capacity = 64 * MiB}};
  sim_device device = machine.device();
  const kv::layout shape{.layers = 2, .kv_heads = 2, .head_size = 32, .block_tokens = 16};
  const std::size_t bytes = shape.block_bytes();
  void* memory = nullptr;
  void* host = nullptr;
  tokenheap::sim_stream compute, offload;
  EXPECT(device.allocate(4 * bytes, memory) && device.allocate_pinned(4 * bytes, host));
  EXPECT(device.create_stream_nonblocking(compute) && device.create_stream_nonblocking(offload));
  auto opened =
      kv::block_pool<copied>::open({.blocks = 4, .name = "streams"}, kv::tensor{memory, 4 * bytes, shape, false});
  if (!opened) return 1;
  auto& pool = *opened;
  std::vector<kv::token> prompt(64);
  std::iota(prompt.begin(), prompt.end(), 1);

  // [streams]
  auto& fence = pool.fence();
  EXPECT(fence.bind(0, device, compute) == errc::ok && fence.bind(1, device, offload) == errc::ok);
  {
    auto request = kv::sequence<kv::block_pool<copied>>::open(pool, prompt);
    if (!request) return 1;
    for (const kv::block_id id : request->blocks()) EXPECT(device.launch_write(compute, pool.data(id), bytes));

    // the blocks are stored in host memory, behind the kernels that fill them
    EXPECT(fence.before(1, kv::block_use::read, request->blocks().data(), 4) == errc::ok);
    for (const kv::block_id id : request->blocks()) {
      EXPECT(device.copy(static_cast<char*>(host) + id * bytes, pool.data(id), bytes, offload));
    }
    fence.after(1, kv::block_use::read, request->blocks().data(), 4);
  }  // given back while the copies run: nobody waits here

  // the same memory again: the compute stream waits for the copies, the program does not
  auto next = kv::sequence<kv::block_pool<copied>>::open(pool, prompt);
  if (!next) return 1;
  for (const kv::block_id id : next->blocks()) EXPECT(device.launch_write(compute, pool.data(id), bytes));
  EXPECT(machine.violations() == 0);  // no timing of the device lets a kernel meet a copy
  // [streams]
  return 0;
}

int main() { return steps() != 0 ? 1 : streams(); }
