#include "runtime.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

using namespace tokenheap;

namespace {

std::recursive_mutex guard;
fake_cuda::runtime* now = nullptr;
thread_local int last_error = 0;
thread_local int current = 0;

// asynchronous pools: which bytes each holds, so that a destroyed or trimmed one gives them back
struct pool {
  int device;
  std::map<void*, std::size_t> out, idle;
};

pool*& last_pool() {
  static pool* one = nullptr;
  return one;
}

int native_of(device_error error) {
  switch (error) {
    case device_error::ok: return 0;
    case device_error::not_ready: return 600;
    case device_error::out_of_memory: return 2;
    case device_error::invalid_value: return 1;
    case device_error::invalid_handle: return 400;
    case device_error::no_device: return 100;
    case device_error::gone: return 4;
    case device_error::capture_refused: return 900;
    case device_error::capture_broken: return 901;
    case device_error::forked: return 3;
    case device_error::unsupported: return 801;
    case device_error::failed: return 719;
  }
  return 999;
}

template <class Call>
int answer(const char* name, Call&& call) {
  const std::lock_guard hold(guard);
  if (now == nullptr) return 35;
  if (std::strcmp(name, "cudaGetDevice") != 0) now->log.emplace_back(name);
  if (const int planned = now->planned(name); planned != 0) return planned;
  sim_device d = now->machine.device(current);
  return native_of(call(d).error);
}

template <class Call>
cudaError_t runtime_call(const char* name, Call&& call) {
  const int native = answer(name, call);
  if (native != 0) last_error = native;
  return static_cast<cudaError_t>(native);
}
// the driver keeps no last error
template <class Call>
CUresult driver_call(const char* name, Call&& call) {
  return static_cast<CUresult>(answer(name, call));
}

// a driver knows handles alone: whatever lives there now is meant
template <class Call>
device_status on_stream(sim_device&, cudaStream_t handle, Call&& call) {
  return call(sim_stream{reinterpret_cast<std::uintptr_t>(handle), 0});
}
sim_event event_of(cudaEvent_t e) { return static_cast<sim_event>(reinterpret_cast<std::uintptr_t>(e)); }
cudaEvent_t handle_of(sim_event e) { return reinterpret_cast<cudaEvent_t>(static_cast<std::uintptr_t>(e)); }
void* at(CUdeviceptr p) { return reinterpret_cast<void*>(p); }

CUresult address_reserve(CUdeviceptr* out, std::size_t bytes, std::size_t alignment, CUdeviceptr, unsigned long long) {
  return driver_call("cuMemAddressReserve", [&](sim_device& d) {
    void* p = nullptr;
    const device_status s = d.reserve(bytes, alignment, p);
    if (s) *out = reinterpret_cast<CUdeviceptr>(p);
    return s;
  });
}
CUresult address_free(CUdeviceptr p, std::size_t bytes) {
  return driver_call("cuMemAddressFree", [&](sim_device& d) { return d.unreserve(at(p), bytes); });
}
CUresult create(CUmemGenericAllocationHandle* out, std::size_t bytes, const CUmemAllocationProp* what, unsigned long long) {
  return driver_call("cuMemCreate", [&](sim_device&) {
    sim_pages made{};
    const device_status s = now->machine.device(what->location.id).create_pages(bytes, made);
    if (s) *out = static_cast<CUmemGenericAllocationHandle>(made);
    return s;
  });
}
CUresult release(CUmemGenericAllocationHandle h) {
  return driver_call("cuMemRelease", [&](sim_device& d) { return d.release_pages(static_cast<sim_pages>(h)); });
}
CUresult map(CUdeviceptr p, std::size_t bytes, std::size_t, CUmemGenericAllocationHandle h, unsigned long long) {
  return driver_call("cuMemMap", [&](sim_device& d) { return d.map(at(p), bytes, static_cast<sim_pages>(h)); });
}
CUresult set_access(CUdeviceptr p, std::size_t bytes, const CUmemAccessDesc* who, std::size_t count) {
  return driver_call("cuMemSetAccess", [&](sim_device&) {
    const bool both = count == 1 && who->flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    return both ? now->machine.device(who->location.id).set_access(at(p), bytes) : device_status{device_error::invalid_value, 1};
  });
}
CUresult unmap(CUdeviceptr p, std::size_t bytes) {
  return driver_call("cuMemUnmap", [&](sim_device& d) { return d.unmap(at(p), bytes); });
}
CUresult granularity(std::size_t* out, const CUmemAllocationProp*, CUmemAllocationGranularity_flags) {
  return driver_call("cuMemGetAllocationGranularity", [&](sim_device& d) { return *out = d.page_bytes(), device_status{}; });
}
CUresult attribute(int* out, CUdevice_attribute which, CUdevice) {
  return driver_call("cuDeviceGetAttribute", [&](sim_device& d) {
    *out = which == CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED && d.page_bytes() != 0;
    return device_status{};
  });
}

}  // namespace

namespace fake_cuda {

runtime::runtime(const sim_options& with) : machine(with) {
  const std::lock_guard hold(guard);
  now = this;
  last_error = 0;
  current = 0;
  cuda_driver::forget();
  cuda_process::forked = false;
}
runtime::~runtime() {
  const std::lock_guard hold(guard);
  now = nullptr;
  cuda_driver::forget();
}
void runtime::fail(std::string call, int native) { failing_ = std::move(call), native_ = native; }
int runtime::planned(const std::string& call) {
  if (native_ == 0 || call != failing_) return 0;
  return std::exchange(native_, 0);
}
bool runtime::logged(const std::string& call) const { return count(call) != 0; }
std::size_t runtime::count(const std::string& call) const {
  return static_cast<std::size_t>(std::count(log.begin(), log.end(), call));
}
int pending_error() { return last_error; }
void set_pending_error(int native) { last_error = native; }
int current_device() { return current; }

}  // namespace fake_cuda

extern "C" {

cudaError_t cudaGetLastError(void) {
  const std::lock_guard hold(guard);
  if (now != nullptr) ++now->taken_errors;
  return static_cast<cudaError_t>(std::exchange(last_error, 0));
}
const char* cudaGetErrorString(cudaError_t error) { return error == cudaErrorMemoryAllocation ? "out of memory" : "an error"; }

cudaError_t cudaGetDeviceCount(int* out) {
  return runtime_call("cudaGetDeviceCount", [&](sim_device&) {
    *out = now->machine.options().devices;
    return device_status{*out == 0 ? device_error::no_device : device_error::ok, 0};
  });
}
cudaError_t cudaGetDevice(int* out) {
  return runtime_call("cudaGetDevice", [&](sim_device& d) {
    int ignored = 0;
    const device_status s = d.current(ignored);
    if (s) *out = current;
    return s;
  });
}
cudaError_t cudaSetDevice(int ordinal) {
  return runtime_call("cudaSetDevice", [&](sim_device&) {
    if (ordinal < 0 || ordinal >= now->machine.options().devices) return device_status{device_error::no_device, 0};
    current = ordinal;
    now->machine.device(ordinal).make_current();
    return device_status{};
  });
}
cudaError_t cudaDeviceSynchronize(void) {
  return runtime_call("cudaDeviceSynchronize", [](sim_device& d) { return d.synchronize(); });
}

// memory: CUDA may write null where it fails
cudaError_t cudaMalloc(void** out, size_t bytes) {
  return runtime_call("cudaMalloc", [&](sim_device& d) { return *out = nullptr, d.allocate(bytes, *out); });
}
cudaError_t cudaFree(void* p) {
  return runtime_call("cudaFree", [&](sim_device& d) { return d.deallocate(p); });
}
cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
  return runtime_call("cudaMemGetInfo", [&](sim_device& d) {
    device_memory m;
    const device_status s = d.memory(m);
    *available = m.available;
    *total = m.total;
    return s;
  });
}
cudaError_t cudaHostAlloc(void** out, size_t bytes, unsigned flags) {
  return runtime_call("cudaHostAlloc", [&](sim_device& d) {
    *out = nullptr;
    return flags == cudaHostAllocPortable ? d.allocate_pinned(bytes, *out) : device_status{device_error::invalid_value, 1};
  });
}
cudaError_t cudaFreeHost(void* p) {
  return runtime_call("cudaFreeHost", [&](sim_device& d) { return d.deallocate_pinned(p); });
}
cudaError_t cudaHostRegister(void* p, size_t bytes, unsigned flags) {
  return runtime_call("cudaHostRegister", [&](sim_device& d) {
    return flags == cudaHostRegisterPortable ? d.register_host(p, bytes) : device_status{device_error::invalid_value, 1};
  });
}
cudaError_t cudaHostUnregister(void* p) {
  return runtime_call("cudaHostUnregister", [&](sim_device& d) { return d.unregister_host(p); });
}

// streams
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* out, unsigned flags) {
  return runtime_call("cudaStreamCreateWithFlags", [&](sim_device& d) {
    sim_stream made;
    const device_status s = flags == cudaStreamNonBlocking ? d.create_stream_nonblocking(made) : d.create_stream(made);
    if (s) *out = reinterpret_cast<cudaStream_t>(made.handle);
    return s;
  });
}
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return runtime_call("cudaStreamDestroy", [&](sim_device& d) {
    return on_stream(d, handle, [&](sim_stream s) { return d.destroy_stream(s); });
  });
}
cudaError_t cudaStreamGetId(cudaStream_t handle, unsigned long long* out) {
  return runtime_call("cudaStreamGetId", [&](sim_device& d) {
    sim_stream found;
    const device_status s = d.identify(reinterpret_cast<std::uintptr_t>(handle), found);
    if (s) *out = found.id;
    return s;
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t e, unsigned) {
  return runtime_call("cudaStreamWaitEvent", [&](sim_device& d) {
    return on_stream(d, handle, [&](sim_stream s) { return d.wait(s, event_of(e)); });
  });
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return runtime_call("cudaStreamSynchronize", [&](sim_device& d) {
    return on_stream(d, handle, [&](sim_stream s) { return d.synchronize(s); });
  });
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return runtime_call("cudaStreamQuery", [&](sim_device& d) {
    return on_stream(d, handle, [&](sim_stream s) { return d.query(s); });
  });
}
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* out) {
  return runtime_call("cudaStreamIsCapturing", [&](sim_device& d) {
    return on_stream(d, handle, [&](sim_stream s) {
      bool yes = false;
      const device_status answered = d.is_capturing(s, yes);
      *out = yes ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
      return answered;
    });
  });
}
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  const std::lock_guard hold(guard);
  if (now == nullptr) return static_cast<cudaError_t>(last_error = 35);
  const auto before = now->machine.device(current).exchange_capture_mode(static_cast<sim_capture_mode>(*mode));
  *mode = static_cast<cudaStreamCaptureMode>(before);
  return cudaSuccess;
}

// events
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned flags) {
  return runtime_call("cudaEventCreateWithFlags", [&](sim_device& d) {
    if (flags != cudaEventDisableTiming) return device_status{device_error::invalid_value, 1};
    sim_event made{};
    const device_status s = d.create_event(made);
    if (s) *out = handle_of(made);
    return s;
  });
}
cudaError_t cudaEventDestroy(cudaEvent_t e) {
  return runtime_call("cudaEventDestroy", [&](sim_device& d) { return d.destroy_event(event_of(e)); });
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t handle) {
  return runtime_call("cudaEventRecord", [&](sim_device& d) {
    return on_stream(d, handle, [&](sim_stream s) { return d.record(event_of(e), s); });
  });
}
cudaError_t cudaEventQuery(cudaEvent_t e) {
  return runtime_call("cudaEventQuery", [&](sim_device& d) { return d.query_event(event_of(e)); });
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  return runtime_call("cudaEventSynchronize", [&](sim_device& d) { return d.synchronize_event(event_of(e)); });
}

// work
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t handle) {
  return runtime_call("cudaMemcpyAsync", [&](sim_device& d) {
    if (kind != cudaMemcpyDefault) return device_status{device_error::invalid_value, 1};
    return on_stream(d, handle, [&](sim_stream s) { return d.copy(to, from, bytes, s); });
  });
}
cudaError_t cudaMemsetAsync(void* to, int byte, size_t bytes, cudaStream_t handle) {
  return runtime_call("cudaMemsetAsync", [&](sim_device& d) {
    return on_stream(d, handle, [&](sim_stream s) { return d.fill(to, static_cast<unsigned char>(byte), bytes, s); });
  });
}

// pools of the driver: memory comes from the device when it is asked for, and goes back when the pool is trimmed
cudaError_t cudaMemPoolCreate(cudaMemPool_t* out, const cudaMemPoolProps* what) {
  return runtime_call("cudaMemPoolCreate", [&](sim_device&) {
    *out = reinterpret_cast<cudaMemPool_t>(new pool{what->location.id, {}, {}});
    return device_status{};
  });
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t handle, size_t) {
  return runtime_call("cudaMemPoolTrimTo", [&](sim_device& d) {
    pool& p = *reinterpret_cast<pool*>(handle);
    for (const auto& [at, bytes] : p.idle) (void)d.deallocate(at);
    p.idle.clear();
    return device_status{};
  });
}
cudaError_t cudaMemPoolDestroy(cudaMemPool_t handle) {
  (void)cudaMemPoolTrimTo(handle, 0);
  return runtime_call("cudaMemPoolDestroy", [&](sim_device&) {
    delete reinterpret_cast<pool*>(handle);
    return device_status{};
  });
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
  return runtime_call("cudaMemPoolSetAttribute", [](sim_device&) { return device_status{}; });
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t handle, cudaMemPoolAttr, void* out) {
  return runtime_call("cudaMemPoolGetAttribute", [&](sim_device&) {
    const pool& p = *reinterpret_cast<pool*>(handle);
    std::uint64_t sum = 0;
    for (const auto& [at, bytes] : p.out) sum += bytes;
    for (const auto& [at, bytes] : p.idle) sum += bytes;
    std::memcpy(out, &sum, sizeof sum);
    return device_status{};
  });
}
cudaError_t cudaMallocFromPoolAsync(void** out, size_t bytes, cudaMemPool_t handle, cudaStream_t) {
  return runtime_call("cudaMallocFromPoolAsync", [&](sim_device& d) {
    *out = nullptr;
    const device_status s = d.allocate(bytes, *out);
    if (s) reinterpret_cast<pool*>(handle)->out[*out] = bytes;
    last_pool() = reinterpret_cast<pool*>(handle);
    return s;
  });
}
cudaError_t cudaFreeAsync(void* p, cudaStream_t) {
  return runtime_call("cudaFreeAsync", [&](sim_device&) {
    pool* const from = last_pool();
    if (from == nullptr || from->out.count(p) == 0) return device_status{device_error::invalid_value, 1};
    from->idle[p] = from->out[p];
    from->out.erase(p);
    return device_status{};
  });
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** out, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* status) {
  return runtime_call("cudaGetDriverEntryPointByVersion", [&](sim_device&) {
    const std::map<std::string, void*> known = {
        {"cuMemAddressReserve", reinterpret_cast<void*>(&address_reserve)},
        {"cuMemAddressFree", reinterpret_cast<void*>(&address_free)},
        {"cuMemCreate", reinterpret_cast<void*>(&create)},
        {"cuMemRelease", reinterpret_cast<void*>(&release)},
        {"cuMemMap", reinterpret_cast<void*>(&map)},
        {"cuMemSetAccess", reinterpret_cast<void*>(&set_access)},
        {"cuMemUnmap", reinterpret_cast<void*>(&unmap)},
        {"cuMemGetAllocationGranularity", reinterpret_cast<void*>(&granularity)},
        {"cuDeviceGetAttribute", reinterpret_cast<void*>(&attribute)}};
    const auto found = known.find(name);
    const bool has = now->has_addresses && found != known.end();
    if (has) *out = found->second;
    *status = has ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return device_status{};
  });
}
#if CUDART_VERSION < 13000
cudaError_t cudaGetDriverEntryPoint(const char* name, void** out, unsigned long long flags,
                                    cudaDriverEntryPointQueryResult* status) {
  return cudaGetDriverEntryPointByVersion(name, out, 0, flags, status);
}
#endif
}
