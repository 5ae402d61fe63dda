// Device memory that NCCL can share with other devices and processes: its own pieces, and pages of ours with handles.
#pragma once

#include <cstddef>

#include <tokenheap/device/cuda.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// What the driver says about sharing.
struct cuda_sharing {
  [[nodiscard]] static bool has(int ordinal, CUdevice_attribute what) noexcept {
    const cuda_address_calls calls = cuda_driver::addresses();
    int answer = 0;
    return calls && calls.attribute(&answer, what, ordinal) == CUDA_SUCCESS && answer != 0;
  }
  /// True if a device can read and write the memory of another.
  [[nodiscard]] static bool can_reach(int from, int to) noexcept {
    int answer = 0;
    if (cudaDeviceCanAccessPeer(&answer, from, to) == cudaSuccess) return answer != 0;
    (void)cudaGetLastError();
    return false;
  }
};

/// A CUDA device whose memory NCCL takes without a copy: what a `caching_allocator` or a `vmm_source` stands on.
///
/// Fixed segments (the class `communication`) are pieces of `ncclMemAlloc`. Pages for growable ones are made as NCCL makes
/// its own: with handles for other processes (a file descriptor; a fabric handle where the device has those), fit for
/// RDMA, of the recommended size, and open to each device that can reach this one. Not for memory that no rank but this
/// one touches: sharing costs a mapping in every device.
///
/// Requires  `Calls` as `nccl_calls` of adapt/nccl.hpp, or the program's own functions under the same names
/// Fails     as `cuda_device`; a fabric that is not set up is left out
/// Threads   safe
/// Cost      `set_access`: one call of the driver for each device that can reach this one
/// Example   vmm_source<nccl_device<nccl_calls>> of({.step = max_allocation}); // one handle a piece, as ncclMemAlloc
template <class Calls, class Sharing = cuda_sharing>
class nccl_device : public cuda_device {
 public:
  constexpr explicit nccl_device(int ordinal = 0) noexcept : cuda_device(ordinal) {}

  device_status allocate(std::size_t bytes, void*& out) noexcept {
    void* made = nullptr;
    const int answer = ask([&] { return Calls::allocate(&made, bytes); });
    if (answer == 0) return out = made, device_status{};
    // NCCL says of CUDA's errors only that there was one: on a device that answers, it is memory
    device_memory has;
    if (const device_status alive = memory(has); !alive) return alive;
    return {answer == 1 ? device_error::out_of_memory : device_error::failed, 0};
  }
  /// Waits for the device.
  device_status deallocate(void* p) noexcept {
    if (p == nullptr) return {};
    if (const device_status idle = synchronize(); !idle) return idle;
    return {ask([&] { return Calls::deallocate(p); }) == 0 ? device_error::ok : device_error::failed, 0};
  }

  /// The size that the driver recommends for pages of this kind; 0 if it cannot map any.
  [[nodiscard]] std::size_t page_bytes() noexcept {
    if (cuda_device::page_bytes() == 0) return 0;
    const CUmemAllocationProp what = page_kind();
    std::size_t bytes = 0;
    const device_status answer = drive(
        [&](const cuda_address_calls& c) { return c.granularity(&bytes, &what, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED); });
    return answer ? bytes : 0;
  }
  device_status create_pages(std::size_t bytes, pages& out) noexcept {
    CUmemAllocationProp what = page_kind();
    pages made = 0;
    const auto create = [&](const cuda_address_calls& c) { return c.create(&made, bytes, &what, 0); };
    device_status answer = drive(create);
    const bool refused = answer.native == CUDA_ERROR_NOT_PERMITTED || answer.native == CUDA_ERROR_NOT_SUPPORTED;
    // the device has a fabric, but nobody has set it up
    if (refused && what.requestedHandleTypes != plain_handles) {
      what.requestedHandleTypes = plain_handles;
      answer = drive(create);
    }
    if (answer) out = made;
    return answer;
  }
  /// Lets this device and all that can reach it read and write.
  device_status set_access(void* p, std::size_t bytes) noexcept {
    int devices = 0;
    device_status answer = cuda_device::set_access(p, bytes);
    if (answer) answer = count(devices);
    for (int k = 0; answer && k != devices; ++k)
      if (k != ordinal() && Sharing::can_reach(k, ordinal())) answer = open_to(k, p, bytes);
    return answer;
  }

  /// What pages are made of.
  [[nodiscard]] CUmemAllocationProp page_kind() noexcept {
    CUmemAllocationProp what = cuda_driver::page_kind(ordinal());
    what.requestedHandleTypes = plain_handles;
#if CUDA_VERSION >= 12030
    if (Sharing::has(ordinal(), CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_FABRIC_SUPPORTED))
      what.requestedHandleTypes = static_cast<CUmemAllocationHandleType>(plain_handles | CU_MEM_HANDLE_TYPE_FABRIC);
#endif
    what.allocFlags.gpuDirectRDMACapable =
        Sharing::has(ordinal(), CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED);
    return what;
  }

 private:
  static constexpr CUmemAllocationHandleType plain_handles = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;

  /// Calls NCCL with this device as the current one; ~0 if there is no device.
  template <class Call>
  [[nodiscard]] int ask(Call&& what) const noexcept {
    int answer = ~0;
    static_cast<void>(call([&] {
      answer = what();
      if (answer != 0) (void)cudaGetLastError();  // the program's own checks must not find it
      return cudaSuccess;
    }));
    return answer;
  }
  template <class Call>
  [[nodiscard]] device_status drive(Call&& what) const noexcept {
    int native = static_cast<int>(cudaErrorNotSupported);
    const device_status reached = call([&] {
      const cuda_address_calls calls = cuda_driver::addresses();
      if (!calls) return cudaSuccess;
      native = static_cast<int>(what(calls));
      // a thread that has called nothing yet has no context: setting the device gives it one
      if (native == CUDA_ERROR_INVALID_CONTEXT && cudaSetDevice(ordinal()) == cudaSuccess)
        native = static_cast<int>(what(calls));
      return cudaSuccess;
    });
    return reached ? to_device_status(native) : reached;
  }
  [[nodiscard]] device_status open_to(int device, void* p, std::size_t bytes) const noexcept {
    CUmemAccessDesc who{};
    who.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    who.location.id = device;
    who.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    return drive([&](const cuda_address_calls& c) {
      return c.set_access(reinterpret_cast<CUdeviceptr>(p), bytes, &who, 1);
    });
  }
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
