#include <tokenheap/policy/limit.hpp>

#include <support/catch.hpp>

#include <thread>

using namespace tokenheap;

namespace {

constexpr std::size_t all = ~std::size_t{0};

struct calls {
  std::size_t count = 0;
  std::size_t bytes = 0;
  bool answer = true;
  pressure_callback again{};
  bool again_answered = true;
};

bool note(void* user, std::size_t bytes) noexcept {
  auto& seen = *static_cast<calls*>(user);
  ++seen.count;
  seen.bytes = bytes;
  if (seen.again) seen.again_answered = seen.again(bytes);
  return seen.answer;
}

}  // namespace

TEST_CASE("a hard limit is exact to the byte", "[policy][bad]") {
  hard_limit limit({.limit = 100});
  REQUIRE(limit.admit(60));
  REQUIRE_FALSE(limit.admit(41));
  REQUIRE(limit.held() == 60);
  REQUIRE(limit.admit(40));
  REQUIRE(limit.held() == 100);
  REQUIRE_FALSE(limit.admit(1));
  REQUIRE(limit.admit(0));
  REQUIRE_FALSE(limit.admit(all));
  limit.take_back(1);
  REQUIRE_FALSE(limit.admit(2));
  REQUIRE(limit.admit(1));
}

TEST_CASE("a limit of 0 admits nothing, the default one everything that can be held", "[policy][bad]") {
  hard_limit none({.limit = 0});
  REQUIRE_FALSE(none.admit(1));
  hard_limit unlimited;
  REQUIRE(unlimited.limit() == all);
  REQUIRE(unlimited.admit(all));
  REQUIRE_FALSE(unlimited.admit(1));  // the sum would wrap
  REQUIRE(unlimited.held() == all);
}

TEST_CASE("a limit that is lowered below what is held admits nothing until it is below", "[policy][bad]") {
  hard_limit limit({.limit = 100});
  REQUIRE(limit.admit(80));
  limit.set_limit(50);
  REQUIRE_FALSE(limit.admit(1));
  REQUIRE_FALSE(limit.admit(0));
  limit.take_back(40);
  REQUIRE(limit.admit(10));
  REQUIRE_FALSE(limit.admit(1));
}

TEST_CASE("a hard limit asks its callback only after a refusal", "[policy]") {
  calls seen;
  hard_limit limit({.limit = 10, .on_refusal = {&note, &seen}});
  REQUIRE_FALSE(limit.relieve(5, false));
  REQUIRE(seen.count == 0);
  REQUIRE(limit.relieve(5, true));
  REQUIRE(seen.count == 1);
  REQUIRE(seen.bytes == 5);
  seen.answer = false;
  REQUIRE_FALSE(limit.relieve(6, true));
  REQUIRE(seen.count == 2);
  hard_limit silent({.limit = 10});
  REQUIRE_FALSE(silent.relieve(5, true));
}

TEST_CASE("a callback does not run inside itself, but does in another thread", "[policy]") {
  calls seen;
  const pressure_callback call{&note, &seen};
  seen.again = call;
  REQUIRE(call(7));
  REQUIRE(seen.count == 1);
  REQUIRE_FALSE(seen.again_answered);
  seen.again = {};

  // while this thread is inside, another one may ask on its own
  struct both {
    calls inner;
    bool inner_answered = false;
  } state;
  const pressure_callback asks_elsewhere{[](void* user, std::size_t bytes) noexcept {
                                           auto& s = *static_cast<both*>(user);
                                           std::thread([&] {
                                             s.inner_answered = pressure_callback{&note, &s.inner}(bytes);
                                           }).join();
                                           return true;
                                         },
                                         &state};
  REQUIRE(asks_elsewhere(3));
  REQUIRE(state.inner_answered);
  REQUIRE(state.inner.count == 1);
  REQUIRE_FALSE(pressure_callback{});
}

TEST_CASE("a soft limit grants all and tells of each crossing once", "[policy]") {
  calls seen;
  soft_limit limit({.limit = 100, .on_pressure = {&note, &seen}});
  REQUIRE(limit.admit(100));
  REQUIRE_FALSE(limit.relieve(100, false));
  REQUIRE(limit.crossings() == 0);
  REQUIRE(limit.admit(1));
  REQUIRE_FALSE(limit.relieve(1, false));
  REQUIRE(seen.count == 1);
  REQUIRE(limit.admit(50));
  REQUIRE_FALSE(limit.relieve(50, false));
  REQUIRE(seen.count == 1);
  REQUIRE(limit.crossings() == 1);
  limit.take_back(51);
  REQUIRE(limit.held() == 100);
  REQUIRE(limit.admit(1));
  REQUIRE_FALSE(limit.relieve(1, false));
  REQUIRE(seen.count == 2);
  REQUIRE(limit.crossings() == 2);
}

TEST_CASE("a soft limit refuses only what no number can hold", "[policy][bad]") {
  soft_limit limit({.limit = 10});
  REQUIRE(limit.admit(all - 1));
  REQUIRE_FALSE(limit.admit(2));
  REQUIRE(limit.held() == all - 1);
  REQUIRE(limit.crossings() == 1);
}
