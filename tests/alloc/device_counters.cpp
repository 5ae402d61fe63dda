#include <tokenheap/alloc/device_counters.hpp>

#include <support/catch.hpp>

using namespace tokenheap;

namespace {

device_stats read(const torch_counters& counters) {
  device_stats all{};
  counters.read(all);
  return all;
}

}  // namespace

TEST_CASE("torch_counters: pieces, large and small, taken, given, and used by others", "[alloc]") {
  torch_counters counters;
  counters.on_segment(false, true, 1, 4096);
  counters.on_take(false, 1024, 1000);
  counters.on_take(true, 8192, 8000);
  device_stats now = read(counters);
  CHECK(now.all.allocation.current == 2);
  CHECK(now.small_pool.allocated_bytes.current == 1024);
  CHECK(now.large_pool.requested_bytes.current == 8000);
  CHECK(now.all.requested_bytes.current == 9000);
  CHECK(now.small_pool.reserved_bytes.current == 4096);
  CHECK(now.large_pool.segment.current == 0);
  counters.on_give(true, 8192, 8000, true);
  now = read(counters);
  CHECK(now.all.allocated_bytes.current == 1024);
  CHECK(now.all.active_bytes.current == 9216);
  CHECK(now.large_pool.active.current == 1);
  counters.on_ready(true, 8192);
  counters.on_give(false, 1024, 1000, false);
  now = read(counters);
  CHECK(now.all.active.current == 0);
  CHECK(now.all.active_bytes.current == 0);
  CHECK(now.all.active_bytes.peak == 9216);
  CHECK(now.all.allocated_bytes.allocated == 9216);
  CHECK(now.all.allocated_bytes.freed == 9216);
  counters.on_split(false, true, 512);
  counters.on_split(false, true, 512);
  counters.on_split(false, false, 512);
  CHECK(read(counters).all.inactive_split.current == 1);
  CHECK(read(counters).all.inactive_split_bytes.current == 512);
  counters.on_segment(false, false, 1, 4096);
  CHECK(read(counters).all.reserved_bytes.current == 0);
  counters.reset_peaks();
  CHECK(read(counters).all.reserved_bytes.peak == 0);
  counters.reset_accumulated();
  CHECK(read(counters).all.allocated_bytes.allocated == 0);
  CHECK(read(counters).all.inactive_split.current == 1);
}

TEST_CASE("torch_counters: peaks of small, large and both are each their own", "[alloc]") {
  torch_counters counters;
  counters.on_take(false, 1024, 1000);
  counters.on_take(false, 1024, 1000);
  counters.on_give(false, 1024, 1000, false);
  counters.on_take(true, 8192, 8000);
  device_stats now = read(counters);
  CHECK(now.small_pool.allocation.peak == 2);
  CHECK(now.small_pool.allocated_bytes.peak == 2048);
  CHECK(now.large_pool.requested_bytes.peak == 8000);
  // never more than two at once, though small and large had three
  CHECK(now.all.allocation.peak == 2);
  CHECK(now.all.allocated_bytes.peak == 9216);
  // one that others use still counts as active when the next comes
  counters.on_give(true, 8192, 8000, true);
  counters.on_take(true, 8192, 8000);
  now = read(counters);
  CHECK(now.all.allocation.peak == 2);
  CHECK(now.all.active.peak == 3);
  CHECK(now.large_pool.active_bytes.peak == 16384);
  CHECK(now.small_pool.active.peak == 2);
  counters.on_ready(true, 8192);
  counters.reset_peaks();
  now = read(counters);
  CHECK(now.all.active.peak == 2);
  CHECK(now.small_pool.allocation.peak == 1);
}

TEST_CASE("no_counters: nothing is counted", "[alloc]") {
  no_counters counters;
  counters.on_take(true, 1, 1);
  device_stats now{};
  counters.read(now);
  CHECK(now.all.allocation.current == 0);
  static_assert(std::is_empty_v<no_counters>);
}
