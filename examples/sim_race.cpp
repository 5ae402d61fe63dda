// A copy out of pinned memory that is overwritten too early: the simulated device finds it, whatever the timing was.

#include <cstdio>

#include <tokenheap/device/sim.hpp>

using namespace tokenheap;

#define EXPECT(condition)                                            \
  do {                                                               \
    if (!(condition)) {                                              \
      std::fprintf(stderr, "sim_race: expected %s\n", #condition);   \
      return 1;                                                      \
    }                                                                \
  } while (false)

namespace {

// [program]
// sends two batches through one staging buffer; `waits` decides whether it is right
bool send_two(sim_machine& machine, bool waits) {
  sim_device gpu = machine.device();
  sim_stream copies;
  void* staging = nullptr;
  void* target = nullptr;
  if (!gpu.create_stream(copies) || !gpu.allocate_pinned(4096, staging) || !gpu.allocate(8192, target)) return false;

  machine.host_writes(staging, 4096);                      // the program fills the buffer
  if (!gpu.copy(target, staging, 4096, copies)) return false;
  if (waits && !gpu.synchronize(copies)) return false;     // or an event
  machine.host_writes(staging, 4096);                      // the copy may still be reading
  if (!gpu.copy(offset(target, 4096), staging, 4096, copies)) return false;

  return gpu.deallocate(target) && gpu.deallocate_pinned(staging) && gpu.destroy_stream(copies);
}
// [program]

}  // namespace

int main() {
  // [verdict]
  sim_machine machine;
  EXPECT(send_two(machine, false));
  EXPECT(machine.violations() == 1 && machine.violation().kind == sim_wrong::race);
  char line[200];
  machine.describe(0, line, sizeof line);
  std::puts(line);  // race at ..., 4096 bytes: copy reads on stream 2 of device 0; then the program writes on host thread 1

  sim_machine other;
  EXPECT(send_two(other, true));
  EXPECT(other.violations() == 0 && other.is_clean());  // no timing of the device can go wrong, and nothing was left
  // [verdict]
  return 0;
}
