#include <tokenheap/plan/make_plan.hpp>

#include <support/catch.hpp>

#include <random>

#include <tokenheap/device/sim.hpp>
#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/kv/groups.hpp>
#include <tokenheap/kv/sequence.hpp>

#include "model_kit.hpp"

namespace kv = tokenheap::kv;
namespace plan = tokenheap::plan;
using namespace tokenheap;
using model_kit::bare;

namespace {

plan::answer planned(const plan::model& m, const plan::deployment& d) {
  const auto a = plan::make_plan(m, d);
  INFO(a.error);
  REQUIRE(a);
  return a.value;
}

}  // namespace

TEST_CASE("the number of blocks is that of the pool over the same bytes of a device", "[plan]") {
  plan::deployment d;
  d.device_bytes = 80 * GiB, d.tokens = 2000, d.tensor = 2;
  const plan::model m = model_kit::llama2_13b();
  const plan::answer a = planned(m, d);
  const plan::kv_format& format = *plan::find_format(plan::kv_formats, "bf16");
  const kv::layout shape = kv::layout_of_rank(plan::layout_of(m.groups[0], format, 40, 16), 2);
  CHECK(shape.block_bytes() == a.block_bytes);

  sim_machine machine{sim_options{.capacity = 80 * GiB}};
  sim_device device = machine.device();
  void* rest = nullptr;
  void* memory = nullptr;
  const std::size_t caches = a.devices[0].kv;
  REQUIRE(device.allocate(80 * GiB - caches, rest).error == device_error::ok);
  REQUIRE(device.allocate(a.blocks * a.block_bytes, memory).error == device_error::ok);
  void* none = nullptr;
  CHECK(device.allocate(a.block_bytes, none).error != device_error::ok);  // no room for another block

  const auto open = [&](std::size_t blocks) {
    return kv::block_pool<>::open({.blocks = blocks, .block_tokens = a.block_tokens, .cache = false},
                                  kv::tensor{memory, a.blocks * a.block_bytes, shape, false});
  };
  CHECK_FALSE(open(a.blocks + 1));
  auto pool = open(a.blocks);
  REQUIRE(pool);
  CHECK(pool->stats().total == a.blocks);
  const std::vector<kv::token> prompt(a.tokens);
  std::vector<kv::sequence<kv::block_pool<>>> running;
  for (std::size_t k = 0; k < a.max_sequences; ++k) {
    auto s = kv::sequence<kv::block_pool<>>::open(*pool, prompt);
    REQUIRE(s);
    running.push_back(std::move(*s));
  }
  CHECK_FALSE(kv::sequence<kv::block_pool<>>::open(*pool, prompt));
}

TEST_CASE("sequences of windows grow step by step in the space that the plan leaves", "[plan]") {
  plan::model m = model_kit::gemma3_27b();
  plan::deployment d = bare(110 * GiB);
  d.tokens = 6000, d.prefill_tokens = 512;
  const plan::answer a = planned(m, d);
  std::size_t pages[] = {a.groups[0].block_bytes, a.groups[1].block_bytes};
  auto space = kv::page_space::open({.bytes = a.devices[0].kv, .page_bytes = pages, .groups = 2});
  REQUIRE(space);
  const kv::group_rule rules[] = {{.name = "full"}, {.name = "window", .kind = kv::group_kind::window, .span = 1024}};
  std::vector<kv::group_sequence> running;
  REQUIRE(a.max_sequences > 3);
  for (std::size_t k = 0; k < a.max_sequences; ++k) {
    auto s = kv::group_sequence::open(*space, rules);
    REQUIRE(s);
    for (std::size_t at = 0; at < a.tokens;) {
      const std::size_t step = std::min(d.prefill_tokens, a.tokens - at);
      const failure why = s->grow(step);
      REQUIRE(why.code == errc::ok);
      REQUIRE(s->settle(at += step) == errc::ok);
    }
    running.push_back(std::move(*s));
  }
  CHECK(space->is_valid());
}

TEST_CASE("what fits has no advice, and what does not has only advice that was tried", "[plan]") {
  plan::deployment d;
  d.device_bytes = 80 * GiB;
  const plan::answer good = planned(model_kit::qwen3_8b(), d);
  CHECK(good.fits);
  CHECK(good.shortage.empty());
  CHECK(good.advice.empty());
  const plan::answer bad = planned(model_kit::llama3_70b(), d);
  CHECK_FALSE(bad.fits);
  CHECK(bad.shortage.find("lacks") != std::string::npos);
  CHECK_FALSE(bad.advice.empty());
}

TEST_CASE("a question that makes no sense is answered by its field", "[plan][bad]") {
  plan::deployment d = bare(GiB);
  d.sequences = 0;
  CHECK(plan::make_plan(model_kit::qwen3_8b(), d).error.find("sequences") != std::string::npos);
  CHECK(plan::make_plan({}, bare(GiB)).error == "model: layers: 0 is not within 1 and 65536");
}

TEST_CASE("numbers out of nowhere are refused or add up", "[plan][bad]") {
  const unsigned seed = GENERATE(2026u, 1378u);  // the second once summed parts past 2^63
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  const auto wild = [&]() -> std::size_t { return random() >> (random() % 64); };
  const auto rare = [&](std::size_t usual) { return random() % 6 == 0 ? wild() : usual; };
  const char* const kv_names[] = {"", "fp8", "nvfp4", "int8", "fp8_ds_mla", "int4", "none"};
  std::size_t answered = 0;
  for (int round = 0; round < 1500; ++round) {
    plan::model m = round % 2 == 0 ? model_kit::dense("wild", {.layers = 6}) : model_kit::hybrid();
    for (auto* n : {&m.hidden, &m.intermediate, &m.vocabulary, &m.query_heads, &m.head_size, &m.longest}) *n = rare(*n);
    for (plan::layer_group& g : m.groups) {
      for (auto* n : {&g.kv_heads, &g.head_size, &g.value_head_size, &g.rope_size, &g.span, &g.encoder_tokens}) *n = rare(*n);
      for (auto* n : {&g.conv_numbers, &g.state_numbers, &g.state_heads}) *n = rare(*n);
      if (random() % 4 == 0) g.kind = static_cast<kv::group_kind>(random() % 5);
      g.latent = random() % 5 == 0;
    }
    for (plan::weight_part& w : m.weights) w.numbers = rare(w.numbers);
    m.exact_weight_bytes = rare(0), m.experts = rare(0);
    plan::deployment d;
    for (auto* n : {&d.tensor, &d.pipeline, &d.expert, &d.data}) *n = random() % 8 == 0 ? wild() % 10 : *n;
    d.device_bytes = rare(wild() % (100 * GiB));
    for (auto* n : {&d.block_tokens, &d.tokens, &d.sequences, &d.prefill_tokens, &d.lora_adapters, &d.lora_rank}) *n = rare(*n);
    for (auto* n : {&d.graph_bytes, &d.communication_bytes, &d.context_bytes}) *n = rare(*n);
    d.kv_dtype = kv_names[random() % 7];
    d.pruned_2_4 = random() % 4 == 0;
    const auto a = plan::make_plan(m, d);
    if (!a) {
      CHECK(a.error.find(':') != std::string::npos);
      continue;
    }
    ++answered;
    for (const plan::device_need& n : a.value.devices) {
      CHECK(n.unused + n.weights + n.lora + n.activations + n.reserve + n.kv == n.total + n.missing);
      CHECK(n.kv_slack <= n.kv);
    }
    CHECK(a.value.fits == (a.value.max_sequences >= d.sequences));
    CHECK(a.value.fits == a.value.shortage.empty());
    CHECK(a.value.fits == (a.value.max_tokens >= a.value.tokens));
  }
  CHECK(answered > 50);
}
