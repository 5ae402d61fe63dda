#include <tokenheap/kv/recent_answers.hpp>

#include <support/catch.hpp>

#include <map>
#include <random>

using tokenheap::kv::recent_answer;
using tokenheap::kv::recent_answers;
using tokenheap::kv::tier_key;

TEST_CASE("answers are believed for a time, and what was removed stays removed", "[kv]") {
  recent_answers all;
  CHECK_FALSE(all.open(0, 10));
  REQUIRE(all.open(8, 10));
  const tier_key key{1, 2, 3};
  CHECK(all.of(key, 100) == recent_answer::unknown);
  for (const recent_answer ages : {recent_answer::present, recent_answer::absent}) {
    all.note(key, ages, 100);
    CHECK(all.of(key, 110) == ages);
    CHECK(all.of(key, 111) == recent_answer::unknown);
  }
  for (const recent_answer stays : {recent_answer::asking, recent_answer::removed}) {
    all.note(key, stays, 100);
    CHECK(all.of(key, 1'000'000) == stays);
  }
  all.note(key, recent_answer::unknown, 100);
  CHECK(all.of(key, 100) == recent_answer::unknown);
  CHECK(all.of({1, 2, 4}, 100) == recent_answer::unknown);
  CHECK(all.is_valid());
}

TEST_CASE("the name that was noted first makes way", "[kv]") {
  recent_answers all;
  REQUIRE(all.open(4, 10));
  for (std::uint64_t k = 0; k != 6; ++k) all.note({k, 0, 0}, recent_answer::present, 0);
  for (std::uint64_t k = 0; k != 6; ++k)
    CHECK(all.of({k, 0, 0}, 0) == (k < 2 ? recent_answer::unknown : recent_answer::present));
  CHECK(all.is_valid());
}

TEST_CASE("never an answer that was not given", "[kv]") {
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  recent_answers all;
  REQUIRE(all.open(16, 50));
  std::map<std::uint64_t, std::pair<recent_answer, std::uint64_t>> model;
  for (std::uint64_t now = 0; now != 3000; ++now) {
    const std::uint64_t name = random() % 40;
    const tier_key key{name, ~name, 0};
    if (random() % 2 == 0) {
      const auto what = static_cast<recent_answer>(random() % 5);
      all.note(key, what, now);
      model[name] = {what, now};
      CHECK(all.of(key, now) == what);
    } else if (const recent_answer said = all.of(key, now); said != recent_answer::unknown) {
      CHECK(said == model[name].first);
      const bool ages = said == recent_answer::present || said == recent_answer::absent;
      CHECK((!ages || now - model[name].second <= 50));
    }
    if (now % 64 == 0) REQUIRE(all.is_valid());
  }
}
