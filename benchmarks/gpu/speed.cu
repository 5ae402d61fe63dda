// What device memory costs on a GPU: the caching allocator beside cudaMallocAsync and cudaMalloc, and the calls below them.
//   speed [--json]
// Leaves with 77 if there is no GPU.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <vector>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/alloc/pinned_pool.hpp>
#include <tokenheap/check/verdict.hpp>
#include <tokenheap/device/cuda.hpp>
#include <tokenheap/source/cuda.hpp>

using namespace tokenheap;

namespace {

struct row {
  const char* what;
  double ns;
};
std::vector<row> rows;

/// Median of five runs, nanoseconds for each of `count` operations.
template <class Run>
void measure(const char* what, std::size_t count, Run&& run) {
  double times[5];
  for (double& time : times) {
    const auto start = std::chrono::steady_clock::now();
    run();
    time = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / static_cast<double>(count);
  }
  std::sort(std::begin(times), std::end(times));
  rows.push_back({what, times[2]});
}

/// A hot pair, and random sizes with many live, over anything that allocates on a stream.
template <class Allocator>
void workloads(const char* pair, const char* random_sizes, Allocator& from, cuda_device::stream s, std::size_t live) {
  from.deallocate(s, from.allocate(s, 1 * MiB));
  measure(pair, 10'000, [&] {
    for (int k = 0; k != 10'000; ++k) from.deallocate(s, from.allocate(s, 1 * MiB));
  });
  contract_random random(1);
  std::vector<allocation> out(live);
  for (allocation& a : out) a = from.allocate(s, 1 + random.below(1 * MiB));
  measure(random_sizes, 20'000, [&] {
    for (int k = 0; k != 10'000; ++k) {
      allocation& a = out[random.below(out.size())];
      from.deallocate(s, a);
      a = from.allocate(s, 1 + random.below(1 * MiB));
    }
  });
  for (const allocation& a : out) from.deallocate(s, a);
}

/// cudaMalloc in the shape of the others.
struct plain_calls {
  cuda_device device;
  allocation allocate(cuda_device::stream, std::size_t bytes) noexcept {
    void* p = nullptr;
    return device.allocate(bytes, p) ? allocation{p, bytes} : allocation{};
  }
  void deallocate(cuda_device::stream, allocation a) noexcept { (void)device.deallocate(a.data); }
};

void calls(cuda_device d, cuda_device::stream s, cuda_device::stream t) {
  cuda_device::event e = nullptr;
  (void)d.create_event(e);
  measure("event record", 1000, [&] {
    for (int k = 0; k != 1000; ++k) (void)d.record(e, s);
  });
  measure("stream wait on an event", 1000, [&] {
    for (int k = 0; k != 1000; ++k) (void)d.wait(t, e);
  });
  (void)d.synchronize();
  measure("event query, done", 1000, [&] {
    for (int k = 0; k != 1000; ++k) (void)d.query_event(e);
  });
  measure("event create and destroy", 1000, [&] {
    for (int k = 0; k != 1000; ++k) {
      cuda_device::event made = nullptr;
      (void)d.create_event(made);
      (void)d.destroy_event(made);
    }
  });
  (void)d.destroy_event(e);
}

void maps(cuda_device d, const char* what, std::size_t bytes) {
  if (d.page_bytes() == 0) return;
  void* p = nullptr;
  if (!d.reserve(bytes, 0, p)) return;
  measure(what, 20, [&] {
    for (int k = 0; k != 20; ++k) {
      cuda_device::pages pages{};
      if (!d.create_pages(bytes, pages)) return;
      (void)d.map(p, bytes, pages);
      (void)d.set_access(p, bytes);
      (void)d.unmap(p, bytes);
      (void)d.release_pages(pages);
    }
  });
  (void)d.unreserve(p, bytes);
}

}  // namespace

int main(int count, char** words) {
  int devices = 0;
  if (const device_status found = cuda_device::count(devices); !found) {
    std::printf("no GPU: %s\n", cuda_device::to_text(found));
    return 77;
  }
  cuda_device d;
  cuda_device::stream s, t;
  if (!d.create_stream_nonblocking(s) || !d.create_stream_nonblocking(t)) return 1;
  {
    caching_allocator<cuda_device> cache(d);
    workloads("tokenheap caching_allocator, hot pair of 1 MiB",
              "tokenheap caching_allocator, random up to 1 MiB, 10^4 live", cache, s, 10'000);
  }
  {
    cuda_async_source async;
    workloads("cudaMallocAsync, hot pair of 1 MiB", "cudaMallocAsync, random up to 1 MiB, 10^4 live", async, s, 10'000);
    (void)d.synchronize();
  }
  plain_calls plain{d};
  measure("cudaMalloc and cudaFree, 1 MiB", 100, [&] {
    for (int k = 0; k != 100; ++k) plain.deallocate(s, plain.allocate(s, 1 * MiB));
  });
  measure("cudaMalloc and cudaFree, 64 MiB", 50, [&] {
    for (int k = 0; k != 50; ++k) plain.deallocate(s, plain.allocate(s, 64 * MiB));
  });
  maps(d, "create, map, set access, unmap, release: 2 MiB", 2 * MiB);
  maps(d, "create, map, set access, unmap, release: 64 MiB", 64 * MiB);
  calls(d, s, t);
  {
    pinned_pool<cuda_device> pool;
    pool.deallocate(pool.allocate(1 * MiB));
    measure("pinned_pool, hot pair of 1 MiB, no stream", 10'000, [&] {
      for (int k = 0; k != 10'000; ++k) pool.deallocate(pool.allocate(1 * MiB));
    });
    measure("pinned_pool, pair of 1 MiB used by a stream", 1000, [&] {
      for (int k = 0; k != 1000; ++k) {
        const allocation a = pool.allocate(1 * MiB);
        (void)pool.use(a, s);
        pool.deallocate(a);
      }
    });
  }
  measure("cudaHostAlloc and cudaFreeHost, 1 MiB", 20, [&] {
    for (int k = 0; k != 20; ++k) {
      void* p = nullptr;
      if (d.allocate_pinned(1 * MiB, p)) (void)d.deallocate_pinned(p);
    }
  });
  (void)d.synchronize();
  (void)d.destroy_stream(s);
  (void)d.destroy_stream(t);
  const bool json = count > 1 && std::strcmp(words[1], "--json") == 0;
  for (std::size_t k = 0; k != rows.size(); ++k)
    std::printf(json ? "%s{\"case\": \"%s\", \"ns\": %.1f}%s\n" : "%s| %-60s | %12.1f |%s\n", json && k == 0 ? "[" : "",
                rows[k].what, rows[k].ns, json ? (k + 1 == rows.size() ? "]" : ",") : "");
  return 0;
}
