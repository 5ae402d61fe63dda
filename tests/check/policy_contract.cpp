// The suites must see every breach: each policy here has one defect, and the clause that names it must be the one found.
#include <tokenheap/check/policy_contract.hpp>

#include <support/catch.hpp>

#include <string>

#include <tokenheap/policy/limit.hpp>
#include <tokenheap/policy/trace.hpp>

using namespace tokenheap;

namespace {

struct forgets_frees : counters {
  void on_deallocate(std::size_t, std::size_t) noexcept {}
};
struct counts_requests_as_granted : counters {
  void on_allocate(std::size_t requested, std::size_t) noexcept { counters::on_allocate(requested, requested); }
};
struct forgets_refusals : counters {
  void on_failure(std::size_t) noexcept {}
};
struct keeps_pieces_over_a_reset : counters {
  void on_reset() noexcept {}
};

struct counts_refusals : hard_limit {
  counts_refusals() : hard_limit({.limit = 100}) {}
  bool admit(std::size_t bytes) noexcept { return hard_limit::admit(bytes) || ++tries % 2 == 0; }
  int tries = 0;
};
struct never_takes_back : hard_limit {
  never_takes_back() : hard_limit({.limit = 127}) {}
  void take_back(std::size_t) noexcept {}
};
struct wraps_around {
  bool admit(std::size_t bytes) noexcept {
    if (held + bytes > 100) return false;
    held += bytes;
    return true;
  }
  void take_back(std::size_t bytes) noexcept { held -= bytes; }
  bool relieve(std::size_t, bool) noexcept { return false; }
  std::size_t held = 0;
};
struct asks_too_early : hard_limit {
  bool relieve(std::size_t, bool) noexcept { return true; }
};

struct drops_every_other : ring_trace<> {
  void record(const trace_event& e) noexcept {
    if (++seen % 2 == 0) ring_trace<>::record(e);
  }
  int seen = 0;
};
struct forgets_sizes : ring_trace<> {
  void record(const trace_event& e) noexcept { ring_trace<>::record({e.kind, e.address, 0, 0}); }
};

template <class P>
std::string broken_stats() {
  return check_stats<P>().first_broken();
}
template <class P>
std::string broken_limit() {
  P limit;
  return check_limit(limit).first_broken();
}
template <class P>
std::string broken_trace() {
  P trace;
  return check_trace(trace).first_broken();
}

}  // namespace

TEST_CASE("each breach of a policy is found and named", "[check]") {
  CHECK(broken_stats<counters>().empty());
  CHECK(broken_stats<forgets_frees>() == "calls are counted as they come and go");
  CHECK(broken_stats<counts_requests_as_granted>() == "granted bytes are counted as they come and go");
  CHECK(broken_stats<forgets_refusals>() == "each refusal is counted once");
  CHECK(broken_stats<keeps_pieces_over_a_reset>() == "a reset ends what is out");

  CHECK(broken_limit<hard_limit>().empty());
  CHECK(broken_limit<counts_refusals>() == "a refusal changes nothing: the same request is refused again");
  CHECK(broken_limit<never_takes_back>() == "what was taken back is admitted again");
  CHECK(broken_limit<asks_too_early>() == "nobody is asked for room while nothing was refused");

  CHECK(broken_trace<ring_trace<>>().empty());
  CHECK(broken_trace<drops_every_other>() == "every event is counted");
  CHECK(broken_trace<forgets_sizes>() == "an event is kept as it was recorded");
}

TEST_CASE("a sum that wraps is found while something is held", "[check]") {
  wraps_around limit;
  CHECK(std::string(check_limit(limit).first_broken()) == "a sum that no number holds is refused");
}
