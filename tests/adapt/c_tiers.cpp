#include <tokenheap/adapt/c_tiers.hpp>

#include <support/catch.hpp>

#include <string>

#include "c_kit.hpp"

using namespace tokenheap;
using namespace tokenheap::adapt;
using namespace c_kit;

TEST_CASE("batches of a tier of C are known by their tickets") {
  host tier("tier", "", nullptr);
  open(tier, 4, 2);
  unsigned char block[bytes] = {1};
  const th_block_name name = name_of(1);
  const th_block_span span{block, bytes};
  std::uint64_t one = 0, two = 0, three = 0;
  REQUIRE(tier.prepare(c_tier::way::store, &name, &span, 1, one) == th_ok);
  REQUIRE(tier.prepare(c_tier::way::load, &name, &span, 1, two) == th_ok);
  REQUIRE(tier.prepare(c_tier::way::load, &name, &span, 1, three) == th_in_use);
  REQUIRE((tier.in_flight() == 2 && one != two && three == 0));
  kv::tier_answer answer{};
  std::size_t hits = 0;
  bool done = false;
  REQUIRE(tier.poll(one, true, done) == th_ok);
  REQUIRE(done);
  REQUIRE(tier.complete(c_tier::way::load, one, true, &answer, 1, hits) == th_invalid_argument);
  REQUIRE(tier.complete(c_tier::way::store, one, true, &answer, 0, hits) == th_too_large);
  REQUIRE(tier.complete(c_tier::way::store, one, true, &answer, 1, hits) == th_ok);
  REQUIRE((hits == 1 && answer == kv::tier_answer::hit));
  REQUIRE(tier.complete(c_tier::way::store, one, true, &answer, 1, hits) == th_stale_handle);
  REQUIRE(tier.complete(c_tier::way::load, two, true, &answer, 1, hits) == th_ok);
  REQUIRE((hits == 0 && tier.in_flight() == 0 && tier.is_valid()));
  std::size_t gone = 0;
  REQUIRE(tier.remove(&name, 1, gone) == th_ok);
  REQUIRE(gone == 1);
}

TEST_CASE("texts of a tier of C live as long as it does") {
  c_text text;
  {
    const std::string given(5000, 'p');
    REQUIRE(text.keep(given.c_str(), "none"));
  }
  REQUIRE(std::string(text.text()) == std::string(5000, 'p'));
  REQUIRE(text.keep(nullptr, "none"));
  REQUIRE(std::string(text.text()) == "none");
}
