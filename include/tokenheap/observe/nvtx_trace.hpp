// Memory as NVIDIA's tools see it: regions for what is out, marks for refusals, ranges for steps.
#pragma once

#if !__has_include(<nvtx3/nvToolsExt.h>) || !__has_include(<nvtx3/nvToolsExtMem.h>)
#error "tokenheap/observe/nvtx_trace.hpp needs nvtx3: add the include folder of a CUDA toolkit, such as /usr/local/cuda/include"
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <nvtx3/nvToolsExt.h>
#include <nvtx3/nvToolsExtMem.h>

#include <tokenheap/alloc/device_trace.hpp>
#include <tokenheap/concepts/policy.hpp>

namespace tokenheap {
inline namespace v0 {

/// What a `nvtx_trace` is called, and the memory that its pieces are cut from, if it is one stretch.
struct nvtx_trace_options {
  const char* name = "tokenheap";  ///< of the domain
  allocation heap{};               ///< pieces are regions of it; empty: of the process's whole address space
};

/// Tells NVIDIA's tools of every piece: Nsight sees marks, compute-sanitizer finds uses of pieces that are not out.
///
/// A trace policy for `with<nvtx_trace>` and for the bundles of the caching allocator and the pinned pool. Not for
/// production without a tool in mind: with one attached each call costs microseconds. Without a tool nothing happens.
/// With a heap of its own, memory of it that is not out must not be touched; a `reset` needs one, or regions stay.
///
/// Requires  the header-only nvtx3 of a CUDA toolkit, 12 or later; no library
/// Threads   safe, as NVTX is; the order of regions is that of the calls
/// Cost      a load and a branch for each call, without a tool
/// Example   struct mem : layered<host_source, slab<>, with<nvtx_trace>> {}; mem m{{nvtx_trace_options{.name = "staging"}}};
class nvtx_trace {
 public:
  using options = nvtx_trace_options;

  explicit nvtx_trace(const options& with = {}) noexcept : domain_(nvtxDomainCreateA(with.name)) {
    if (!with.heap) return;
    const nvtxMemVirtualRangeDesc_t all{with.heap.size, with.heap.data};
    nvtxMemHeapDesc_t heap{};
    heap.extCompatID = NVTX_EXT_COMPATID_MEM;
    heap.structSize = sizeof heap;
    heap.usage = NVTX_MEM_HEAP_USAGE_TYPE_SUB_ALLOCATOR;
    heap.type = NVTX_MEM_TYPE_VIRTUAL_ADDRESS;
    heap.typeSpecificDescSize = sizeof all;
    heap.typeSpecificDesc = &all;
    heap.messageType = NVTX_MESSAGE_TYPE_ASCII;
    heap.message.ascii = with.name;
    heap_ = nvtxMemHeapRegister(domain_, &heap);
    has_heap_ = true;
  }
  nvtx_trace(const nvtx_trace&) = delete;
  nvtx_trace& operator=(const nvtx_trace&) = delete;
  ~nvtx_trace() {
    if (has_heap_) nvtxMemHeapUnregister(domain_, heap_);
    nvtxDomainDestroy(domain_);
  }

  void record(const trace_event& e) noexcept {
    switch (e.kind) {
      case trace_kind::allocate: return came(e.address, e.granted);
      case trace_kind::deallocate: return went(e.address);
      case trace_kind::out_of_memory: return mark("out of memory", e.requested);
      case trace_kind::reset:
        if (has_heap_) nvtxMemHeapReset(domain_, heap_);
        return mark("reset", 0);
      case trace_kind::trim: return mark("trim", e.granted);
    }
  }

  /// Regions have the bytes that were asked for: all that a kernel may touch.
  void record(const device_event& e) noexcept {
    void* const at = reinterpret_cast<void*>(e.address);
    switch (e.action) {
      case device_action::alloc: return came(at, e.bytes);
      case device_action::free_completed: return went(at);
      case device_action::oom: return mark("out of memory", e.bytes);
      case device_action::segment_alloc:
      case device_action::segment_map: return mark("reserved", e.bytes);
      case device_action::segment_free:
      case device_action::segment_unmap: return mark("given back", e.bytes);
      case device_action::free_requested:
      case device_action::snapshot: return;
    }
  }

  /// A moment on the tool's timeline, with a number.
  void mark(const char* what, std::uint64_t value) noexcept {
    const nvtxEventAttributes_t e = attributes(what, value);
    nvtxDomainMarkEx(domain_, &e);
  }

  [[nodiscard]] nvtxDomainHandle_t domain() const noexcept { return domain_; }

  [[nodiscard]] static nvtxEventAttributes_t attributes(const char* what, std::uint64_t value) noexcept {
    nvtxEventAttributes_t e{};
    e.version = NVTX_VERSION;
    e.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
    e.messageType = NVTX_MESSAGE_TYPE_ASCII;
    e.message.ascii = what;
    e.payloadType = NVTX_PAYLOAD_TYPE_UNSIGNED_INT64;
    e.payload.ullValue = value;
    return e;
  }

 private:
  void came(void* at, std::size_t bytes) noexcept {
    const nvtxMemVirtualRangeDesc_t piece{bytes, at};
    nvtxMemRegionsRegisterBatch_t batch{};
    batch.extCompatID = NVTX_EXT_COMPATID_MEM;
    batch.structSize = sizeof batch;
    batch.regionType = NVTX_MEM_TYPE_VIRTUAL_ADDRESS;
    batch.heap = heap_;
    batch.regionCount = 1;
    batch.regionDescElementSize = sizeof piece;
    batch.regionDescElements = &piece;
    nvtxMemRegionsRegister(domain_, &batch);
  }
  void went(void* at) noexcept {
    nvtxMemRegionRef_t piece{};
    piece.pointer = at;
    nvtxMemRegionsUnregisterBatch_t batch{};
    batch.extCompatID = NVTX_EXT_COMPATID_MEM;
    batch.structSize = sizeof batch;
    batch.refType = NVTX_MEM_REGION_REF_TYPE_POINTER;
    batch.refCount = 1;
    batch.refElementSize = sizeof piece;
    batch.refElements = &piece;
    nvtxMemRegionsUnregister(domain_, &batch);
  }

  nvtxDomainHandle_t domain_;
  nvtxMemHeapHandle_t heap_ = nullptr;  // null is the whole process
  bool has_heap_ = false;
};

static_assert(trace_policy<nvtx_trace>);

/// A stretch of time on the tool's timeline, from here to the end of the scope, on the calling thread.
///
/// Example   nvtx_range step(mem.policy<nvtx_trace>(), "decode", batch);
class nvtx_range {
 public:
  nvtx_range(const nvtx_trace& of, const char* what, std::uint64_t value = 0) noexcept : domain_(of.domain()) {
    const nvtxEventAttributes_t e = nvtx_trace::attributes(what, value);
    static_cast<void>(nvtxDomainRangePushEx(domain_, &e));
  }
  nvtx_range(const nvtx_range&) = delete;
  nvtx_range& operator=(const nvtx_range&) = delete;
  ~nvtx_range() { static_cast<void>(nvtxDomainRangePop(domain_)); }

 private:
  nvtxDomainHandle_t domain_;
};

}  // namespace v0
}  // namespace tokenheap
