#include <tokenheap/plan/config_states.hpp>

#include <support/catch.hpp>

#include <string>

#include <tokenheap/plan/config_json.hpp>

namespace plan = tokenheap::plan;

namespace {

plan::reading<plan::model> read(const std::string& type, const std::string& more) {
  return plan::read_config(R"({"hidden_size": 64, "vocab_size": 9, "num_attention_heads": 4, "intermediate_size": 128,
      "num_hidden_layers": 4, "torch_dtype": "bfloat16", "model_type": ")" + type + "\"" + more + "}", "c.json");
}

std::uint64_t numbers(const plan::model& m, const std::string& name) {
  for (const plan::weight_part& each : m.weights) {
    if (each.name == name) return each.numbers;
  }
  return 0;
}

}  // namespace

TEST_CASE("read_states: Mamba", "[plan][config]") {
  const auto got = read("jamba", R"(, "attn_layer_period": 4, "attn_layer_offset": 1, "mamba_d_state": 16, "mamba_d_conv": 4,
      "mamba_expand": 2, "mamba_dt_rank": "auto")");
  REQUIRE(got.error == "");
  REQUIRE(got.value.groups.size() == 2);
  const plan::layer_group& g = got.value.groups[1];
  CHECK(g.at == std::vector<std::size_t>{0, 2, 3});
  CHECK(g.conv_numbers == 128 * 3);
  CHECK(g.state_numbers == 128 * 16);
  CHECK(g.state_heads == 128);
  CHECK(g.state_bytes_each == 2);
  CHECK(numbers(got.value, "state matrices") == 64 * 128 * 3 + 128 * (4 + 32) + 4 * 128);
  CHECK(numbers(got.value, "state others") == 128 * 4 + 128 + 128 * 16 + 128 + 128 + 4 + 32);
}

TEST_CASE("read_states: a model of states alone", "[plan][config]") {
  const auto got = plan::read_config(R"({"model_type": "mamba", "hidden_size": 768, "intermediate_size": 1536,
      "num_hidden_layers": 24, "state_size": 16, "conv_kernel": 4, "time_step_rank": 48, "expand": 2, "use_bias": false,
      "use_conv_bias": true, "vocab_size": 50280, "torch_dtype": "float32"})", "c.json");
  REQUIRE(got.error == "");
  REQUIRE(got.value.groups.size() == 1);
  CHECK(got.value.groups[0].at.size() == 24);
  CHECK(got.value.groups[0].conv_numbers == 1536 * 3);
  CHECK(got.value.groups[0].state_numbers == 1536 * 16);
  CHECK(got.value.groups[0].conv_bytes_each == 4);
  CHECK(got.value.groups[0].state_bytes_each == 4);
  CHECK(got.value.parameters() == 129'135'360);
}

TEST_CASE("read_states: the second Mamba", "[plan][config]") {
  const auto got = read("bamba", R"(, "attn_layer_indices": [2], "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_n_groups": 2,
      "mamba_d_state": 32, "mamba_d_conv": 4, "mamba_expand": 2)");
  REQUIRE(got.error == "");
  const plan::layer_group& g = got.value.groups[1];
  CHECK(g.at == std::vector<std::size_t>{0, 1, 3});
  CHECK(g.conv_numbers == (128 + 2 * 2 * 32) * 3);
  CHECK(g.state_numbers == 8 * 16 * 32);
  CHECK(g.state_heads == 8);
  CHECK(read("bamba", R"(, "attn_layer_indices": [2], "mamba_n_heads": 8, "mamba_d_head": "auto")").value.groups[1]
            .state_numbers == 8 * 16 * 128);
  CHECK(read("bamba", R"(, "attn_layer_indices": [2], "mamba_n_heads": 800, "mamba_d_head": "auto")").error ==
        "c.json: mamba_n_heads is more than there are channels");
}

TEST_CASE("read_states: a state beside the attention of each layer", "[plan][config]") {
  const auto got = read("falcon_h1", R"(, "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_ssm": 128, "mamba_d_state": 32)");
  REQUIRE(got.error == "");
  REQUIRE(got.value.groups.size() == 2);
  CHECK(got.value.groups[0].at.size() == 4);
  CHECK(got.value.groups[1].at.size() == 4);
  CHECK(got.value.groups[1].state_numbers == 128 * 32);
}

TEST_CASE("read_states: the gated delta rule", "[plan][config]") {
  const std::string sizes = R"(, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_num_value_heads": 4,
      "linear_value_head_dim": 16, "linear_conv_kernel_dim": 4)";
  const auto got = read("qwen3_next", sizes);
  REQUIRE(got.error == "");
  const plan::layer_group& g = got.value.groups[1];
  CHECK(g.at == std::vector<std::size_t>{0, 1, 2});
  CHECK(g.conv_numbers == (2 * 2 * 8 + 4 * 16) * 3);
  CHECK(g.state_numbers == 4 * 8 * 16);
  CHECK(g.state_heads == 4);
  CHECK(g.state_bytes_each == 2);
  CHECK(read("qwen3_next", sizes + R"(, "mamba_ssm_dtype": "float32")").value.groups[1].state_bytes_each == 4);
  CHECK(read("qwen3_next", sizes + R"(, "mamba_ssm_dtype": "float32")").value.groups[1].conv_bytes_each == 2);
}

TEST_CASE("read_states: the delta rule with a gate for each channel", "[plan][config]") {
  const auto got = read("kimi_linear", R"(, "linear_attn_config": {"full_attn_layers": [2], "num_heads": 4, "head_dim": 8,
      "short_conv_kernel_size": 4})");
  REQUIRE(got.error == "");
  const plan::layer_group& g = got.value.groups[1];
  CHECK(g.at == std::vector<std::size_t>{0, 2, 3});
  CHECK(g.conv_numbers == 3 * 32 * 3);
  CHECK(g.state_numbers == 32 * 8);
  CHECK(g.state_bytes_each == 4);
  CHECK(read("kimi_linear", R"(, "linear_attn_config": {"full_attn_layers": [2], "num_heads": 4})").error ==
        "c.json: linear_attn_config.head_dim is missing");
}

TEST_CASE("read_states: linear attention and short convolutions", "[plan][config]") {
  const auto linear = read("minimax_text_01", R"(, "attn_type_list": [0, 1, 0, 0])");
  REQUIRE(linear.error == "");
  CHECK(linear.value.groups[1].conv_numbers == 0);
  CHECK(linear.value.groups[1].state_numbers == 4 * 16 * 16);
  CHECK(linear.value.groups[1].state_bytes_each == 4);
  const auto conv = read("lfm2", R"(, "layer_types": ["conv", "conv", "full_attention", "conv"], "conv_L_cache": 3)");
  REQUIRE(conv.error == "");
  CHECK(conv.value.groups[1].conv_numbers == 64 * 2);
  CHECK(conv.value.groups[1].state_numbers == 0);
}

TEST_CASE("read_states: no size, or one beyond all machines", "[plan][config][bad]") {
  CHECK(read("llama", R"(, "layer_types": ["mamba", "mamba", "mamba", "mamba"])").error ==
        "c.json: layer_types names layers with a state, and no field says how large it is");
  CHECK(read("qwen3_next", R"(, "linear_num_value_heads": 65536, "linear_value_head_dim": 65536,
      "linear_key_head_dim": 65536)").error ==
        "c.json: hidden_size and the sizes of states make more than 2^40 numbers in a layer");
}
