// Fronts for threads: a hot pair takes no lock, and what fronts keep is there for whoever is short of memory.

#include <cstdio>

#include <tokenheap/alloc/front_cache.hpp>
#include <tokenheap/device/sim.hpp>
using namespace tokenheap;

#define EXPECT(condition)                                              \
  do {                                                                 \
    if (!(condition)) {                                                \
      std::fprintf(stderr, "gpu_fronts: expected %s\n", #condition);   \
      return 1;                                                        \
    }                                                                  \
  } while (false)

int main() {
  sim_machine machine(sim_options{.capacity = 64 * MiB});
  sim_device device = machine.device();
  sim_device::stream compute{}, copies{};
  EXPECT(device.create_stream(compute) && device.create_stream(copies));
  {
    // [open]
    using gpu_memory = caching_allocator<sim_device>;
    front_caches<gpu_memory> fronts;                          // outlives the allocator
    gpu_memory gpu(device, {.on_pressure = fronts.callback()});
    auto front = fronts.open(gpu);                            // one in each thread; ends before the allocator
    const allocation first = front.allocate(compute, 24 * MiB);
    front.deallocate(compute, first);                         // stays in the front
    const allocation again = front.allocate(compute, 24 * MiB);
    EXPECT(again == first && fronts.stats().hits == 1);
    front.deallocate(compute, again);
    EXPECT(gpu.stats().all.allocated_bytes.current == fronts.stats().bytes);
    const allocation large = gpu.allocate(copies, 60 * MiB);  // needs what the front keeps, and gets it
    EXPECT(large && fronts.stats().pieces == 0);
    gpu.deallocate(copies, large);
    // [open]
    EXPECT(gpu.is_valid() && gpu.stats().all.allocated_bytes.current == 0);
  }
  EXPECT(device.destroy_stream(compute) && device.destroy_stream(copies) && machine.is_clean());
  return 0;
}
