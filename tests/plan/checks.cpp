#include <tokenheap/plan/checks.hpp>

#include <support/catch.hpp>

#include <cmath>
#include <limits>

#include "model_kit.hpp"

namespace plan = tokenheap::plan;
using model_kit::split;
using tokenheap::GiB;

namespace {

/// What is said once `change` has been made to a question that is right.
template <class Change>
std::string said(Change change) {
  plan::model m = model_kit::dense("small", {});
  plan::deployment d = model_kit::bare(GiB);
  REQUIRE(plan::why_not(m, d).empty());
  change(m, d);
  return plan::why_not(m, d);
}

void check_names(const std::string& text, const char* field) {
  INFO(text);
  CHECK(text.find(field) != std::string::npos);
}

constexpr std::size_t huge = ~std::size_t{0};

}  // namespace

#define SAYS(field, change) check_names(said([](plan::model & m, plan::deployment & d) { (void)m, (void)d, change; }), field)

TEST_CASE("a number of the deployment that makes no sense is named", "[plan][bad]") {
  SAYS("device_bytes: 0", d.device_bytes = 0);
  SAYS("device_bytes", d.device_bytes = huge);
  SAYS("tensor", d.tensor = 0);
  SAYS("tensor", d.tensor = huge);
  SAYS("tensor: ranks that share KV heads 3", d.tensor = 3);
  SAYS("pipeline", d.pipeline = 0);
  SAYS("pipeline: 3 stages for 2 layers", d.pipeline = 3);
  SAYS("expert: 2 ranks do not divide", d.expert = 2);
  SAYS("expert: 6 is neither", (d.tensor = 4, d.data = 3, d.expert = 6));
  SAYS("data", d.data = 0);
  SAYS("block_tokens", d.block_tokens = 0);
  SAYS("block_tokens", d.block_tokens = huge);
  SAYS("tokens", d.tokens = huge);
  SAYS("tokens", m.longest = 0);
  SAYS("sequences", d.sequences = 0);
  SAYS("sequences", d.sequences = huge);
  SAYS("prefill_tokens", d.prefill_tokens = huge);
  SAYS("graph_bytes", d.graph_bytes = huge);
  SAYS("communication_bytes", d.communication_bytes = huge);
  SAYS("context_bytes", d.context_bytes = huge);
  SAYS("lora_adapters", d.lora_adapters = huge);
  SAYS("lora_rank", d.lora_rank = 0);
  SAYS("utilization", d.utilization = 0);
  SAYS("utilization", d.utilization = 1.5);
  SAYS("utilization", d.utilization = std::numeric_limits<double>::quiet_NaN());
  SAYS("weight_dtype: 'fp7' is none of: fp32", d.weight_dtype = "fp7");
  SAYS("kv_dtype: 'awq' is none of: fp32", d.kv_dtype = "awq");
  SAYS("kv_dtype: fp8_ds_mla is for latent vectors", d.kv_dtype = "fp8_ds_mla");
  SAYS("weight_dtype: what gguf costs", d.weight_dtype = "gguf");
}

TEST_CASE("a number of the model that makes no sense is named, with the model", "[plan][bad]") {
  SAYS("small: layers", m.layers = 0);
  SAYS("small: layers", m.layers = huge);
  SAYS("hidden", m.hidden = huge);
  SAYS("vocabulary", m.vocabulary = huge);
  SAYS("experts", m.experts = huge);
  SAYS("exact_weight_bytes", m.exact_weight_bytes = huge);
  SAYS("small: groups: 65", m.groups.resize(65));
  SAYS("small: groups[0].kv_heads", m.groups[0].kv_heads = 0);
  SAYS("groups[0].head_size", m.groups[0].head_size = huge);
  SAYS("groups[0].rope_size", m.groups[0].rope_size = huge);
  SAYS("groups[0].at: layer 2 of 2", m.groups[0].at = {2});
  SAYS("groups[0].at: layers do not rise", (m.groups[0].at = {1, 1}));
  SAYS("groups[0].span", m.groups[0].kind = tokenheap::kv::group_kind::window);
  SAYS("groups[0].encoder_tokens", m.groups[0].encoder_tokens = huge);
  SAYS("groups[0].kind", m.groups[0].kind = static_cast<tokenheap::kv::group_kind>(9));
  SAYS("groups[0].kv_heads: a latent", m.groups[0].latent = true);
  SAYS("groups[0]: bytes of a block", (m.groups[0].kv_heads = m.groups[0].head_size = std::size_t{1} << 32));
  SAYS("groups[0]: head size, in numbers of half a byte", (m.groups[0].head_size = 15, d.kv_dtype = "int4"));
  SAYS("weights[1].numbers", m.weights[1].numbers = huge);
  SAYS("weights[0].at: layer 7", m.weights[0].at = {7});
  SAYS("weights[0].at: more than", (m.weights[0].at = {0, 0, 1}));
  SAYS("weights[0].split", m.weights[0].split = static_cast<split>(9));
  SAYS("weight_dtype: 'q' of the checkpoint", m.weight_dtype = "q");
}

TEST_CASE("states are checked as far as they go", "[plan][bad]") {
  plan::model m = model_kit::hybrid();
  plan::deployment d = model_kit::bare(GiB);
  REQUIRE(plan::why_not(m, d).empty());
  d.tensor = 16;
  REQUIRE(plan::why_not(m, d).empty());
  m.groups[1].state_heads = 6;
  check_names(plan::why_not(m, d), "tensor: heads of states");
  m.groups[1].state_heads = 0;
  CHECK(plan::why_not(m, d).empty());
  m.groups[1].state_numbers = huge;
  check_names(plan::why_not(m, d), "groups[1].state_numbers");
}
