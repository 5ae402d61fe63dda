#include <tokenheap/alloc/copy_stream.hpp>

#include <support/catch.hpp>

#include <tokenheap/device/sim.hpp>

using namespace tokenheap;

TEST_CASE("copy_stream: makes a stream for the first copy and waits for it", "[copy_stream]") {
  sim_machine machine(sim_options{.capacity = 16 * MiB, .backed = true});
  sim_device device = machine.device();
  void* there = nullptr;
  REQUIRE(device.allocate(512, there));
  {
    copy_stream<sim_device> on(device);
    CHECK(on.close());
    CHECK(machine.calls(sim_call::create_stream) == 0);
    const char text[] = "through the device";
    char back[sizeof text] = {};
    CHECK(on.copy(there, text, sizeof text));
    CHECK(on.copy(back, there, sizeof text));
    CHECK(machine.live_streams() == 1);
    CHECK(on.close());
    CHECK(machine.live_streams() == 0);
    CHECK(std::string(back) == text);
    machine.fail(sim_call::create_stream, 1, device_error::out_of_memory);
    CHECK(on.copy(there, text, sizeof text).error == device_error::out_of_memory);
    machine.fail(sim_call::copy, 1, device_error::failed);
    CHECK(on.copy(there, text, sizeof text).error == device_error::failed);
    CHECK(machine.live_streams() == 1);
  }
  CHECK(machine.live_streams() == 0);
  CHECK(device.deallocate(there));
  CHECK(machine.violations() == 0);
}
