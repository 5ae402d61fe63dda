#if __has_include(<nvtx3/nvToolsExtMem.h>)
#include <tokenheap/observe/nvtx_trace.hpp>

#include <support/catch.hpp>

#include <string>
#include <vector>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/device/sim.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;

namespace {

// a tool: it stands where Nsight would, and writes down what it is told
std::vector<std::string>& told() {
  static std::vector<std::string> all;
  return all;
}
std::string words(const char* what, std::uint64_t value) { return std::string(what) + " " + std::to_string(value); }
std::uint64_t number(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

nvtxDomainHandle_t domain_of(const char* name) {
  told().push_back(std::string("domain ") + name);
  static char here;
  return reinterpret_cast<nvtxDomainHandle_t>(&here);
}
void end_domain(nvtxDomainHandle_t) { told().emplace_back("domain ends"); }
void mark(nvtxDomainHandle_t, const nvtxEventAttributes_t* e) {
  told().push_back("mark " + words(e->message.ascii, e->payload.ullValue));
}
int push(nvtxDomainHandle_t, const nvtxEventAttributes_t* e) {
  told().push_back("push " + words(e->message.ascii, e->payload.ullValue));
  return 0;
}
int pop(nvtxDomainHandle_t) { return told().emplace_back("pop"), 0; }

const auto heap_handle = reinterpret_cast<nvtxMemHeapHandle_t>(std::uintptr_t{0x77});
nvtxMemHeapHandle_t open_heap(nvtxDomainHandle_t, nvtxMemHeapDesc_t const* d) {
  const auto* r = static_cast<const nvtxMemVirtualRangeDesc_t*>(d->typeSpecificDesc);
  told().push_back("heap " + words(d->message.ascii, r->size));
  return heap_handle;
}
void end_heap(nvtxDomainHandle_t, nvtxMemHeapHandle_t heap) {
  told().emplace_back(heap == heap_handle ? "heap ends" : "another heap ends");
}
void reset_heap(nvtxDomainHandle_t, nvtxMemHeapHandle_t) { told().emplace_back("heap is reset"); }
void add_regions(nvtxDomainHandle_t, nvtxMemRegionsRegisterBatch_t const* b) {
  const auto* r = static_cast<const nvtxMemVirtualRangeDesc_t*>(b->regionDescElements);
  told().push_back((b->heap == heap_handle ? "region of the heap " : "region ") + words("", number(r->ptr)) + words("", r->size));
}
void end_regions(nvtxDomainHandle_t, nvtxMemRegionsUnregisterBatch_t const* b) {
  told().push_back("region ends" + words("", number(b->refElements->pointer)));
}

template <class F>
void put(NvtxFunctionTable table, NvtxCallbackIdCore2 which, F* call) {
  *table[which] = reinterpret_cast<NvtxFunctionPointer>(call);
}

int attach(NvtxGetExportTableFunc_t tables) {
  const auto* calls = static_cast<const NvtxExportTableCallbacks*>(tables(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable table = nullptr;
  unsigned count = 0;
  if (calls == nullptr || calls->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &count) == 0) return 0;
  put(table, NVTX_CBID_CORE2_DomainCreateA, domain_of);
  put(table, NVTX_CBID_CORE2_DomainDestroy, end_domain);
  put(table, NVTX_CBID_CORE2_DomainMarkEx, mark);
  put(table, NVTX_CBID_CORE2_DomainRangePushEx, push);
  put(table, NVTX_CBID_CORE2_DomainRangePop, pop);
  return 1;
}
int attach_memory(nvtxExtModuleInfo_t* to) {
  if (to->moduleId != NVTX_EXT_MODULEID_MEM) return 0;
  intptr_t* const slots = to->segments->functionSlots;
  slots[NVTX3EXT_CBID_nvtxMemHeapRegister] = reinterpret_cast<intptr_t>(&open_heap);
  slots[NVTX3EXT_CBID_nvtxMemHeapUnregister] = reinterpret_cast<intptr_t>(&end_heap);
  slots[NVTX3EXT_CBID_nvtxMemHeapReset] = reinterpret_cast<intptr_t>(&reset_heap);
  slots[NVTX3EXT_CBID_nvtxMemRegionsRegister] = reinterpret_cast<intptr_t>(&add_regions);
  slots[NVTX3EXT_CBID_nvtxMemRegionsUnregister] = reinterpret_cast<intptr_t>(&end_regions);
  return 1;
}

// before the first call of this program, which alone looks for a tool
const bool attached = [] {
  InitializeInjectionNvtx2_fnptr = &attach;
  InitializeInjectionNvtxExtension_fnptr = &attach_memory;
  return true;
}();

std::string at(const allocation& a) { return " " + std::to_string(number(a.data)); }

}  // namespace

TEST_CASE("a tool sees the pieces of a column", "[observe]") {
  REQUIRE(attached);
  told().clear();
  struct staged : layered<host_source, with<nvtx_trace>> {
    using layered::layered;
  };
  allocation a;
  {
    staged memory(nvtx_trace_options{.name = "staging"});
    a = memory.allocate(100);
    {
      nvtx_range step(memory.policy<nvtx_trace>(), "decode", 8);
      CHECK(!memory.allocate(~std::size_t{0} / 2));
    }
    memory.deallocate(a);
  }
  CHECK(told() == std::vector<std::string>{"domain staging", "region " + at(a) + " " + std::to_string(a.size), "push decode 8",
                                           "mark out of memory " + std::to_string(~std::size_t{0} / 2), "pop",
                                           "region ends" + at(a), "domain ends"});
}

TEST_CASE("pieces of one stretch are regions of a heap, which a reset empties", "[observe]") {
  told().clear();
  alignas(64) static char room[1024];
  {
    nvtx_trace trace({.name = "arena", .heap = {room, sizeof room}});
    trace.record({trace_kind::allocate, room, 60, 64});
    trace.record({trace_kind::reset, nullptr, 0, 0});
    trace.record({trace_kind::trim, nullptr, 0, 512});
  }
  CHECK(told() == std::vector<std::string>{"domain arena", "heap arena 1024", "region of the heap " + at({room, 64}) + " 64",
                                           "heap is reset", "mark reset 0", "mark trim 512", "heap ends", "domain ends"});
}

namespace {

struct shown : default_caching_policy {
  using trace = nvtx_trace;
};

}  // namespace

TEST_CASE("a tool sees device memory", "[observe]") {
  told().clear();
  sim_machine machine(sim_options{.capacity = 64 * MiB});
  sim_device device = machine.device();
  sim_device::stream s;
  REQUIRE(device.create_stream(s));
  allocation a;
  {
    caching_allocator<sim_device, shown> gpu(device);
    a = gpu.allocate(s, 1000);
    REQUIRE(a);
    gpu.deallocate(s, a);
    CHECK(gpu.trim() != 0);
  }
  CHECK(device.destroy_stream(s));
  REQUIRE(told().size() == 6);
  CHECK(told()[0] == "domain tokenheap");
  CHECK(told()[1].rfind("mark reserved ", 0) == 0);
  CHECK(told()[2] == "region " + at(a) + " 1000");
  CHECK(told()[3] == "region ends" + at(a));
  CHECK(told()[4].rfind("mark given back ", 0) == 0);
  CHECK(told()[5] == "domain ends");
}
#else
#include <support/catch.hpp>

TEST_CASE("nvtx3 is not here", "[observe]") { WARN("no nvtx3/nvToolsExtMem.h: nvtx_trace is not tested"); }
#endif
