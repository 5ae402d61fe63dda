#include <tokenheap/plan/weights.hpp>

#include <support/catch.hpp>

#include "model_kit.hpp"

namespace plan = tokenheap::plan;
using model_kit::bare;
using model_kit::split;
using tokenheap::GiB;

namespace {

plan::weight_sum weighed(const plan::model& m, const plan::deployment& d) {
  INFO(plan::why_not(m, d));
  REQUIRE(plan::why_not(m, d).empty());
  const auto r = plan::weigh(m, d);
  INFO(r.error);
  REQUIRE(r);
  return r.value;
}

plan::deployment ranks(std::size_t tensor, std::size_t pipeline = 1, std::size_t data = 1, std::size_t expert = 1) {
  plan::deployment d = bare(GiB);
  d.tensor = tensor, d.pipeline = pipeline, d.data = data, d.expert = expert;
  return d;
}

/// Two layers of 1,000 numbers each, and an embedding of 400.
plan::model tiny() {
  plan::model m = model_kit::dense("tiny", {});
  m.weights = {model_kit::part("layer", 1000, split::tensor, {0, 1}),
               model_kit::part("embedding", 400, split::embedding, {}, false)};
  return m;
}

}  // namespace

TEST_CASE("published models weigh what their parts add up to", "[plan]") {
  // 13,015,864,320 parameters, as Llama-2-13B is published
  CHECK(model_kit::llama2_13b().parameters() == 13'015'864'320);
  CHECK(weighed(model_kit::llama2_13b(), bare(GiB)).whole == 2 * 13'015'864'320ULL);
  CHECK(model_kit::llama3_70b().parameters() == 70'553'706'496);
  CHECK(weighed(model_kit::llama3_70b(), bare(GiB)).devices == std::vector<std::uint64_t>{2 * 70'553'706'496ULL});
}

TEST_CASE("a checkpoint's own bits and groups are weighed; another format takes the usual ones", "[plan]") {
  plan::model m = tiny();
  m.weight_dtype = "awq", m.weight_bits = 4, m.weight_group = 64;
  // 4 bits, and 16 + 4 for each 64: 276 / 64 bits for each of 2,000, and two bytes for each of 400
  CHECK(weighed(m, ranks(1)).whole == 2 * 540 - 1 + 800);
  m.weight_group = 0;
  CHECK(weighed(m, ranks(1)).whole == 1040 + 800);  // 133 / 32 bits
  m.weight_dtype = "gptq", m.weight_bits = 3, m.weight_group = 128;
  CHECK(weighed(m, ranks(1)).whole == 788 + 800);  // 403 / 128 bits
  plan::deployment d = ranks(1);
  d.weight_dtype = "awq";
  CHECK(weighed(m, d).whole == 1040 + 800);
}

TEST_CASE("each kind of split gives a device its share", "[plan]") {
  plan::model m = model_kit::dense("shares", {});
  const auto share = [&](split how, const plan::deployment& d) {
    return plan::share_of(model_kit::part("w", 1, how, {0}), m, d);
  };
  CHECK(share(split::replicated, ranks(8)) == plan::share{1, 1});
  CHECK(share(split::tensor, ranks(8)) == plan::share{1, 8});
  CHECK(share(split::embedding, ranks(4)) == plan::share{1, 4});
  CHECK(share(split::kv, ranks(2)) == plan::share{1, 2});
  CHECK(share(split::kv, ranks(8)) == plan::share{1, 2});  // two heads: four ranks keep each
  m.experts = 10;
  CHECK(share(split::expert, ranks(4)) == plan::share{10, 40});
  CHECK(share(split::expert, ranks(4, 1, 1, 2)) == plan::share{5, 20});
  CHECK(share(split::expert, ranks(4, 1, 1, 4)) == plan::share{3, 10});  // one of the four has three
  CHECK(share(split::expert, ranks(4, 1, 2, 8)) == plan::share{2, 10});
  m.groups[0].latent = true, m.groups[0].kv_heads = 1;
  CHECK(share(split::kv, ranks(8)) == plan::share{1, 1});
}

TEST_CASE("stages have their own layers, the first the embedding and the last the head", "[plan]") {
  plan::model m = tiny();
  CHECK(weighed(m, ranks(1)).devices == std::vector<std::uint64_t>{4800});
  CHECK(weighed(m, ranks(1, 2)).devices == std::vector<std::uint64_t>{2800, 2000});
  m.groups[0].kv_heads = 3;
  CHECK(weighed(m, ranks(3)).devices == std::vector<std::uint64_t>{2 * (2 * 334 + 134)});
  m.weights.push_back(model_kit::part("head", 300, split::head, {}, false));
  m.weights.push_back(model_kit::part("norm", 10, split::replicated, {}, false));
  CHECK(weighed(m, ranks(1, 2)).devices == std::vector<std::uint64_t>{2800, 2620});
  m.weights.pop_back(), m.weights.pop_back();
  m.tied = true;
  CHECK(weighed(m, ranks(1)).devices == std::vector<std::uint64_t>{4800});
  CHECK(weighed(m, ranks(1, 2)).devices == std::vector<std::uint64_t>{2800, 2800});
  CHECK(weighed(m, ranks(1, 2)).whole == 4800);
}

TEST_CASE("what is not quantised stays in the type of the checkpoint", "[plan]") {
  plan::model m = tiny();
  plan::deployment d = ranks(1);
  d.weight_dtype = "nvfp4";
  CHECK(weighed(m, d).whole == 2000 * 9 / 16 + 800);
  m.weight_dtype = "awq";  // no float: sixteen bits
  CHECK(weighed(m, d).whole == 2000 * 9 / 16 + 800);
  m.weight_dtype = "fp32";
  CHECK(weighed(m, d).whole == 2000 * 9 / 16 + 1600);
  d.weight_dtype = "bf16";
  CHECK(weighed(m, d).whole == 4800);
  d.pruned_2_4 = true;
  CHECK(weighed(m, d).whole == 2000 + 250 + 800);
}

TEST_CASE("the bytes of a header correct what parts add up to", "[plan]") {
  plan::model m = tiny();
  m.exact_weight_bytes = 9600;  // twice as many numbers as the parts say
  CHECK(weighed(m, ranks(1)).whole == 9600);
  CHECK(weighed(m, ranks(1, 2)).devices == std::vector<std::uint64_t>{5600, 4000});
  plan::deployment d = ranks(1);
  d.weight_dtype = "fp32";
  CHECK(weighed(m, d).whole == 19200);
  m.weight_dtype = "gguf";
  CHECK(weighed(m, ranks(1)).whole == 9600);
  CHECK(weighed(m, ranks(2)).devices == std::vector<std::uint64_t>{4800});
  d.weight_dtype = "bf16";  // a header in another format says nothing about that
  CHECK(weighed(m, d).whole == 4800);
}

TEST_CASE("a header alone is divided evenly, and cannot be turned into another format", "[plan][bad]") {
  plan::model m = tiny();
  m.weights.clear();
  m.exact_weight_bytes = 1001;
  CHECK(weighed(m, ranks(2)).devices == std::vector<std::uint64_t>{501});
  CHECK(weighed(m, ranks(1, 2)).whole == 1001);
  plan::deployment d = ranks(1);
  d.weight_dtype = "fp8";
  CHECK(plan::weigh(m, d).error.find("weight_dtype") != std::string::npos);
  m.exact_weight_bytes = 0;
  CHECK(weighed(m, d).whole == 0);
}

TEST_CASE("weights that cannot be counted are refused", "[plan][bad]") {
  plan::model m = tiny();
  m.layers = 1 << 16;
  m.weights.assign(40, model_kit::part("layer", plan::most_numbers, split::replicated, model_kit::up_to(m.layers)));
  CHECK(plan::weigh(m, ranks(1)).error.find("weights") != std::string::npos);
}

TEST_CASE("experts over all ranks take the least of each device", "[plan]") {
  const plan::model m = model_kit::deepseek_v3();
  const std::uint64_t cut = weighed(m, ranks(16)).devices[0], spread = weighed(m, ranks(16, 1, 1, 16)).devices[0];
  CHECK(cut == spread);  // 256 experts divide evenly: as many numbers
  CHECK(weighed(m, ranks(8, 1, 8, 64)).devices[0] < weighed(m, ranks(8, 1, 8, 8)).devices[0]);
  // 671 billion parameters in fp8, embeddings in sixteen bits
  CHECK(m.parameters() > 670'000'000'000);
  CHECK(m.parameters() < 672'000'000'000);
}
