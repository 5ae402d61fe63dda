#include <tokenheap/kv/hybrid_search.hpp>

#include <support/catch.hpp>

#include <random>
#include <vector>

namespace kv = tokenheap::kv;

namespace {

struct shelves {
  std::vector<std::vector<bool>> there;
  bool operator()(std::size_t group, std::size_t at) const noexcept { return at < there[group].size() && there[group][at]; }
};

struct gone {
  std::size_t group, block;
};

// scenario 39: full attention and two windows of 2 blocks, 3 published blocks each
std::size_t hit_without(std::initializer_list<gone> evicted) {
  const std::size_t w = kv::window_blocks(32, 16);
  const kv::search_group groups[] = {{.block_tokens = 16}, {.block_tokens = 16, .last_blocks = w},
                                     {.block_tokens = 16, .last_blocks = w}};
  shelves s{{3, std::vector<bool>(3, true)}};
  for (const auto& e : evicted) s.there[e.group][e.block] = false;
  return kv::hybrid_prefix(groups, 3, 48, s);
}

// the definition, length by length
bool accepts(const kv::search_group& of, const shelves& s, std::size_t g, std::size_t blocks) {
  const std::size_t from = of.last_blocks == 0 || blocks < of.last_blocks ? 0 : blocks - of.last_blocks;
  for (std::size_t at = from; at < blocks; ++at)
    if (!s(g, at)) return false;
  return true;
}

}  // namespace

static_assert(kv::window_blocks(32, 16) == 2);
static_assert(kv::window_blocks(33, 16) == 2);
static_assert(kv::window_blocks(34, 16) == 3);
static_assert(kv::window_blocks(1, 16) == 1);

TEST_CASE("scenario 39: full attention beside two windows", "[kv][hybrid]") {
  CHECK(hit_without({}) == 48);
  CHECK(hit_without({{1, 0}}) == 48);
  CHECK(hit_without({{2, 0}}) == 48);
  CHECK(hit_without({{0, 0}}) == 0);
  for (std::size_t group = 0; group < 3; ++group) CHECK(hit_without({{group, 2}}) == 32);
  CHECK(hit_without({{0, 2}, {1, 0}, {2, 0}}) == 0);
}

TEST_CASE("scenario 40: the last block is dropped once", "[kv][hybrid]") {
  for (unsigned who = 1; who < 8; ++who) {
    CAPTURE(who);
    kv::search_group groups[3];
    for (unsigned g = 0; g < 3; ++g) groups[g] = {.last_blocks = g == 2 ? 2U : 0U, .drop_last = (who >> g & 1) != 0};
    CHECK(kv::hybrid_prefix(groups, 3, 96, shelves{{3, std::vector<bool>(6, true)}}) == 80);
  }
}

TEST_CASE("a state starts only behind a checkpoint", "[kv][hybrid]") {
  const kv::search_group groups[] = {{.block_tokens = 16}, {.block_tokens = 64, .last_blocks = 1}};
  shelves s{{std::vector<bool>(16, true), {true, false, true, false}}};
  CHECK(kv::hybrid_prefix(groups, 2, 256, s) == 192);
  s.there[0][11] = false;
  CHECK(kv::hybrid_prefix(groups, 2, 256, s) == 64);
  s.there[1][0] = false;
  CHECK(kv::hybrid_prefix(groups, 2, 256, s) == 0);
  CHECK(kv::hybrid_prefix(groups, 0, 256, s) == 0);
}

TEST_CASE("the search finds the longest length that the definition allows", "[kv][hybrid]") {
  const unsigned seed = 39;
  CAPTURE(seed);
  std::mt19937 random(seed);
  for (int round = 0; round < 20'000; ++round) {
    CAPTURE(round);
    const std::size_t n = 1 + random() % 4;
    std::vector<kv::search_group> groups(n);
    shelves s;
    for (auto& of : groups) {
      of = {.block_tokens = std::size_t{4} << random() % 3, .last_blocks = random() % 4, .drop_last = random() % 4 == 0};
      s.there.emplace_back();
      for (std::size_t at = 0; at < 96 / of.block_tokens; ++at) s.there.back().push_back(random() % 8 != 0);
    }
    const std::size_t tokens = random() % 97;
    std::size_t best = 0;
    for (std::size_t length = 1; length <= tokens; ++length) {
      bool all = true;
      for (std::size_t g = 0; g < n; ++g) {
        const std::size_t b = groups[g].block_tokens, blocks = length / b;
        all = all && length % b == 0 && accepts(groups[g], s, g, blocks);
        if (groups[g].drop_last) all = all && (blocks + 1) * b <= tokens && s(g, blocks);
      }
      if (all) best = length;
    }
    REQUIRE(kv::hybrid_prefix(groups.data(), n, tokens, s) == best);
  }
}
