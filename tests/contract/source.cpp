// Every type that claims to be a source goes through the one suite that users run over theirs.
// A new source or layer: add its name to the list.
#include <tokenheap/check/contract.hpp>

#include <support/catch.hpp>
#include <support/sources.hpp>
#include <support/verdict.hpp>

#include <tuple>
#include <vector>

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/magazines.hpp>
#include <tokenheap/alloc/ranges.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/alloc/source_ref.hpp>
#include <tokenheap/policy/limit.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/policy/none.hpp>
#include <tokenheap/policy/stats.hpp>
#include <tokenheap/policy/trace.hpp>
#include <tokenheap/source/fixed.hpp>
#include <tokenheap/source/pages.hpp>

using namespace tokenheap;

namespace {

constexpr std::size_t buffer_size = 4 * MiB;

struct fixed_host : fixed_source {
  fixed_host() : fixed_source({.data = buffer(), .size = buffer_size, .name = "buffer"}) {}
  static void* buffer() {
    static std::vector<std::byte> bytes(buffer_size);
    return bytes.data();
  }
};

/// A reference that brings what it refers to.
struct heap_behind_a_ref : source_ref {
  heap_behind_a_ref() : source_ref(heap()) {}
  static host_source& heap() {
    static host_source one;
    return one;
  }
};

using full_guard = guard<guard_shape{.canary = 16, .quarantine = 64 * KiB, .poison = true, .annotate = true}>;
struct plain_bundle : layered<host_source, arena<>> {};

using column_1 =
    layered<host_source, with<hard_limit>, arena<>, slab<>, with<counters>, with<guard<>>, with<spin_lock>>;
using column_2 =
    layered<host_source, slab<slab_shape{.keep = free_slots::in_place}>, with<exact_counters>, with<ring_trace<>>>;
using column_3 = layered<host_source, with<soft_limit>, slab<>, with<histogram>, with<mutex_lock>>;
using column_4 = layered<support::untouchable_source, arena<>, slab<>, with<guard<guard_shape{.quarantine = 64 * KiB}>>>;
using column_5 = layered<host_source, with<full_guard>>;
using column_6 = layered<host_source, slab<>, with<full_guard>, with<shared_counters>, with<spin_lock>>;
using column_7 = layered<plain_bundle, slab<>, with<counters>>;
using column_8 = layered<heap_behind_a_ref, arena<>, with<full_guard>>;
using column_9 = layered<host_source, with<no_lock>, with<no_stats>, with<no_limit>, with<no_trace>>;

using ranges_on_pages = layered<page_source, ranges<>>;
using ranges_on_device = layered<support::untouchable_source, ranges<>, with<guard<>>>;
using shared_slots = layered<host_source, slab<>, magazines<>, with<shared_counters>>;

using every_source =
    std::tuple<page_source, ranges_on_pages, ranges_on_device, shared_slots, layered<fixed_host, ranges<>>,
               host_source, fixed_host, heap_behind_a_ref, support::counting_source, support::failing_source,
               support::untouchable_source, layered<host_source, arena<>>, layered<host_source, slab<>>,
               layered<fixed_host, arena<>>, layered<fixed_host, slab<>>, layered<host_source, with<guard<>>>,
               column_1, column_2, column_3, column_4, column_5, column_6, column_7, column_8, column_9>;

// what a type cannot promise, in one place
template <class T>
contract_options options_of(std::uint64_t seed) {
  contract_options with{.seed = seed};
  if constexpr (std::same_as<T, fixed_host>) with.room = buffer_size, with.reuses = true;
  if constexpr (std::same_as<T, layered<fixed_host, arena<>>>) with.room = buffer_size, with.reuses = false;
  if constexpr (std::same_as<T, layered<fixed_host, slab<>>>) with.room = buffer_size, with.reuses = true;
  if constexpr (std::same_as<T, layered<fixed_host, ranges<>>>) with.room = buffer_size, with.reuses = true;
  return with;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("source contract", "[contract]", every_source) {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    CAPTURE(seed);
    TestType source;
    REQUIRE_CONTRACT(check_source(source, options_of<TestType>(seed)));
  }
}
