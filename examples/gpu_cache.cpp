// Device memory for two streams: what is freed comes back without a device call, and a shortage says what is missing.

#include <cstdio>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/alloc/device_buffer.hpp>
#include <tokenheap/device/sim.hpp>
using namespace tokenheap;

#define EXPECT(condition)                                              \
  do {                                                                 \
    if (!(condition)) {                                                \
      std::fprintf(stderr, "gpu_cache: expected %s\n", #condition);    \
      return 1;                                                        \
    }                                                                  \
  } while (false)

// [policy]
struct serving : default_caching_policy {
  static constexpr borrowing borrow = borrowing::always;     // memory is dearer than a wait on the device
  static segment_kind kind_of(memory_class c) noexcept {     // KV is registered for transfers: plain allocations
    return c == memory_class::kv ? segment_kind::fixed : default_caching_policy::kind_of(c);
  }
};
// [policy]

int main() {
  // [open]
  sim_machine machine(sim_options{.capacity = 64 * MiB});  // on a GPU: cuda_device device(0);
  sim_device device = machine.device();
  sim_device::stream compute, copies;
  EXPECT(device.create_stream(compute) && device.create_stream(copies));
  {
    caching_allocator<sim_device, serving> gpu(device, {.name = "gpu 0", .limit = 48 * MiB});
    // [open]

    // [pair]
    const allocation first = gpu.allocate(compute, 1 * MiB);
    EXPECT(first && device.launch_write(compute, first.data, first.size));
    gpu.deallocate(compute, first);
    const std::size_t calls = machine.device_calls();
    const allocation again = gpu.allocate(compute, 1 * MiB);  // the same memory, behind the kernel that used it
    EXPECT(again.data == first.data && machine.device_calls() == calls);
    gpu.deallocate(compute, again);
    // [pair]

    // [borrow]
    const allocation lent = gpu.allocate(copies, 1 * MiB);    // waits on the device for what compute did so far
    EXPECT(lent && device.launch_write(copies, lent.data, lent.size));
    EXPECT(gpu.stats().num_borrows == 1 && gpu.stats().num_events == 1);
    EXPECT(gpu.record_stream(lent, compute) == errc::ok);     // compute reads it too ...
    sim_device::event filled{};
    EXPECT(device.create_event(filled) && device.record(filled, copies) && device.wait(compute, filled));
    EXPECT(device.launch_read(compute, lent.data, lent.size) && device.destroy_event(filled));
    gpu.deallocate(copies, lent);                             // ... so nobody gets it before compute is done
    EXPECT(gpu.stats().pending_bytes == 1 * MiB);
    // [borrow]

    // [buffers]
    using tokens = device_vector<int, caching_allocator<sim_device, serving>>;
    tokens ids(gpu, compute, {.of = memory_class::scratch});
    EXPECT(ids.resize(1000) == errc::ok);                     // not initialised: kernels fill it
    EXPECT(device.launch_write(compute, ids.data(), ids.size_bytes()));
    EXPECT(ids.resize(5000) == errc::ok);                     // copied on the stream; if it fails, nothing has changed
    // [buffers]

    // [shortage]
    shortage why;
    const allocation cache = gpu.allocate(compute, {.bytes = 60 * MiB, .of = memory_class::kv}, &why);
    char line[400];
    if (!cache) describe(why, line, sizeof line), std::puts(line);
    // [shortage]
    EXPECT(!cache && why.code == errc::too_large && why.need == 60 * MiB && why.limit == 48 * MiB);

    // [capture]
    const auto graph = gpu.create_pool();
    EXPECT(graph && gpu.begin_pool(*graph) == errc::ok);      // with a filter: the requests of some streams only
    EXPECT(device.begin_capture(compute));
    const allocation fixed_place = gpu.allocate(compute, 2 * MiB);
    EXPECT(fixed_place && device.launch_write(compute, fixed_place.data, fixed_place.size));
    gpu.deallocate(compute, fixed_place);                     // the next piece of the capture may lie here
    EXPECT(device.end_capture(compute) && gpu.end_pool(*graph) == errc::ok);
    // ... replay as often as you like: nobody else gets these addresses ...
    EXPECT(gpu.release_pool(*graph) == errc::ok);             // the graph is gone: `trim` may take the memory
    // [capture]

    // [sleep]
    const device_request weights{.bytes = 6 * MiB, .of = memory_class::weights};
    const allocation layer = gpu.allocate(compute, weights);
    EXPECT(layer && device.launch_write(compute, layer.data, layer.size));
    const auto gone = gpu.sleep(memory_class::weights | memory_class::scratch);
    EXPECT(gone && *gone >= 6 * MiB && gpu.asleep() == *gone);
    const auto back = gpu.wake(class_set::all());             // the same addresses, the same bytes
    EXPECT(back && device.launch_read(compute, layer.data, layer.size));
    gpu.deallocate(compute, layer);
    // [sleep]

    gpu.dump(line, sizeof line);
    std::puts(line);
    EXPECT(gpu.is_valid());
  }
  EXPECT(device.destroy_stream(compute) && device.destroy_stream(copies));
  // [checked]
  EXPECT(machine.violations() == 0 && machine.is_clean());    // no timing of the device lets two uses overlap
  // [checked]
  return 0;
}
