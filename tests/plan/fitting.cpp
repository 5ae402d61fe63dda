#include <tokenheap/plan/fitting.hpp>

#include <support/catch.hpp>

#include "fitting_kit.hpp"
#include "model_kit.hpp"

namespace plan = tokenheap::plan;
using fitting_kit::open;
using model_kit::bare;
using tokenheap::GiB;

namespace {

std::vector<plan::model> all_models() {
  return {model_kit::llama2_13b(), model_kit::llama3_70b(), model_kit::gemma3_27b(), model_kit::deepseek_v3(),
          model_kit::hybrid(), model_kit::whisper()};
}

}  // namespace

TEST_CASE("the parts of a device add up to its memory", "[plan]") {
  for (const plan::model& m : all_models()) {
    for (const std::size_t gib : {1U, 80U, 2000U}) {
      for (const std::size_t pipeline : {1U, 3U}) {
        plan::deployment d;
        d.device_bytes = gib * GiB, d.pipeline = pipeline, d.lora_adapters = 2;
        const plan::fitting f = open(m, d);
        for (std::size_t stage = 0; stage < pipeline; ++stage) {
          const plan::device_need n = f.device(stage, 1);
          CHECK(n.total == gib * GiB);
          CHECK(n.unused + n.weights + n.lora + n.activations + n.reserve + n.kv == n.total + n.missing);
          CHECK((n.kv == 0 || n.missing == 0));
          CHECK(n.stage == stage);
        }
      }
    }
  }
}

TEST_CASE("what is said to fit does, and one more of it does not", "[plan]") {
  for (const plan::model& m : all_models()) {
    for (const std::size_t pipeline : {1U, 2U, 5U}) {
      plan::deployment d;
      d.device_bytes = 1200 * GiB, d.pipeline = pipeline, d.sequences = 3;
      d.tokens = m.name == "whisper" ? 448 : 20'000;
      const plan::fitting f = open(m, d);
      const std::size_t most = f.max_sequences(), longest = f.max_tokens();
      INFO(m.name << " in " << pipeline << " stages: " << most << " sequences, " << longest << " tokens");
      CHECK(most > 0);
      CHECK(f.fits(most, d.tokens));
      CHECK_FALSE(f.fits(most + 1, d.tokens));
      CHECK(f.fits(3, longest));
      CHECK_FALSE(f.fits(3, longest + 1));
      d.sequences = most;
      CHECK(open(m, d).fits(most, d.tokens));
    }
  }
}

TEST_CASE("a single group has the blocks that its bytes divide into", "[plan]") {
  plan::deployment d = bare(80 * GiB);
  d.tokens = 4096;
  const plan::model m = model_kit::llama2_13b();
  const plan::fitting f = open(m, d);
  const plan::device_need n = f.device(0, 1);
  CHECK(f.blocks(0) == n.kv / (16 * 819'200));
  CHECK(f.slack(0) == n.kv % (16 * 819'200));
  CHECK(f.max_sequences() == f.blocks(0) / 256);
  CHECK(f.max_tokens() == f.blocks(0) * 16);
}

TEST_CASE("logits of many sequences take from their caches", "[plan]") {
  plan::model m = model_kit::dense("wide", {.layers = 1, .vocabulary = 1'000'000});
  plan::deployment d = bare(GiB);
  d.tokens = 16, d.prefill_tokens = 1;
  const plan::fitting f = open(m, d);
  const std::size_t most = f.max_sequences();
  CHECK(most * (4 * 1'000'000 + 16 * 128) <= f.device(0, 1).kv + 4 * 1'000'000);
  CHECK((most + 1) * (4 * 1'000'000 + 16 * 128) > f.device(0, 1).kv + 4 * 1'000'000 - 16 * 128);
}

TEST_CASE("where nothing grows, the longest context is what the model was trained for", "[plan]") {
  plan::model m = model_kit::hybrid();
  m.groups.erase(m.groups.begin());
  CHECK(open(m, bare(GiB)).max_tokens() == 65536);
  CHECK_FALSE(open(m, bare(GiB)).grows());
  CHECK(open(m, bare(GiB)).blocks(0) == ~std::size_t{0});
  plan::model window = model_kit::dense("window", {});
  window.groups[0].kind = tokenheap::kv::group_kind::window, window.groups[0].span = 100;
  const plan::fitting f = open(window, bare(GiB));
  CHECK(f.max_tokens() == 4096);
  CHECK(f.blocks(0) == f.device(0, 1).kv / (16 * 2 * 2 * 2 * 16 * 2));
}

TEST_CASE("weights that leave nothing fit nothing", "[plan]") {
  const plan::model m = model_kit::llama3_70b();
  const plan::fitting f = open(m, bare(80 * GiB));
  CHECK(f.device(0, 1).kv == 0);
  CHECK(f.device(0, 1).missing > 60 * GiB);
  CHECK(f.blocks(0) == 0);
  CHECK(f.max_sequences() == 0);
  CHECK(f.max_tokens() == 0);
}
