#define TOKENHEAP_C_CUDA 1
#include <tokenheap/adapt/c_gpu_cuda.hpp>

#include <support/catch.hpp>

#include <string>

#include <fake_cuda/runtime/runtime.hpp>
#include <tokenheap/adapt/c_device_symbols.hpp>

using namespace tokenheap;
using fake_cuda::runtime;

namespace {

th_gpu* open_cuda(std::uint32_t ordinal = 0) {
  th_gpu_options with{};
  with.size = sizeof with;
  with.version = TOKENHEAP_C_VERSION;
  with.kind = th_device_cuda;
  with.ordinal = ordinal;
  with.name = "cuda";
  return th_gpu_open(&with);
}

}  // namespace

TEST_CASE("C opens a CUDA device, and its streams are those of the runtime") {
  runtime cuda({.capacity = 1 * GiB});
  th_gpu* const gpu = open_cuda();
  REQUIRE(gpu != nullptr);
  cuda_device device;
  cuda_device::stream engine{};
  REQUIRE(device.create_stream(engine));
  const cudaStream_t own = engine.handle;
  void* made = nullptr;
  REQUIRE(th_stream_create(gpu, &made) == th_ok);
  th_allocation a{};
  REQUIRE(th_gpu_allocate(gpu, own, 3 * MiB, &a) == th_ok);
  REQUIRE(th_gpu_record_stream(gpu, a, made) == th_ok);
  REQUIRE(th_gpu_deallocate(gpu, own, a) == th_ok);
  REQUIRE(th_stream_synchronize(gpu, made) == th_ok);
  REQUIRE(th_gpu_retire(gpu, own) == th_ok);
  REQUIRE(device.destroy_stream(engine));
  REQUIRE(th_gpu_allocate(gpu, own, 1, &a) == th_stale_handle);
  REQUIRE(th_stream_destroy(gpu, made) == th_ok);
  REQUIRE(th_gpu_close(gpu) == th_ok);
  REQUIRE(cuda.machine.is_clean());
}

TEST_CASE("without a driver, or without the device, C is told when it opens") {
  REQUIRE(open_cuda() == nullptr);
  REQUIRE(adapt::c_last_reason().status == th_no_device);
  REQUIRE(adapt::c_last_reason().need == 35);
  REQUIRE(std::string(adapt::c_last_reason().line).rfind("pool 'cuda': no device: a device (need: the driver's error)", 0) == 0);
  runtime cuda({.capacity = 1 * GiB});
  REQUIRE(open_cuda(1) == nullptr);
  REQUIRE(adapt::c_last_reason().status != th_ok);
}

TEST_CASE("what CUDA refuses has its number and a fix in C") {
  runtime cuda({.capacity = 64 * MiB});
  th_gpu* const gpu = open_cuda();
  th_allocation a{};
  REQUIRE(th_gpu_allocate(gpu, nullptr, 65 * MiB, &a) == th_too_large);
  cuda.fail("cudaStreamCreateWithFlags", 700);
  void* stream = nullptr;
  const th_status refused = th_stream_create(gpu, &stream);
  CAPTURE(refused, adapt::c_last_reason().line);
  REQUIRE(refused == th_device_failed);
  REQUIRE(adapt::c_last_reason().need == 700);
  REQUIRE(th_gpu_close(gpu) == th_ok);
}
