#include <tokenheap/alloc/caching_reclaim.hpp>

#include <string>

#include "caching_kit.hpp"

using namespace caching_kit;

// When memory runs out, and when idle memory goes.

namespace {

template <class Policy>
constexpr bool is_fixed = Policy::kind_of(memory_class::general) == segment_kind::fixed;

}  // namespace

TEMPLATE_TEST_CASE("C19: an idle segment makes room for a larger request", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r(100 * MiB);
  r.give(r.take(60 * MiB));
  const allocation a = r.take(70 * MiB);
  REQUIRE(a);
  CHECK(r.reserved() == 70 * MiB);
  const device_stats now = r.gpu().stats();
  // giving a segment back waits by itself: no wait of the allocator's own. A growable one only grows by 10 MiB
  CHECK(now.num_sync_all_streams == 0);
  CHECK(now.num_alloc_retries == (is_fixed<TestType> ? 1 : 0));
  CHECK(now.num_device_free == (is_fixed<TestType> ? 1 : 0));
  std::string actions;
  for (std::size_t k = 0; k != r.gpu().trace().size(); ++k) actions += std::string(to_text(r.gpu().trace()[k].action)) + ' ';
  CHECK(actions == (is_fixed<TestType> ? "segment_alloc alloc free_requested free_completed segment_free segment_alloc alloc "
                                       : "segment_map alloc free_requested free_completed segment_map alloc "));
  r.give(a);
}

TEMPLATE_TEST_CASE("C20: a live piece keeps its segment", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r(100 * MiB);
  r.give(r.take(60 * MiB));
  const allocation live = r.take(20 * MiB);
  CHECK(r.reserved() == 60 * MiB);
  shortage why{};
  const allocation a = r.gpu().allocate(r.streams[0], device_request{.bytes = 70 * MiB}, &why);
  if (is_fixed<TestType>) {
    CHECK_FALSE(a);
    CHECK(why.code == errc::out_of_memory);
    CHECK(why.need == 70 * MiB);
    CHECK(why.largest_free == 40 * MiB);
    CHECK(why.device_free == 40 * MiB);
    CHECK(r.reserved() == 60 * MiB);
    CHECK(r.gpu().stats().num_ooms == 1);
    const std::size_t calls = r.machine.calls(sim_call::allocate);
    const allocation b = r.take(40 * MiB);
    CHECK(b);
    CHECK(r.machine.calls(sim_call::allocate) == calls);
    r.give(b);
  } else {
    // the free 40 MiB stay where they are and 30 more follow them
    CHECK(a);
    CHECK(r.reserved() == 90 * MiB);
    r.give(a);
  }
  r.give(live);
}

TEMPLATE_TEST_CASE("C22: after a wait the cache is searched again", "[caching]",
                   (borrowing_policy<fixed_policy, borrowing::never>), (borrowing_policy<growable_policy, borrowing::never>),
                   fixed_policy, growable_policy) {
  rig<TestType> r(60 * MiB);
  const allocation live = r.take(20 * MiB);
  const allocation used = r.take(40 * MiB);
  CHECK(r.gpu().record_stream(used, r.streams[1]) == errc::ok);
  r.follow(1, 0);
  CHECK(r.device.launch_read(r.streams[1], used.data, used.size));
  r.give(used);
  const allocation again = r.take(40 * MiB);
  CHECK(again.data == used.data);
  CHECK(r.gpu().stats().num_ooms == 0);
  // with borrowing the wait is the device's and not the host's
  CHECK(r.gpu().stats().num_sync_all_streams == (TestType::borrow == borrowing::never ? 1 : 0));
  r.give(again);
  r.give(live);
}

TEMPLATE_TEST_CASE("C26: a limit below the device's memory", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r(1 * GiB, {.limit = 512 * MiB});
  const allocation all = r.take(512 * MiB);
  REQUIRE(all);
  const std::size_t mapped = r.machine.calls(sim_call::create_pages) + r.machine.calls(sim_call::allocate);
  shortage why{};
  CHECK_FALSE(r.gpu().allocate(r.streams[0], device_request{.bytes = 1}, &why));
  CHECK(why.limit == 512 * MiB);
  CHECK(r.machine.calls(sim_call::create_pages) + r.machine.calls(sim_call::allocate) == mapped);
  CHECK(r.machine.used() == 512 * MiB);
  CHECK(r.gpu().stats().num_alloc_retries == 1);
  CHECK(r.gpu().stats().num_ooms == 1);
  r.give(all);
  const allocation part = r.take(300 * MiB);
  CHECK(part);
  CHECK(r.gpu().stats().num_device_alloc == 1);
  r.give(part);
  CHECK(r.gpu().trim() == 512 * MiB);
}

TEST_CASE("C28: split segments are not collected", "[caching]") {
  rig<fixed_policy> r(100 * MiB, {.limit = 100 * MiB, .collect_above = 0.5});
  const allocation a = r.take(5 * MiB);
  const allocation b = r.take(19 * MiB + 512 * KiB);
  const allocation c = r.take(16 * MiB);
  CHECK(r.reserved() == 56 * MiB);
  const allocation d = r.take(20 * MiB);
  CHECK(d);
  CHECK(r.gpu().stats().num_device_free == 0);
  CHECK(r.gpu().stats().num_ooms == 0);
  for (const allocation& x : {a, b, c, d}) r.give(x);
}

TEMPLATE_TEST_CASE("C29: collecting needs no limit: the device's size counts", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r(200 * MiB, {.collect_above = 0.5});
  r.give(r.take(80 * MiB, 0), 0);
  const allocation a = r.take(90 * MiB, 1);
  CHECK(a);
  // 170 MiB would be above the half: what was idle went first
  CHECK(r.reserved() <= 100 * MiB);
  CHECK(r.gpu().stats().num_device_free != 0);
  CHECK(r.gpu().stats().num_alloc_retries == 0);
  r.give(a, 1);
}

TEMPLATE_TEST_CASE("C30: trim gives back what is idle as a whole", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  const allocation live = r.take(5 * MiB);
  r.give(r.take(32 * MiB));
  const std::size_t before = r.reserved();
  const std::size_t went = r.gpu().trim();
  CHECK(r.gpu().is_valid());
  CHECK(r.reserved() + went == before);
  CHECK(r.machine.used() == r.reserved());
  CHECK(r.gpu().stats().num_device_free == 1);
  // growable: the pages of the live piece stay, and none but those
  CHECK(r.reserved() == (is_fixed<TestType> ? 20 : 6) * MiB);
  if (is_fixed<TestType>) CHECK(r.split() == 15 * MiB);
  const allocation again = r.take(32 * MiB);
  CHECK(again);
  r.give(again);
  r.give(live);
}

TEMPLATE_TEST_CASE("trim keeps what it is told, and waits for the work before pages go", "[caching]", fixed_policy,
                   growable_policy) {
  rig<TestType> r;
  std::vector<allocation> all;
  for (std::size_t k = 0; k != 6; ++k) all.push_back(r.take(32 * MiB, k % 3));
  for (std::size_t k = 0; k != 6; ++k) r.give(all[k], k % 3);
  const std::size_t reserved = r.reserved();
  CHECK(r.gpu().trim(reserved) == 0);
  const std::size_t went = r.gpu().trim(64 * MiB);
  CHECK(went != 0);
  CHECK(r.reserved() == reserved - went);
  CHECK(r.gpu().stats().cached_bytes <= 64 * MiB);
  CHECK(r.gpu().trim() == reserved - went);
  CHECK(r.reserved() == 0);
  CHECK(r.machine.used() == 0);
}

TEST_CASE("a segment that the device does not take back stays in use", "[caching]") {
  rig<fixed_policy> r(60 * MiB);
  r.give(r.take(40 * MiB));
  r.machine.fail_always(sim_call::deallocate, device_error::failed);
  CHECK(r.gpu().trim() == 0);
  CHECK(r.gpu().is_valid());
  CHECK_FALSE(r.take(50 * MiB));
  r.machine.clear_faults();
  const allocation a = r.take(50 * MiB);
  CHECK(a);
  r.give(a);
}
