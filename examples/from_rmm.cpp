// What a program does with RMM's resources and adaptors, done by one caching allocator and, on the host, by columns.

#include <cstdio>
#include <cstring>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/alloc/device_buffer.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/pinned_pool.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/policy/trace.hpp>
#include <tokenheap/source/fixed.hpp>
#include <tokenheap/source/pinned.hpp>
#if __has_include(<cuda/memory_resource>)  // the toolkit's include/cccl is on the include path
#include <tokenheap/adapt/cuda_mr.hpp>
#include <tokenheap/device/cuda.hpp>
#endif
using namespace tokenheap;

#define EXPECT(condition)                                            \
  do {                                                               \
    if (!(condition)) {                                              \
      std::fprintf(stderr, "from_rmm: expected %s\n", #condition);   \
      return 1;                                                      \
    }                                                                \
  } while (false)

namespace {

// [after_policy]
struct logged : default_caching_policy {
  using trace = device_ring_trace<trace_shape{.events = 1024}>;  // logging_resource_adaptor: the last events, always there
};
using gpu_memory = caching_allocator<sim_device, logged>;        // cuda_device in an engine
// [after_policy]

// [after_failure]
// failure_callback_resource_adaptor: frees something and says whether another try is worth it
struct spill {
  gpu_memory* gpu = nullptr;
  allocation oldest{};

  static bool free_the_oldest(void* user, std::size_t) noexcept {
    spill& own = *static_cast<spill*>(user);
    if (!own.oldest) return false;
    own.gpu->deallocate(own.oldest);  // on the stream it came from, into the very allocator that asks: no lock is held
    own.oldest = {};
    return true;
  }
};
// [after_failure]

int stack(sim_device device, sim_device::stream compute) {
  spill cache;
  // [after_stack]
  gpu_memory gpu(device, {.name = "gpu 0",
                          .limit = 48 * MiB,                                          // limiting_resource_adaptor
                          .on_pressure = {&spill::free_the_oldest, &cache}});         // failure_callback_...
  cache.gpu = &gpu;

  const allocation p = gpu.allocate(compute, 1'000'000, 256);                         // null where RMM throws
  EXPECT(p && p.size == 1'000'448);                                                   // rounded up to 512
  gpu.deallocate(compute, p);                                                         // the size that was granted
  // [after_stack]

  // [after_statistics]
  const device_stats before = gpu.stats();                                            // push_counters
  gpu.reset_peaks();
  {
    const auto scratch = unique_device<gpu_memory>::make(gpu, compute, {.bytes = 3 * MiB, .of = memory_class::scratch});
    EXPECT(scratch);
  }
  const device_stats now = gpu.stats();                                               // pop_counters
  EXPECT(now.all.allocated_bytes.allocated - before.all.allocated_bytes.allocated == 3 * MiB);
  EXPECT(now.all.allocated_bytes.peak == 3 * MiB && now.all.allocation.current == 0);
  // [after_statistics]

  // [after_use_failure]
  cache.oldest = gpu.allocate(compute, 30 * MiB);
  const allocation large = gpu.allocate(compute, 40 * MiB);                           // does not fit beside the oldest
  EXPECT(large && !cache.oldest);
  shortage why;
  EXPECT(!gpu.allocate(compute, {.bytes = 20 * MiB}, &why) && why.need == 20 * MiB);
  gpu.deallocate(compute, large);
  // [after_use_failure]

  // [after_alignment]
  const allocation huge = gpu.allocate(compute, 1 * MiB, 2 * MiB);                    // aligned_resource_adaptor
  EXPECT(huge && address_of(huge.data) % (2 * MiB) == 0);
  gpu.deallocate(compute, huge);
  // [after_alignment]

  // [after_log]
  std::size_t pieces = 0;
  for (std::size_t k = 0; k != gpu.trace().size(); ++k) {
    const device_event& e = gpu.trace()[k];  // action, address, bytes, stream
    pieces += e.action == device_action::alloc;
  }
  EXPECT(pieces == 5);
  // [after_log]
  EXPECT(gpu.is_valid());
  return 0;
}

failure last_told{};

// tracking_resource_adaptor: what is still out, by owner; misuse is reported where it happens
int tracking(sim_device device, sim_device::stream compute) {
  // [after_tracking]
  set_failure_handler([](const failure& f) noexcept { last_told = f; });
  allocation lost;
  {
    caching_allocator<sim_device> gpu(device, {.name = "gpu 0"});
    const auto model = gpu.add_owner({.name = "model a", .hard = 64 * MiB});          // a limit for a part of the program
    EXPECT(model);
    lost = gpu.allocate(compute, {.bytes = 2 * MiB, .owner = *model});
    EXPECT(gpu.owner(*model).pieces == 1 && gpu.owner(*model).current == 2 * MiB);
    const allocation twice = gpu.allocate(compute, 4096);
    gpu.deallocate(compute, twice);
    gpu.deallocate(compute, twice);                                                   // changes nothing
    EXPECT(last_told.code == errc::double_free && gpu.is_valid());
  }
  EXPECT(last_told.code == errc::leaked && last_told.need == 2 * MiB);                // at the end of the allocator
  set_failure_handler(nullptr);
  // [after_tracking]
  return 0;
}

int fixed_size(sim_device device, sim_device::stream compute) {
  caching_allocator<sim_device> gpu(device);
  // [after_fixed]
  // fixed_size_ and binning_memory_resource: slots over one piece of device memory, the books on the host
  const allocation room = gpu.allocate(compute, {.bytes = 16 * MiB, .of = memory_class::scratch});
  {
    layered<basic_fixed_source<device_space>, slab<slab_shape{.largest = 1 * MiB, .chunk = 8 * MiB}>, with<hard_limit>>
        slots{fixed_options{.data = room.data, .size = room.size}, hard_limit_options{.limit = 12 * MiB}};
    const allocation a = slots.allocate(1 * MiB);
    EXPECT(a && a.size == 1 * MiB);
    slots.deallocate(a);  // for one stream: this column knows none
  }
  gpu.deallocate(compute, room);
  // [after_fixed]
  return 0;
}

int pinned(sim_device device, sim_device::stream copies) {
  // [after_pinned]
  // pinned_host_memory_resource under a pool: exact sizes, and a piece waits for the copies that use it
  pinned_pool<sim_device> staging({.device = device});
  const allocation batch = staging.allocate(40 * KiB);
  EXPECT(batch && batch.size == 40 * KiB);
  staging.use(batch, copies);   // a copy was enqueued on this stream
  staging.deallocate(batch);    // at once; nobody gets it before the copy is done
  EXPECT(staging.stats().waiting == 40 * KiB);
  // [after_pinned]
  return 0;
}

// [after_host]
// on the host: limiting, logging, statistics, tracking and thread_safe, in the order in which they see a request
struct staging : layered<host_source, with<hard_limit>, with<ring_trace<>>, slab<>, with<counters>, with<guard<>>,
                         with<spin_lock>> {
  using layered::layered;
};
// [after_host]

int host() {
  staging memory{hard_limit_options{.limit = 1 * MiB}, guard_options{.name = "staging"}};
  const allocation a = memory.allocate(1000);
  EXPECT(a && memory.policy<counters>().values().calls.current == 1 && memory.policy<ring_trace<>>().size() == 1);
  memory.deallocate(a);
  return 0;
}

#if __has_include(<cuda/memory_resource>)
// [after_cccl]
using cuda_memory = caching_allocator<cuda_device>;

// code that takes cuda::mr, of CCCL 3.0 and of 3.1 and later, RMM and cuDF among it: a copyable handle of one pointer
void use_resource(cuda_memory& gpu, cudaStream_t on) {
  adapt::cuda_mr<cuda_memory> resource(gpu);
  void* const p = resource.allocate(cuda::stream_ref(on), 1 << 20, 256);  // std::bad_alloc where there is no more
  resource.deallocate(cuda::stream_ref(on), p, 1 << 20, 256);
}
// [after_cccl]

int cccl() {
  int devices = 0;
  cuda_device device(0);
  cuda_device::stream on{};
  if (!cuda_device::count(devices) || devices == 0) return std::puts("no CUDA device: the cuda::mr part is compiled only"), 0;
  EXPECT(device.create_stream(on));
  {
    cuda_memory gpu(device);
    use_resource(gpu, on.handle);
    EXPECT(gpu.stats().all.allocation.allocated == 1 && gpu.stats().all.allocation.current == 0);
  }
  EXPECT(device.destroy_stream(on));
  return 0;
}
#else
int cccl() { return 0; }
#endif

}  // namespace

int main() {
  sim_machine machine(sim_options{.capacity = 128 * MiB});
  sim_device device = machine.device();
  sim_device::stream compute;
  EXPECT(device.create_stream(compute));
  const bool wrong = stack(device, compute) != 0 || tracking(device, compute) != 0 || fixed_size(device, compute) != 0 ||
                     pinned(device, compute) != 0 || host() != 0 || cccl() != 0;
  EXPECT(device.destroy_stream(compute) && machine.violations() == 0);
  if (!wrong) std::puts("a limit, a callback, counters, a log, owners and slots: one allocator each for device and host");
  return wrong ? 1 : 0;
}
