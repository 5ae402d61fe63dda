#include <tokenheap/device/sim_shadow.hpp>

#include <support/catch.hpp>

#include <array>
#include <map>
#include <random>

using namespace tokenheap;

namespace {

// three actors that know nothing of each other, unless told
struct actors {
  std::array<sim_clock, 3> clock;
  sim_shadow shadow;
  sim_conflict last;

  bool touch(std::uint32_t who, std::uintptr_t begin, std::size_t bytes, bool writes) {
    const sim_epoch now{who, clock[who].advance(who), static_cast<std::uint8_t>(who)};
    last = {};
    return writes ? shadow.write(begin, bytes, now, clock[who], last) : shadow.read(begin, bytes, now, clock[who], last);
  }
  bool write(std::uint32_t who, std::uintptr_t begin, std::size_t bytes) { return touch(who, begin, bytes, true); }
  bool read(std::uint32_t who, std::uintptr_t begin, std::size_t bytes) { return touch(who, begin, bytes, false); }
  void order(std::uint32_t from, std::uint32_t to) { clock[to].join(clock[from]); }
};

}  // namespace

TEST_CASE("two accesses conflict if one writes and nothing orders them", "[device]") {
  const bool first_writes = GENERATE(false, true);
  const bool second_writes = GENERATE(false, true);
  const bool ordered = GENERATE(false, true);
  actors a;
  REQUIRE(a.touch(0, 100, 50, first_writes));
  if (ordered) a.order(0, 1);
  REQUIRE(a.touch(1, 120, 10, second_writes) == (ordered || (!first_writes && !second_writes)));
  if (a.last.bytes != 0) {
    REQUIRE(a.last.begin == 120);
    REQUIRE(a.last.bytes == 10);
    REQUIRE(a.last.first.dimension == 0);
    REQUIRE(a.last.first_writes == first_writes);
  }
}

TEST_CASE("an access conflicts with itself never, and with its neighbours never", "[device]") {
  actors a;
  REQUIRE(a.write(0, 100, 50));
  REQUIRE(a.write(0, 100, 50));
  REQUIRE(a.read(0, 90, 70));
  REQUIRE(a.write(1, 50, 40));
  REQUIRE(a.write(1, 160, 40));
  REQUIRE_FALSE(a.write(1, 159, 1));
  REQUIRE((a.last.begin == 159 && a.last.bytes == 1));
}

TEST_CASE("a write must be ordered behind every reader", "[device]") {
  actors a;
  REQUIRE(a.read(0, 0, 64));
  REQUIRE(a.read(1, 0, 64));
  a.order(0, 2);
  REQUIRE_FALSE(a.write(2, 0, 64));
  REQUIRE(a.last.first.dimension == 1);
  actors b;
  REQUIRE(b.read(0, 0, 64));
  REQUIRE(b.read(1, 0, 64));
  b.order(0, 2);
  b.order(1, 2);
  REQUIRE(b.write(2, 0, 64));
}

TEST_CASE("a reader that another one follows in order says nothing more", "[device]") {
  actors a;
  REQUIRE(a.read(0, 0, 64));
  a.order(0, 1);
  REQUIRE(a.read(1, 0, 64));
  a.order(1, 2);
  REQUIRE(a.write(2, 0, 64));
}

TEST_CASE("fresh bytes were touched by nobody", "[device]") {
  actors a;
  REQUIRE(a.write(0, 0, 100));
  a.shadow.forget(20, 30);
  REQUIRE(a.write(1, 20, 30));
  REQUIRE_FALSE(a.read(1, 0, 20));
  REQUIRE((a.last.begin == 0 && a.last.bytes == 20));
  REQUIRE_FALSE(a.read(1, 50, 50));
  REQUIRE((a.last.begin == 50 && a.last.bytes == 50));
  a.shadow.clear();
  REQUIRE(a.shadow.ranges() == 0);
}

TEST_CASE("ranges that one write covers grow together again", "[device]") {
  actors a;
  for (std::uintptr_t k = 0; k != 100; ++k) REQUIRE(a.write(0, 1000 + 10 * k, 10));
  REQUIRE(a.shadow.ranges() == 100);
  REQUIRE(a.write(0, 1000, 1000));
  REQUIRE(a.shadow.ranges() == 1);
  REQUIRE(a.read(0, 1000, 1000));
  REQUIRE(a.shadow.ranges() == 1);
}

// the same rules, byte by byte, with everything remembered
TEST_CASE("the shadow agrees with a model that forgets nothing", "[device]") {
  struct touched {
    sim_epoch who;
    bool writes;
  };
  const unsigned seed = GENERATE(range(1u, 41u));
  CAPTURE(seed);
  std::mt19937 random(seed);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  actors a;
  std::map<std::uintptr_t, std::vector<touched>> model;
  std::array<std::size_t, 2> answers{};
  for (int step = 0; step != 400; ++step) {
    const std::uint32_t who = below(3);
    // orders come often, so that both answers do
    if (below(2) == 0) a.order(who, below(3));
    const std::uintptr_t begin = below(24);
    const std::size_t bytes = 1 + below(8);
    const bool writes = below(3) == 0;
    if (below(20) == 0) {
      a.shadow.forget(begin, bytes);
      for (std::size_t k = 0; k != bytes; ++k) model.erase(begin + k);
    }
    bool clean = true;
    for (std::size_t k = 0; k != bytes; ++k) {
      for (const touched& t : model[begin + k]) clean = clean && (!(t.writes || writes) || a.clock[who].covers(t.who));
    }
    const sim_epoch now{who, a.clock[who][who] + 1, 0};
    // after a conflict the model goes on from the write alone, as the shadow does
    for (std::size_t k = 0; k != bytes; ++k) {
      if (writes) model[begin + k].clear();
      model[begin + k].push_back({now, writes});
    }
    REQUIRE(a.touch(who, begin, bytes, writes) == clean);
    ++answers[clean ? 1 : 0];
  }
  REQUIRE((answers[0] > 20 && answers[1] > 20));
}
