#include <tokenheap/plan/figures.hpp>

#include <support/catch.hpp>

#include "model_kit.hpp"

namespace plan = tokenheap::plan;
using model_kit::bare;
using tokenheap::GiB;
using tokenheap::KiB;
using tokenheap::MiB;

namespace {

plan::answer figures(const plan::model& m, const plan::deployment& d) {
  const auto f = plan::fitting::open(m, d);
  INFO(f.error);
  REQUIRE(f);
  const auto a = plan::figures_of(f.value);
  INFO(a.error);
  REQUIRE(a);
  return a.value;
}

plan::answer at_tokens(const plan::model& m, std::size_t tokens, const char* kv_dtype = "") {
  plan::deployment d = bare(80 * GiB);
  d.tokens = tokens, d.kv_dtype = kv_dtype;
  return figures(m, d);
}

}  // namespace

TEST_CASE("published figures come out to the byte", "[plan]") {
  CHECK(at_tokens(model_kit::llama2_13b(), 4096).kv_bytes_per_token == 819'200);
  const plan::answer llama = at_tokens(model_kit::llama3_70b(), 128 * KiB);
  CHECK(llama.kv_bytes_per_token == 327'680);
  CHECK(llama.kv_bytes_per_sequence == 40 * GiB);
  CHECK(at_tokens(model_kit::deepseek_v3(), 4096).kv_bytes_per_token == 70'272);
  CHECK(at_tokens(model_kit::deepseek_v3(), 4096, "fp8_ds_mla").kv_bytes_per_token == 40'016);
  CHECK(at_tokens(model_kit::qwen25_7b(), 4096).kv_bytes_per_token == 57'344);
  const plan::answer qwen = at_tokens(model_kit::qwen3_8b(), 4096 + 16);
  CHECK(qwen.kv_bytes_per_token == 147'456);
  CHECK(qwen.kv_bytes_per_sequence == 578 * MiB + 256 * KiB);
  CHECK(at_tokens(model_kit::qwen3_8b(), 4097).kv_bytes_per_sequence == qwen.kv_bytes_per_sequence);
}

TEST_CASE("windows keep Gemma 3 at a sixth", "[plan]") {
  const plan::answer a = at_tokens(model_kit::gemma3_27b(), 128 * KiB);
  CHECK(a.kv_bytes_per_sequence_unwindowed == 62 * GiB);
  // 10 full layers of 131,072 tokens, and 52 layers of exactly 1,024: `kv::needed_blocks` once all tokens are settled.
  // Engines that plan for a window begun inside a block have one block of 16 tokens more: that is `peak_blocks`.
  CHECK(a.kv_bytes_per_sequence == (10 * 131'072 + 52 * 1024) * 8192ULL);
  CHECK(static_cast<double>(a.kv_bytes_per_sequence) / static_cast<double>(GiB) == 10.40625);
  REQUIRE(a.groups.size() == 2);
  CHECK(a.groups[1].blocks_per_sequence == 64);
  CHECK(a.groups[1].peak_blocks == 65);
  CHECK(a.groups[1].sequence_bytes == 64 * 16 * 52 * 8192ULL);
  CHECK(a.groups[0].blocks_per_sequence == 8192);
  // what a token costs when it is written, and what stays of it
  CHECK(a.kv_bytes_per_token == 62 * 8192);
  CHECK(a.kv_bytes_per_token_past_windows == 10 * 8192);
  CHECK(a.block_bytes == 16 * 10 * 8192);
}

TEST_CASE("more ranks than heads keep everything several times", "[plan]") {
  plan::deployment d = bare(80 * GiB);
  d.tokens = 4096;
  for (const std::size_t tensor : {1U, 2U, 4U, 8U, 16U, 32U}) {
    d.tensor = tensor;
    const plan::answer a = figures(model_kit::llama3_70b(), d);
    const std::size_t copies = tensor > 8 ? tensor / 8 : 1;
    CHECK(a.kv_bytes_per_token == 327'680 * copies);
    CHECK(a.kv_bytes_per_token_per_device == 327'680 * copies / tensor);
    CHECK(a.kv_bytes_per_sequence == 4096ULL * 327'680 * copies);
    CHECK(a.kv_bytes_per_sequence_per_device == 4096ULL * 327'680 * copies / tensor);
    CHECK(a.devices_in_all == tensor);
    const plan::answer latent = figures(model_kit::deepseek_v3(), d);
    CHECK(latent.kv_bytes_per_token_per_device == 70'272);
    CHECK(latent.kv_bytes_per_token == 70'272 * tensor);
  }
}

TEST_CASE("stages divide layers, and the fullest one counts", "[plan]") {
  plan::deployment d = bare(80 * GiB);
  d.tokens = 4096, d.pipeline = 3, d.tensor = 8;
  const plan::answer a = figures(model_kit::llama3_70b(), d);
  CHECK(a.kv_bytes_per_token == 327'680);
  CHECK(a.kv_bytes_per_token_per_device == 27 * 512);
  CHECK(a.block_bytes == 27 * 512 * 16);
  REQUIRE(a.devices.size() == 3);
  std::size_t least = ~std::size_t{0};
  for (std::size_t stage = 0; stage < 3; ++stage) {
    const std::size_t block = (stage == 2 ? 26 : 27) * 512 * 16;
    least = std::min(least, a.devices[stage].kv / block);
    CHECK(a.devices[stage].kv_slack == a.devices[stage].kv % block);
  }
  CHECK(a.blocks == least);
  CHECK(a.weights_bytes == 2 * 70'553'706'496ULL);
  CHECK(a.weights_bytes_per_device == std::max(a.devices[0].weights, a.devices[2].weights));
}

TEST_CASE("states and encoders are told apart from what grows", "[plan]") {
  const plan::answer a = at_tokens(model_kit::hybrid(), 16'384);
  CHECK(a.state_bytes_per_sequence == 6 * (3 * 1536 * 2 + 8 * 64 * 64 * 4));
  CHECK(a.kv_bytes_per_token == 2 * 2 * 2 * 64 * 2);
  CHECK(a.kv_bytes_per_sequence == 16'384 * a.kv_bytes_per_token);
  const plan::answer w = at_tokens(model_kit::whisper(), 448);
  CHECK(w.kv_bytes_per_token == 2 * 32 * 20 * 64 * 2);
  CHECK(w.kv_bytes_per_sequence == (448 + 94 * 16) * w.kv_bytes_per_token);
}

TEST_CASE("half a block of each group is lost", "[plan]") {
  // 7.5 tokens beside 500: 1.5 %
  CHECK(at_tokens(model_kit::llama2_13b(), 500).waste_percent == Approx(100 * 7.5 / 507.5));
  plan::deployment d = bare(80 * GiB);
  d.tokens = 500, d.block_tokens = 1;
  CHECK(figures(model_kit::llama2_13b(), d).waste_percent == 0);
  // one encoder's end is known: 4 tokens of its last block
  const double both = 448 + 1500 + 7.5 + 4;
  CHECK(at_tokens(model_kit::whisper(), 448).waste_percent == Approx(100 * 11.5 / both));
}

TEST_CASE("what was left open is answered, and what was assumed is said", "[plan]") {
  plan::deployment d;
  d.device_bytes = 640 * GiB, d.tensor = 16;
  const plan::answer a = figures(model_kit::llama3_70b(), d);
  CHECK(a.tokens == 131'072);
  CHECK(a.kv_dtype == "bf16");
  CHECK(a.weight_dtype == "bf16");
  REQUIRE(a.warnings.size() == 2);
  CHECK(a.warnings[0] == "tensor: 16 ranks share 8 KV heads of group 'full', so that each is kept 2 times");
  CHECK(a.warnings[1] == "assumed, not measured: activations graph_bytes context_bytes communication_bytes");
  d.tokens = 200'000;
  CHECK(figures(model_kit::llama3_70b(), d).warnings[0] ==
        "tokens: the model was trained for 131072, not for 200000");
}
