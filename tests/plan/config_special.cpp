#include <tokenheap/plan/config_special.hpp>

#include <support/catch.hpp>

#include <string>

#include <plan/configs.hpp>
#include <tokenheap/plan/config_json.hpp>

namespace kv = tokenheap::kv;
namespace plan = tokenheap::plan;

namespace {

plan::model read(const std::string& text) {
  const auto got = plan::read_config(text, "c.json");
  CHECK(got.error == "");
  return got.value;
}

/// A config with one more field, or with one in place of another of the same name: the last one counts.
std::string with(const char* text, const std::string& more) {
  std::string out(text);
  return out.substr(0, out.rfind('}')) + ", " + more + "}";
}

}  // namespace

TEST_CASE("read_special: how many heads of keys Falcon has", "[plan][config]") {
  CHECK(read(configs::falcon_7b).groups[0].kv_heads == 1);
  CHECK(read(configs::falcon_40b).groups[0].kv_heads == 8);
  CHECK(read(with(configs::falcon_7b, R"("multi_query": false)")).groups[0].kv_heads == 71);
  CHECK(read(R"({"model_type": "RefinedWebModel", "hidden_size": 4544, "n_head": 71, "n_layer": 32, "multi_query": true,
                 "parallel_attn": true, "bias": false, "vocab_size": 65024})").parameters() == 6'921'720'704);
  CHECK(read(R"({"model_type": "RefinedWeb", "hidden_size": 8192, "n_head": 128, "n_head_kv": 8, "n_layer": 60,
                 "vocab_size": 65024})").groups[0].kv_heads == 8);
}

TEST_CASE("read_special: learned positions", "[plan][config]") {
  const plan::model opt = read(configs::opt_13b);
  CHECK(opt.parameters() == 12'853'473'280);
  CHECK(read(with(configs::opt_13b, R"("do_layer_norm_before": false)")).parameters() == 12'853'473'280 - 2 * 5120);
  CHECK(read(with(configs::opt_13b, R"("word_embed_proj_dim": 512)")).warnings.size() == 1);
  CHECK(read(configs::gpt2).parameters() == 124'439'808);
  CHECK(read(configs::starcoder).groups[0].kv_heads == 1);
  CHECK(read(with(configs::starcoder, R"("multi_query": false)")).groups[0].kv_heads == 48);
}

TEST_CASE("read_special: Whisper keeps its own tokens and those of the encoder", "[plan][config]") {
  const plan::model m = read(configs::whisper_large_v3);
  REQUIRE(m.groups.size() == 2);
  CHECK(m.groups[0].kind == kv::group_kind::full);
  CHECK(m.groups[0].at.size() == 32);
  CHECK(m.groups[0].kv_heads == 20);
  CHECK(m.groups[0].head_size == 64);
  CHECK(m.groups[1].kind == kv::group_kind::cross);
  CHECK(m.groups[1].at.size() == 32);
  CHECK(m.groups[1].encoder_tokens == 1500);
  CHECK(m.longest == 448);
  // the turbo model has fewer layers than its encoder
  CHECK(read(with(configs::whisper_large_v3, R"("decoder_layers": 4)")).layers == 4);
  CHECK(read(with(configs::whisper_large_v3, R"("decoder_layers": 4)")).parameters() == 808'878'080);
}

TEST_CASE("read_special: an encoder that is not known in detail", "[plan][config]") {
  const plan::model m = read(R"({"model_type": "t5", "d_model": 512, "d_kv": 64, "d_ff": 2048, "num_heads": 8, "num_layers": 6,
      "num_decoder_layers": 5, "n_positions": 512, "vocab_size": 32128, "torch_dtype": "float32"})");
  REQUIRE(m.groups.size() == 2);
  CHECK(m.layers == 5);
  CHECK(m.groups[1].encoder_tokens == 512);
  CHECK(m.warnings.size() == 2);
}

TEST_CASE("read_special: layers that look at pictures", "[plan][config]") {
  const plan::model m = read(configs::llama32_11b_vision);
  REQUIRE(m.groups.size() == 2);
  CHECK(m.groups[0].at.size() == 32);
  CHECK(m.groups[1].kind == kv::group_kind::cross);
  CHECK(m.groups[1].at == std::vector<std::size_t>{3, 8, 13, 18, 23, 28, 33, 38});
  CHECK(m.groups[1].encoder_tokens == 4 * 1601);
  CHECK(m.warnings.size() == 1);
}

TEST_CASE("read_special: chunks and experts of Llama 4", "[plan][config]") {
  const plan::model m = read(configs::llama4_scout);
  REQUIRE(m.groups.size() == 2);
  CHECK(m.groups[0].at.size() == 12);
  CHECK(m.groups[1].kind == kv::group_kind::chunked);
  CHECK(m.groups[1].at.size() == 36);
  CHECK(m.groups[1].span == 8192);
  CHECK(m.parameters() == 107'769'861'120);
}

TEST_CASE("read_special: MLPs whose width is told in another way", "[plan][config]") {
  CHECK(read(configs::lfm2_1_2b).intermediate == 8192);
  CHECK(read(with(configs::lfm2_1_2b, R"("block_auto_adjust_ff_dim": false)")).intermediate == 12288);
  CHECK(read(with(configs::lfm2_1_2b, R"("block_ff_dim": 1000, "block_multiple_of": 7)")).intermediate == 672);
  CHECK(read(with(configs::llama3_8b, R"("model_type": "granitemoehybrid", "num_local_experts": 0,
      "shared_intermediate_size": 8192)")).intermediate == 8192);
}

TEST_CASE("read_special: layers that share what earlier ones keep", "[plan][config]") {
  CHECK(read(with(configs::llama3_8b, R"("num_kv_shared_layers": 12)")).groups[0].at.size() == 20);
  CHECK(plan::read_config(with(configs::llama3_8b, R"("num_kv_shared_layers": 32)"), "c").error ==
        "c: num_kv_shared_layers is 32, a whole number from 0 to 31 is needed");
}
