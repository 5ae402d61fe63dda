#include <tokenheap/check/verdict.hpp>

#include <support/catch.hpp>

#include <string>

using namespace tokenheap;

TEST_CASE("a verdict without checks proves nothing", "[check]") {
  const verdict v;
  REQUIRE_FALSE(v);
  REQUIRE(v.checks() == 0);
  REQUIRE(v.failures() == 0);
  REQUIRE(std::string(v.first_broken()).empty());
}

TEST_CASE("a verdict counts and remembers the first broken clause", "[check]") {
  verdict v;
  v.expect(true, "never shown", 1);
  REQUIRE(v);
  v.expect(false, "first", 7);
  v.expect(false, "second", 8);
  v.expect(true, "never shown", 9);
  REQUIRE_FALSE(v);
  REQUIRE(v.checks() == 4);
  REQUIRE(v.failures() == 2);
  REQUIRE(std::string(v.first_broken()) == "first");
  REQUIRE(v.broken_with() == 7);
}

TEST_CASE("verdicts add up; the first broken clause stays the first", "[check]") {
  verdict good;
  good.expect(true, "fine");
  verdict bad;
  bad.expect(false, "bad", 3);
  verdict worse;
  worse.expect(false, "worse", 4);

  good += bad;
  REQUIRE(std::string(good.first_broken()) == "bad");
  good += worse;
  REQUIRE(std::string(good.first_broken()) == "bad");
  REQUIRE(good.broken_with() == 3);
  REQUIRE(good.checks() == 3);
  REQUIRE(good.failures() == 2);
}

TEST_CASE("the numbers of the suites are the same on every machine", "[check]") {
  contract_random random(1);
  REQUIRE(random.next() == 0x910A2DEC89025CC1u);
  REQUIRE(contract_random(1).next() != contract_random(2).next());
  for (int k = 0; k != 1000; ++k) REQUIRE(random.below(7) < 7);
  REQUIRE(random.below(1) == 0);
  STATIC_REQUIRE(log2_of(1) == 0);
  STATIC_REQUIRE(log2_of(2) == 1);
  STATIC_REQUIRE(log2_of(4095) == 11);
  STATIC_REQUIRE(log2_of(~std::size_t{0}) == 63);
}
