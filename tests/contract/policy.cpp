// Every policy goes through the suite of its concept. A new policy: add its name to the list.
#include <tokenheap/check/policy_contract.hpp>

#include <support/catch.hpp>
#include <support/recorder.hpp>
#include <support/verdict.hpp>

#include <tuple>

#include <tokenheap/alloc/guarded.hpp>
#include <tokenheap/policy/guard.hpp>
#include <tokenheap/policy/limit.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/policy/none.hpp>
#include <tokenheap/policy/trace.hpp>

using namespace tokenheap;

namespace {

template <std::size_t Bytes>
struct limited_to : hard_limit {
  limited_to() : hard_limit({.limit = Bytes}) {}
};

// no_lock keeps nobody out, and says so: it is no model of a lock between threads
using every_lock = std::tuple<spin_lock, mutex_lock>;
using every_stats = std::tuple<no_stats, counters, exact_counters, shared_counters, histogram>;
using every_limit = std::tuple<no_limit, hard_limit, limited_to<0>, limited_to<1>, limited_to<1000>, soft_limit>;
using every_guard = std::tuple<no_guard, report_misuse, guard<>, guard<guard_shape{.canary = 8, .poison = true}>>;
using every_trace = std::tuple<no_trace, ring_trace<>, ring_trace<trace_shape{.events = 1}>,
                               ring_trace<trace_shape{.events = 8192}>>;
using every_layer = std::tuple<no_lock, spin_lock, mutex_lock, no_stats, counters, exact_counters, shared_counters,
                               histogram, no_limit, hard_limit, soft_limit, guard<>, ring_trace<>, no_trace>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("lock contract", "[contract][threads]", every_lock) {
  TestType lock;
  REQUIRE_CONTRACT(check_lockable(lock));
}

TEMPLATE_LIST_TEST_CASE("stats contract", "[contract]", every_stats) {
  for (const std::uint64_t seed : {1u, 2u, 3u}) REQUIRE_CONTRACT(check_stats<TestType>(seed));
}

TEMPLATE_LIST_TEST_CASE("limit contract", "[contract]", every_limit) {
  TestType limit;
  REQUIRE_CONTRACT(check_limit(limit));
}

TEMPLATE_LIST_TEST_CASE("guard contract", "[contract]", every_guard) {
  const support::recorder seen;
  const TestType guard;
  REQUIRE_CONTRACT(check_guard(guard));
  // 17 reasons, each with texts and without; no_guard is the one that says nothing
  REQUIRE(seen.count() == (std::same_as<TestType, no_guard> ? 0 : 34));
}

TEMPLATE_LIST_TEST_CASE("trace contract", "[contract]", every_trace) {
  TestType trace;
  REQUIRE_CONTRACT(check_trace(trace));
}

TEMPLATE_LIST_TEST_CASE("a policy as a layer keeps the promises of the source below", "[contract]", every_layer) {
  REQUIRE_CONTRACT(check_layer<TestType>({.rounds = 300, .largest = 4 * KiB}));
}
