#include <tokenheap/alloc/device_trace.hpp>

#include <string>
#include <type_traits>

#include <support/catch.hpp>

using namespace tokenheap;

TEST_CASE("device_trace: PyTorch's nine actions by name", "[alloc]") {
  const char* const names[] = {"alloc", "free_requested", "free_completed", "segment_alloc", "segment_free",
                               "segment_map", "segment_unmap", "snapshot", "oom"};
  for (std::size_t k = 0; k != 9; ++k) CHECK(std::string(to_text(static_cast<device_action>(k))) == names[k]);
}

TEST_CASE("device_trace: the ring keeps the last ones", "[alloc]") {
  device_ring_trace<trace_shape{.events = 4}> ring;
  for (std::size_t k = 0; k != 6; ++k) ring.record({device_action::alloc, k, 512, 1});
  CHECK(ring.size() == 4);
  CHECK(ring.overflowed());
  CHECK(ring[0].address == 2);
  CHECK(ring[3].address == 5);
  static_assert(std::is_empty_v<no_device_trace>);
}
