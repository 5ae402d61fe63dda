#include <tokenheap/kv/partial.hpp>

#include <array>
#include <cstdint>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include <support/catch.hpp>
#include <tokenheap/source/host.hpp>

#include <kv/kit.hpp>

using namespace kit;

namespace {

constexpr kv::layout small{.layers = 1, .kv_heads = 1, .head_size = 4, .block_tokens = 4};

pool_type with_memory(tokenheap::host_source& below, std::size_t blocks) {
  auto made = pool_type::open({.blocks = blocks, .block_tokens = 4, .name = "partial"}, small, below);
  REQUIRE(made);
  return std::move(*made);
}

sequence partly(pool_type& pool, const std::vector<kv::token>& prompt) {
  auto made = sequence::open(pool, prompt, {.partial = true});
  REQUIRE(made);
  return std::move(*made);
}

// the slot of a token holds its number, in place of a key
void compute(pool_type& pool, const sequence& s, const std::vector<kv::token>& tokens, std::size_t from) {
  const std::size_t slot = small.block_bytes() / 4;
  for (std::size_t at = from; at < tokens.size(); ++at) {
    std::memcpy(static_cast<char*>(pool.data(s.blocks()[at / 4])) + at % 4 * slot, &tokens[at], sizeof(kv::token));
  }
}

bool holds(pool_type& pool, const sequence& s, const std::vector<kv::token>& tokens) {
  const std::size_t slot = small.block_bytes() / 4;
  for (std::size_t at = 0; at < tokens.size(); ++at) {
    kv::token kept = 0;
    std::memcpy(&kept, static_cast<char*>(pool.data(s.blocks()[at / 4])) + at % 4 * slot, sizeof kept);
    if (kept != tokens[at]) return false;
  }
  return true;
}

void remember(pool_type& pool, const std::vector<kv::token>& prompt) {
  auto s = partly(pool, prompt);
  compute(pool, s, prompt, s.cached_tokens());
  REQUIRE(s.publish(prompt.size()) == errc::ok);
}

}  // namespace

TEST_CASE("partial: tokens beyond the last whole block are copied, not shared", "[kv][partial]") {
  tokenheap::host_source below;
  pool_type pool = with_memory(below, 8);
  const auto first = count_up(12);
  remember(pool, first);
  const std::vector<kv::token> second{0, 1, 2, 3, 4, 5, 90, 91, 92};
  auto s = partly(pool, second);
  CHECK(s.cached_tokens() == 6);
  CHECK(s.published_tokens() == 4);
  CHECK(pool.references(s.blocks()[1]) == 1);
  compute(pool, s, second, 6);
  CHECK(holds(pool, s, second));
  // what was copied from is untouched and found as before
  auto again = partly(pool, first);
  CHECK(again.cached_tokens() == 11);
  compute(pool, again, first, 11);
  CHECK(holds(pool, again, first));
  CHECK(pool.is_valid());
}

TEST_CASE("37: one equal token is reused; a prompt of one token reuses none", "[kv][partial][scenario]") {
  tokenheap::host_source below;
  pool_type pool = with_memory(below, 8);
  remember(pool, {0, 7, 7, 7});
  CHECK(partly(pool, std::vector<kv::token>(31, 0)).cached_tokens() == 1);
  CHECK(partly(pool, {0}).cached_tokens() == 0);
  CHECK(partly(pool, {1, 7, 7, 7, 7}).cached_tokens() == 0);
}

TEST_CASE("partial: nothing is copied without memory, without leave, or across keys", "[kv][partial]") {
  tokenheap::host_source below;
  pool_type pool = with_memory(below, 8);
  remember(pool, count_up(8));
  const std::vector<kv::token> prompt{0, 1, 2, 3, 4, 99};
  CHECK(sequence::open(pool, prompt)->cached_tokens() == 4);
  CHECK(sequence::open(pool, prompt, {.read_cache = false, .partial = true})->cached_tokens() == 0);
  CHECK(sequence::open(pool, prompt, {.key = {.adapter = 1}, .partial = true})->cached_tokens() == 0);
  CHECK(sequence::open(pool, std::vector<kv::token>{}, {.partial = true})->cached_tokens() == 0);
  auto ids = pool_type::open({.blocks = 8, .block_tokens = 4});
  REQUIRE(ids);
  auto s = sequence::open(*ids, count_up(8));
  REQUIRE(s->publish(8) == errc::ok);
  CHECK(sequence::open(*ids, prompt, {.partial = true})->cached_tokens() == 4);
}

TEST_CASE("partial: a block that has to leave to make room is taken as it is, unless others follow it",
          "[kv][partial]") {
  tokenheap::host_source below;
  for (const auto& [kept, reused] : {std::pair{4u, 2u}, {12u, 0u}}) {
    pool_type pool = with_memory(below, 3);
    remember(pool, count_up(kept));
    const std::vector<kv::token> prompt{0, 1, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99};
    auto s = partly(pool, prompt);
    CHECK(s.cached_tokens() == reused);
    compute(pool, s, prompt, reused);
    CHECK(holds(pool, s, prompt));
    CHECK(pool.stats().live == 3);
    CHECK(pool.is_valid());
  }
}

TEST_CASE("partial: random prompts hold what was computed for their tokens", "[kv][partial]") {
  tokenheap::host_source below;
  pool_type pool = with_memory(below, 24);
  const std::uint64_t seed = 33;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  std::size_t copied = 0;
  for (int round = 0; round < 4000; ++round) {
    std::vector<kv::token> prompt(1 + random() % 20);
    for (kv::token& t : prompt) t = static_cast<kv::token>(random() % 3);
    auto s = partly(pool, prompt);
    copied += s.cached_tokens() % 4 != 0;
    // slots differ by their token alone: a wrong copy shows
    compute(pool, s, prompt, s.cached_tokens());
    REQUIRE(holds(pool, s, prompt));
    REQUIRE(s.publish(prompt.size()) == errc::ok);
  }
  CHECK(copied > 500);
  CHECK(pool.stats().live == 0);
  CHECK(pool.is_valid());
}

TEST_CASE("33 to 35: the last block of a request is found by its first tokens", "[kv][partial][scenario]") {
  tokenheap::host_source below;
  pool_type pool = with_memory(below, 8);
  const auto prompt = [](std::size_t n) { return count_up(n); };
  {
    // 33: 9 tokens and two more; the last one was decided on and never computed
    auto s = partly(pool, prompt(9));
    CHECK(ids_of(s) == ids{0, 1, 2});
    const kv::token two[] = {9, 10};
    REQUIRE(s.append(two) == errc::ok);
    compute(pool, s, prompt(11), 0);
    REQUIRE(s.publish(10) == errc::ok);
  }
  CHECK(pool.stats().cached == 3);  // 35: the third holds 8, 9 and 10, and is found by 8 and 9
  {
    auto s = partly(pool, prompt(9));
    CHECK(s.cached_tokens() == 8);
    CHECK(ids_of(s) == ids{0, 1, 3});
    compute(pool, s, prompt(9), 8);
    REQUIRE(s.publish(9) == errc::ok);
  }
  CHECK(pool.stats().cached == 3);  // the duplicate is dropped
  CHECK(pool.is_valid());
  {
    // 34
    auto s = partly(pool, prompt(10));
    CHECK(s.cached_tokens() == 9);
    CHECK(ids_of(s) == ids{0, 1, 2});
    compute(pool, s, prompt(10), 9);
    CHECK(holds(pool, s, prompt(10)));
    auto other = partly(pool, prompt(11));
    CHECK(other.cached_tokens() == 8);
    CHECK(other.blocks()[2] != 2);
    compute(pool, other, prompt(11), 8);
    REQUIRE(other.publish(11) == errc::ok);
    REQUIRE(other.close() == errc::ok);
    REQUIRE(s.publish(9) == errc::ok);
    REQUIRE(s.close() == errc::ok);  // 8 alone is a duplicate of 8, 9 and 10
  }
  CHECK(pool.stats().cached == 3);
  CHECK(partly(pool, prompt(20)).cached_tokens() == 11);
  CHECK(pool.is_valid());
  {
    // 35: a last block with one token that was not computed leaves nothing
    auto s = partly(pool, joined(prompt(8), {77}));
    compute(pool, s, joined(prompt(8), {77}), 8);
    REQUIRE(s.publish(8) == errc::ok);
  }
  CHECK(pool.stats().cached == 3);
}
