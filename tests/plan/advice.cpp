#include <tokenheap/plan/advice.hpp>

#include <support/catch.hpp>

#include "model_kit.hpp"

namespace plan = tokenheap::plan;
using tokenheap::GiB;

namespace {

std::vector<plan::suggestion> suggest(const plan::model& m, const plan::deployment& d) {
  const auto f = plan::fitting::open(m, d);
  INFO(f.error);
  REQUIRE(f);
  return plan::suggest(f.value);
}

bool has(const std::vector<plan::suggestion>& all, const char* text) {
  for (const plan::suggestion& s : all)
    if (s.text.find(text) != std::string::npos) return true;
  return false;
}

plan::deployment h100() {
  plan::deployment d;
  d.device_bytes = 80 * GiB;
  return d;
}

}  // namespace

TEST_CASE("every piece of advice fits, and what was asked does not", "[plan]") {
  for (const plan::model& m : {model_kit::llama2_13b(), model_kit::llama3_70b(), model_kit::gemma3_27b(),
                               model_kit::deepseek_v3(), model_kit::qwen3_8b()}) {
    for (const std::size_t sequences : {1U, 8U, 300U}) {
      plan::deployment d = h100();
      d.sequences = sequences;
      const std::vector<plan::suggestion> all = suggest(m, d);
      CHECK(all.empty() == plan::fits(m, d));
      for (const plan::suggestion& s : all) {
        INFO(m.name << ", " << sequences << " sequences: " << s.text);
        CHECK(plan::fits(m, s.with));
        CHECK(s.text.find_first_of("0123456789") != std::string::npos);
      }
    }
  }
}

TEST_CASE("advice names the last number that fits", "[plan]") {
  plan::deployment d = h100();
  d.tokens = 8192, d.sequences = 20;
  const plan::model m = model_kit::llama2_13b();
  REQUIRE_FALSE(plan::fits(m, d));
  for (const plan::suggestion& s : suggest(m, d)) {
    plan::deployment more = s.with;
    if (s.text.find("tokens ") == 0) {
      ++more.tokens;
    } else if (s.text.find("sequences ") == 0) {
      ++more.sequences;
    } else if (s.text.find("devices of") == 0) {
      more.device_bytes -= GiB;
    } else if (s.text.find("tensor ") == 0) {
      more.tensor /= 2;
    } else {
      continue;
    }
    INFO(s.text);
    CHECK_FALSE(plan::fits(m, more));
  }
}

TEST_CASE("both kinds of numbers are made narrower only where neither is enough", "[plan]") {
  plan::deployment d = h100();
  d.tokens = 8192, d.sequences = 1;
  CHECK(has(suggest(model_kit::llama3_70b(), d), "weight_dtype nvfp4 instead of bf16"));
  CHECK_FALSE(has(suggest(model_kit::llama3_70b(), d), "and kv_dtype"));
  d.sequences = 30;
  CHECK(has(suggest(model_kit::llama3_70b(), d), "weight_dtype nvfp4 instead of bf16, and kv_dtype"));
}

TEST_CASE("smaller formats come least lossy first, and never cost more", "[plan]") {
  const auto smaller = [](const auto& formats, const char* than) {
    std::string names;
    for (const auto* f : plan::smaller_formats(*plan::find_format(formats, than))) names += std::string(f->name) + " ";
    return names;
  };
  CHECK(smaller(plan::weight_formats, "bf16") == "fp8 int8 nvfp4 awq gptq mxfp4 ");
  CHECK(smaller(plan::weight_formats, "nvfp4") == "awq gptq mxfp4 ");
  CHECK(smaller(plan::kv_formats, "fp16") == "fp8_token_head fp8_ds_mla fp8 int8 nvfp4 mxfp4 int4 ");
  CHECK(plan::smaller_formats(*plan::find_format(plan::kv_formats, "int4")).empty());
}

TEST_CASE("where no change is enough, more ranks are advised with what they hold", "[plan]") {
  plan::deployment d = h100();
  d.sequences = 300;
  const std::vector<plan::suggestion> all = suggest(model_kit::llama3_70b(), d);
  REQUIRE(all.size() == 1);
  CHECK(all[0].text.find("tensor 4 instead of 1, and sequences ") == 0);
  CHECK(all[0].with.sequences >= 1);
}

TEST_CASE("a shortage says what is missing where", "[plan]") {
  plan::deployment d = h100();
  d.pipeline = 2, d.tokens = 4096;
  const plan::model large = model_kit::deepseek_v3(), small = model_kit::qwen3_8b();
  const auto short_of_weights = plan::fitting::open(large, d);
  REQUIRE(short_of_weights);
  CHECK(plan::shortage_of(short_of_weights.value).find("a device of stage 0 lacks ") == 0);
  d.pipeline = 1, d.sequences = 1000;
  const auto short_of_caches = plan::fitting::open(small, d);
  REQUIRE(short_of_caches);
  CHECK(plan::shortage_of(short_of_caches.value).find("1000 sequences of 4096 tokens need 562.50 GiB") != std::string::npos);
  d.sequences = 1;
  const auto enough = plan::fitting::open(small, d);
  REQUIRE(enough);
  CHECK(plan::shortage_of(enough.value).empty());
}
