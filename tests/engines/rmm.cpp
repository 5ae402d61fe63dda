// RMM's own adaptors and containers over our handle, on a CUDA runtime of our own; and the listing of docs/from-rmm.md that
// stands for RMM, compiled. Prints one line of JSON. Built and run by rmm.py.

#include <cstdio>
#include <random>
#include <vector>

#include <rmm/device_buffer.hpp>
#include <rmm/device_uvector.hpp>
#include <rmm/mr/cuda_memory_resource.hpp>
#include <rmm/mr/failure_callback_resource_adaptor.hpp>
#include <rmm/mr/limiting_resource_adaptor.hpp>
#include <rmm/mr/logging_resource_adaptor.hpp>
#include <rmm/mr/per_device_resource.hpp>
#include <rmm/mr/pool_memory_resource.hpp>
#include <rmm/mr/statistics_resource_adaptor.hpp>

#include <fake_cuda/runtime/runtime.hpp>

#include <tokenheap/adapt/cuda_mr.hpp>
#include <tokenheap/device/cuda.hpp>
using namespace tokenheap;

using gpu_memory = caching_allocator<cuda_device>;
using handle = adapt::cuda_mr<gpu_memory>;

#define EXPECT(condition)                                      \
  do {                                                         \
    if (!(condition)) {                                        \
      std::fprintf(stderr, "rmm: expected %s\n", #condition);  \
      return 1;                                                \
    }                                                          \
  } while (false)

namespace {

bool free_something(std::size_t, void*) { return false; }

// what the page shows as RMM's own: compiled, for it needs a driver to run
[[maybe_unused]] std::size_t listing(cuda::stream_ref stream, void* cache) {
  rmm::mr::cuda_memory_resource cuda;
  rmm::mr::pool_memory_resource pool{cuda, 16u << 20, 48u << 20};
  rmm::mr::statistics_resource_adaptor counted{pool};
  rmm::mr::logging_resource_adaptor logged{counted, "rmm.csv"};
  rmm::mr::failure_callback_resource_adaptor<> top{logged, free_something, cache};

  void* p = top.allocate(stream, 1'000'000, 256);
  top.deallocate(stream, p, 1'000'000, 256);

  counted.push_counters();
  rmm::device_buffer scratch{3u << 20, stream, top};
  auto [bytes, count] = counted.pop_counters();
  return static_cast<std::size_t>(bytes.total + count.total);
}

// what of RMM takes the handle where it asks for a resource: compiled
[[maybe_unused]] std::size_t takes(const handle& ours, cuda::stream_ref stream) {
  const auto before = rmm::mr::set_current_device_resource(ours);
  rmm::mr::pool_memory_resource pool{ours, 16u << 20, 48u << 20};
  rmm::device_uvector<float> numbers{1000, stream, pool};
  rmm::mr::set_current_device_resource(before);
  return numbers.size();
}

struct piece {
  void* data;
  std::size_t bytes, stream;
};

int run() {
  fake_cuda::runtime cuda({.capacity = 1 * GiB});
  cuda_device device;
  cuda_device::stream streams[2];
  EXPECT(device.create_stream(streams[0]) && device.create_stream(streams[1]));
  device_stats seen{};
  {
    gpu_memory gpu(device, {.limit = 256 * MiB});
    rmm::mr::statistics_resource_adaptor counted{handle(gpu)};
    rmm::mr::limiting_resource_adaptor limited{counted, 64 * MiB};
    std::mt19937 pick(11);
    std::vector<piece> out;
    std::size_t refused = 0;
    for (int step = 0; step != 20'000; ++step) {
      if (out.empty() || pick() % 100 < 55) {
        const piece next{nullptr, pick() % (4 * MiB) + 1, pick() % 2};
        try {
          out.push_back(next);
          out.back().data = limited.allocate(cuda::stream_ref{streams[next.stream].handle}, next.bytes, 256);
          EXPECT(address_of(out.back().data) % 256 == 0);
        } catch (const std::bad_alloc&) {
          out.pop_back();
          ++refused;
        }
      } else {
        std::swap(out[pick() % out.size()], out.back());
        limited.deallocate(cuda::stream_ref{streams[out.back().stream].handle}, out.back().data, out.back().bytes, 256);
        out.pop_back();
      }
      EXPECT(static_cast<std::size_t>(counted.get_bytes_counter().value) == gpu.stats().all.requested_bytes.current);
    }
    for (const piece& p : out) limited.deallocate(cuda::stream_ref{streams[p.stream].handle}, p.data, p.bytes, 256);
    {
      rmm::device_buffer buffer{1'000, cuda::stream_ref{streams[0].handle}, handle(gpu)};
      EXPECT(buffer.data() != nullptr && gpu.stats().all.requested_bytes.current == 1'000);
    }
    EXPECT(refused != 0 && gpu.is_valid());
    seen = gpu.stats();
    EXPECT(static_cast<std::size_t>(counted.get_allocations_counter().total) + 1 == seen.all.allocation.allocated);
  }
  EXPECT(device.destroy_stream(streams[0]) && device.destroy_stream(streams[1]));
  EXPECT(cuda.machine.violations() == 0 && seen.all.allocated_bytes.current == 0);
  std::printf("{\"allocations\": %zu, \"asked_peak\": %zu, \"held_peak\": %zu}\n", seen.all.allocation.allocated,
              seen.all.requested_bytes.peak, seen.all.reserved_bytes.peak);
  return 0;
}

}  // namespace

int main() { return run(); }
