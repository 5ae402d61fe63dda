#include <tokenheap/device/cuda.hpp>

#include <support/catch.hpp>

#include <fake_cuda/runtime/runtime.hpp>

#include <sys/wait.h>
#include <unistd.h>

using namespace tokenheap;
using fake_cuda::runtime;

static_assert(virtual_device<cuda_device>);
static_assert(sizeof(cuda_device) == sizeof(int));

namespace {

/// Every call with arguments that are fine, and what it is called below.
template <class Check>
void every_call(cuda_device d, Check&& check) {
  int here = 0;
  void* p = &here;
  device_memory memory{1, 2};
  cuda_device::stream s{nullptr, 77};
  cuda_device::event e = reinterpret_cast<cudaEvent_t>(&here);
  const cuda_device::event event_before = e;
  bool capturing = true;
  cuda_device::pages pages = 77;
  check("allocate", d.allocate(512, p));
  check("deallocate", d.deallocate(&here));
  check("memory", d.memory(memory));
  check("allocate_pinned", d.allocate_pinned(512, p));
  check("deallocate_pinned", d.deallocate_pinned(&here));
  check("register_host", d.register_host(&here, 4));
  check("unregister_host", d.unregister_host(&here));
  check("create_stream", d.create_stream(s));
  check("create_stream_nonblocking", d.create_stream_nonblocking(s));
  check("destroy_stream", d.destroy_stream(s));
  check("identify", d.identify(nullptr, s));
  check("wait", d.wait(s, e));
  check("synchronize", d.synchronize(s));
  check("query", d.query(s));
  check("is_capturing", d.is_capturing(s, capturing));
  check("create_event", d.create_event(e));
  check("destroy_event", d.destroy_event(e));
  check("record", d.record(e, s));
  check("query_event", d.query_event(e));
  check("synchronize_event", d.synchronize_event(e));
  check("copy", d.copy(&here, &here, 4, s));
  check("fill", d.fill(&here, 0, 4, s));
  check("synchronize device", d.synchronize());
  check("reserve", d.reserve(2 << 20, 0, p));
  check("unreserve", d.unreserve(&here, 2 << 20));
  check("create_pages", d.create_pages(2 << 20, pages));
  check("release_pages", d.release_pages(pages));
  check("map", d.map(&here, 2 << 20, pages));
  check("set_access", d.set_access(&here, 2 << 20));
  check("unmap", d.unmap(&here, 2 << 20));
  CHECK(d.page_bytes() == 0);
  CHECK(p == &here);
  CHECK((memory.available == 1 && memory.total == 2));
  CHECK((s.handle == nullptr && s.id == 77));
  CHECK(e == event_before);
  CHECK(capturing);
  CHECK(pages == 77);
}

}  // namespace

TEST_CASE("without a driver every call answers no device, and outputs stay as they were") {
  // no runtime stands behind the prototypes: each call answers 35
  every_call(cuda_device{}, [](const char* name, device_status answer) {
    CAPTURE(name);
    CHECK(answer == device_status{device_error::no_device, 35});
    CHECK(fake_cuda::pending_error() == 0);
  });
  int count = -7;
  CHECK(cuda_device::count(count).error == device_error::no_device);
  CHECK(count == -7);
  int current = -7;
  CHECK(cuda_device{}.current(current).error == device_error::no_device);
  CHECK(current == -7);
  CHECK(cuda_device{}.deallocate(nullptr));
  CHECK(cuda_device{}.deallocate_pinned(nullptr));
}

TEST_CASE("each call reaches the one call of CUDA that it stands for, on its device, and puts the thread's back") {
  runtime cuda({.devices = 2});
  cuda_device d(1);
  const auto calls = [&](auto&& call, const std::string& expected) {
    CAPTURE(expected);
    cuda.log.clear();
    const device_status answer = call();
    REQUIRE(answer);
    REQUIRE(cuda.log == std::vector<std::string>{"cudaSetDevice", expected, "cudaSetDevice"});
    REQUIRE(fake_cuda::current_device() == 0);
  };
  void* p = nullptr;
  calls([&] { return d.allocate(4096, p); }, "cudaMalloc");
  CHECK(cuda.machine.used(1) == 4096);
  CHECK(cuda.machine.used(0) == 0);
  device_memory memory;
  calls([&] { return d.memory(memory); }, "cudaMemGetInfo");
  CHECK(memory.total - memory.available == 4096);
  void* host = nullptr;
  calls([&] { return d.allocate_pinned(4096, host); }, "cudaHostAlloc");
  cuda_device::stream s, t;
  cuda.log.clear();
  REQUIRE(d.create_stream(s));
  CHECK(cuda.log == std::vector<std::string>{"cudaSetDevice", "cudaStreamCreateWithFlags", "cudaStreamGetId", "cudaSetDevice"});
  CHECK(s.id != 0);
  REQUIRE(d.create_stream_nonblocking(t));
  CHECK_FALSE(s == t);
  calls([&] { return d.identify(s.handle, t); }, "cudaStreamGetId");
  CHECK(t == s);
  cuda_device::event e = nullptr;
  calls([&] { return d.create_event(e); }, "cudaEventCreateWithFlags");
  calls([&] { return d.query_event(e); }, "cudaEventQuery");
  calls([&] { return d.fill(p, 1, 64, s); }, "cudaMemsetAsync");
  calls([&] { return d.copy(p, host, 64, s); }, "cudaMemcpyAsync");
  calls([&] { return d.record(e, s); }, "cudaEventRecord");
  calls([&] { return d.wait(s, e); }, "cudaStreamWaitEvent");
  calls([&] { return d.synchronize_event(e); }, "cudaEventSynchronize");
  calls([&] { return d.query(s); }, "cudaStreamQuery");
  bool capturing = true;
  calls([&] { return d.is_capturing(s, capturing); }, "cudaStreamIsCapturing");
  CHECK_FALSE(capturing);
  calls([&] { return d.synchronize(s); }, "cudaStreamSynchronize");
  calls([&] { return d.synchronize(); }, "cudaDeviceSynchronize");
  calls([&] { return d.destroy_event(e); }, "cudaEventDestroy");
  calls([&] { return d.destroy_stream(s); }, "cudaStreamDestroy");
  calls([&] { return d.deallocate_pinned(host); }, "cudaFreeHost");
  calls([&] { return d.deallocate(p); }, "cudaFree");
  alignas(4096) static char page[4096];
  calls([&] { return d.register_host(page, sizeof page); }, "cudaHostRegister");
  calls([&] { return d.unregister_host(page); }, "cudaHostUnregister");
  CHECK(cuda.machine.violations() == 0);
  CHECK(cuda.taken_errors == 0);
}

TEST_CASE("on the thread's own device nothing is switched") {
  runtime cuda;
  void* p = nullptr;
  REQUIRE(cuda_device{}.allocate(512, p));
  CHECK(cuda.log == std::vector<std::string>{"cudaMalloc"});
  int current = -1;
  CHECK(cuda_device{}.current(current));
  CHECK(current == 0);
  REQUIRE(cuda_device{}.deallocate(p));
}

TEST_CASE("a failed call leaves its output and the thread's device as they were, and takes its error away") {
  runtime cuda({.devices = 2});
  int here = 0;
  void* p = &here;
  cuda.fail("cudaMalloc", 2);
  CHECK(cuda_device{1}.allocate(512, p) == device_status{device_error::out_of_memory, 2});
  CHECK(p == &here);
  CHECK(fake_cuda::pending_error() == 0);
  CHECK(fake_cuda::current_device() == 0);
  CHECK(cuda.taken_errors == 1);
  cuda.fail("cudaStreamGetId", 719);
  cuda_device::stream s{nullptr, 5};
  CHECK(cuda_device{}.create_stream(s).error == device_error::failed);
  CHECK(s.id == 5);
  CHECK(cuda.machine.live_streams() == 0);
  CHECK(cuda_device{7}.allocate(512, p).error == device_error::no_device);
  CHECK(fake_cuda::current_device() == 0);
}

TEST_CASE("an error that the program has not looked at yet stays, unless a call of ours fails") {
  runtime cuda;
  fake_cuda::set_pending_error(77);
  void* p = nullptr;
  REQUIRE(cuda_device{}.allocate(512, p));
  REQUIRE(cuda_device{}.deallocate(p));
  CHECK(fake_cuda::pending_error() == 77);
}

TEST_CASE("the answer not ready is no error, and leaves none behind") {
  runtime cuda;
  cuda_device d;
  cuda_device::stream s;
  cuda_device::event e = nullptr;
  void* p = nullptr;
  REQUIRE(d.create_stream(s));
  REQUIRE(d.create_event(e));
  REQUIRE(d.allocate(512, p));
  REQUIRE(d.fill(p, 0, 512, s));
  REQUIRE(d.record(e, s));
  CHECK(d.query_event(e) == device_status{device_error::not_ready, 600});
  CHECK(d.query(s).error == device_error::not_ready);
  CHECK(fake_cuda::pending_error() == 0);
}

TEST_CASE("memory can be had while another stream is captured; giving it back is refused") {
  runtime cuda;
  cuda_device d;
  cuda_device::stream s;
  void* before = nullptr;
  REQUIRE(d.allocate(512, before));
  REQUIRE(d.create_stream(s));
  sim_device below = cuda.machine.device();
  const sim_stream captured{reinterpret_cast<std::uintptr_t>(s.handle), s.id};
  REQUIRE(below.begin_capture(captured));
  bool capturing = false;
  REQUIRE(d.is_capturing(s, capturing));
  CHECK(capturing);
  void* p = nullptr;
  CHECK(d.allocate(4096, p));
  CHECK(below.exchange_capture_mode(sim_capture_mode::global) == sim_capture_mode::global);
  CHECK(below.end_capture(captured));
  REQUIRE(below.begin_capture(captured));
  CHECK(d.deallocate(before).error == device_error::capture_refused);
  CHECK(d.deallocate(p).error != device_error::ok);
}

TEST_CASE("a driver that has gone answers gone, in CUDA's own words") {
  runtime cuda;
  void* p = nullptr;
  REQUIRE(cuda_device{}.allocate(512, p));
  cuda.machine.unload();
  const device_status answer = cuda_device{}.deallocate(p);
  CHECK(answer == device_status{device_error::gone, 4});
  CHECK(std::string(cuda_device::to_text(answer)) == "an error");
  CHECK(std::string(cuda_device::to_text({device_error::forked, 0})) == "in a forked child");
}

TEST_CASE("a forked child calls nothing of CUDA, and every call says so") {
  runtime cuda;
  void* p = nullptr;
  REQUIRE(cuda_device{}.allocate(512, p));
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    cuda.log.clear();
    bool right = true;
    void* q = nullptr;
    right = right && cuda_device{}.allocate(512, q).error == device_error::forked && q == nullptr;
    right = right && cuda_device{}.deallocate(p).error == device_error::forked;
    right = right && cuda_device{}.synchronize().error == device_error::forked;
    right = right && cuda_device{}.page_bytes() == 0;
    int count = 0;
    right = right && cuda_device::count(count).error == device_error::forked;
    right = right && cuda.log.empty();
    ::_exit(right ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(cuda_device{}.deallocate(p));
}
