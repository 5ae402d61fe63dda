// What a CUDA call came to in the words of a device, and the driver's calls for addresses apart from memory.
#pragma once

#if !__has_include(<cuda_runtime_api.h>) || !__has_include(<cuda.h>)
#error "tokenheap/device/cuda*.hpp needs the headers of the CUDA toolkit: link tokenheap::cuda, or add its include folder"
#endif
#include <cuda.h>
#include <cuda_runtime_api.h>
#include <pthread.h>

#include <atomic>
#include <cstddef>

#include <tokenheap/concepts/device.hpp>
#include <tokenheap/policy/lock.hpp>

#if CUDART_VERSION < 12000
#error "tokenheap/device/cuda*.hpp needs CUDA 12.0 or later: older runtimes cannot tell one stream from another"
#endif

namespace tokenheap {
inline namespace v0 {

/// The kind of an error of the CUDA runtime or the driver, whose numbers agree where both have one.
[[nodiscard]] constexpr device_error to_device_error(int native) noexcept {
  switch (native) {
    case 0: return device_error::ok;
    case 600: return device_error::not_ready;
    case 2: return device_error::out_of_memory;
    // 712 and 713: host memory that is registered twice, or was not
    case 1: case 712: case 713: return device_error::invalid_value;
    case 400: return device_error::invalid_handle;
    // stub library, no or an old driver, none or no such device, all in use, driver and device that do not fit
    case 34: case 35: case 46: case 100: case 101: case 803: case 804: return device_error::no_device;
    // shut down, context destroyed, not initialised: what calls of late destructors are told
    case 3: case 4: case 709: return device_error::gone;
    case 901: return device_error::capture_broken;
    case 900: case 902: case 903: case 904: case 905: case 906: case 907: case 908: return device_error::capture_refused;
    case 801: return device_error::unsupported;
    default: return device_error::failed;
  }
}

[[nodiscard]] constexpr device_status to_device_status(int native) noexcept { return {to_device_error(native), native}; }

/// Whether this process may call CUDA: a child of a process that did must not.
///
/// Threads   safe
class cuda_process {
 public:
  [[nodiscard]] static bool is_forked_child() noexcept { return forked.load(std::memory_order_relaxed); }

  /// Notes that CUDA was called with success; from now on a fork makes children that may not call it.
  static void note_use() noexcept {
    if (used.load(std::memory_order_relaxed) || used.exchange(true)) return;
    (void)::pthread_atfork(nullptr, nullptr, [] { forked.store(true, std::memory_order_relaxed); });
  }

  inline static std::atomic<bool> used{false};
  inline static std::atomic<bool> forked{false};
};

/// The driver's calls that reserve addresses and map memory; null where the driver lacks them.
///
/// They are asked for by name through the runtime, so that a program starts on a machine without a driver.
struct cuda_address_calls {
  CUresult (*reserve)(CUdeviceptr*, std::size_t, std::size_t, CUdeviceptr, unsigned long long) = nullptr;
  CUresult (*unreserve)(CUdeviceptr, std::size_t) = nullptr;
  CUresult (*create)(CUmemGenericAllocationHandle*, std::size_t, const CUmemAllocationProp*, unsigned long long) = nullptr;
  CUresult (*release)(CUmemGenericAllocationHandle) = nullptr;
  CUresult (*map)(CUdeviceptr, std::size_t, std::size_t, CUmemGenericAllocationHandle, unsigned long long) = nullptr;
  CUresult (*set_access)(CUdeviceptr, std::size_t, const CUmemAccessDesc*, std::size_t) = nullptr;
  CUresult (*unmap)(CUdeviceptr, std::size_t) = nullptr;
  CUresult (*granularity)(std::size_t*, const CUmemAllocationProp*, CUmemAllocationGranularity_flags) = nullptr;
  CUresult (*attribute)(int*, CUdevice_attribute, CUdevice) = nullptr;

  constexpr explicit operator bool() const noexcept {
    return reserve != nullptr && unreserve != nullptr && create != nullptr && release != nullptr && map != nullptr &&
           set_access != nullptr && unmap != nullptr && granularity != nullptr && attribute != nullptr;
  }
};

/// Fetches the driver's calls for addresses once, and remembers the size of a page of each device.
///
/// Threads   safe
/// Cost      a load, once it has found them; a driver without them is asked again each time
class cuda_driver {
 public:
  static constexpr int most_devices = 64;

  /// Returns   the calls; none of them is null, or all are
  [[nodiscard]] static cuda_address_calls addresses() noexcept {
    if (found.load(std::memory_order_acquire)) return calls;
    cuda_address_calls fetched;
    if (!fetch(fetched)) return {};
    const locked hold(lock);
    calls = fetched;
    found.store(true, std::memory_order_release);
    return fetched;
  }

  /// The smallest size that can be mapped on a device; 0 if it cannot do that. Requires that the runtime has a device.
  [[nodiscard]] static std::size_t page_bytes(int ordinal) noexcept {
    const bool kept = ordinal >= 0 && ordinal < most_devices;
    if (kept) {
      if (const std::size_t known = pages[ordinal].load(std::memory_order_relaxed); known != 0) return known;
    }
    const cuda_address_calls call = addresses();
    int able = 0;
    std::size_t bytes = 0;
    const CUmemAllocationProp what = page_kind(ordinal);
    if (!call || call.attribute(&able, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, ordinal) != 0 || able == 0)
      return 0;
    if (call.granularity(&bytes, &what, CU_MEM_ALLOC_GRANULARITY_MINIMUM) != 0) return 0;
    if (kept) pages[ordinal].store(bytes, std::memory_order_relaxed);
    return bytes;
  }

  /// Plain memory of one device.
  [[nodiscard]] static CUmemAllocationProp page_kind(int ordinal) noexcept {
    CUmemAllocationProp what{};
    what.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    what.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    what.location.id = ordinal;
    return what;
  }

  /// Forgets what was found, as if the process had just started.
  static void forget() noexcept {
    const locked hold(lock);
    found.store(false, std::memory_order_release);
    for (auto& known : pages) known.store(0, std::memory_order_relaxed);
  }

 private:
  template <class Function>
  [[nodiscard]] static bool fetch_one(const char* symbol, Function& out) noexcept {
    void* address = nullptr;
    cudaDriverEntryPointQueryResult answer = cudaDriverEntryPointSymbolNotFound;
    // the oldest version that has the call: newer drivers keep it
    constexpr unsigned since = 10020;
#if CUDART_VERSION >= 12050
    const cudaError_t error = cudaGetDriverEntryPointByVersion(symbol, &address, since, cudaEnableDefault, &answer);
#else
    const cudaError_t error = cudaGetDriverEntryPoint(symbol, &address, cudaEnableDefault, &answer);
    (void)since;
#endif
    if (error != cudaSuccess) (void)cudaGetLastError();
    if (error != cudaSuccess || answer != cudaDriverEntryPointSuccess || address == nullptr) return false;
    out = reinterpret_cast<Function>(address);
    return true;
  }

  [[nodiscard]] static bool fetch(cuda_address_calls& out) noexcept {
    return fetch_one("cuMemAddressReserve", out.reserve) && fetch_one("cuMemAddressFree", out.unreserve) &&
           fetch_one("cuMemCreate", out.create) && fetch_one("cuMemRelease", out.release) &&
           fetch_one("cuMemMap", out.map) && fetch_one("cuMemSetAccess", out.set_access) &&
           fetch_one("cuMemUnmap", out.unmap) && fetch_one("cuMemGetAllocationGranularity", out.granularity) &&
           fetch_one("cuDeviceGetAttribute", out.attribute);
  }

  inline static spin_lock lock;
  inline static std::atomic<bool> found{false};
  inline static cuda_address_calls calls{};
  inline static std::atomic<std::size_t> pages[most_devices]{};
};

}  // namespace v0
}  // namespace tokenheap
