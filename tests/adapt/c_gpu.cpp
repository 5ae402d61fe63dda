#include <tokenheap/adapt/c_gpu.hpp>

#include <support/catch.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>

using namespace tokenheap;
using namespace tokenheap::adapt;

TEST_CASE("errors of a device are what C programs look for, with the driver's number") {
  const auto of = [](device_error error) { return c_device_failure({error, 5}, "gpu", "a call").code; };
  REQUIRE(of(device_error::no_device) == errc::no_device);
  REQUIRE(of(device_error::gone) == errc::no_device);
  REQUIRE(of(device_error::forked) == errc::forked);
  REQUIRE(of(device_error::capture_refused) == errc::device_failed);
  REQUIRE(of(device_error::failed) == errc::device_failed);
  REQUIRE(of(device_error::out_of_memory) == errc::out_of_memory);
  REQUIRE(of(device_error::invalid_handle) == errc::stale_handle);
  REQUIRE(c_device_failure({device_error::failed, 700}, "gpu", "a call").need == 700);
  REQUIRE(c_device_failure({device_error::failed, -1}, "gpu", "a call").need == 0);
}

TEST_CASE("an allocator of C cleans up its machine, and what its device refuses has a reason") {
  th_gpu_options with{};
  with.device_bytes = 64 * MiB;
  c_gpu_of<c_sim_home> gpu(with);
  REQUIRE(gpu.look_at_device().code == errc::ok);
  void* stream = nullptr;
  REQUIRE(gpu.create_stream(stream) == th_ok);
  allocation a{};
  REQUIRE(gpu.allocate(stream, {.bytes = 2 * MiB}, false, a) == th_ok);
  viz_snapshot picture;
  gpu.draw(picture);
  REQUIRE((picture.status() == errc::ok && picture.segments().size() == 1 && picture.events().size() >= 1));
  REQUIRE(gpu.deallocate(stream, a) == th_ok);
  REQUIRE(gpu.allocate(stream, {.bytes = 2 * MiB}, true, a) == th_ok);
  REQUIRE(gpu.deallocate(stream, a) == th_ok);
  REQUIRE(gpu.trim(0) == 2 * MiB);
  REQUIRE(gpu.allocate(reinterpret_cast<void*>(std::uintptr_t{999}), {.bytes = 1}, false, a) == th_stale_handle);
  REQUIRE(gpu.destroy_stream(stream) == th_ok);
  REQUIRE(gpu.synchronize(stream) != th_ok);
}

#if TOKENHEAP_HAS_EXCEPTIONS
TEST_CASE("a pressure callback of C that throws has freed nothing") {
  th_gpu_options with{};
  with.device_bytes = 64 * MiB;
  with.on_pressure = [](void*, std::size_t) -> int { throw std::runtime_error("no"); };
  c_gpu_of<c_sim_home> gpu(with);
  allocation a{};
  REQUIRE(gpu.allocate(nullptr, {.bytes = 65 * MiB}, false, a) == th_too_large);
  REQUIRE(gpu.allocate(nullptr, {.bytes = 40 * MiB}, false, a) == th_ok);
  allocation b{};
  REQUIRE(gpu.allocate(nullptr, {.bytes = 40 * MiB}, false, b) == th_out_of_memory);
  REQUIRE(gpu.deallocate(nullptr, a) == th_ok);
}
#endif

TEST_CASE("a snapshot of C that cannot be written says so") {
  viz_snapshot nothing;
  REQUIRE(c_write_snapshot(nothing, "/dev/full", th_snapshot_json) == errc::system_refused);
  REQUIRE(c_write_snapshot(nothing, "no such folder/x", th_snapshot_pickle) == errc::system_refused);
}
