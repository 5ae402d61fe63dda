#include <tokenheap/plan/config_layers.hpp>

#include <support/catch.hpp>

#include <string>
#include <vector>

namespace plan = tokenheap::plan;
using plan::layer_feed;
using plan::layer_mixer;
using list = std::vector<std::size_t>;

namespace {

struct layers {
  plan::config_shape shape;
  std::string error;
  [[nodiscard]] list full() const { return shape.with(layer_mixer::full); }
  [[nodiscard]] list window() const { return shape.with(layer_mixer::window); }
  [[nodiscard]] list state() const { return shape.with(layer_mixer::state); }
  [[nodiscard]] list experts() const { return shape.with(layer_feed::experts); }
};

/// The layers of a model of `count` of them.
layers read(const std::string& type, std::size_t count, const std::string& more) {
  layers out;
  const auto parsed = plan::parse_object(R"({"hidden_size": 64, "vocab_size": 9, "num_attention_heads": 4,
      "intermediate_size": 5, "model_type": ")" + type + R"(", "num_hidden_layers": )" + std::to_string(count) + more + "}", "c");
  REQUIRE(parsed);
  const plan::config_fields fields(parsed.value, "", out.error);
  const plan::config_family* family = plan::find_family(type);
  const bool known = family != nullptr;
  const plan::config_reader from{.top = fields, .text = fields, .family = known ? *family : *plan::find_family("llama"),
                                 .known = known};
  plan::read_common(from, out.shape);
  plan::read_layers(from, out.shape);
  return out;
}

}  // namespace

TEST_CASE("read_layers: a window for all, for some, or for none", "[plan][config]") {
  CHECK(read("mistral", 3, "").full() == list{0, 1, 2});
  CHECK(read("mistral", 3, R"(, "sliding_window": 8)").window() == list{0, 1, 2});
  CHECK(read("mistral", 3, R"(, "sliding_window": null)").full() == list{0, 1, 2});
  CHECK(read("mistral", 3, R"(, "sliding_window": 0)").full() == list{0, 1, 2});
  CHECK(read("mistral", 3, R"(, "sliding_window": -1)").full() == list{0, 1, 2});
  CHECK(read("mistral", 3, R"(, "sliding_window": 8, "max_position_embeddings": 9)").window().size() == 3);
  CHECK(read("mistral", 3, R"(, "sliding_window": 8, "max_position_embeddings": 8)").full().size() == 3);
  CHECK(read("mistral", 3, R"(, "sliding_window": "8")").error ==
        "sliding_window is \"8\", a whole number from 0 to 1099511627776 is needed");
  CHECK(read("unheard_of", 2, R"(, "sliding_window": 8)").window() == list{0, 1});
  CHECK(read("unheard_of", 2, R"(, "sliding_window": 8)").shape.warnings.size() == 1);
}

TEST_CASE("read_layers: Qwen has windows only where it says so, from some layer on", "[plan][config]") {
  CHECK(read("qwen2", 4, R"(, "sliding_window": 8, "max_window_layers": 2)").full().size() == 4);
  CHECK(read("qwen2", 4, R"(, "sliding_window": 8, "max_window_layers": 2, "use_sliding_window": false)").full().size() == 4);
  CHECK(read("qwen3", 4, R"(, "sliding_window": 8, "max_window_layers": 2, "use_sliding_window": true)").window() == list{2, 3});
  CHECK(read("qwen3", 4, R"(, "sliding_window": 8, "max_window_layers": 9, "use_sliding_window": true)").window().empty());
}

TEST_CASE("read_layers: windows by turns", "[plan][config]") {
  CHECK(read("gemma2", 5, "").full() == list{1, 3});
  CHECK(read("gemma2", 5, "").shape.window == 4096);
  CHECK(read("gemma2", 5, R"(, "sliding_window": null)").full().size() == 5);
  CHECK(read("gemma3_text", 13, R"(, "sliding_window": 512)").full() == list{5, 11});
  CHECK(read("gemma3_text", 6, R"(, "sliding_window_pattern": 3)").full() == list{2, 5});
  CHECK(read("gemma3_text", 6, R"(, "_sliding_window_pattern": 2)").full() == list{1, 3, 5});
  CHECK(read("gpt_oss", 4, "").full() == list{1, 3});
  CHECK(read("gpt_oss", 4, "").shape.window == 128);
  CHECK(read("cohere2", 8, R"(, "sliding_window": 8)").full() == list{3, 7});
  CHECK(read("exaone4", 8, R"(, "sliding_window": 8, "sliding_window_pattern": "LLLG")").full() == list{3, 7});
}

TEST_CASE("read_layers: a list of layers wins over everything else", "[plan][config]") {
  const std::string types = R"(, "layer_types": ["full_attention", "sliding_attention", "linear_attention"])";
  const layers got = read("gemma3_text", 3, types + R"(, "sliding_window": 8, "sliding_window_pattern": 2)");
  CHECK(got.full() == list{0});
  CHECK(got.window() == list{1});
  CHECK(got.state() == list{2});
  CHECK(read("qwen2", 3, types + R"(, "sliding_window": 8, "use_sliding_window": false)").window() == list{1});
  CHECK(read("llama", 2, types + R"(, "sliding_window": 8)").window() == list{1});
  CHECK(read("llama", 4, types).error == "layer_types has 3 entries for 4 layers");
  CHECK(read("llama", 3, types).error == "sliding_window is missing");
  CHECK(read("llama", 1, R"(, "layer_types": ["odd"])").error == "layer_types[0] is a kind of layer that is not known: odd");
  CHECK(read("llama", 1, R"(, "layer_types": [3])").error == "layer_types[0] is 3, a text is needed");
  CHECK(read("llama", 1, R"(, "layer_types": ["chunked_attention"])").error == "attention_chunk_size is missing");
}

TEST_CASE("read_layers: chunks of Llama 4", "[plan][config]") {
  CHECK(read("llama4_text", 8, "").full() == list{3, 7});
  CHECK(read("llama4_text", 8, "").shape.chunk == 8192);
  CHECK(read("llama4_text", 8, R"(, "attention_chunk_size": null)").full().size() == 8);
  CHECK(read("llama4_text", 4, R"(, "no_rope_layers": [0, 1, 1, 0])").full() == list{0, 3});
  CHECK(read("llama4_text", 4, R"(, "no_rope_layer_interval": 2)").full() == list{1, 3});
}

TEST_CASE("read_layers: attention among states", "[plan][config]") {
  CHECK(read("jamba", 16, R"(, "attn_layer_period": 8, "attn_layer_offset": 4)").full() == list{4, 12});
  CHECK(read("jamba", 16, R"(, "attn_layer_period": 8, "attn_layer_offset": 4)").state().size() == 14);
  CHECK(read("qwen3_next", 8, "").full() == list{3, 7});
  CHECK(read("qwen3_next", 6, R"(, "full_attention_interval": 3)").full() == list{2, 5});
  CHECK(read("bamba", 6, R"(, "attn_layer_indices": [1, 4])").full() == list{1, 4});
  CHECK(read("bamba", 6, R"(, "attn_layer_indices": [6])").error ==
        "attn_layer_indices[0] is 6, a whole number from 0 to 5 is needed");
  CHECK(read("minimax_text_01", 4, R"(, "attn_type_list": [0, 0, 1, 0])").full() == list{2});
  CHECK(read("unheard_of", 4, R"(, "linear_attn_config": {"full_attn_layers": [2]})").full() == list{1});
  CHECK(read("unheard_of", 4, R"(, "linear_attn_config": {"full_attn_layers": [0]})").error ==
        "linear_attn_config.full_attn_layers[0] is 0, a whole number from 1 to 4 is needed");
  CHECK(read("minimax_text_01", 4, R"(, "attn_type_list": [0, 0, 1])").error ==
        "attn_type_list has fewer entries than there are layers");
  const layers letters = read("nemotron_h", 4, R"(, "hybrid_override_pattern": "M-*M")");
  CHECK(letters.state() == list{0, 3});
  CHECK(letters.full() == list{2});
  CHECK(letters.shape.with(layer_feed::dense) == list{1});
  CHECK(read("nemotron_h", 5, R"(, "hybrid_override_pattern": "M-*M")").error ==
        "hybrid_override_pattern has not one letter for each layer");
}

TEST_CASE("read_layers: latent layers", "[plan][config]") {
  const std::string latent = R"(, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 6, "v_head_dim": 6)";
  CHECK(read("deepseek_v3", 2, latent).shape.with(layer_mixer::latent) == list{0, 1});
  CHECK(read("deepseek_v3", 2, R"(, "kv_lora_rank": 8)").error == "qk_rope_head_dim is missing");
}

TEST_CASE("read_layers: which layers have experts", "[plan][config]") {
  const std::string some = R"(, "num_experts": 4)";
  CHECK(read("mixtral", 3, R"(, "num_local_experts": 4)").experts() == list{0, 1, 2});
  CHECK(read("llama", 3, "").experts().empty());
  CHECK(read("deepseek_v2", 4, R"(, "n_routed_experts": 4, "first_k_dense_replace": 1)").experts() == list{1, 2, 3});
  CHECK(read("deepseek_v2", 5, R"(, "n_routed_experts": 4, "moe_layer_freq": 2)").experts() == list{0, 2, 4});
  CHECK(read("deepseek_v2", 3, R"(, "n_routed_experts": 4, "moe_layer_freq": [0, 1, 1])").experts() == list{1, 2});
  CHECK(read("qwen2_moe", 4, some + R"(, "decoder_sparse_step": 2)").experts() == list{1, 3});
  CHECK(read("qwen2_moe", 4, some + R"(, "mlp_only_layers": [0, 2])").experts() == list{1, 3});
  CHECK(read("jamba", 4, some + R"(, "expert_layer_period": 2, "expert_layer_offset": 1)").experts() == list{1, 3});
  CHECK(read("jamba", 4, R"(, "num_experts": 1)").experts().empty());
  CHECK(read("llama4_text", 4, R"(, "num_local_experts": 4, "interleave_moe_layer_step": 2)").experts() == list{1, 3});
  CHECK(read("llama4_text", 4, R"(, "num_local_experts": 4, "moe_layers": [2])").experts() == list{2});
}

TEST_CASE("read_layers: what experts are made of", "[plan][config]") {
  const auto feed = [](const char* type, const char* more) { return read(type, 1, more).shape.feed; };
  const auto deep = feed("deepseek_v3", R"(, "n_routed_experts": 4, "moe_intermediate_size": 7, "n_shared_experts": 2,
      "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 6, "v_head_dim": 6)");
  CHECK(deep.experts == 4);
  CHECK(deep.expert_intermediate == 7);
  CHECK(deep.shared_intermediate == 14);
  CHECK(deep.router_bias);
  CHECK_FALSE(deep.shared_gate);
  const auto qwen = feed("qwen2_moe", R"(, "num_experts": 4, "shared_expert_intermediate_size": 9)");
  CHECK(qwen.expert_intermediate == 5);
  CHECK(qwen.shared_intermediate == 9);
  CHECK(qwen.shared_gate);
  CHECK_FALSE(qwen.router_bias);
  CHECK(feed("dbrx", R"(, "ffn_config": {"ffn_hidden_size": 11, "moe_num_experts": 4})").expert_intermediate == 11);
  CHECK(feed("dbrx", R"(, "ffn_config": {"ffn_hidden_size": 11, "moe_num_experts": 4})").experts == 4);
  CHECK(feed("gpt_oss", R"(, "num_local_experts": 4)").expert_bias);
}
