#include <tokenheap/adapt/torch.hpp>

#include <support/catch.hpp>

#include <fake_cuda/runtime/runtime.hpp>

#include <cstring>
#include <string>

#include <tokenheap/device/cuda.hpp>

using namespace tokenheap;
using fake_cuda::runtime;
using door = adapt::torch_door<cuda_device>;

namespace {

cudaStream_t stream_of(cuda_device& d) {
  cuda_device::stream s{};
  REQUIRE(d.create_stream(s));
  return s.handle;
}

}  // namespace

TEST_CASE("PyTorch's calls: a piece comes back by its requested size, and the next one of the stream takes it") {
  runtime cuda({.capacity = 1 * GiB});
  cuda_device d;
  const cudaStream_t one = stream_of(d), two = stream_of(d);
  {
    door torch;
    void* const p = torch.allocate(1'000'003, 0, one);
    REQUIRE(p != nullptr);
    torch.deallocate(p, 1'000'003, 0, one);
    CHECK(torch.allocate(1'000'003, 0, one) == p);
    void* const q = torch.allocate(1'000'003, 0, two);
    CHECK(q != p);
    CHECK(torch.stats_of(0).all.requested_bytes.current == 2'000'006);
    std::size_t bytes = 0;
    void* const first = torch.base(q, &bytes);
    CHECK(address_of(q) - address_of(first) < bytes);
    torch.deallocate(p, 1'000'003, 0, one);
    torch.deallocate(q, 1'000'003, 0, two);
    CHECK(torch.stats_of(0).all.allocated_bytes.current == 0);
    torch.reset();
    CHECK(torch.stats_of(0).all.reserved_bytes.current == 0);
    CHECK(torch.heap_of(0)->is_valid());
  }
  CHECK(d.destroy_stream({one, 0}));
  CHECK(d.destroy_stream({two, 0}));
  CHECK(cuda.machine.violations() == 0);
}

TEST_CASE("a tensor that another stream reads is not handed out before that stream is done") {
  runtime cuda({.capacity = 1 * GiB});
  cuda_device d;
  const cudaStream_t one = stream_of(d), two = stream_of(d);
  {
    door torch;
    const bool told = GENERATE(true, false);
    void* const p = torch.allocate(4096, 0, one);
    if (told) torch.record_stream(p, two);
    torch.deallocate(p, 4096, 0, one);
    // the other stream has nothing enqueued, so the event is done at the first look; without the note nothing waits at all
    CHECK((torch.stats_of(0).pending_bytes != 0) == told);
    torch.record_stream(&torch, two);
    CHECK(std::string(door::last_error()) == "a pointer that is of no device here");
  }
}

TEST_CASE("what PyTorch may ask by mistake gives null or nothing, and says why") {
  runtime cuda({.capacity = 64 * MiB});
  cuda_device d;
  const cudaStream_t one = stream_of(d);
  door torch;
  CHECK(torch.allocate(0, 0, one) == nullptr);
  CHECK(torch.allocate(-5, 0, one) == nullptr);
  CHECK(torch.allocate(512, -1, one) == nullptr);
  CHECK(torch.allocate(512, 64, one) == nullptr);
  CHECK(std::string(door::last_error()).find("0 to 63") != std::string::npos);
  torch.deallocate(nullptr, 4, 0, one);
  torch.deallocate(&torch, 4, 7, one);
  CHECK(torch.allocate(ssize_t{1} << 40, 0, one) == nullptr);
  CHECK(std::string(door::last_error()).find("need 1099511627776 bytes") != std::string::npos);
  void* const p = torch.allocate(32 * 1024 * 1024, 0, one);
  CHECK(p != nullptr);
  torch.deallocate(p, 32 * 1024 * 1024, 0, one);
  CHECK(torch.stats_of(63).all.allocated_bytes.current == 0);
  CHECK(torch.heap_of(1) == nullptr);
}

TEST_CASE("the memory fraction is a limit, and nonsense is none") {
  runtime cuda({.capacity = 256 * MiB});
  cuda_device d;
  const cudaStream_t one = stream_of(d);
  door torch;
  torch.set_fraction(0.25, 0);
  CHECK(torch.allocate(100 * 1024 * 1024, 0, one) == nullptr);
  CHECK(std::string(door::last_error()).find("limit 67108864") != std::string::npos);
  void* const p = torch.allocate(40 * 1024 * 1024, 0, one);
  CHECK(p != nullptr);
  torch.set_fraction(2.0, 0);
  torch.set_fraction(-1, 0);
  CHECK(torch.allocate(100 * 1024 * 1024, 0, one) == nullptr);
  torch.deallocate(p, 40 * 1024 * 1024, 0, one);
}

TEST_CASE("a graph pool takes the streams of its filter, by handle, and lives while it has users") {
  runtime cuda({.capacity = 1 * GiB});
  cuda_device d;
  const cudaStream_t one = stream_of(d), two = stream_of(d);
  door torch;
  const adapt::torch_pool_id id{0, 7};
  torch.begin_pool(0, id, [one](cudaStream_t s) { return s == one; });
  void* const inside = torch.allocate(1 << 20, 0, one);
  void* const outside = torch.allocate(1 << 20, 0, two);
  torch.begin_pool(0, id, {});
  CHECK(std::string(door::last_error()) == "a graph pool that is open already");
  torch.end_pool(0, id);
  bool pooled = false, plain = false;
  torch.heap_of(0)->for_each_piece([&](const device_segment& g, std::size_t at, std::size_t, piece_state) {
    if (at == address_of(inside)) pooled = g.pool != 0;
    if (at == address_of(outside)) plain = g.pool == 0;
  });
  CHECK(pooled);
  CHECK(plain);
  torch.end_pool(0, id);
  CHECK(std::string(door::last_error()) == "a graph pool that is not open");
  torch.deallocate(inside, 1 << 20, 0, one);
  torch.deallocate(outside, 1 << 20, 0, two);
  torch.reset();
  CHECK(torch.stats_of(0).all.reserved_bytes.current != 0);  // the pool keeps what a graph may replay on
  torch.begin_pool(0, id, {});
  torch.end_pool(0, id);
  torch.release_pool(0, id);
  torch.reset();
  CHECK(torch.stats_of(0).all.reserved_bytes.current != 0);  // begun twice, released once
  torch.release_pool(0, id);
  torch.reset();
  CHECK(torch.stats_of(0).all.reserved_bytes.current == 0);
  torch.release_pool(0, id);
  CHECK(std::string(door::last_error()) == "a graph pool that was never begun");
}

TEST_CASE("without a driver every call gives null and a reason, and nothing crashes") {
  door torch;
  CHECK(torch.allocate(512, 0, nullptr) == nullptr);
  CHECK(std::strlen(door::last_error()) != 0);
  int nothing = 0;
  torch.deallocate(&nothing, 4, 0, nullptr);
  torch.record_stream(&nothing, nullptr);
  torch.set_fraction(0.5, 0);
  torch.reset();
  std::size_t bytes = 0;
  CHECK(torch.base(&nothing, &bytes) == &nothing);
}
