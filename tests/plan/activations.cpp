#include <tokenheap/plan/activations.hpp>

#include <support/catch.hpp>

#include "model_kit.hpp"

namespace plan = tokenheap::plan;
using model_kit::bare;
using tokenheap::GiB;
using tokenheap::MiB;

namespace {

std::size_t activations(const plan::model& m, const plan::deployment& d, std::size_t stage = 0, std::size_t n = 1) {
  return static_cast<std::size_t>(plan::activation_bytes(m, d, stage, n));
}
std::size_t lora(const plan::model& m, const plan::deployment& d, std::size_t layers) {
  return static_cast<std::size_t>(plan::lora_bytes(m, d, layers));
}

}  // namespace

TEST_CASE("a step's activations are the hidden state twice and the widest inside of a layer", "[plan]") {
  const plan::model m = model_kit::llama3_70b();
  plan::deployment d = bare(GiB);
  d.prefill_tokens = 1000;
  // gate, up and product are wider than queries, keys, values and output
  CHECK(activations(m, d) == 1000 * 2 * (2 * 8192 + 3 * 28672));
  d.tensor = 4;
  CHECK(activations(m, d) == 1000 * 2 * (2 * 8192 + 3 * 28672 / 4));
  plan::model thin = m;
  thin.intermediate = 1024;
  CHECK(activations(thin, d) == 1000 * 2 * (2 * 8192 + (2 * 64 * 128 + 2 * 8 * 128) / 4));
}

TEST_CASE("logits count on the last stage, where they are more", "[plan]") {
  const plan::model m = model_kit::llama3_70b();
  plan::deployment d = bare(GiB);
  d.prefill_tokens = 1;
  CHECK(activations(m, d, 0, 10) == 10 * 128256 * 4);
  d.pipeline = 2;
  CHECK(activations(m, d, 0, 10) == 2 * (2 * 8192 + 3 * 28672));
  CHECK(activations(m, d, 1, 10) == 10 * 128256 * 4);
}

TEST_CASE("an adapter has a pair of thin matrices for each projection", "[plan]") {
  const plan::model m = model_kit::dense("small", {});  // hidden 64, queries 64, keys 32, intermediate 256
  plan::deployment d = bare(GiB);
  CHECK(lora(m, d, 2) == 0);
  d.lora_adapters = 3, d.lora_rank = 8;
  CHECK(lora(m, d, 2) == 2 * (2 * (64 + 64) + 2 * (64 + 32) + 3 * (64 + 256)) * 8 * 3 * 2);
  d.tensor = 2;
  CHECK(lora(m, d, 1) == (2 * (64 + 32) + 2 * (64 + 16) + 3 * (64 + 128)) * 8 * 3 * 2);
  plan::model sparse = m;
  sparse.experts = 4;
  CHECK(lora(sparse, d, 1) == (2 * (64 + 32) + 2 * (64 + 16)) * 8 * 3 * 2);
}

TEST_CASE("buffers of communication are counted where a copy has several devices", "[plan]") {
  plan::deployment d;
  CHECK(plan::reserve_bytes(d) == 1024 * MiB);
  d.tensor = 2;
  CHECK(plan::reserve_bytes(d) == 2048 * MiB);
  d.tensor = 1, d.pipeline = 2;
  CHECK(plan::reserve_bytes(d) == 2048 * MiB);
  d.pipeline = 1, d.data = 2;
  CHECK(plan::reserve_bytes(d) == 1024 * MiB);  // copies that do not share experts do not talk
  d.expert = 2;
  CHECK(plan::reserve_bytes(d) == 2048 * MiB);
}
