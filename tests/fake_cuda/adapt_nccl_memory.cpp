#include <tokenheap/adapt/nccl_memory.hpp>

#include <support/catch.hpp>
#include <support/verdict.hpp>

#include <fake_cuda/runtime/runtime.hpp>

#include <vector>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/check/device_contract.hpp>
#include <tokenheap/source/vmm.hpp>

using namespace tokenheap;
using fake_cuda::runtime;

namespace {

int peers = 0;  // answers of the driver about reaching another device: 0 no, 1 yes, others an error

}  // namespace

extern "C" cudaError_t cudaDeviceCanAccessPeer(int* out, int, int) {
  if (peers > 1) return fake_cuda::set_pending_error(peers), static_cast<cudaError_t>(peers);
  *out = peers;
  return cudaSuccess;
}

namespace {

/// NCCL's memory calls as a program of its own would give them, over the made-up runtime.
struct own_calls {
  static inline int refusal = 0;
  static inline std::vector<int> devices;  // the current one at each call
  static int allocate(void** out, std::size_t bytes) noexcept {
    devices.push_back(fake_cuda::current_device());
    if (refusal != 0) return fake_cuda::set_pending_error(2), refusal;
    return cudaMalloc(out, bytes) == cudaSuccess ? 0 : 1;
  }
  static int deallocate(void* p) noexcept { return refusal != 0 ? refusal : static_cast<int>(cudaFree(p)); }
};

/// A machine of four devices with a fabric, two of which reach each other.
struct four_devices {
  static bool has(int, CUdevice_attribute what) noexcept {
    return what == CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_FABRIC_SUPPORTED ||
           what == CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED;
  }
  static bool can_reach(int from, int to) noexcept { return from + to == 3; }
};

using plain = adapt::nccl_device<own_calls>;
using rich = adapt::nccl_device<own_calls, four_devices>;

}  // namespace

static_assert(virtual_device<plain> && virtual_device<rich>);

TEST_CASE("nccl pages: handles for other processes, a fabric and RDMA where the device has them") {
  runtime cuda({.capacity = 1 * GiB});
  plain a;
  CUmemAllocationProp kind = a.page_kind();
  CHECK(kind.requestedHandleTypes == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  CHECK(kind.allocFlags.gpuDirectRDMACapable == 0);
  CHECK(kind.location.id == 0);
  rich b(3);
  kind = b.page_kind();
  CHECK(static_cast<int>(kind.requestedHandleTypes) == (CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR | CU_MEM_HANDLE_TYPE_FABRIC));
  CHECK(kind.allocFlags.gpuDirectRDMACapable == 1);
  CHECK(kind.location.id == 3);
  CHECK(a.page_bytes() == 2 * MiB);
  cuda.has_addresses = false;
  cuda_driver::forget();
  CHECK(a.page_bytes() == 0);
}

TEST_CASE("nccl pages: a fabric that nobody has set up is left out, another refusal is one") {
  runtime cuda({.capacity = 1 * GiB, .devices = 4});
  for (const int native : {800, 801}) {
    rich b;
    rich::pages made{};
    cuda.log.clear();
    cuda.fail("cuMemCreate", native);
    REQUIRE(b.create_pages(2 * MiB, made));
    CHECK(cuda.count("cuMemCreate") == 2);
    CHECK(b.release_pages(made));
    // without a fabric there is nothing to leave out
    plain a;
    cuda.log.clear();
    cuda.fail("cuMemCreate", native);
    CHECK_FALSE(a.create_pages(2 * MiB, made));
    CHECK(cuda.count("cuMemCreate") == 1);
  }
  rich b;
  rich::pages made{};
  cuda.log.clear();
  cuda.fail("cuMemCreate", 2);
  CHECK(b.create_pages(2 * MiB, made).error == device_error::out_of_memory);
  CHECK(cuda.count("cuMemCreate") == 1);
  // a thread without a context gets one, and is asked again
  cuda.fail("cuMemCreate", 201);
  REQUIRE(b.create_pages(2 * MiB, made));
  CHECK(b.release_pages(made));
}

TEST_CASE("nccl pages: a piece is one handle, open to this device and to all that reach it") {
  runtime cuda({.capacity = 1 * GiB, .devices = 4});
  {
    vmm_source<rich> memory({.device = rich(1), .step = max_allocation});
    cuda.log.clear();
    allocation a = memory.allocate(100 * MiB + 1);
    CHECK(a.size == 102 * MiB);
    CHECK(cuda.count("cuMemCreate") == 1);
    CHECK(cuda.count("cuMemSetAccess") == 2);  // devices 1 and 2
    memory.deallocate(a);
    // where the last one refuses, all of it is undone
    cuda.fail("cudaGetDeviceCount", 100);
    CHECK_FALSE(memory.allocate(2 * MiB));
    CHECK(memory.mapped() == 0);
    CHECK(memory.last_failure().need == 2 * MiB);
    CHECK(memory.is_valid());
  }
  for (peers = 0; peers != 2; ++peers) {
    vmm_source<plain> memory;
    cuda.log.clear();
    CHECK(memory.allocate(2 * MiB));
    CHECK(cuda.count("cuMemSetAccess") == (peers == 1 ? 4u : 1u));
  }
  peers = 101;
  CHECK_FALSE(adapt::cuda_sharing::can_reach(0, 1));
  CHECK(fake_cuda::pending_error() == 0);
  peers = 0;
  CHECK(cuda.machine.violations() == 0);
  CHECK(cuda.machine.is_clean());
}

TEST_CASE("nccl pieces: the segments of the class communication come from NCCL, on the right device") {
  runtime cuda({.capacity = 64 * MiB, .devices = 2});
  plain gpu(1);
  plain::stream s{};
  REQUIRE(gpu.create_stream(s));
  own_calls::devices.clear();
  {
    caching_allocator<plain> cache(gpu);
    const device_request ask{.bytes = 1 * MiB, .of = memory_class::communication};
    const allocation a = cache.allocate(s, ask);
    REQUIRE(a);
    CHECK(own_calls::devices == std::vector<int>{1});
    CHECK(fake_cuda::current_device() == 0);
    // no more of it: the allocator frees what is idle, and says so in its own words
    shortage why{};
    CHECK_FALSE(cache.allocate(s, {.bytes = 63 * MiB, .of = memory_class::communication}, &why));
    CHECK(why.code == errc::out_of_memory);
    cache.deallocate(s, a);
    const allocation whole = cache.allocate(s, {.bytes = 63 * MiB, .of = memory_class::communication});
    CHECK(whole);
    CHECK(cache.stats().num_device_free == 1);
    cache.deallocate(s, whole);
  }
  REQUIRE(gpu.destroy_stream(s));
  CHECK(cuda.machine.violations() == 0);
  CHECK(cuda.machine.is_clean());
}

TEST_CASE("nccl pieces: every refusal of NCCL is a status, and leaves no error behind") {
  runtime cuda({.capacity = 64 * MiB});
  plain gpu;
  void* p = nullptr;
  own_calls::refusal = 1;
  CHECK(gpu.allocate(1 * MiB, p).error == device_error::out_of_memory);
  own_calls::refusal = 3;
  CHECK(gpu.allocate(1 * MiB, p).error == device_error::failed);
  CHECK(p == nullptr);
  CHECK(fake_cuda::pending_error() == 0);
  cuda.fail("cudaMemGetInfo", 719);
  CHECK(gpu.allocate(1 * MiB, p).error == device_error::failed);
  own_calls::refusal = 0;
  REQUIRE(gpu.allocate(1 * MiB, p));
  own_calls::refusal = 1;
  CHECK(gpu.deallocate(p).error == device_error::failed);
  own_calls::refusal = 0;
  cuda.fail("cudaDeviceSynchronize", 900);
  CHECK(gpu.deallocate(p).error == device_error::capture_refused);
  cuda.log.clear();
  CHECK(gpu.deallocate(p));
  CHECK(cuda.log == std::vector<std::string>{"cudaDeviceSynchronize", "cudaFree"});
  CHECK(gpu.deallocate(nullptr));
}

TEST_CASE("nccl pieces and pages keep the contract of devices") {
  for (const int ordinal : {0, 1}) {
    runtime cuda({.capacity = 64 * MiB, .page_bytes = 64 * KiB, .devices = 2, .backed = true});
    plain d(ordinal);
    REQUIRE_CONTRACT(check_device(d));
    CHECK(cuda.machine.is_clean());
    CHECK(cuda.machine.violations() == 0);
    CHECK(fake_cuda::current_device() == 0);
    CHECK(fake_cuda::pending_error() == 0);
  }
}

TEST_CASE("nccl pieces: without a device there is none") {
  plain gpu;
  void* p = nullptr;
  CHECK(gpu.allocate(1 * MiB, p).error == device_error::no_device);
  CHECK(gpu.page_bytes() == 0);
}
