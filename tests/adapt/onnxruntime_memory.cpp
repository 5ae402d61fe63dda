#include <tokenheap/adapt/onnxruntime_memory.hpp>

#include <support/catch.hpp>

#include <cstring>

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/device/sim.hpp>

using namespace tokenheap;

namespace {

/// A source that grants more than was asked, and counts.
struct generous {
  using space = host_space;
  host_source below;
  std::size_t out = 0;
  std::size_t trims = 0;
  std::size_t limit = ~std::size_t{0};
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment) noexcept {
    if (bytes > limit) return {};
    const allocation a = below.allocate(align_up(bytes, 4096), alignment);
    out += a.size;
    return a;
  }
  void deallocate(allocation a) noexcept {
    if (!a) return;
    out -= a.size;
    below.deallocate(a);
  }
  [[nodiscard]] std::size_t trim(std::size_t) noexcept { return ++trims; }
};

}  // namespace

TEST_CASE("onnxruntime: host memory comes back by its pointer alone, to the source and with the size that it came with") {
  generous ordinary, lasting;
  adapt::onnxruntime_host_memory<generous> memory(ordinary, lasting);
  const allocation a = memory.take(1000, false);
  const allocation b = memory.take(5000, true);
  REQUIRE(a);
  REQUIRE(b);
  CHECK(address_of(a.data) % 64 == 0);
  CHECK(address_of(b.data) % 64 == 0);
  CHECK(a.size == 4096 - 64);
  CHECK(b.size == 8192 - 64);
  CHECK(ordinary.out == 4096);
  CHECK(lasting.out == 8192);
  std::memset(a.data, 0xAB, a.size);
  std::memset(b.data, 0xCD, b.size);
  CHECK(memory.give(b.data) == 8192 - 64);
  CHECK(lasting.out == 0);
  CHECK(memory.give(a.data) == 4096 - 64);
  CHECK(ordinary.out == 0);
  CHECK(memory.held(100, 3) == 100 + 3 * 64);
}

TEST_CASE("onnxruntime: host memory says no to nothing, to what wraps, and when its source does") {
  generous from;
  adapt::onnxruntime_host_memory<generous> memory(from);
  CHECK_FALSE(memory.take(0, false));
  for (std::size_t below = 0; below != 200; ++below) CHECK_FALSE(memory.take(~std::size_t{0} - below, false));
  from.limit = 1000 + 64;
  CHECK_FALSE(memory.take(1001, true));
  const allocation a = memory.take(1000, true);
  CHECK(a);
  memory.give(a.data);
  CHECK(from.out == 0);
  memory.trim();
  CHECK(from.trims == 1);
  generous second;
  adapt::onnxruntime_host_memory<generous> two(from, second);
  two.trim();
  CHECK(from.trims == 2);
  CHECK(second.trims == 1);
  // a source that cannot trim is left alone
  host_source heap;
  adapt::onnxruntime_host_memory<host_source> plain(heap);
  plain.trim();
}

TEST_CASE("onnxruntime: device memory lies in the classes of its life, and goes back to its stream") {
  sim_machine machine(sim_options{.capacity = 1 * GiB});
  sim_device device = machine.device();
  sim_device::stream one{}, two{};
  REQUIRE(device.create_stream(one));
  REQUIRE(device.create_stream(two));
  {
    using heap = caching_allocator<sim_device>;
    heap gpu(device);
    adapt::onnxruntime_device_memory<heap> memory(gpu, one.handle);
    CHECK_FALSE(memory.take(0, false));
    CHECK_FALSE(memory.take_on(two.handle, 0));
    const allocation work = memory.take(1000, false);
    const allocation weights = memory.take(3000, true);
    const allocation other = memory.take_on(two.handle, 1000);
    CHECK(work.size == 1024);
    CHECK(gpu.owner(static_cast<std::uint16_t>(memory_class::activations)).current == 2048);
    CHECK(gpu.owner(static_cast<std::uint16_t>(memory_class::weights)).current == 3072);
    CHECK(memory.give(work.data) == 1024);
    CHECK(memory.give(other.data) == 1024);
    CHECK(memory.take_on(two.handle, 1000).data == other.data);
    CHECK(memory.take(1000, false).data == work.data);
    CHECK(memory.held(0, 0) == gpu.stats().all.reserved_bytes.current);
    CHECK(memory.extensions() == gpu.stats().num_device_alloc);
    memory.give(work.data);
    memory.give(other.data);
    memory.give(weights.data);
    memory.trim();
    CHECK(memory.held(0, 0) == 0);
    CHECK(memory.shrinkages() == gpu.stats().num_device_free);
    CHECK(memory.shrinkages() != 0);
    // a stranger is reported and changes nothing
    static errc seen;
    seen = errc::ok;
    const failure_handler before = set_failure_handler([](const failure& f) noexcept { seen = f.code; });
    int stranger = 0;
    CHECK(memory.give(&stranger) == 0);
    set_failure_handler(before);
    CHECK(seen == errc::foreign_pointer);
    CHECK(gpu.is_valid());
  }
  REQUIRE(device.destroy_stream(one));
  REQUIRE(device.destroy_stream(two));
  CHECK(machine.violations() == 0);
  CHECK(machine.is_clean());
}
