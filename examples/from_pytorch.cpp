// What a program does with PyTorch's CUDA allocator: its settings, numbers, pools and snapshot, and the same here.

#include <cstdio>
#include <cstring>
#include <string>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/alloc/pinned_pool.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/observe/oom_report.hpp>
#include <tokenheap/observe/viz_device.hpp>
#include <tokenheap/observe/viz_pickle.hpp>
using namespace tokenheap;

#define EXPECT(condition)                                                \
  do {                                                                   \
    if (!(condition)) {                                                  \
      std::fprintf(stderr, "from_pytorch: expected %s\n", #condition);   \
      return 1;                                                          \
    }                                                                    \
  } while (false)

namespace {

// [policy]
struct recorded : default_caching_policy {
  using trace = device_ring_trace<trace_shape{.events = 4096}>;  // _record_memory_history(max_entries=4096)
};
struct plain_segments : default_caching_policy {                 // expandable_segments:False
  static constexpr segment_kind kind_of(memory_class) noexcept { return segment_kind::fixed; }
};
using gpu_memory = caching_allocator<sim_device, recorded>;  // cuda_device in an engine
// [policy]

std::size_t told = 0;

int settings(sim_device device, sim_device::stream compute) {
  // [settings]
  gpu_memory gpu(device, {.name = "gpu 0",
                          .limit = 2 * GiB,            // per_process_memory_fraction, in bytes
                          .divisions = 4,              // roundup_power2_divisions:4
                          .max_split = 512 * MiB,      // max_split_size_mb:512
                          .max_rounding = 20 * MiB,    // max_non_split_rounding_mb:20
                          .collect_above = 0.8,        // garbage_collection_threshold:0.8
                          .on_shortage = {[](void*, const shortage& s) noexcept { told = s.need; }, nullptr}});
  const allocation rounded = gpu.allocate(compute, 33 * MiB);
  EXPECT(rounded.size == 40 * MiB);                    // as PyTorch rounds it with 4 divisions
  gpu.deallocate(compute, rounded);
  gpu.set_limit(1 * GiB);                              // torch.cuda.set_per_process_memory_fraction
  // [settings]

  // [stats]
  const device_stats s = gpu.stats();                  // torch.cuda.memory_stats()
  EXPECT(s.all.allocated_bytes.current == 0);          // memory_allocated()
  EXPECT(s.all.allocated_bytes.peak == 40 * MiB);      // max_memory_allocated()
  EXPECT(s.all.requested_bytes.peak == 33 * MiB);      // memory_stats()["requested_bytes.all.peak"]
  EXPECT(s.all.reserved_bytes.current == 40 * MiB);    // memory_reserved()
  EXPECT(s.large_pool.allocation.allocated == 1);      // memory_stats()["allocation.large_pool.allocated"]
  char line[400];
  gpu.dump(line, sizeof line);                         // memory_summary(), in one line
  std::puts(line);
  gpu.reset_peaks();                                   // reset_peak_memory_stats()
  gpu.reset_accumulated();                             // reset_accumulated_memory_stats()
  EXPECT(gpu.trim() == 40 * MiB);                      // empty_cache(), and how much that was
  // [stats]

  // [refusal]
  shortage why;
  EXPECT(!gpu.allocate(compute, {.bytes = 3 * GiB, .of = memory_class::activations}, &why));
  char text[600];
  describe(report_of(why), text, sizeof text);         // the words of torch.cuda.OutOfMemoryError
  std::fputs(text, stdout);
  EXPECT(told == why.need && std::strstr(text, "ask for at most 1073741824") != nullptr);
  // [refusal]
  return 0;
}

int streams_and_graphs(sim_machine& machine, sim_device device, sim_device::stream compute, sim_device::stream copies) {
  gpu_memory gpu(device);
  // [record_stream]
  const allocation tensor = gpu.allocate(compute, 4 * MiB);
  EXPECT(device.launch_write(compute, tensor.data, tensor.size));
  sim_device::event written{};
  EXPECT(device.create_event(written) && device.record(written, compute) && device.wait(copies, written));
  EXPECT(device.launch_read(copies, tensor.data, tensor.size));
  EXPECT(gpu.record_stream(tensor, copies) == errc::ok);    // tensor.record_stream(copies)
  gpu.deallocate(compute, tensor);                          // del tensor
  EXPECT(gpu.stats().pending_bytes == 4 * MiB);             // active_bytes less allocated_bytes
  // [record_stream]
  EXPECT(device.destroy_event(written));

  // [graph]
  const auto pool = gpu.create_pool();                      // torch.cuda.graph_pool_handle(), or MemPool()
  EXPECT(pool && gpu.begin_pool(*pool) == errc::ok);        // with torch.cuda.graph(g, pool=pool):
  EXPECT(device.begin_capture(compute));
  const allocation inside = gpu.allocate(compute, 2 * MiB);
  EXPECT(inside && device.launch_write(compute, inside.data, inside.size));
  gpu.deallocate(compute, inside);
  EXPECT(device.end_capture(compute) && gpu.end_pool(*pool) == errc::ok);
  EXPECT(gpu.pool_uses(*pool) == 1);                        // MemPool.use_count()
  EXPECT(gpu.release_pool(*pool) == errc::ok);              // the graph is gone
  // [graph]

  // [snapshot]
  viz_snapshot picture;
  collect(picture, gpu);                                    // torch.cuda.memory._snapshot()
  std::string pickle;                                       // memory._dump_snapshot: opens in pytorch.org/memory_viz
  write_viz_pickle(picture, [&](std::string_view part) { pickle += part; });
  EXPECT(picture.status() == errc::ok && picture.is_valid() && !pickle.empty());
  // [snapshot]
  EXPECT(machine.violations() == 0 && gpu.is_valid());
  return 0;
}

// [growing]
// scratch that is 64 KiB longer at every step, as attention over a longer context is
template <class Policy>
std::size_t reserved_for_growing_scratch(sim_device device, sim_device::stream compute) {
  caching_allocator<sim_device, Policy> gpu(device);
  for (std::size_t step = 0; step <= 1000; ++step) {
    gpu.deallocate(compute, gpu.allocate(compute, 100 * MiB + step * 64 * KiB));
  }
  return gpu.stats().all.reserved_bytes.peak / MiB;
}
// [growing]

int growing(sim_device device, sim_device::stream compute) {
  // [growing_result]
  EXPECT(reserved_for_growing_scratch<default_caching_policy>(device, compute) == 164);
  EXPECT(reserved_for_growing_scratch<plain_segments>(device, compute) == 4'356);
  // [growing_result]
  return 0;
}

int sleeping(sim_device device, sim_device::stream compute) {
  gpu_memory gpu(device);
  // [sleep]
  const allocation weights = gpu.allocate(compute, {.bytes = 64 * MiB, .of = memory_class::weights});
  EXPECT(weights && device.launch_write(compute, weights.data, weights.size));
  const auto gone = gpu.sleep(memory_class::weights, {.keep_contents = true});
  EXPECT(gone && *gone == 64 * MiB && gpu.stats().all.reserved_bytes.current == 0);
  EXPECT(gpu.wake(memory_class::weights));                  // the same address, the same bytes
  EXPECT(device.launch_read(compute, weights.data, weights.size));
  gpu.deallocate(compute, weights);
  // [sleep]
  return 0;
}

int pinned(sim_device device) {
  // [pinned]
  pinned_pool<sim_device> host({.device = device,
                                .limit = 256 * MiB,           // PyTorch has none
                                .least_chunk = 16 * MiB});    // pinned_reserve_segment_size_mb:16
  const allocation buffer = host.allocate(80 * KiB);          // torch.empty(..., pin_memory=True)
  EXPECT(buffer && buffer.size == 80 * KiB);                  // PyTorch takes 128 KiB
  EXPECT(host.stats().reserved == 16 * MiB);                  // torch.cuda.host_memory_stats()
  host.deallocate(buffer);
  // [pinned]
  return 0;
}

}  // namespace

int main() {
  sim_machine machine(sim_options{.capacity = 6 * GiB});
  sim_device device = machine.device();
  sim_device::stream compute, copies;
  EXPECT(device.create_stream(compute) && device.create_stream(copies));
  const bool wrong = settings(device, compute) != 0 || streams_and_graphs(machine, device, compute, copies) != 0 ||
                     growing(device, compute) != 0 || sleeping(device, compute) != 0 || pinned(device) != 0;
  EXPECT(device.destroy_stream(compute) && device.destroy_stream(copies));
  EXPECT(machine.violations() == 0);
  return wrong ? 1 : 0;
}
