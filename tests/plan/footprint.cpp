#include <tokenheap/plan/footprint.hpp>

#include <support/catch.hpp>

#include <random>

#include "model_kit.hpp"

namespace kv = tokenheap::kv;
namespace plan = tokenheap::plan;
using model_kit::bare;
using tokenheap::GiB;

namespace {

std::vector<std::vector<plan::device_group>> groups(const plan::model& m, const plan::deployment& d) {
  INFO(plan::why_not(m, d));
  REQUIRE(plan::why_not(m, d).empty());
  auto r = plan::groups_of_stages(m, d);
  REQUIRE(r);
  return r.value;
}

}  // namespace

TEST_CASE("a device's block has the layers of its stage and the heads of its rank", "[plan]") {
  plan::deployment d = bare(GiB);
  const plan::model m = model_kit::llama3_70b();
  CHECK(groups(m, d)[0][0].block_bytes == 16 * 327'680);
  CHECK(groups(m, d)[0][0].token_bytes == 327'680);
  d.tensor = 8;
  CHECK(groups(m, d)[0][0].token_bytes == 327'680 / 8);
  d.tensor = 16;  // two ranks keep each head
  CHECK(groups(m, d)[0][0].token_bytes == 327'680 / 8);
  d.pipeline = 3;  // 27, 27 and 26 layers
  CHECK(groups(m, d)[0][0].token_bytes == 4096 / 8 * 27);
  CHECK(groups(m, d)[2][0].token_bytes == 4096 / 8 * 26);
  const plan::model latent = model_kit::deepseek_v3();
  CHECK(groups(latent, d)[0][0].layers == 21);
  CHECK(groups(latent, d)[0][0].token_bytes == 21 * 1152);  // whole on each rank
}

TEST_CASE("a stage without layers of a group does not have it", "[plan]") {
  plan::deployment d = bare(GiB);
  d.pipeline = 8;  // one layer each: the fourth and the last are full, the others have states
  const auto all = groups(model_kit::hybrid(), d);
  for (std::size_t stage = 0; stage < 8; ++stage) {
    REQUIRE(all[stage].size() == 1);
    CHECK(all[stage][0].group == (stage % 4 == 3 ? 0 : 1));
  }
}

TEST_CASE("states are divided by their heads", "[plan]") {
  plan::deployment d = bare(GiB);
  const plan::model m = model_kit::hybrid();
  const std::size_t layer = 3 * 1536 * 2 + 8 * 64 * 64 * 4;
  CHECK(groups(m, d)[0][1].block_bytes == 6 * layer);
  CHECK(groups(m, d)[0][1].token_bytes == 0);
  d.tensor = 2;
  CHECK(groups(m, d)[0][1].block_bytes == 6 * layer / 2);
  d.tensor = 16;
  CHECK(groups(m, d)[0][1].block_bytes == 6 * layer / 8);
  plan::model whole = m;
  whole.groups[1].state_heads = 0;
  CHECK(groups(whole, d)[0][1].block_bytes == 6 * layer);
}

TEST_CASE("a window of 1,024 is 64 blocks where it ends with a block, and 65 on the way", "[plan]") {
  const plan::device_group window = groups(model_kit::gemma3_27b(), bare(GiB))[0][1];
  CHECK(plan::settled_blocks(window, 131'072) == 64);
  CHECK(plan::settled_blocks(window, 131'073) == 65);
  CHECK(plan::peak_blocks(window, 131'072) == 65);
  CHECK(plan::peak_blocks(window, 512) == 32);
  CHECK(plan::settled_blocks(window, 512) == 32);
  // a step of 8,192 tokens holds 512 blocks more, once for all that run
  CHECK(plan::blocks_at_once(window, 10, 131'072, 8192) == 650 + 512);
  CHECK(plan::blocks_at_once(window, 1, 2048, 8192) == 128);  // no more than all of its tokens
}

TEST_CASE("an encoder's blocks are there once, whatever is written", "[plan]") {
  const auto all = groups(model_kit::whisper(), bare(GiB))[0];
  CHECK(plan::settled_blocks(all[1], 1) == 94);
  CHECK(plan::settled_blocks(all[1], 448) == 94);
  CHECK(plan::blocks_at_once(all[1], 3, 448, 8192) == 282);
  CHECK(plan::settled_blocks(all[0], 448) == 28);
}

TEST_CASE("the peak is the most that any length holds while it grows by single tokens", "[plan]") {
  const unsigned seed = 2026;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (int round = 0; round < 200; ++round) {
    plan::device_group g;
    g.rule.kind = static_cast<kv::group_kind>(below(5));
    g.rule.block_tokens = 1 + below(20);
    g.rule.span = g.rule.kind == kv::group_kind::state ? 0 : 1 + below(100);
    g.encoder_tokens = below(50);
    const std::size_t tokens = 1 + below(300);
    std::size_t most = 0, reserved = g.rule.kind == kv::group_kind::state ? 1 : 0;
    for (std::size_t settled = 0; settled < tokens; ++settled) {
      const kv::block_range r = kv::needed_blocks(g.rule, settled, settled + 1, g.encoder_tokens);
      most = std::max(most, r.end - r.first + reserved);
    }
    const std::size_t peak = plan::peak_blocks(g, tokens);
    INFO(static_cast<int>(g.rule.kind) << " span " << g.rule.span << " blocks of " << g.rule.block_tokens << ", " << tokens);
    CHECK(peak >= most);
    CHECK(peak <= most + 1);  // where a window begins inside a block can need more tokens than there are
    CHECK(peak >= plan::settled_blocks(g, tokens));
  }
}

TEST_CASE("blocks of absurd loads are clipped and do not wrap", "[plan][bad]") {
  plan::device_group g;
  CHECK(plan::blocks_at_once(g, plan::most_count, plan::most_tokens, plan::most_count) == tokenheap::max_allocation);
  g.rule.kind = kv::group_kind::window, g.rule.span = plan::most_tokens;
  CHECK(plan::blocks_at_once(g, plan::most_count, plan::most_tokens, 1) == tokenheap::max_allocation);
}
