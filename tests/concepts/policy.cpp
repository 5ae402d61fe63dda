#include <tokenheap/concepts/policy.hpp>

#include <support/catch.hpp>

#include <mutex>

using namespace tokenheap;

// near-misses: each type has one defect, and the concept must see it
namespace {

// lockable
struct good_lock {
  void lock() noexcept {}
  void unlock() noexcept {}
};
struct lock_throws {
  void lock();
  void unlock() noexcept;
};
struct unlock_is_missing {
  void lock() noexcept;
};
struct lock_answers {
  bool lock() noexcept;
  void unlock() noexcept;
};
struct unlock_throws {
  void lock() noexcept;
  void unlock();
};
static_assert(lockable<good_lock> && !lockable<lock_throws> && !lockable<unlock_is_missing> && !lockable<lock_answers>);
static_assert(!lockable<unlock_throws> && !lockable<const good_lock>);
static_assert(!lockable<std::mutex>, "std::mutex::lock may throw; mutex_lock is the wrapped one");

// stats_policy
struct good_stats {
  void on_allocate(std::size_t, std::size_t) noexcept {}
  void on_deallocate(std::size_t, std::size_t) noexcept {}
  void on_failure(std::size_t) noexcept {}
  void on_reset() noexcept {}
};
struct counts_one_number {
  void on_allocate(std::size_t) noexcept;
  void on_deallocate(std::size_t, std::size_t) noexcept;
  void on_failure(std::size_t) noexcept;
  void on_reset() noexcept;
};
struct counts_no_failures {
  void on_allocate(std::size_t, std::size_t) noexcept;
  void on_deallocate(std::size_t, std::size_t) noexcept;
  void on_reset() noexcept;
};
struct counts_no_resets {
  void on_allocate(std::size_t, std::size_t) noexcept;
  void on_deallocate(std::size_t, std::size_t) noexcept;
  void on_failure(std::size_t) noexcept;
};
struct counting_may_throw {
  void on_allocate(std::size_t, std::size_t) noexcept;
  void on_deallocate(std::size_t, std::size_t);
  void on_failure(std::size_t) noexcept;
  void on_reset() noexcept;
};
struct remembering : good_stats {
  static constexpr bool remembers_requests = true;
};
struct forgetting : good_stats {
  static constexpr bool remembers_requests = false;
};
struct remembers_but_counts_nothing {
  [[maybe_unused]] static constexpr bool remembers_requests = true;
};
static_assert(stats_policy<good_stats> && !stats_policy<counts_one_number> && !stats_policy<counts_no_failures>);
static_assert(!stats_policy<counts_no_resets> && !stats_policy<counting_may_throw>);
static_assert(remembers_requests<remembering> && !remembers_requests<good_stats> && !remembers_requests<forgetting>);
static_assert(!remembers_requests<remembers_but_counts_nothing>);

// limit_policy
struct good_limit {
  bool admit(std::size_t) noexcept { return true; }
  void take_back(std::size_t) noexcept {}
  bool relieve(std::size_t, bool) noexcept { return false; }
};
struct admits_silently {
  void admit(std::size_t) noexcept;
  void take_back(std::size_t) noexcept;
  bool relieve(std::size_t, bool) noexcept;
};
struct never_takes_back {
  bool admit(std::size_t) noexcept;
  bool relieve(std::size_t, bool) noexcept;
};
struct relieves_without_a_word {
  bool admit(std::size_t) noexcept;
  void take_back(std::size_t) noexcept;
  void relieve(std::size_t, bool) noexcept;
};
struct relieve_throws {
  bool admit(std::size_t) noexcept;
  void take_back(std::size_t) noexcept;
  bool relieve(std::size_t, bool);
};
static_assert(limit_policy<good_limit> && !limit_policy<admits_silently> && !limit_policy<never_takes_back>);
static_assert(!limit_policy<relieves_without_a_word> && !limit_policy<relieve_throws>);

// guard_policy
struct good_guard {
  void on_misuse(const failure&) const noexcept {}
};
struct misuse_is_not_const {
  void on_misuse(const failure&) noexcept;
};
struct misuse_throws {
  void on_misuse(const failure&) const;
};
struct misuse_takes_a_code {
  void on_misuse(errc) const noexcept;
};
struct misuse_answers {
  bool on_misuse(const failure&) const noexcept;
};
static_assert(guard_policy<good_guard> && !guard_policy<misuse_is_not_const> && !guard_policy<misuse_throws>);
static_assert(!guard_policy<misuse_takes_a_code> && !guard_policy<misuse_answers>);

// trace_policy
struct good_trace {
  void record(const trace_event&) noexcept {}
};
struct records_and_throws {
  void record(const trace_event&);
};
struct records_with_an_answer {
  bool record(const trace_event&) noexcept;
};
struct records_kinds {
  void record(trace_kind) noexcept;
};
static_assert(trace_policy<good_trace> && !trace_policy<records_and_throws> && !trace_policy<records_with_an_answer>);
static_assert(!trace_policy<records_kinds>);

// allocator_policy: a bundle that names all five
struct good_bundle {
  using lock = good_lock;
  using stats = good_stats;
  using limit = good_limit;
  using guard = good_guard;
  using trace = good_trace;
};
struct bundle_with_a_bad_lock : good_bundle {
  using lock = lock_throws;
};
struct bundle_with_swapped_parts : good_bundle {
  using stats = good_limit;
};
struct bundle_without_a_trace {
  using lock = good_lock;
  using stats = good_stats;
  using limit = good_limit;
  using guard = good_guard;
};
static_assert(allocator_policy<good_bundle> && !allocator_policy<bundle_with_a_bad_lock>);
static_assert(!allocator_policy<bundle_with_swapped_parts> && !allocator_policy<bundle_without_a_trace>);
static_assert(!allocator_policy<int>);

static_assert(column_policy<good_lock> && column_policy<good_stats> && column_policy<good_limit>);
static_assert(column_policy<good_guard> && column_policy<good_trace> && !column_policy<good_bundle>);
static_assert(!column_policy<int> && !column_policy<lock_throws>);

}  // namespace

TEST_CASE("every question about a policy is asked of a model and of its near-misses", "[concepts]") {
  // the questions are answered while compiling; an event starts as an allocation of nothing
  const trace_event nothing;
  REQUIRE(nothing.kind == trace_kind::allocate);
  REQUIRE(nothing.address == nullptr);
  REQUIRE(nothing.requested + nothing.granted == 0);
}
