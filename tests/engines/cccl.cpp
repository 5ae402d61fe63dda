// CCCL on our memory: its concepts hold at compile time; Thrust's vectors and its temporary memory lie on a column at run
// time. Prints one line of JSON; fails if a sum differs from the one on the heap.

#include <malloc.h>
#include <thrust/device_vector.h>
#include <thrust/functional.h>
#include <thrust/host_vector.h>
#include <thrust/mr/allocator.h>
#include <thrust/reduce.h>
#include <thrust/scan.h>
#include <thrust/sequence.h>
#include <thrust/sort.h>
#include <thrust/system/cpp/execution_policy.h>
#include <thrust/transform.h>
#include <thrust/unique.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <vector>

#include <tokenheap/adapt/cuda_mr.hpp>
#include <tokenheap/adapt/pmr.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/ranges.hpp>
#include <tokenheap/alloc/with.hpp>
#include <tokenheap/device/cuda.hpp>
#include <tokenheap/source/host.hpp>
using namespace tokenheap;

using resource = adapt::cuda_mr<caching_allocator<cuda_device>>;
static_assert(sizeof(resource) == sizeof(void*));
#if CCCL_VERSION >= 3001000
static_assert(cuda::mr::synchronous_resource_with<resource, cuda::mr::device_accessible>);
static_assert(cuda::mr::resource_with<resource, cuda::mr::device_accessible>);
static_assert(!cuda::mr::resource_with<resource, cuda::mr::host_accessible>);
#else
static_assert(cuda::mr::resource_with<resource, cuda::mr::device_accessible>);
static_assert(cuda::mr::async_resource_with<resource, cuda::mr::device_accessible>);
static_assert(!cuda::mr::async_resource_with<resource, cuda::mr::host_accessible>);
#endif
#if CCCL_VERSION >= 3002000
using erased = cuda::mr::resource_ref<cuda::mr::device_accessible>;
static_assert(std::is_constructible_v<erased, resource&>);
#elif CCCL_VERSION < 3001000
using erased = cuda::mr::async_resource_ref<cuda::mr::device_accessible>;
static_assert(std::is_constructible_v<erased, resource&>);
#endif

namespace {

// bottom first: the heap, what is held, how it is cut, what was asked for, one lock
struct pieces_of_heap : layered<host_source, with<counters>, ranges<ranges_shape{.chunk = 1 * MiB, .granularity = 64}>,
                                with<shared_counters>, with<mutex_lock>> {
  using layered::layered;
};

/// The heap with a count, to compare with: what the C library holds for what it was asked.
struct heap_counts {
  std::size_t held = 0, peak = 0, calls = 0;
} on_heap;
template <class T>
struct counted_heap {
  using value_type = T;
  counted_heap() = default;
  template <class U>
  counted_heap(const counted_heap<U>&) noexcept {}
  T* allocate(std::size_t n) {
    T* const p = std::allocator<T>().allocate(n);
    on_heap.held += ::malloc_usable_size(p) + sizeof(std::size_t);
    on_heap.peak = std::max(on_heap.peak, on_heap.held);
    ++on_heap.calls;
    return p;
  }
  void deallocate(T* p, std::size_t n) noexcept {
    on_heap.held -= ::malloc_usable_size(p) + sizeof(std::size_t);
    std::allocator<T>().deallocate(p, n);
  }
  template <class U>
  friend bool operator==(const counted_heap&, const counted_heap<U>&) noexcept {
    return true;
  }
};

/// The door of Thrust's own resources, which hand out void pointers.
template <class Source>
class thrust_resource final : public thrust::mr::memory_resource<> {
 public:
  explicit thrust_resource(Source& from) noexcept : pieces_(from) {}
  void* do_allocate(std::size_t bytes, std::size_t alignment) override { return pieces_.allocate(bytes, alignment); }
  void do_deallocate(void* p, std::size_t bytes, std::size_t alignment) override {
    pieces_.deallocate(p, bytes, alignment);
  }

 private:
  adapt::pmr_resource<Source> pieces_;
};

/// Sorts, scans, drops what is double and sums, with vectors and temporary memory by one allocator.
template <class Bytes>
std::uint64_t work(const Bytes& bytes, std::uint32_t seed) {
  using numbers_allocator = typename std::allocator_traits<Bytes>::template rebind_alloc<std::uint64_t>;
  using numbers = thrust::host_vector<std::uint64_t, numbers_allocator>;
  const numbers_allocator from(bytes);
  Bytes temporary(bytes);
  const auto here = thrust::cpp::par(temporary);
  std::uint64_t sum = 0;
  for (const std::size_t n : {1'000u, 60'000u, 7u, 20'000u}) {
    numbers values(n, from);
    std::uint64_t next = seed;
    for (std::uint64_t& v : values) v = (next = next * 6364136223846793005u + 1442695040888963407u) >> 44;
    numbers copy(values);
    thrust::stable_sort(here, copy.begin(), copy.end());
    copy.resize(static_cast<std::size_t>(thrust::unique(here, copy.begin(), copy.end()) - copy.begin()));
    numbers sums(copy.size(), from);
    thrust::inclusive_scan(here, copy.begin(), copy.end(), sums.begin());
    thrust::transform(here, sums.begin(), sums.end(), copy.begin(), sums.begin(), thrust::bit_xor<std::uint64_t>());
    values.insert(values.end(), sums.begin(), sums.end());
    sum = sum * 31 + thrust::reduce(here, values.begin(), values.end(), std::uint64_t{0});
  }
  return sum;
}

/// A device vector of Thrust's CPU system over a resource of Thrust's kind.
template <class Source>
std::uint64_t by_resource(Source& memory) {
  using resource_type = thrust_resource<Source>;
  resource_type mine(memory);
  thrust::mr::allocator<std::uint64_t, resource_type> from(&mine);
  thrust::host_vector<std::uint64_t, thrust::mr::allocator<std::uint64_t, resource_type>> values(10'000, from);
  thrust::sequence(values.begin(), values.end(), std::uint64_t{3});
  values.resize(20'000, 7);
  return thrust::reduce(values.begin(), values.end(), std::uint64_t{0});
}

/// Milliseconds of this thread on the processor: what else the machine runs does not count.
double now() {
  std::timespec at{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
  return 1e3 * static_cast<double>(at.tv_sec) + 1e-6 * static_cast<double>(at.tv_nsec);
}
template <class Run>
double milliseconds(Run&& run) {
  const double start = now();
  run();
  return now() - start;
}
double median(std::vector<double> all) {
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  const int repeats = argc > 1 ? std::max(1, std::atoi(argv[1])) : 21;
  pieces_of_heap memory;
  const adapt::std_allocator<char, pieces_of_heap> ours(memory);
  const counted_heap<char> theirs;
  const std::uint64_t expected = work(theirs, 1);
  bool equal = work(ours, 1) == expected;
  equal = equal && by_resource(memory) == (3u + 10'002u) * 5'000u + 70'000u;
  std::vector<double> on_ours, on_theirs;
  for (int k = 0; k != repeats; ++k) {
    on_theirs.push_back(milliseconds([&] { equal = work(theirs, 1) == expected && equal; }));
    on_ours.push_back(milliseconds([&] { equal = work(ours, 1) == expected && equal; }));
  }
  const counter_values asked = memory.policy<shared_counters>().values();
  const counter_values held = memory.policy<counters>().values();
  std::printf("{\"version\": \"%d.%d.%d\", \"equal\": %s, \"allocations\": %zu, \"left\": %zu, \"asked_peak\": %zu, "
              "\"held_peak\": %zu, \"heap_peak\": %zu, \"ours_ms\": %.4f, \"theirs_ms\": %.4f}\n",
              CCCL_MAJOR_VERSION, CCCL_MINOR_VERSION, CCCL_PATCH_VERSION, equal ? "true" : "false",
              asked.calls.allocated, asked.granted.current, asked.granted.peak, held.granted.peak, on_heap.peak,
              median(on_ours), median(on_theirs));
  return equal && asked.granted.current == 0 ? 0 : 1;
}
