// with or without the planner: both are builds of the interface
#if __has_include(<nlohmann/json.hpp>)
#define TOKENHEAP_C_PLAN 1
#endif
#include <tokenheap/adapt/c_plan_symbols.hpp>

#include <support/catch.hpp>

#include <string>

#if TOKENHEAP_C_PLAN
TEST_CASE("options of a C plan reach the planner, and 0 is its default") {
  using namespace tokenheap;
  const plan::deployment none = adapt::c_deployment_of({});
  const plan::deployment same{};
  REQUIRE((none.utilization == same.utilization && none.tensor == 1 && none.graph_bytes == same.graph_bytes));
  REQUIRE((none.prefill_tokens == same.prefill_tokens && none.lora_rank == same.lora_rank && none.kv_dtype.empty()));
  th_plan_options with{};
  with.device_bytes = 5, with.utilization = 0.5, with.tensor = 2, with.pipeline = 3, with.expert = 4, with.data = 6;
  with.weight_dtype = "fp8", with.kv_dtype = "int8", with.block_tokens = 7, with.tokens = 8, with.sequences = 9;
  with.prefill_tokens = 10, with.lora_adapters = 11, with.lora_rank = 12, with.pruned_2_4 = 1, with.exact_reserves = 1;
  with.communication_bytes = 13;
  const plan::deployment d = adapt::c_deployment_of(with);
  REQUIRE((d.device_bytes == 5 && d.utilization == 0.5 && d.tensor == 2 && d.pipeline == 3 && d.expert == 4 && d.data == 6));
  REQUIRE((d.weight_dtype == "fp8" && d.kv_dtype == "int8" && d.block_tokens == 7 && d.tokens == 8 && d.sequences == 9));
  REQUIRE((d.prefill_tokens == 10 && d.lora_adapters == 11 && d.lora_rank == 12 && d.pruned_2_4));
  REQUIRE((d.graph_bytes == 0 && d.communication_bytes == 13 && d.context_bytes == 0));
}

TEST_CASE("a long complaint of the planner is cut in C, and its beginning is there") {
  const std::string name(2000, 'n');
  th_plan_options with{};
  with.size = sizeof with;
  with.version = TOKENHEAP_C_VERSION;
  with.path = name.c_str();
  REQUIRE(th_plan_open(&with) == nullptr);
  REQUIRE(std::string(tokenheap::adapt::c_last_reason().line).rfind("pool 'plan': invalid argument: nnnn", 0) == 0);
}
#else
TEST_CASE("without the planner every call of C says how to get it") {
  REQUIRE(th_plan_open(nullptr) == nullptr);
  REQUIRE(th_plan_close(nullptr) == th_unsupported);
  REQUIRE(th_plan_json(nullptr, nullptr, 0, nullptr) == th_unsupported);
  REQUIRE(std::string(tokenheap::adapt::c_last_reason().fix).find("TOKENHEAP_C_PLAN=1") != std::string::npos);
}
#endif
