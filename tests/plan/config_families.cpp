#include <tokenheap/plan/config_families.hpp>

#include <support/catch.hpp>

#include <string>
#include <string_view>

namespace plan = tokenheap::plan;
using plan::config_family;

namespace {

/// A config read by what all families have in common.
struct common {
  plan::config_shape shape;
  std::string error;
};

common read(const char* text, bool nested = false) {
  common out;
  const auto parsed = plan::parse_object(text, "c.json");
  REQUIRE(parsed);
  const plan::config_fields fields(parsed.value, "", out.error);
  const config_family* family = plan::find_family(fields.text({"model_type"}));
  const bool known = family != nullptr;
  plan::read_common({.top = fields, .text = fields, .family = known ? *family : *plan::find_family("llama"),
                     .nested = nested, .known = known}, out.shape);
  return out;
}

}  // namespace

TEST_CASE("find_family: names, other names, and none", "[plan][config]") {
  REQUIRE(plan::find_family("qwen3") != nullptr);
  CHECK(plan::find_family("qwen3")->head_size == 128);
  CHECK(plan::find_family("RefinedWebModel")->type == "falcon");
  CHECK(plan::find_family("gemma3")->type == "gemma3_text");
  CHECK(plan::find_family("mllama")->type == "mllama_text_model");
  CHECK(plan::find_family("") == nullptr);
  CHECK(plan::find_family("llam") == nullptr);
  for (const plan::config_parts::same_family& each : plan::config_parts::aliases) {
    CAPTURE(each.type);
    CHECK(plan::find_family(each.type) != nullptr);
  }
  for (const config_family& each : plan::config_parts::families) CHECK(plan::find_family(each.type) == &each);
}

TEST_CASE("read_common: the same sizes under the names of several families", "[plan][config]") {
  for (const char* text :
       {R"({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
            "num_key_value_heads": 2, "intermediate_size": 256, "vocab_size": 99, "max_position_embeddings": 7})",
        R"({"model_type": "mpt", "d_model": 64, "n_layers": 3, "n_heads": 4, "attn_config": {"kv_n_heads": 2},
            "vocab_size": 99, "max_seq_len": 7})",
        R"({"model_type": "chatglm", "hidden_size": 64, "num_layers": 3, "num_attention_heads": 4, "kv_channels": 16,
            "multi_query_attention": true, "multi_query_group_num": 2, "ffn_hidden_size": 256, "padded_vocab_size": 99,
            "vocab_size": 98, "seq_length": 7})",
        R"({"model_type": "unheard_of", "n_embd": 64, "n_layer": 3, "n_head": 4, "num_kv_heads": 2, "vocab_size": 99,
            "n_positions": 7})"}) {
    CAPTURE(text);
    const common got = read(text);
    CHECK(got.error == "");
    CHECK(got.shape.hidden == 64);
    CHECK(got.shape.layers.size() == 3);
    CHECK(got.shape.attention.heads == 4);
    CHECK(got.shape.attention.kv_heads == 2);
    CHECK(got.shape.attention.head_size == 16);
    CHECK(got.shape.feed.intermediate == 256);
    CHECK(got.shape.vocabulary == 99);
    CHECK(got.shape.longest == 7);
  }
}

TEST_CASE("read_common: what is missing or makes no sense is named", "[plan][config][bad]") {
  CHECK(read(R"({"model_type": "llama"})").error == "hidden_size is missing");
  CHECK(read(R"({"model_type": "llama", "hidden_size": 64})").error == "num_hidden_layers is missing");
  const std::string start = R"({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 3, "vocab_size": 99)";
  CHECK(read((start + "}").c_str()).error == "num_attention_heads is missing");
  CHECK(read((start + R"(, "num_attention_heads": 4})").c_str()).error == "intermediate_size is missing");
  CHECK(read((start + R"(, "num_attention_heads": 3})").c_str()).error ==
        "head_dim is missing, and hidden_size 64 is no multiple of the 3 heads");
  CHECK(read((start + R"(, "num_attention_heads": 4, "num_key_value_heads": 8})").c_str()).error ==
        "num_key_value_heads is 8, more than the 4 heads of queries");
}

TEST_CASE("read_common: an explicit head size wins", "[plan][config]") {
  const std::string start = R"({"model_type": "qwen3", "hidden_size": 96, "num_hidden_layers": 1, "vocab_size": 9,
                                "num_attention_heads": 3, "intermediate_size": 5)";
  CHECK(read((start + "}").c_str()).shape.attention.head_size == 128);
  CHECK(read((start + R"(, "head_dim": 48})").c_str()).shape.attention.head_size == 48);
  CHECK(read((start + R"(, "head_dim": null})").c_str()).shape.attention.head_size == 128);
  // norms of queries and keys, head by head
  CHECK(read((start + R"(, "head_dim": 48})").c_str()).shape.attention.others == 96);
}

TEST_CASE("read_common: inside of another config, what is usual is left out", "[plan][config]") {
  const auto got = read(R"({"model_type": "llama", "vocab_size": 32064})", true);
  CHECK(got.error == "");
  CHECK(got.shape.hidden == 4096);
  CHECK(got.shape.layers.size() == 32);
  CHECK(got.shape.feed.intermediate == 11008);
  CHECK(got.shape.vocabulary == 32064);
  CHECK(read(R"({"model_type": "mixtral", "vocab_size": 32064})", true).error == "hidden_size is missing");
}

TEST_CASE("read_common: biases, norms and ties as the family has them, or as the config says", "[plan][config]") {
  const auto with = [](const std::string& type, const std::string& more) {
    return read((R"({"hidden_size": 64, "num_hidden_layers": 1, "vocab_size": 9, "num_attention_heads": 4,
                     "intermediate_size": 5, "model_type": ")" + type + "\"" + more + "}").c_str()).shape;
  };
  CHECK_FALSE(with("llama", "").attention.q_bias);
  CHECK(with("llama", R"(, "attention_bias": true)").attention.o_bias);
  CHECK(with("llama", R"(, "mlp_bias": true)").feed.bias);
  CHECK(with("qwen2", "").attention.v_bias);
  CHECK_FALSE(with("qwen2", "").attention.o_bias);
  CHECK(with("glm4", R"(, "attention_bias": true)").attention.k_bias);
  CHECK_FALSE(with("glm4", R"(, "attention_bias": true)").attention.o_bias);
  CHECK_FALSE(with("whisper", "").attention.k_bias);
  CHECK(with("gpt2", "").feed.bias);
  CHECK_FALSE(with("gpt2", "").feed.gated);
  CHECK(with("gpt2", "").norms.bias);
  CHECK(with("phi", "").norms.each == 1);
  CHECK(with("gemma2", "").norms.each == 4);
  CHECK(with("olmo", "").norms.last == 0);
  CHECK(with("gemma2", "").tied);
  CHECK_FALSE(with("gemma2", R"(, "tie_word_embeddings": false)").tied);
  CHECK(with("llama", R"(, "tie_word_embeddings": true)").tied);
  CHECK(with("olmo2", "").attention.others == 128);
  CHECK(with("gemma3n", "").warnings.size() == 1);
  CHECK(with("gemma3n", R"(, "intermediate_size": [3, 8, 5])").feed.intermediate == 8);
}
