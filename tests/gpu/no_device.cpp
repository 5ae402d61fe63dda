#include <support/catch.hpp>

#include <gpu/device.hpp>

#include <tokenheap/alloc/pinned_pool.hpp>
#include <tokenheap/source/cuda.hpp>
#include <tokenheap/source/vmm.hpp>

using namespace tokenheap;

TEST_CASE("on a machine without a GPU every call of the real runtime answers no device, and touches no output") {
  gpu::need_no_device();
  cuda_device d;
  int here = 0;
  void* p = &here;
  device_memory memory{1, 2};
  cuda_device::stream s{nullptr, 77};
  const auto event_before = reinterpret_cast<cudaEvent_t>(&here);
  cuda_device::event e = event_before;
  bool capturing = true;
  cuda_device::pages pages = 77;
  int ordinal = -7;
  const device_status answers[] = {
      d.allocate(512, p), d.deallocate(&here), d.memory(memory), d.allocate_pinned(512, p), d.deallocate_pinned(&here),
      d.register_host(&here, 4), d.unregister_host(&here), d.create_stream(s), d.create_stream_nonblocking(s),
      d.destroy_stream(s), d.identify(nullptr, s), d.wait(s, e), d.synchronize(s), d.query(s), d.is_capturing(s, capturing),
      d.create_event(e), d.destroy_event(e), d.record(e, s), d.query_event(e), d.synchronize_event(e),
      d.copy(&here, &here, 4, s), d.fill(&here, 0, 4, s), d.synchronize(), d.reserve(2 << 20, 0, p),
      d.unreserve(&here, 2 << 20), d.create_pages(2 << 20, pages), d.release_pages(pages), d.map(&here, 2 << 20, pages),
      d.set_access(&here, 2 << 20), d.unmap(&here, 2 << 20), d.current(ordinal), cuda_device::count(ordinal)};
  for (std::size_t k = 0; k != std::size(answers); ++k) {
    CAPTURE(k, answers[k].native);
    CHECK(answers[k].error == device_error::no_device);
  }
  CHECK(p == &here);
  CHECK((memory.available == 1 && memory.total == 2));
  CHECK((s.handle == nullptr && s.id == 77));
  CHECK(e == event_before);
  CHECK(capturing);
  CHECK(pages == 77);
  CHECK(ordinal == -7);
  CHECK(d.page_bytes() == 0);
  CHECK(std::string(d.to_text(answers[0])).size() > 10);
}

TEST_CASE("on a machine without a GPU sources of device memory refuse with a reason and a fix") {
  gpu::need_no_device();
  cuda_source plain;
  CHECK_FALSE(plain.allocate(4096));
  CHECK(plain.last_failure().code == errc::unsupported);
  cuda_async_source async;
  CHECK_FALSE(async.allocate({}, 4096));
  CHECK(async.last_failure().code == errc::unsupported);
  vmm_source<cuda_device> mapped;
  CHECK_FALSE(mapped.allocate(4096));
  pinned_pool<cuda_device> pool;
  CHECK_FALSE(pool.allocate(4096));
  CHECK(pool.last_failure().code == errc::unsupported);
  pinned_pool<cuda_device> registered({.by = pinned_by::pages});
  CHECK_FALSE(registered.allocate(4096));
}
