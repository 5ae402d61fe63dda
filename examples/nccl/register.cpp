// NCCL on our memory: an all-reduce in place, in segments that are registered once. One rank; 77 without a device.

#include <nccl.h>

#include <cstdio>

#include <tokenheap/adapt/nccl.hpp>
#include <tokenheap/adapt/nccl_memory.hpp>
#include <tokenheap/alloc/caching.hpp>
using namespace tokenheap;

#define EXPECT(condition)                                             \
  do {                                                                \
    if (!(condition)) {                                               \
      std::fprintf(stderr, "nccl: expected %s\n", #condition);        \
      return 1;                                                       \
    }                                                                 \
  } while (false)

namespace {

// [device]
// a device whose segments and pages other ranks can map
using device = adapt::nccl_device<adapt::nccl_calls>;
using heap = caching_allocator<device>;
// [device]

int reduce(ncclComm_t comm) {
  device gpu(0);
  device::stream stream{};
  EXPECT(gpu.create_stream(stream));
  {
    // [register]
    heap cache(gpu);
    const allocation tensors[] = {
        cache.allocate(stream, {.bytes = 1 * MiB, .of = memory_class::communication}),
        cache.allocate(stream, {.bytes = 3 * MiB, .of = memory_class::communication})};

    adapt::nccl_registrations<adapt::nccl_calls> registered({.comm = comm});
    const result<std::size_t> segments = registered.add_segments(cache);  // once; a tensor is an offset into one of them
    // [register]
    if (!segments) {
      char why[256];
      describe(segments.why(), why, sizeof why);
      return std::fprintf(stderr, "nccl: %s\n", why), 1;
    }
    for (const allocation& t : tensors) {
      EXPECT(t && registered.find(t.data, t.size) != nullptr);
      EXPECT(gpu.fill(t.data, 0, t.size, stream));
      EXPECT(ncclAllReduce(t.data, t.data, t.size / sizeof(float), ncclFloat, ncclSum, comm, stream.handle) == ncclSuccess);
    }
    EXPECT(gpu.synchronize(stream));
    std::printf("%zu segments for %zu tensors\n", registered.size(), std::size_t{2});
    EXPECT(registered.reset());
    for (const allocation& t : tensors) cache.deallocate(stream, t);
  }
  EXPECT(gpu.destroy_stream(stream));
  return 0;
}

}  // namespace

int main() {
  int devices = 0;
  if (const device_status found = cuda_device::count(devices); !found || devices == 0)
    return std::printf("no device: %s\n", device::to_text(found)), 77;
  ncclComm_t comm = nullptr;
  const int first = 0;
  EXPECT(ncclCommInitAll(&comm, 1, &first) == ncclSuccess);
  const int answer = reduce(comm);
  EXPECT(ncclCommDestroy(comm) == ncclSuccess);
  return answer;
}
