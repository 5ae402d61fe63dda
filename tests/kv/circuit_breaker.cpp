#include <tokenheap/kv/circuit_breaker.hpp>

#include <support/catch.hpp>

namespace kv = tokenheap::kv;
using kv::breaker_state;

namespace {

struct no_clock {
  long now() const noexcept { return 0; }
};
static_assert(!kv::tick_clock<no_clock>);

constexpr kv::breaker_options three{.failures = 3, .wait_ns = 100, .longest_ns = 350};

void fail(kv::circuit_breaker& b, int times, std::uint64_t now) {
  for (int n = 0; n < times; ++n) b.failure(now);
}

}  // namespace

TEST_CASE("a breaker opens after failures in a row and not before", "[kv]") {
  kv::circuit_breaker b(three);
  fail(b, 2, 10);
  CHECK(b.allows(10));
  b.success();
  fail(b, 2, 20);
  CHECK(b.state() == breaker_state::closed);
  b.failure(20);
  CHECK(b.state() == breaker_state::open);
  CHECK(b.opened() == 1);
  CHECK_FALSE(b.allows(20));
  CHECK_FALSE(b.allows(119));
}

TEST_CASE("a breaker lets one trial through when the wait is over", "[kv]") {
  kv::circuit_breaker b(three);
  fail(b, 3, 0);
  CHECK(b.allows(100));
  CHECK(b.state() == breaker_state::half_open);
  CHECK_FALSE(b.allows(100));
  SECTION("its success closes it, and failures count from none") {
    b.success();
    fail(b, 2, 100);
    CHECK(b.state() == breaker_state::closed);
  }
  SECTION("its failure opens it for twice as long, up to the longest wait") {
    b.failure(100);
    CHECK(b.state() == breaker_state::open);
    CHECK_FALSE(b.allows(299));
    CHECK(b.allows(300));
    b.failure(300);
    CHECK_FALSE(b.allows(649));
    CHECK(b.allows(650));
    b.failure(650);
    CHECK_FALSE(b.allows(999));
    CHECK(b.allows(1'000));
    b.success();
    fail(b, 3, 2'000);
    CHECK(b.allows(2'100));  // a success takes the wait back to the first
    CHECK(b.opened() == 5);
  }
}

TEST_CASE("answers that come while a breaker is open change nothing but a success", "[kv]") {
  kv::circuit_breaker b(three);
  fail(b, 3, 0);
  fail(b, 5, 50);
  CHECK(b.opened() == 1);
  CHECK(b.allows(100));
  b.success();
  CHECK(b.allows(100));
  CHECK(b.state() == breaker_state::closed);
}

TEST_CASE("the system's clock does not go back", "[kv]") {
  const kv::monotonic_clock clock;
  const std::uint64_t before = clock.now();
  CHECK(before != 0);
  CHECK(clock.now() >= before);
}
