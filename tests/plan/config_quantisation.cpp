#include <tokenheap/plan/config_quantisation.hpp>

#include <support/catch.hpp>

#include <string>

#include <plan/configs.hpp>
#include <tokenheap/plan/config_json.hpp>

namespace plan = tokenheap::plan;

namespace {

/// Llama-3-8B with some fields more.
plan::reading<plan::model> read(const std::string& more) {
  std::string text(configs::llama3_8b);
  return plan::read_config(text.substr(0, text.rfind('}')) + ", " + more + "}", "c.json");
}

plan::model quantised(const std::string& fields) {
  const auto got = read(R"("quantization_config": {)" + fields + "}");
  CHECK(got.error == "");
  return got.value;
}

bool is_quantised(const plan::model& m, const std::string& name) {
  for (const plan::weight_part& each : m.weights) {
    if (each.name == name) return each.quantised;
  }
  FAIL("no part " << name);
  return false;
}

}  // namespace

TEST_CASE("read_formats: floats", "[plan][config]") {
  const auto dtype = [](const char* name) { return read(std::string(R"("torch_dtype": )") + name).value; };
  CHECK(dtype("\"bfloat16\"").weight_dtype == "bf16");
  CHECK(dtype("\"float16\"").weight_dtype == "fp16");
  CHECK(dtype("\"torch.float32\"").weight_dtype == "fp32");
  CHECK(dtype("\"float32\"").plain_dtype == "fp32");
  CHECK(dtype("\"bfloat16\"").warnings.empty());
  CHECK(dtype("\"complex64\"").weight_dtype == "bf16");
  CHECK(dtype("\"complex64\"").warnings.size() == 1);
  CHECK(dtype("null").weight_dtype == "bf16");
  CHECK(dtype("null").warnings.size() == 1);
  CHECK(read(R"("torch_dtype": null, "dtype": "float16")").value.weight_dtype == "fp16");
  CHECK(read(R"("torch_dtype": 16)").error == "c.json: torch_dtype is 16, a text is needed");
}

TEST_CASE("read_formats: weights of four bits", "[plan][config]") {
  const plan::model awq = quantised(R"("quant_method": "awq", "bits": 4, "group_size": 64, "version": "gemm")");
  CHECK(awq.weight_dtype == "awq");
  CHECK(awq.plain_dtype == "bf16");
  CHECK(awq.weight_bits == 4);
  CHECK(awq.weight_group == 64);
  const plan::model gptq = quantised(R"("quant_method": "gptq", "bits": 4, "group_size": -1)");
  CHECK(gptq.weight_dtype == "gptq");
  CHECK(gptq.weight_group == 4096);
  CHECK(quantised(R"("bits": 3, "group_size": 128)").weight_dtype == "gptq");
  CHECK(quantised(R"("bits": 3, "group_size": 128)").weight_bits == 3);
  CHECK(quantised(R"("quant_method": "gptq", "bits": 8)").weight_dtype == "int8");
  CHECK(quantised(R"("quant_method": "bitsandbytes", "load_in_4bit": true)").weight_group == 64);
  CHECK(quantised(R"("quant_method": "bitsandbytes", "load_in_8bit": true)").weight_dtype == "int8");
  CHECK(read(R"("quantization_config": {"quant_method": "awq", "bits": "4"})").error ==
        "c.json: quantization_config.bits is \"4\", a whole number from 1 to 16 is needed");
  CHECK(read(R"("quantization_config": 4)").error == "c.json: quantization_config is 4, an object is needed");
}

TEST_CASE("read_formats: weights of eight bits and fewer by other quantisers", "[plan][config]") {
  CHECK(quantised(R"("quant_method": "fp8", "weight_block_size": [128, 128])").weight_dtype == "fp8");
  CHECK(quantised(R"("quant_method": "fbgemm_fp8")").weight_dtype == "fp8");
  CHECK(quantised(R"("quant_method": "modelopt", "quant_algo": "NVFP4")").weight_dtype == "nvfp4");
  CHECK(quantised(R"("quant_method": "modelopt", "quantization": {"quant_algo": "FP8"})").weight_dtype == "fp8");
  CHECK(quantised(R"("quant_method": "modelopt", "quant_algo": "NEW")").warnings.size() == 1);
  const auto scheme = [](const std::string& weights) {
    return quantised(R"("quant_method": "compressed-tensors", "config_groups": {"any": {"weights": {)" + weights + "}}}");
  };
  CHECK(scheme(R"("num_bits": 8, "type": "float")").weight_dtype == "fp8");
  CHECK(scheme(R"("num_bits": 8, "type": "int")").weight_dtype == "int8");
  CHECK(scheme(R"("num_bits": 4, "type": "int", "group_size": 32)").weight_dtype == "gptq");
  CHECK(scheme(R"("num_bits": 4, "type": "int", "group_size": 32)").weight_group == 32);
  CHECK(scheme(R"("num_bits": 4, "type": "float", "group_size": 16)").weight_dtype == "nvfp4");
  CHECK(scheme(R"("num_bits": 4, "type": "float", "group_size": 32)").weight_dtype == "mxfp4");
  CHECK(quantised(R"("quant_method": "new")").weight_dtype == "bf16");
  CHECK(quantised(R"("quant_method": "new")").warnings ==
        std::vector<std::string>{"quant_method new is not known: weights are taken as dtype says"});
}

TEST_CASE("read_formats: what is spared", "[plan][config]") {
  const auto plain = quantised(R"("quant_method": "fp8")");
  for (const char* name : {"attention q", "attention k", "attention o", "mlp"}) CHECK(is_quantised(plain, name));
  for (const char* name : {"embedding", "head", "norms", "last norm"}) CHECK_FALSE(is_quantised(plain, name));
  const auto spared = quantised(R"("quant_method": "fp8", "ignore": ["lm_head", "re:.*self_attn.*"])");
  CHECK_FALSE(is_quantised(spared, "attention q"));
  CHECK(is_quantised(spared, "mlp"));
  // one layer among many changes little
  CHECK(is_quantised(quantised(R"("quant_method": "fp8", "ignore": ["model.layers.3.self_attn.q_proj"])"), "attention q"));
  const auto oss = plan::read_config(configs::gpt_oss_20b, "c.json").value;
  CHECK(oss.weight_dtype == "mxfp4");
  CHECK(is_quantised(oss, "experts"));
  CHECK_FALSE(is_quantised(oss, "attention q"));
  CHECK_FALSE(is_quantised(oss, "experts bias"));
}
