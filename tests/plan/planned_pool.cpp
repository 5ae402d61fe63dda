#include <tokenheap/plan/planned_pool.hpp>

#include <support/catch.hpp>

#include "fitting_kit.hpp"
#include "model_kit.hpp"

namespace plan = tokenheap::plan;
using fitting_kit::open;
using model_kit::bare;
using tokenheap::GiB;
using tokenheap::MiB;

namespace {

/// Takes sequences until one is refused; gives all back and returns how many there were.
std::size_t fill(plan::planned_pool& pool, std::size_t tokens, std::size_t most) {
  std::vector<plan::planned_piece> held;
  for (plan::planned_piece piece; held.size() < most && pool.take(tokens, piece); piece = {}) held.push_back(piece);
  CHECK(pool.is_valid());
  for (const plan::planned_piece& piece : held) pool.give(piece);
  CHECK(pool.is_valid());
  return held.size();
}

}  // namespace

TEST_CASE("the pool takes as many sequences as the plan says, and refuses one more", "[plan]") {
  const struct {
    plan::model m;
    std::size_t bytes, tokens;
  } cases[] = {{model_kit::llama2_13b(), 80 * GiB, 1000},  {model_kit::gemma3_27b(), 120 * GiB, 8000},
               {model_kit::hybrid(), 2 * GiB, 3000},       {model_kit::whisper(), 8 * GiB, 400},
               {model_kit::deepseek_v3(), 900 * GiB, 4000}, {model_kit::dense("small", {}), 40 * MiB, 100}};
  for (const auto& c : cases) {
    plan::deployment d = bare(c.bytes);
    d.tokens = c.tokens, d.prefill_tokens = 2048;
    plan::model m = c.m;
    m.vocabulary = 0;  // logits of many sequences would take from their caches
    const plan::fitting f = open(m, d);
    auto pool = plan::planned_pool::open(f, 0);
    INFO(c.m.name << ": " << pool.error);
    REQUIRE(pool);
    const std::size_t most = f.max_sequences();
    CHECK(most > 2);
    CHECK(fill(pool.value, c.tokens, most + 10) == most);
    CHECK(fill(pool.value, c.tokens, most + 10) == most);  // all of it came back
    if (c.m.groups.size() == 1) CHECK(pool.value.blocks() == f.blocks(0));
  }
}

TEST_CASE("a device without room has a pool that takes nothing", "[plan][bad]") {
  const plan::model m = model_kit::llama3_70b();
  const plan::fitting f = open(m, bare(80 * GiB));
  auto pool = plan::planned_pool::open(f, 0);
  REQUIRE(pool);
  plan::planned_piece piece;
  CHECK_FALSE(pool.value.take(16, piece));
  CHECK(pool.value.take(0, piece));
  CHECK(pool.value.blocks() == 0);
  const plan::model groups = model_kit::gemma3_27b();
  const auto two = plan::planned_pool::open(open(groups, bare(10 * GiB)), 0);
  CHECK(two.error.find("device_bytes") != std::string::npos);
}

TEST_CASE("a stage without caches takes everything", "[plan]") {
  plan::model m = model_kit::dense("half", {});
  m.groups[0].at = {0};
  plan::deployment d = bare(GiB);
  d.pipeline = 2;
  auto pool = plan::planned_pool::open(open(m, d), 1);
  REQUIRE(pool);
  CHECK(fill(pool.value, 1'000'000, 5) == 5);
}
