#include <tokenheap/alloc/caching_core.hpp>

#include "caching_kit.hpp"

using namespace caching_kit;

// Cutting, rounding and merging: what PyTorch's constants come to. Where growable segments differ, it is because pages of
// 2 MiB come one by one: nothing is reserved ahead, and nothing is left over in a segment of 20 MiB.

namespace {

template <class Policy>
constexpr bool is_fixed = Policy::kind_of(memory_class::general) == segment_kind::fixed;

}  // namespace

TEMPLATE_TEST_CASE("C2: sizes are rounded to 512, and above 1 MiB they are large", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  const std::size_t asked[] = {1, 512, 513, 1 * MiB - 1, 1 * MiB, 1 * MiB + 1};
  const std::size_t granted[] = {512, 512, 1024, 1 * MiB, 1 * MiB, 1'049'088};
  allocation all[6];
  for (int k = 0; k != 6; ++k) {
    all[k] = r.take(asked[k]);
    CHECK(all[k].size == granted[k]);
  }
  const device_stats now = r.gpu().stats();
  CHECK(now.small_pool.allocation.current == 5);
  CHECK(now.large_pool.allocation.current == 1);
  CHECK(now.small_pool.reserved_bytes.current == 4 * MiB);
  CHECK(now.large_pool.reserved_bytes.current == (is_fixed<TestType> ? 20 * MiB : 2 * MiB));
  for (const allocation& a : all) r.give(a);
}

TEMPLATE_TEST_CASE("C3: 4096 smallest pieces fill one segment", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  std::vector<allocation> all;
  for (int k = 0; k != 4096; ++k) all.push_back(r.gpu().allocate(r.streams[0], 512));
  CHECK(r.reserved() == 2 * MiB);
  CHECK(r.out() == 2 * MiB);
  CHECK(r.gpu().stats().num_device_alloc == 1);
  all.push_back(r.gpu().allocate(r.streams[0], 512));
  CHECK(r.reserved() == 4 * MiB);
  CHECK(r.gpu().stats().num_device_alloc == 2);
  for (const allocation& a : all) r.gpu().deallocate(r.streams[0], a);
  CHECK(r.gpu().is_valid());
  CHECK(r.out() == 0);
}

TEMPLATE_TEST_CASE("C4: pieces of 1 MiB, two to a segment", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  allocation all[3];
  const std::size_t reserved[] = {2 * MiB, 2 * MiB, 4 * MiB};
  // a growable segment goes on growing where a fixed one is followed by a second
  const std::size_t segments[] = {1, 1, is_fixed<TestType> ? std::size_t{2} : std::size_t{1}};
  for (int k = 0; k != 3; ++k) {
    all[k] = r.take(1 * MiB);
    CHECK(r.reserved() == reserved[k]);
    CHECK(r.gpu().stats().all.segment.current == segments[k]);
  }
  for (const allocation& a : all) r.give(a);
}

TEMPLATE_TEST_CASE("C5: four pieces of 5 MiB fill a segment of 20", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  allocation all[5];
  const std::size_t growable[] = {6, 10, 16, 20, 26};
  for (std::size_t k = 0; k != 5; ++k) {
    all[k] = r.take(5 * MiB);
    CHECK(r.reserved() == (is_fixed<TestType> ? (k < 4 ? 20 : 40) : growable[k]) * MiB);
    if (k == 3) CHECK(r.split() == 0);
  }
  CHECK(r.split() == (is_fixed<TestType> ? 15 * MiB : 0));
  for (const allocation& a : all) r.give(a);
}

TEMPLATE_TEST_CASE("C6, C7: what one request leaves of a segment", "[caching]", fixed_policy, growable_policy) {
  {
    rig<TestType> r;
    const allocation a = r.take(3 * MiB);
    CHECK(r.reserved() == (is_fixed<TestType> ? 20 : 4) * MiB);
    CHECK(r.split() == (is_fixed<TestType> ? 17 * MiB : 0));
    r.give(a);
  }
  rig<TestType> r;
  const allocation a = r.take(19 * MiB + 512 * KiB);
  CHECK(r.reserved() == 20 * MiB);
  CHECK(r.out() == (is_fixed<TestType> ? 20 * MiB : 19 * MiB + 512 * KiB));
  CHECK(r.gpu().stats().all.requested_bytes.current == 19 * MiB + 512 * KiB);
  CHECK(a.size == r.out());
  r.give(a);
}

TEMPLATE_TEST_CASE("C8: from 10 MiB on a segment of its own, in steps of 2 MiB", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  const allocation a = r.take(10'485'759);
  CHECK(r.reserved() == 10 * MiB);
  CHECK(r.split() == 0);
  const allocation b = r.take(10'485'761);
  CHECK(r.reserved() == 22 * MiB);
  CHECK(b.size == 10'486'272);
  CHECK(r.split() == (is_fixed<TestType> ? 12 * MiB - 10'486'272 : 0));
  r.give(a);
  r.give(b);
}

TEMPLATE_TEST_CASE("C9: neighbours merge at once", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  const allocation a = r.take(5 * MiB);
  const allocation b = r.take(5 * MiB);
  const allocation d = r.take(5 * MiB);
  const std::size_t calls = r.gpu().stats().num_device_alloc;
  // the piece that came back last is warm: it is merged, and counted as split, at the next use of its shelf
  r.give(a);
  if (is_fixed<TestType>) CHECK(r.split() + r.gpu().stats().warm_bytes == 10 * MiB);
  r.give(b);
  if (is_fixed<TestType>) CHECK(r.split() + r.gpu().stats().warm_bytes == 15 * MiB);
  const allocation e = r.take(10 * MiB);
  CHECK(e.data == a.data);
  CHECK(r.gpu().stats().num_device_alloc == calls);
  if (is_fixed<TestType>) CHECK(calls == 1);
  r.give(d);
  r.give(e);
}

TEMPLATE_TEST_CASE("C10: nothing merges across a live piece", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  allocation all[4];
  for (allocation& a : all) a = r.take(5 * MiB);
  r.give(all[0]);
  r.give(all[2]);
  const allocation six = r.take(6 * MiB);
  CHECK(six);
  for (const allocation& a : all) CHECK(six.data != a.data);
  // fixed: a second segment. growable: the segment grows by what is missing
  CHECK(r.reserved() == (is_fixed<TestType> ? 40 : 26) * MiB);
  CHECK(r.gpu().stats().cached_bytes == (is_fixed<TestType> ? 24 : 10) * MiB);
  r.give(all[1]);
  r.give(all[3]);
  r.give(six);
}

TEMPLATE_TEST_CASE("C17: a free piece does not merge with a pending one", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  const allocation a = r.take(5 * MiB);
  const allocation b = r.take(5 * MiB);
  const allocation c = r.take(5 * MiB);
  CHECK(address_of(b.data) == address_of(a.data) + 5 * MiB);
  CHECK(r.gpu().record_stream(b, r.streams[1]) == errc::ok);
  r.follow(1, 0);
  CHECK(r.device.launch_read(r.streams[1], b.data, b.size));
  r.give(b);
  r.give(a);
  const allocation ten = r.take(10 * MiB);
  CHECK(ten.data != a.data);
  CHECK(r.gpu().stats().pending_bytes == 5 * MiB);
  r.give(c);
  r.give(ten);
}

TEST_CASE("C23, C24: large pieces are kept whole where that is asked", "[caching]") {
  {
    rig<fixed_policy> r(8 * GiB, {.max_split = 40 * MiB});
    r.give(r.take(100 * MiB));
    const allocation a = r.take(20 * MiB);
    CHECK(r.reserved() == 120 * MiB);
    const allocation b = r.take(90 * MiB);
    CHECK(b.size == 100 * MiB);
    CHECK(r.out() == 120 * MiB);
    CHECK(r.reserved() == 120 * MiB);
    r.give(a);
    r.give(b);
  }
  const std::size_t asked[] = {79 * MiB, 80 * MiB, 82 * MiB};
  for (const std::size_t bytes : asked) {
    rig<fixed_policy> r(8 * GiB, {.max_split = 40 * MiB, .max_rounding = 20 * MiB});
    const allocation first = r.take(100 * MiB);
    r.give(first);
    const allocation a = r.take(bytes);
    CHECK((a.data == first.data) == (bytes == 82 * MiB));
    r.give(a);
  }
  // growable segments are cut and merged page by page: keeping pieces whole is no use there
  rig<growable_policy> r(8 * GiB, {.max_split = 40 * MiB});
  r.give(r.take(100 * MiB));
  const allocation a = r.take(20 * MiB);
  CHECK(r.reserved() == 100 * MiB);
  r.give(a);
}

TEMPLATE_TEST_CASE("C34: small and large requests do not share", "[caching]", fixed_policy, growable_policy) {
  rig<TestType> r;
  r.give(r.take(2 * MiB));
  const allocation a = r.take(512 * KiB);
  CHECK(r.reserved() == (is_fixed<TestType> ? 22 : 4) * MiB);
  r.give(a);
}

TEMPLATE_TEST_CASE("C35: sizes in steps of a doubling", "[caching]", fixed_policy, growable_policy) {
  const auto granted = [](unsigned divisions, std::size_t bytes) {
    rig<TestType> r(8 * GiB, {.divisions = divisions});
    const allocation a = r.take(bytes);
    r.give(a);
    return a.size;
  };
  CHECK(granted(4, 33 * MiB) == 40 * MiB);
  CHECK(granted(4, 84 * MiB) == 96 * MiB);
  CHECK(granted(8, 33 * MiB) == 36 * MiB);
  CHECK(granted(8, 84 * MiB) == 88 * MiB);
  CHECK(granted(4, 64 * MiB) == 64 * MiB);
}

TEMPLATE_TEST_CASE("RMM 8: what is granted is never less than asked, and never shrinks as requests grow", "[caching]",
                   fixed_policy, growable_policy) {
  rig<TestType> r;
  std::size_t before = 0;
  for (std::size_t bytes = 1; bytes <= 256 * KiB; bytes += 511) {
    const allocation a = r.gpu().allocate(r.streams[0], bytes);
    CHECK(a.size >= bytes);
    CHECK(a.size < bytes + 512);
    CHECK(a.size >= before);
    before = a.size;
    r.gpu().deallocate(r.streams[0], a);
  }
  CHECK(r.gpu().is_valid());
}
