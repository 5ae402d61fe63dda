#include <tokenheap/adapt/nccl.hpp>

#include <support/catch.hpp>

#include <fake_cuda/runtime/runtime.hpp>

#include <string>
#include <utility>
#include <vector>

#include <tokenheap/adapt/nccl_memory.hpp>
#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/source/vmm.hpp>

using namespace tokenheap;
using fake_cuda::runtime;

/// A communicator of our own, linked instead of NCCL's: the toolkit's prototypes over lists.
struct ncclComm {
  struct entry {
    void* p;
    std::size_t bytes;
    bool window;
    int flags;
  };
  std::vector<entry*> live;
  std::vector<std::pair<char, void*>> log;  // r, w: registered; d: deregistered
  int works = -1;                           // so many calls work, then one is refused; -1: all work
  bool for_ever = false;                    // and all after it
  ncclResult_t refusal = ncclSystemError;
  int polls = 0;  // answers "in progress" before each result

  ~ncclComm() {
    for (const entry* e : live) delete e;
  }
  ncclResult_t next() {
    if (works == 0) return works = for_ever ? 0 : -1, refusal;
    if (works > 0) --works;
    return ncclSuccess;
  }
  template <class Out>
  ncclResult_t take(void* p, std::size_t bytes, Out* out, bool window, int flags) {
    if (const ncclResult_t no = next(); no != ncclSuccess) return no;
    live.push_back(new entry{p, bytes, window, flags});
    *out = reinterpret_cast<Out>(live.back());
    log.emplace_back(window ? 'w' : 'r', p);
    return later(ncclSuccess);
  }
  ncclResult_t give(void* handle) {
    if (const ncclResult_t no = next(); no != ncclSuccess) return no;
    for (std::size_t k = 0; k != live.size(); ++k) {
      if (live[k] != handle) continue;
      log.emplace_back('d', live[k]->p);
      delete live[k];
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(k));
      return later(ncclSuccess);
    }
    return ncclInvalidArgument;
  }
  ncclResult_t later(ncclResult_t answer) { return waiting = polls, polls == 0 ? answer : ncclInProgress; }
  int waiting = 0;
};

extern "C" {
ncclResult_t ncclMemAlloc(void** out, size_t bytes) {
  return cudaMalloc(out, bytes) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}
ncclResult_t ncclMemFree(void* p) { return cudaFree(p) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError; }
ncclResult_t ncclCommRegister(const ncclComm_t comm, void* p, size_t bytes, void** out) {
  return comm->take(p, bytes, out, false, 0);
}
ncclResult_t ncclCommDeregister(const ncclComm_t comm, void* handle) { return comm->give(handle); }
ncclResult_t ncclCommWindowRegister(ncclComm_t comm, void* p, size_t bytes, ncclWindow_t* out, int flags) {
  return comm->take(p, bytes, out, true, flags);
}
ncclResult_t ncclCommWindowDeregister(ncclComm_t comm, ncclWindow_t w) { return comm->give(w); }
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* out) {
  *out = --comm->waiting > 0 ? ncclInProgress : ncclSuccess;
  return ncclSuccess;
}
}

namespace {

using list = adapt::nccl_registrations<adapt::nccl_calls>;

struct alone {
  static bool has(int, CUdevice_attribute) noexcept { return false; }
  static bool can_reach(int, int) noexcept { return false; }
};
using gpu_device = adapt::nccl_device<adapt::nccl_calls, alone>;

/// NCCL before it had windows, loaded by the program itself.
struct old_calls {
  using comm = int;
  static inline int registered = 0;
  static int register_buffer(int, void*, std::size_t, void** out) noexcept { return *out = &registered, ++registered, 0; }
  static int deregister_buffer(int, void* handle) noexcept { return handle == &registered ? --registered, 0 : 4; }
};

void* at(std::size_t address) { return reinterpret_cast<void*>(address); }
allocation piece(std::size_t address, std::size_t bytes) { return {at(address), bytes}; }

}  // namespace

static_assert(adapt::knows_nccl_windows<adapt::nccl_calls> && !adapt::knows_nccl_windows<old_calls>);

TEST_CASE("nccl: the segments of an allocator are few registrations, and every tensor lies in one") {
  runtime cuda({.capacity = 1 * GiB});
  gpu_device gpu;
  gpu_device::stream s{};
  REQUIRE(gpu.create_stream(s));
  ncclComm comm;
  {
    caching_allocator<gpu_device> cache(gpu);
    std::vector<allocation> tensors;
    for (int k = 0; k != 100; ++k) {
      tensors.push_back(cache.allocate(s, {.bytes = 1 * MiB + 512, .of = memory_class::communication}));
      REQUIRE(tensors.back());
    }
    const allocation other = cache.allocate(s, {.bytes = 4 * MiB});
    list registered({.comm = &comm});
    const auto made = registered.add_segments(cache);
    REQUIRE(made);
    CHECK(*made == 6);  // 100 tensors in segments of 20 MiB, 19 in each
    CHECK(registered.size() == 6);
    CHECK(comm.live.size() == 6);
    for (const auto* e : comm.live) CHECK(e->bytes == 20 * MiB);
    for (const allocation& t : tensors) {
      const list::registration* in = registered.find(t.data, t.size);
      REQUIRE(in != nullptr);
      CHECK(in->handle != nullptr);
      CHECK(address_of(t.data) - address_of(in->address) + t.size <= in->bytes);
    }
    CHECK(registered.find(other.data, other.size) == nullptr);
    CHECK(registered.find(tensors[0].data, 21 * MiB) == nullptr);
    // nothing has grown: nothing is new; then one segment is
    const auto again = registered.add_segments(cache);
    CHECK((again && *again == 0));
    const allocation large = cache.allocate(s, {.bytes = 30 * MiB, .of = memory_class::communication});
    const auto grown = registered.add_segments(cache);
    CHECK((grown && *grown == 1));
    CHECK(registered.find(large.data, large.size) == &registered[6]);
    // the last one first
    comm.log.clear();
    std::vector<std::pair<char, void*>> expected;
    for (std::size_t k = registered.size(); k-- != 0;) expected.emplace_back('d', registered[k].address);
    const auto gone = registered.reset();
    CHECK((gone && *gone == 7));
    CHECK(comm.log == expected);
    CHECK(comm.live.empty());
    for (const allocation& t : tensors) cache.deallocate(s, t);
    cache.deallocate(s, large);
    cache.deallocate(s, other);
  }
  REQUIRE(gpu.destroy_stream(s));
  CHECK(cuda.machine.violations() == 0);
}

TEST_CASE("nccl: a growable class is registered where it has memory, each stretch once") {
  runtime cuda({.capacity = 1 * GiB});
  gpu_device gpu;
  gpu_device::stream s{};
  REQUIRE(gpu.create_stream(s));
  ncclComm comm;
  {
    caching_allocator<gpu_device> cache(gpu);
    allocation parts[5];
    for (allocation& a : parts) a = cache.allocate(s, {.bytes = 16 * MiB, .of = memory_class::kv});
    list registered({.comm = &comm});
    const auto made = registered.add_segments(cache, memory_class::kv);
    REQUIRE(made);
    CHECK(*made == 1);
    CHECK(registered[0].bytes == 80 * MiB);
    REQUIRE(registered.reset());
    // a hole in the middle: what is before and what is behind it
    cache.deallocate(s, parts[2]);
    CHECK(cache.trim() == 16 * MiB);
    const auto two = registered.add_segments(cache, memory_class::kv);
    REQUIRE(two);
    CHECK(*two == 2);
    CHECK(registered[0].bytes == 32 * MiB);
    CHECK(registered[1].bytes == 32 * MiB);
    CHECK(registered.find(parts[2].data, 1) == nullptr);
    CHECK(registered.find(parts[3].data, 32 * MiB) == &registered[1]);
    // it grows over what is registered: that must go first
    parts[2] = cache.allocate(s, {.bytes = 16 * MiB, .of = memory_class::kv});
    const auto grown = registered.add_segments(cache, memory_class::kv);
    CHECK(grown.error() == errc::in_use);
    CHECK(registered.size() == 2);
    for (const allocation& a : parts) cache.deallocate(s, a);
    // asleep it has no memory at all
    REQUIRE(registered.reset());
    REQUIRE(cache.sleep(memory_class::kv));
    const auto none = registered.add_segments(cache, memory_class::kv);
    CHECK((none && *none == 0));
    REQUIRE(cache.wake(memory_class::kv));
  }
  REQUIRE(gpu.destroy_stream(s));
  CHECK(cuda.machine.violations() == 0);
}

TEST_CASE("nccl: a KV pool on pages that ranks can share is one window, and a block is an offset into it") {
  runtime cuda({.capacity = 1 * GiB});
  ncclComm comm;
  {
    vmm_source<gpu_device> memory({.step = max_allocation});
    const kv::layout shape{.layers = 4, .kv_heads = 8, .head_size = 64, .type = kv::dtype::float16, .block_tokens = 16};
    auto pool = kv::block_pool<>::open({.blocks = 500}, shape, memory);
    REQUIRE(pool);
    CHECK(cuda.count("cuMemCreate") == 1);
    list registered({.comm = &comm, .windows = true});
    const std::size_t bytes = 500 * shape.block_stride();
    REQUIRE(registered.add({pool->data(0), bytes}));
    for (kv::block_id id = 0; id != 500; ++id) {
      const list::registration* in = registered.find(pool->data(id), shape.block_bytes());
      REQUIRE(in == &registered[0]);
      CHECK(address_of(pool->data(id)) - address_of(in->address) == id * shape.block_stride());
    }
    CHECK(comm.live.size() == 1);
    CHECK(comm.live[0]->bytes == bytes);
  }
  CHECK(comm.live.empty());
  CHECK(cuda.machine.violations() == 0);
}

TEST_CASE("nccl: whatever NCCL refuses, what was registered before is, and nothing more") {
  const allocation three[] = {piece(0x100000, 4096), piece(0x200000, 8192), piece(0x300000, 4096)};
  const std::pair<ncclResult_t, errc> codes[] = {{ncclUnhandledCudaError, errc::device_failed},
                                                 {ncclSystemError, errc::system_refused},
                                                 {ncclInternalError, errc::device_failed},
                                                 {ncclInvalidArgument, errc::invalid_argument},
                                                 {ncclInvalidUsage, errc::unsupported}};
  for (const bool windows : {false, true}) {
    for (const auto& [answer, code] : codes) {
      for (int works = 0; works != 3; ++works) {
        ncclComm comm;
        list registered({.comm = &comm, .windows = windows, .name = "ring"});
        REQUIRE(registered.add(piece(0x10000, 4096)));
        comm.refusal = answer;
        comm.works = works;
        comm.log.clear();
        const failure no = registered.add(three, 3).why();
        CHECK(no.code == code);
        CHECK(std::string(no.pool) == "ring");
        CHECK(no.address == three[works].data);
        CHECK(no.need == three[works].size);
        CHECK(registered.size() == 1);
        CHECK(comm.live.size() == 1);
        // what had come went in reverse
        std::vector<std::pair<char, void*>> expected;
        for (int k = 0; k != works; ++k) expected.emplace_back(windows ? 'w' : 'r', three[k].data);
        for (int k = works; k-- != 0;) expected.emplace_back('d', three[k].data);
        CHECK(comm.log == expected);
        CHECK(*registered.add(three, 3) == 3);
      }
    }
  }
}

TEST_CASE("nccl: what NCCL does not let go stays in the list, and goes later") {
  static errc reported;
  reported = errc::ok;
  const failure_handler before = set_failure_handler([](const failure& f) noexcept { reported = f.code; });
  const allocation three[] = {piece(0x100000, 4096), piece(0x200000, 8192), piece(0x300000, 4096)};
  ncclComm comm;
  {
    list registered({.comm = &comm});
    // the third is refused, and so is the way back
    comm.works = 2;
    comm.for_ever = true;
    CHECK(registered.add(three, 3).error() == errc::system_refused);
    CHECK(registered.size() == 2);
    CHECK(comm.live.size() == 2);
    CHECK(registered.remove(three[0].data).error() == errc::system_refused);
    CHECK(registered.find(three[0].data, 4096) == &registered[0]);
    comm.works = -1;
    comm.for_ever = false;
    REQUIRE(registered.add(three, 3));
    // the middle one of three is refused once: the others go
    comm.works = 1;
    CHECK(registered.reset().error() == errc::system_refused);
    CHECK(registered.size() == 1);
    CHECK(registered[0].address == three[1].data);
    const auto bytes = registered.remove(three[1].data);
    CHECK((bytes && *bytes == 8192));
    CHECK(comm.live.empty());
    CHECK(registered.remove(three[1].data).error() == errc::foreign_pointer);
    CHECK(reported == errc::ok);
    REQUIRE(registered.add(three[0]));
    comm.works = 0;
  }
  CHECK(reported == errc::system_refused);
  set_failure_handler(before);
}

TEST_CASE("nccl: windows have their flags and alignment, and a communicator that does not block is waited for") {
  for (const int polls : {0, 1, 3}) {
    ncclComm comm;
    comm.polls = polls;
    list registered({.comm = &comm, .windows = true});
    REQUIRE(registered.add(piece(0x40000, 100)));
    CHECK(registered[0].handle == nullptr);
    CHECK(registered[0].window == reinterpret_cast<ncclWindow_t>(comm.live[0]));
    CHECK(comm.live[0]->flags == NCCL_WIN_COLL_SYMMETRIC);
    CHECK(registered.add(piece(0x50000 + 512, 4096)).error() == errc::invalid_argument);
    CHECK(comm.live.size() == 1);
    REQUIRE(registered.reset());
    CHECK(comm.waiting == 0);
  }
  ncclComm comm;
  list plain({.comm = &comm});
  REQUIRE(plain.add(piece(0x50000 + 512, 4096)));
  list loose({.comm = &comm, .windows = true, .flags = NCCL_WIN_DEFAULT});
  REQUIRE(loose.add(piece(0x40000, 4096)));
  CHECK(comm.live[1]->flags == 0);
}

TEST_CASE("nccl: no piece is registered twice, and none in part") {
  ncclComm comm;
  list registered({.comm = &comm});
  REQUIRE(registered.add(piece(0x10000, 0x1000)));
  const auto inside = registered.add(piece(0x10800, 0x800));
  CHECK((inside && *inside == 0));
  for (const allocation& a : {piece(0x0F000, 0x1001), piece(0x10FFF, 2), piece(0x0F000, 0x3000), piece(0x10000, 0x1001)})
    CHECK(registered.add(a).error() == errc::in_use);
  const allocation beside[] = {piece(0x0F000, 0x1000), piece(0x11000, 0x1000)};
  const auto both = registered.add(beside, 2);
  CHECK((both && *both == 2));
  CHECK(registered.find(at(0x10000), 0x1001) == nullptr);
  for (const allocation& a : {allocation{}, piece(0x20000, 0), piece(~std::size_t{0} - 10, 20)})
    CHECK(registered.add(a).error() == errc::invalid_argument);
  CHECK(registered.size() == 3);
  REQUIRE(registered.remove(at(0x10000)));
  CHECK(registered.find(at(0x10000), 1) == nullptr);
  CHECK(registered.find(at(0x0F000), 0x1000) == &registered[0]);
  CHECK(registered.find(at(0x11000), 0x1000) == &registered[1]);
}

TEST_CASE("nccl: a program's own functions serve as well, and without windows there are none") {
  {
    adapt::nccl_registrations<old_calls> registered({});
    REQUIRE(registered.add(piece(0x10000, 1)));
    CHECK(old_calls::registered == 1);
  }
  CHECK(old_calls::registered == 0);
  adapt::nccl_registrations<old_calls> windows({.windows = true});
  CHECK(windows.add(piece(0x10000, 1)).error() == errc::unsupported);
  CHECK(windows.size() == 0);
}
