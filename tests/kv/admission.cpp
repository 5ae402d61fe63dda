#include <tokenheap/kv/admission.hpp>

#include <support/catch.hpp>

#include <string>

#include <kv/kit.hpp>

using namespace kit;

TEST_CASE("an admission says where all blocks are, in one line and in the words of a failure", "[kv][admission]") {
  auto pool = pool_of(8, 4);
  {
    auto done = opened(pool, count_up(12));
    REQUIRE(done.publish(12) == errc::ok);
  }
  auto runs = opened(pool, count_up(8, 100));
  const auto fits = pool.would_fit(count_up(16));
  CHECK(fits);
  CHECK(fits.found == 3);
  CHECK(fits.need == 1);
  CHECK(fits.room == 3);
  CHECK(fits.longest == 24);
  CHECK(fits.evictable == 3);
  CHECK(fits.live == 2);
  CHECK(pool.stats().cached == 3);

  CHECK(sequence::open(pool, count_up(28)).why().available == 3);
  const auto no = pool.last_refusal();
  CHECK(no.code == errc::out_of_memory);
  CHECK(no.need == 4);
  CHECK(no.why().need == 4);
  CHECK(no.why().limit == 8);
  char line[400];
  tokenheap::kv::describe(no, line, sizeof line);
  CHECK(std::string(line) ==
        "pool 'kv': out of memory: need 4 blocks beside 3 found, room for 3 of 8: free 3, evictable 3, live 2, pinned "
        "0, in "
        "flight 0, reserved 0, watermark 0; longest prompt that fits: 24 tokens; fix: shorten the prompt by the "
        "missing blocks, "
        "close a sequence, or open a larger pool");
  char few[10];
  CHECK(tokenheap::kv::describe(no, few, sizeof few) == 9);
}

TEST_CASE("what can never fit says so, and a look agrees with the call", "[kv][admission]") {
  auto pool = pool_of(4, 4);
  const auto no = pool.would_fit(count_up(17));
  CHECK(no.code == errc::too_large);
  CHECK(no.longest == 16);
  CHECK(pool.would_fit(count_up(16), {.lookahead = 1}).code == errc::too_large);
  CHECK(pool.would_fit(count_up(1), {.lookahead = ~std::size_t{0}}).code == errc::size_overflow);
  CHECK(pool.would_fit(count_up(4), {.expected_tokens = 17}));
  CHECK(pool.would_fit(count_up(4), {.expected_tokens = 17, .fit = kv::admit::whole}).code == errc::too_large);
  for (std::size_t n = 1; n < 20; ++n) {
    auto made = sequence::open(pool, count_up(n));
    const auto code = made.error();
    if (made) made->close();
    CHECK(pool.would_fit(count_up(n)).code == code);
  }
  auto other = pool_of(2, 4);
  auto moved = std::move(other);
  CHECK(other.would_fit(count_up(1)).code == errc::not_open);
  CHECK(other.last_refusal().code == errc::not_open);
}
