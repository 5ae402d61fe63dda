#include <tokenheap/kv/tier_copy.hpp>

#include <support/catch.hpp>

#include <tokenheap/device/sim.hpp>

using namespace tokenheap;
using namespace tokenheap::kv;

namespace {

using device_copies = device_copier<sim_device>;
static_assert(copier<device_copies> && device_copies::reaches_devices && !memory_copier::reaches_devices);

struct no_end : memory_copier {
  void end(std::uint64_t) = delete;
};
struct void_flush : memory_copier {
  void flush() noexcept {}
};
static_assert(!copier<no_end> && !copier<void_flush> && !copier<int>);

constexpr std::size_t block = 256;

// a device with two blocks of its own and two of pinned memory, the first of them 0, 1, 2, ...
struct desk {
  sim_machine machine{sim_options{.backed = true}};
  sim_device device = machine.device();
  void* there = nullptr;
  unsigned char* here = nullptr;

  desk() {
    void* pinned = nullptr;
    REQUIRE(device.allocate(2 * block, there));
    REQUIRE(device.allocate_pinned(2 * block, pinned));
    here = static_cast<unsigned char*>(pinned);
    machine.host_writes(here, 2 * block);
    for (std::size_t k = 0; k != 2 * block; ++k) here[k] = static_cast<unsigned char>(k < block ? k : 0xEE);
  }
  ~desk() {
    CHECK(device.deallocate(there));
    CHECK(device.deallocate_pinned(here));
    CHECK(machine.violations() == 0);
    CHECK(machine.is_clean());
  }
  [[nodiscard]] bool came_back() {
    machine.host_reads(here + block, block);
    return std::memcmp(here, here + block, block) == 0;
  }
};

}  // namespace

TEST_CASE("the CPU copies at once") {
  memory_copier copies;
  const char from[] = "block";
  char to[sizeof from] = {};
  CHECK(copies.add(to, from, sizeof from));
  const std::uint64_t mark = copies.flush();
  CHECK(mark != 0);
  CHECK(copies.poll(mark) == copy_state::done);
  copies.end(mark);
  CHECK(std::memcmp(to, from, sizeof from) == 0);
}

TEST_CASE("a device copies behind a mark, which is over when the device says so, and rows of events are used again") {
  desk d;
  const std::size_t layers = GENERATE(1u, 4u);
  {
    device_copies copies(d.device, layers);
    CHECK(copies.layers() == layers);
    CHECK(d.machine.calls(sim_call::create_stream) == 0);  // nothing is made before it is needed
    for (int round = 0; round != 3; ++round) {
      REQUIRE(copies.add(d.there, d.here, block));
      const std::uint64_t out = copies.flush();
      REQUIRE(out != 0);
      CHECK(copies.poll(out) == copy_state::running);
      REQUIRE(copies.add(d.here + block, d.there, block));
      const std::uint64_t in = copies.flush();
      REQUIRE(in != 0);
      CHECK(in != out);
      REQUIRE(d.device.synchronize(copies.stream()));
      CHECK(copies.poll(out) == copy_state::done);
      CHECK(copies.poll(in) == copy_state::done);
      copies.end(out);
      copies.end(in);
      CHECK(d.came_back());
      d.machine.host_writes(d.here + block, block);
      d.here[block] ^= 0xFF;
    }
    CHECK(d.machine.calls(sim_call::create_event) == 2 * layers);
    CHECK(d.machine.calls(sim_call::copy) == 6 * layers);
  }
  CHECK(d.machine.live_streams() == 0);
}

TEST_CASE("a block that cannot be cut into its layers is not taken, and no layer beyond the last can be joined") {
  desk d;
  device_copies copies(d.device, 3);
  CHECK(!copies.add(d.there, d.here, block));
  CHECK(device_copies(d.device, 0).layers() == 1);
  CHECK(device_copies(d.device, device_copies::max_layers + 1).layers() == 1);
  REQUIRE(copies.add(d.there, d.here, 3 * 64));
  const std::uint64_t mark = copies.flush();
  REQUIRE(mark != 0);
  sim_device::stream compute{};
  REQUIRE(d.device.create_stream(compute));
  CHECK(copies.join(mark, 2, compute));
  CHECK(!copies.join(mark, 3, compute));
  REQUIRE(d.device.synchronize(compute));
  CHECK(copies.poll(mark) == copy_state::done);
  REQUIRE(d.device.destroy_stream(compute));
  REQUIRE(d.device.synchronize(copies.stream()));
}

TEST_CASE("a batch is not over when its first layer is") {
  desk d;
  device_copies copies(d.device, 4);
  sim_device::stream compute{};
  REQUIRE(d.device.create_stream(compute));
  REQUIRE(copies.add(d.there, d.here, block));
  const std::uint64_t mark = copies.flush();
  REQUIRE(copies.join(mark, 0, compute));
  REQUIRE(d.device.synchronize(compute));
  CHECK(copies.poll(mark) == copy_state::running);
  REQUIRE(d.device.synchronize(copies.stream()));
  CHECK(copies.poll(mark) == copy_state::done);
  REQUIRE(d.device.destroy_stream(compute));
}

TEST_CASE("after a stream, copies come behind what it does") {
  desk d;
  sim_device::stream compute{};
  REQUIRE(d.device.create_stream(compute));
  {
    device_copies copies(d.device);
    REQUIRE(d.device.copy(d.there, d.here, block, compute));
    REQUIRE(copies.after(compute));
    REQUIRE(copies.add(d.here + block, d.there, block));  // a race without the line above: the desk would see it
    REQUIRE(copies.flush() != 0);
    REQUIRE(d.device.synchronize(copies.stream()));
    CHECK(d.came_back());
  }
  REQUIRE(d.device.synchronize(compute));
  REQUIRE(d.device.destroy_stream(compute));
}

TEST_CASE("whichever call of the device fails, nothing is in flight, nothing is left over, and the next batch goes") {
  const sim_call call = GENERATE(sim_call::create_stream, sim_call::create_event, sim_call::copy, sim_call::record);
  for (std::size_t nth = 1; nth != 4; ++nth) {
    CAPTURE(static_cast<int>(call), nth);
    desk d;
    device_copies copies(d.device, 4);
    d.machine.fail(call, call == sim_call::create_stream ? 1 : nth, device_error::failed);
    REQUIRE(copies.add(d.there, d.here, block));
    CHECK(copies.flush() == 0);
    d.machine.host_writes(d.here, block);  // allowed, since no copy of it runs
    d.machine.clear_faults();
    REQUIRE(copies.add(d.there, d.here, block));
    REQUIRE(copies.add(d.here + block, d.there, block));
    const std::uint64_t mark = copies.flush();
    REQUIRE(mark != 0);
    REQUIRE(d.device.synchronize(copies.stream()));
    CHECK(copies.poll(mark) == copy_state::done);
    CHECK(d.came_back());
  }
}

TEST_CASE("an event that fails is a batch that failed, and a copier that moved goes on") {
  desk d;
  device_copies first(d.device);
  REQUIRE(first.add(d.there, d.here, block));
  const std::uint64_t mark = first.flush();
  device_copies copies(static_cast<device_copies&&>(first));
  d.machine.fail(sim_call::query_event, 1, device_error::failed);
  CHECK(copies.poll(mark) == copy_state::failed);
  copies.end(mark);
  REQUIRE(copies.add(d.here + block, d.there, block));
  CHECK(copies.flush() == mark);  // the row of the batch that ended
  REQUIRE(d.device.synchronize(copies.stream()));
  CHECK(d.came_back());
}
