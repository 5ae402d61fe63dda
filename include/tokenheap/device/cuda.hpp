// A CUDA device: the runtime's calls in the words of the concepts, and the driver's for addresses apart from memory.
#pragma once

#include <tokenheap/device/cuda_driver.hpp>

namespace tokenheap {
inline namespace v0 {

/// A CUDA device by its ordinal, thin over the runtime: a model of `virtual_device`.
///
/// Making one calls nothing: the first call that finds no driver or no device answers `no_device`, and so does each one
/// after it. A call that fails takes its error off the runtime's last error, so that the program's own checks do not
/// see it. In a child of a process that has used CUDA every call answers `forked`, and nothing of CUDA is called.
/// Memory is asked for, and events and streams are queried, in the relaxed capture mode of the thread: a capture that
/// is under way elsewhere neither forbids these nor is broken by them. Giving memory back, and waiting, are left as
/// they are: CUDA refuses them while a capture in global mode runs, and they answer `capture_refused`.
///
/// Requires  CUDA 12.0 or later; no link to the driver's library
/// Threads   safe
/// Cost      what CUDA's call costs, and one cudaGetDevice; two cudaSetDevice more where the thread's device is another
///           (which gives that other device a context, if it had none)
class cuda_device {
 public:
  using stream = device_stream<cudaStream_t>;
  using event = cudaEvent_t;
  using pages = CUmemGenericAllocationHandle;

  constexpr explicit cuda_device(int ordinal = 0) noexcept : ordinal_(ordinal) {}

  /// How many devices there are.
  static device_status count(int& out) noexcept {
    if (cuda_process::is_forked_child()) return in_child();
    int found = 0;
    const device_status answer = judge(cudaGetDeviceCount(&found));
    if (answer) out = found;
    return answer;
  }

  // --- memory of the device
  device_status allocate(std::size_t bytes, void*& out) noexcept {
    return give(out, [&](void** p) { return cudaMalloc(p, bytes); });
  }
  /// Waits for the device.
  device_status deallocate(void* p) noexcept {
    return p == nullptr ? device_status{} : run([&] { return cudaFree(p); });
  }
  device_status memory(device_memory& out) noexcept {
    device_memory now;
    const device_status answer = run([&] { return cudaMemGetInfo(&now.available, &now.total); });
    if (answer) out = now;
    return answer;
  }

  // --- memory of the host that every device can reach
  device_status allocate_pinned(std::size_t bytes, void*& out) noexcept {
    return give(out, [&](void** p) { return cudaHostAlloc(p, bytes, cudaHostAllocPortable); });
  }
  device_status deallocate_pinned(void* p) noexcept {
    return p == nullptr ? device_status{} : run([&] { return cudaFreeHost(p); });
  }
  device_status register_host(void* p, std::size_t bytes) noexcept {
    return run_relaxed([&] { return cudaHostRegister(p, bytes, cudaHostRegisterPortable); });
  }
  device_status unregister_host(void* p) noexcept {
    return run([&] { return cudaHostUnregister(p); });
  }

  // --- streams
  /// A stream that the legacy default stream orders, as `cudaStreamCreate` makes them.
  device_status create_stream(stream& out) noexcept { return make_stream(out, cudaStreamDefault); }
  /// A stream that the legacy default stream does not order.
  device_status create_stream_nonblocking(stream& out) noexcept { return make_stream(out, cudaStreamNonBlocking); }
  device_status destroy_stream(stream s) noexcept {
    return run([&] { return cudaStreamDestroy(s.handle); });
  }
  /// The identity of a stream that somebody else made; a default stream has one too, per-thread ones one per thread.
  device_status identify(cudaStream_t handle, stream& out) noexcept {
    unsigned long long id = 0;
    const device_status answer = run([&] { return cudaStreamGetId(handle, &id); });
    if (answer) out = {handle, id};
    return answer;
  }
  device_status wait(stream s, event e) noexcept {
    return run([&] { return cudaStreamWaitEvent(s.handle, e, 0); });
  }
  device_status synchronize(stream s) noexcept {
    return run([&] { return cudaStreamSynchronize(s.handle); });
  }
  device_status query(stream s) noexcept {
    return run_relaxed([&] { return cudaStreamQuery(s.handle); });
  }
  device_status is_capturing(stream s, bool& out) noexcept {
    cudaStreamCaptureStatus now = cudaStreamCaptureStatusNone;
    const device_status answer = run([&] { return cudaStreamIsCapturing(s.handle, &now); });
    if (answer) out = now != cudaStreamCaptureStatusNone;
    return answer;
  }

  // --- events, which keep no time
  device_status create_event(event& out) noexcept {
    event made = nullptr;
    const device_status answer = run([&] { return cudaEventCreateWithFlags(&made, cudaEventDisableTiming); });
    if (answer) out = made;
    return answer;
  }
  device_status destroy_event(event e) noexcept {
    return run([&] { return cudaEventDestroy(e); });
  }
  device_status record(event e, stream s) noexcept {
    return run([&] { return cudaEventRecord(e, s.handle); });
  }
  device_status query_event(event e) noexcept {
    return run_relaxed([&] { return cudaEventQuery(e); });
  }
  device_status synchronize_event(event e) noexcept {
    return run([&] { return cudaEventSynchronize(e); });
  }

  // --- work
  device_status copy(void* to, const void* from, std::size_t bytes, stream s) noexcept {
    return run([&] { return cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, s.handle); });
  }
  device_status fill(void* to, unsigned char byte, std::size_t bytes, stream s) noexcept {
    return run([&] { return cudaMemsetAsync(to, byte, bytes, s.handle); });
  }

  // --- the device itself
  [[nodiscard]] constexpr int ordinal() const noexcept { return ordinal_; }
  device_status current(int& out) noexcept {
    if (cuda_process::is_forked_child()) return in_child();
    int now = 0;
    const device_status answer = judge(cudaGetDevice(&now));
    if (answer) out = now;
    return answer;
  }
  device_status synchronize() noexcept {
    return run([] { return cudaDeviceSynchronize(); });
  }
  [[nodiscard]] static constexpr std::size_t alignment() noexcept { return 256; }
  /// CUDA's own words where the driver gave a number.
  [[nodiscard]] static const char* to_text(device_status status) noexcept {
    if (status.native == 0 || cuda_process::is_forked_child()) return v0::to_text(status.error);
    return cudaGetErrorString(static_cast<cudaError_t>(status.native));
  }

  // --- addresses apart from memory
  [[nodiscard]] std::size_t page_bytes() noexcept {
    std::size_t bytes = 0;
    return run([&] { return bytes = cuda_driver::page_bytes(ordinal_), cudaSuccess; }) ? bytes : 0;
  }
  device_status reserve(std::size_t bytes, std::size_t alignment, void*& out) noexcept {
    CUdeviceptr made = 0;
    const device_status answer =
        drive([&](const cuda_address_calls& c) { return c.reserve(&made, bytes, alignment, 0, 0); });
    if (answer) out = reinterpret_cast<void*>(made);
    return answer;
  }
  device_status unreserve(void* p, std::size_t bytes) noexcept {
    return drive([&](const cuda_address_calls& c) { return c.unreserve(at(p), bytes); });
  }
  device_status create_pages(std::size_t bytes, pages& out) noexcept {
    const CUmemAllocationProp what = cuda_driver::page_kind(ordinal_);
    pages made = 0;
    const device_status answer = drive([&](const cuda_address_calls& c) { return c.create(&made, bytes, &what, 0); });
    if (answer) out = made;
    return answer;
  }
  device_status release_pages(pages p) noexcept {
    return drive([&](const cuda_address_calls& c) { return c.release(p); });
  }
  device_status map(void* p, std::size_t bytes, pages from) noexcept {
    return drive([&](const cuda_address_calls& c) { return c.map(at(p), bytes, 0, from, 0); });
  }
  device_status set_access(void* p, std::size_t bytes) noexcept {
    CUmemAccessDesc who{};
    who.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    who.location.id = ordinal_;
    who.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    return drive([&](const cuda_address_calls& c) { return c.set_access(at(p), bytes, &who, 1); });
  }
  device_status unmap(void* p, std::size_t bytes) noexcept {
    return drive([&](const cuda_address_calls& c) { return c.unmap(at(p), bytes); });
  }

  /// Makes any other call of the runtime as all of the above are made: on this device, its error judged and taken off.
  template <class Call>
  device_status call(Call&& what) const noexcept {
    return run(static_cast<Call&&>(what));
  }

  friend constexpr bool operator==(const cuda_device&, const cuda_device&) = default;

 private:
  [[nodiscard]] static CUdeviceptr at(void* p) noexcept { return reinterpret_cast<CUdeviceptr>(p); }
  [[nodiscard]] static constexpr device_status in_child() noexcept { return {device_error::forked, 0}; }

  // the runtime keeps an error until somebody asks: ours must not be found by the program's own checks
  static device_status judge(cudaError_t error) noexcept {
    if (error == cudaSuccess) [[likely]] return {};
    (void)cudaGetLastError();
    return to_device_status(static_cast<int>(error));
  }

  /// Makes a call with this device as the thread's current one, and puts back the one before.
  template <class Call>
  device_status run(Call&& call) const noexcept {
    if (cuda_process::is_forked_child()) [[unlikely]] return in_child();
    int before = 0;
    if (const device_status asked = judge(cudaGetDevice(&before)); !asked) [[unlikely]] return asked;
    cuda_process::note_use();
    if (before == ordinal_) [[likely]] return judge(call());
    if (const device_status moved = judge(cudaSetDevice(ordinal_)); !moved) return moved;
    const device_status answer = judge(call());
    (void)judge(cudaSetDevice(before));
    return answer;
  }

  template <class Call>
  device_status run_relaxed(Call&& call) const noexcept {
    return run([&] {
      cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
      const cudaError_t swapped = cudaThreadExchangeStreamCaptureMode(&mode);
      const cudaError_t answer = swapped == cudaSuccess ? call() : swapped;
      if (swapped == cudaSuccess) (void)cudaThreadExchangeStreamCaptureMode(&mode);
      return answer;
    });
  }

  // CUDA may write to an output when it fails: the caller's own stays as it was
  template <class Call>
  device_status give(void*& out, Call&& call) const noexcept {
    void* made = nullptr;
    const device_status answer = run_relaxed([&] { return call(&made); });
    if (answer) out = made;
    return answer;
  }

  device_status make_stream(stream& out, unsigned flags) noexcept {
    cudaStream_t made = nullptr;
    unsigned long long id = 0;
    const device_status answer = run([&] {
      const cudaError_t error = cudaStreamCreateWithFlags(&made, flags);
      if (error != cudaSuccess) return error;
      const cudaError_t named = cudaStreamGetId(made, &id);
      if (named != cudaSuccess) (void)cudaStreamDestroy(made);
      return named;
    });
    if (answer) out = {made, id};
    return answer;
  }

  /// Makes a call of the driver: its numbers are those of the runtime where both have one.
  template <class Call>
  device_status drive(Call&& call) const noexcept {
    int native = 0;
    const device_status reached = run([&] {
      const cuda_address_calls calls = cuda_driver::addresses();
      native = calls ? static_cast<int>(call(calls)) : static_cast<int>(cudaErrorNotSupported);
      // a thread that has called nothing yet has no context: setting the device gives it one
      if (native != CUDA_ERROR_INVALID_CONTEXT || cudaSetDevice(ordinal_) != cudaSuccess) return cudaSuccess;
      native = static_cast<int>(call(calls));
      return cudaSuccess;
    });
    return reached ? to_device_status(native) : reached;
  }

  int ordinal_;
};

static_assert(virtual_device<cuda_device>);

}  // namespace v0
}  // namespace tokenheap
