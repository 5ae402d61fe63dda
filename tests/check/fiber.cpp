#include <tokenheap/check/fiber.hpp>

#include <support/catch.hpp>

#include <cfenv>
#include <cstring>

using namespace tokenheap;

namespace {

struct ping_pong {
  fiber here;
  fiber there;
  int rounds = 0;
  bool on_own_stack = false;
  double sum = 0;
};

void count_rounds(void* argument) noexcept {
  auto& game = *static_cast<ping_pong*>(argument);
  char local[256];
  std::memset(local, 7, sizeof local);
  game.on_own_stack = game.there.holds(local) && !game.here.holds(local);
  for (double k = 1;; k += 1) {
    ++game.rounds;
    game.sum += k + local[17] - 7;
    game.there.switch_to(game.here);
  }
}

}  // namespace

TEST_CASE("a fiber keeps its locals over switches and runs on its own stack", "[check]") {
  ping_pong game;
  REQUIRE(game.there.open(64 * KiB));
  game.there.start(&count_rounds, &game);
  double expected = 0;
  for (int k = 1; k <= 1000; ++k) {
    game.here.switch_to(game.there);
    expected += k;
    REQUIRE(game.rounds == k);
  }
  CHECK(game.sum == expected);
  CHECK(game.on_own_stack);
  int local = 0;
  CHECK_FALSE(game.there.holds(&local));
}

TEST_CASE("a fiber that is started again forgets where it was", "[check]") {
  ping_pong game;
  REQUIRE(game.there.open(64 * KiB));
  for (int k = 1; k <= 100; ++k) {
    game.there.start(&count_rounds, &game);
    game.sum = 0;
    game.here.switch_to(game.there);
    game.here.switch_to(game.there);
    CHECK(game.rounds == 2 * k);
    CHECK(game.sum == 3);  // 1 + 2: the loop began anew
  }
}

namespace {

struct ring {
  fiber home;
  fiber members[3];
  int order[9] = {};
  int passed = 0;
};

template <int Member>
void pass_on(void* argument) noexcept {
  auto& r = *static_cast<ring*>(argument);
  for (;;) {
    r.order[r.passed++] = Member;
    fiber& next = r.passed == 9 ? r.home : r.members[(Member + 1) % 3];
    r.members[Member].switch_to(next);
  }
}

}  // namespace

TEST_CASE("fibers hand over to each other without going home in between", "[check]") {
  ring r;
  for (fiber& f : r.members) REQUIRE(f.open(32 * KiB));
  r.members[0].start(&pass_on<0>, &r);
  r.members[1].start(&pass_on<1>, &r);
  r.members[2].start(&pass_on<2>, &r);
  r.home.switch_to(r.members[0]);
  REQUIRE(r.passed == 9);
  for (int k = 0; k != 9; ++k) CHECK(r.order[k] == k % 3);
}

TEST_CASE("a stack is opened once, with a size that makes sense", "[check]") {
  fiber f;
  CHECK_FALSE(f.open(2 * GiB));
  CHECK(f.stack_bytes() == 0);
  REQUIRE(f.open(1));
  CHECK(f.stack_bytes() == 16 * KiB);
  CHECK_FALSE(f.open(64 * KiB));
}

namespace {

struct rounding {
  fiber here;
  fiber there;
  int seen = -1;
};

void change_rounding(void* argument) noexcept {
  auto& r = *static_cast<rounding*>(argument);
  r.seen = std::fegetround();
  std::fesetround(FE_UPWARD);
  r.there.switch_to(r.here);
  r.seen = std::fegetround();
  r.there.switch_to(r.here);
  __builtin_trap();
}

}  // namespace

TEST_CASE("the rounding mode belongs to the fiber", "[check]") {
  rounding r;
  REQUIRE(r.there.open(32 * KiB));
  r.there.start(&change_rounding, &r);
  r.here.switch_to(r.there);
  CHECK(r.seen == FE_TONEAREST);
  CHECK(std::fegetround() == FE_TONEAREST);
  r.here.switch_to(r.there);
  CHECK(r.seen == FE_UPWARD);
  CHECK(std::fegetround() == FE_TONEAREST);
}
