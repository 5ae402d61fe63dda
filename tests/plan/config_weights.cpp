#include <tokenheap/plan/config_weights.hpp>

#include <support/catch.hpp>

#include <string>
#include <vector>

namespace plan = tokenheap::plan;
using plan::layer_feed;
using plan::layer_mixer;
using plan::weight_split;

static_assert(plan::weights_product({}) == 1);
static_assert(plan::weights_product({3, 0, 5}) == 0);
static_assert(plan::weights_product({1u << 28, 1u << 28}) == plan::too_many_weights);
static_assert(plan::weights_product({(1u << 28) - 1, 1u << 28}) == (std::uint64_t{1} << 56) - (1u << 28));
static_assert(plan::weights_product({1u << 28, 1u << 29, 1u << 30}) == plan::too_many_weights);
static_assert(plan::weights_product({~std::uint64_t{0}, ~std::uint64_t{0}}) == plan::too_many_weights);

namespace {

plan::config_shape small_one() {
  plan::config_shape s;
  s.hidden = 10;
  s.vocabulary = 100;
  s.layers = {{layer_mixer::full, layer_feed::dense}, {layer_mixer::full, layer_feed::dense}};
  s.attention = {.heads = 4, .kv_heads = 2, .head_size = 3};
  s.feed.intermediate = 20;
  return s;
}

const plan::weight_part* find(const std::vector<plan::weight_part>& parts, const std::string& name) {
  for (const plan::weight_part& each : parts) {
    if (each.name == name) return &each;
  }
  return nullptr;
}

std::uint64_t count(const plan::config_shape& s) {
  plan::model m;
  m.weights = plan::weights_of(s);
  return m.parameters();
}

}  // namespace

TEST_CASE("weights_of: the parts of a plain model", "[plan][config]") {
  const auto parts = plan::weights_of(small_one());
  const auto is = [&](const char* name, std::uint64_t numbers, weight_split split, bool quantised, std::size_t layers) {
    const plan::weight_part* p = find(parts, name);
    CAPTURE(name);
    REQUIRE(p != nullptr);
    CHECK(p->numbers == numbers);
    CHECK(p->split == split);
    CHECK(p->quantised == quantised);
    CHECK(p->at.size() == layers);
  };
  is("embedding", 1000, weight_split::embedding, false, 0);
  is("attention q", 120, weight_split::tensor, true, 2);
  is("attention k", 60, weight_split::kv, true, 2);
  is("attention v", 60, weight_split::kv, true, 2);
  is("attention o", 120, weight_split::tensor, true, 2);
  is("mlp", 600, weight_split::tensor, true, 2);
  is("norms", 20, weight_split::replicated, false, 2);
  is("last norm", 10, weight_split::replicated, false, 1);
  is("head", 1000, weight_split::head, false, 0);
  CHECK(find(parts, "last norm")->at == std::vector<std::size_t>{1});
  CHECK(find(parts, "attention k")->heads == 2);
  CHECK(find(parts, "attention q")->heads == 0);
  CHECK(parts.size() == 9);
  CHECK(count(small_one()) == 2 * 1000 + 10 + 2 * (360 + 600 + 20));
}

TEST_CASE("weights_of: what changes the sum, and by how much", "[plan][config]") {
  auto s = small_one();
  const std::uint64_t plain = count(s);
  const auto more = [&] { return count(s) - plain; };
  s.attention.q_bias = s.attention.k_bias = s.attention.v_bias = true;
  CHECK(more() == 2 * (12 + 6 + 6));
  s = small_one(), s.attention.o_bias = true;
  CHECK(more() == 2 * 10);
  s = small_one(), s.attention.gated = true;
  CHECK(more() == 2 * 120);
  s = small_one(), s.attention.others = 6;
  CHECK(more() == 2 * 6);
  s = small_one(), s.feed.bias = true;
  CHECK(more() == 2 * (2 * 20 + 10));
  s = small_one(), s.feed.gated = false;
  CHECK(more() == std::uint64_t{0} - 2 * 200);
  s = small_one(), s.norms.bias = true;
  CHECK(more() == 2 * 20 + 10);
  s = small_one(), s.norms.each = 4;
  CHECK(more() == 2 * 20);
  s = small_one(), s.head_bias = true;
  CHECK(more() == 100);
  s = small_one(), s.tied = true;
  CHECK(more() == std::uint64_t{0} - 1000);
  s = small_one(), s.attention.value_size = 1;
  CHECK(more() == std::uint64_t{0} - 2 * (10 * 2 * 2 + 10 * 4 * 2));
  s = small_one(), s.crosses = true;
  CHECK(more() == 2 * 360);
  s = small_one(), s.extra = {{.name = "x", .numbers = 9, .at = {0}}, {.name = "nothing", .numbers = 0, .at = {}}};
  CHECK(more() == 9);
}

TEST_CASE("weights_of: experts", "[plan][config]") {
  auto s = small_one();
  s.layers[1].feed = layer_feed::experts;
  s.feed.experts = 8;
  s.feed.expert_intermediate = 5;
  s.feed.shared_intermediate = 7;
  const auto parts = plan::weights_of(s);
  CHECK(find(parts, "experts")->numbers == 8 * 3 * 50);
  CHECK(find(parts, "experts")->split == weight_split::expert);
  CHECK(find(parts, "experts")->at == std::vector<std::size_t>{1});
  CHECK(find(parts, "mlp")->at == std::vector<std::size_t>{0});
  CHECK(find(parts, "shared expert")->numbers == 3 * 70);
  CHECK(find(parts, "router")->numbers == 80);
  CHECK(find(parts, "router")->split == weight_split::replicated);
  CHECK_FALSE(find(parts, "router")->quantised);
  CHECK(find(parts, "router bias") == nullptr);
  s.feed.expert_bias = s.feed.router_bias = s.feed.shared_gate = true;
  const auto biased = plan::weights_of(s);
  CHECK(find(biased, "experts bias")->numbers == 8 * (2 * 5 + 10));
  CHECK(find(biased, "router bias")->numbers == 8);
  CHECK(find(biased, "shared expert gate")->numbers == 10);
}

TEST_CASE("weights_of: by way of a latent vector", "[plan][config]") {
  auto s = small_one();
  for (plan::config_layer& each : s.layers) each.mixer = layer_mixer::latent;
  s.attention = {.heads = 4, .kv_heads = 1, .head_size = 5, .value_size = 2, .q_rank = 6, .kv_rank = 7, .rope_size = 1,
                 .plain_size = 4};
  const auto parts = plan::weights_of(s);
  CHECK(find(parts, "attention q") == nullptr);
  CHECK(find(parts, "latent q_a")->numbers == 60);
  CHECK(find(parts, "latent q_a")->split == weight_split::replicated);
  CHECK(find(parts, "latent q_b")->numbers == 6 * 4 * 5);
  CHECK(find(parts, "latent kv_a")->numbers == 10 * 8);
  CHECK(find(parts, "latent kv_b")->numbers == 7 * 4 * (4 + 2));
  CHECK(find(parts, "latent o")->numbers == 10 * 4 * 2);
  CHECK(find(parts, "latent norms")->numbers == 13);
  s.attention.q_rank = 0;
  CHECK(find(plan::weights_of(s), "latent q")->numbers == 10 * 4 * 5);
}

TEST_CASE("is_countable: no more than sums of 64 bits can bear", "[plan][config][bad]") {
  std::vector<plan::weight_part> parts(1);
  parts[0].numbers = plan::too_many_weights - 1;
  CHECK(plan::is_countable(parts));
  parts[0].numbers = plan::too_many_weights;
  CHECK_FALSE(plan::is_countable(parts));
  parts[0] = {.name = "x", .numbers = plan::too_many_weights / 2, .at = {0, 1}};
  CHECK_FALSE(plan::is_countable(parts));
  parts.assign(1000, {.name = "x", .numbers = plan::too_many_weights / 1000 + 1, .at = {0}});
  CHECK_FALSE(plan::is_countable(parts));
}
