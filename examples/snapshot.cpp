// Where memory is, as PyTorch's memory viewer shows it: drop snapshot.pickle on https://docs.pytorch.org/memory_viz

#include <cstdio>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/kv/sequence.hpp>
#include <tokenheap/observe/file_sink.hpp>
#include <tokenheap/observe/viz_device.hpp>
#include <tokenheap/observe/viz_json.hpp>
#include <tokenheap/observe/viz_kv.hpp>
#include <tokenheap/observe/viz_pickle.hpp>
using namespace tokenheap;

#define EXPECT(condition)                                           \
  do {                                                              \
    if (!(condition)) {                                             \
      std::fprintf(stderr, "snapshot: expected %s\n", #condition);  \
      return 1;                                                     \
    }                                                               \
  } while (false)

// [policy]
struct traced : default_caching_policy {
  using trace = device_ring_trace<trace_shape{.events = 4096}>;  // the last 4,096 events, always there
};
// [policy]

int main() {
  sim_machine machine(sim_options{.capacity = 256 * MiB});  // on a GPU: cuda_device device(0);
  sim_device device = machine.device();
  sim_device::stream compute;
  EXPECT(device.create_stream(compute));
  {
    caching_allocator<sim_device, traced> gpu(device, {.name = "gpu 0"});
    const allocation weights = gpu.allocate(compute, {.bytes = 40 * MiB, .of = memory_class::weights});
    EXPECT(weights);
    for (std::size_t step = 1; step != 200; ++step) {
      gpu.deallocate(compute, gpu.allocate(compute, {.bytes = step * 10 * KiB, .of = memory_class::activations}));
    }
    auto blocks = kv::block_pool<>::open({.blocks = 512, .block_tokens = 16, .name = "kv"});
    EXPECT(blocks);
    const kv::token prompt[100] = {};
    auto request = kv::sequence<kv::block_pool<>>::open(*blocks, prompt);
    EXPECT(request);

    // [collect]
    viz_snapshot picture;
    collect(picture, gpu);                                                // segments, pieces, owners, the last events
    collect(picture, *blocks, {.device = 1, .block_bytes = 256 * KiB});   // KV blocks, beside it as a device of their own
    EXPECT(picture.status() == errc::ok && picture.is_valid());
    // [collect]

    // [write]
    std::FILE* const file = std::fopen("snapshot.pickle", "wb");
    EXPECT(file != nullptr);
    file_sink to(file);
    write_viz_pickle(picture, to);                                        // or write_viz_json
    EXPECT(to.status() == errc::ok && std::fclose(file) == 0);
    // [write]

    std::size_t bytes = 0;
    write_viz_json(picture, [&](std::string_view text) { bytes += text.size(); });
    std::printf("snapshot.pickle: %zu segments, %zu events (as JSON %zu bytes)\n", picture.segments().size(),
                picture.events().size(), bytes);
    EXPECT(picture.segments().back().blocks == 512 && picture.segments().back().allocated == 7 * 256 * KiB);
    gpu.deallocate(compute, weights);
  }
  EXPECT(device.destroy_stream(compute));
  return 0;
}
