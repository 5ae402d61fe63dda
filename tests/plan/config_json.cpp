#include <tokenheap/plan/config_json.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include <plan/configs.hpp>

namespace kv = tokenheap::kv;
namespace plan = tokenheap::plan;
using nlohmann::json;

namespace {

plan::model read(const char* text) {
  const auto got = plan::read_config(text, "config.json");
  CHECK(got.error == "");
  return got.value;
}

/// What is said about a config in which some fields are other ones; null takes a field away.
std::string complaint(const char* text, const char* patch) {
  json of = json::parse(text, nullptr, false);
  of.merge_patch(json::parse(patch, nullptr, false));
  return plan::read_config(of.dump(), "config.json").error;
}

constexpr const char* everything[] = {
    configs::llama2_13b, configs::llama3_8b, configs::llama3_70b, configs::llama32_1b, configs::mistral_7b,
    configs::qwen25_7b, configs::qwen3_8b, configs::gemma2_9b, configs::gemma3_27b, configs::gemma3_4b, configs::phi3_mini,
    configs::phi2, configs::mixtral_8x7b, configs::qwen15_moe, configs::qwen3_30b, configs::deepseek_v3,
    configs::deepseek_v2_lite, configs::gpt_oss_20b, configs::jamba, configs::qwen3_next, configs::whisper_tiny,
    configs::whisper_large_v3, configs::gpt2, configs::falcon_7b, configs::falcon_40b, configs::opt_13b,
    configs::bloom_560m, configs::pythia_7b, configs::starcoder, configs::llama4_scout, configs::llama32_11b_vision,
    configs::llava_7b, configs::chatglm2_6b, configs::stablelm2_1_6b, configs::starcoder2_3b, configs::command_r,
    configs::olmo2_7b, configs::olmoe_7b, configs::gptj_6b, configs::mpt_7b, configs::dbrx, configs::phi35_moe,
    configs::gemma_2b, configs::lfm2_1_2b, configs::mamba2_130m, configs::kimi_linear_48b};

}  // namespace

TEST_CASE("read_config: the numbers of all weights are those that were published", "[plan][config]") {
  CHECK(read(configs::llama2_13b).parameters() == 13'015'864'320);
  CHECK(read(configs::llama3_8b).parameters() == 8'030'261'248);
  CHECK(read(configs::llama3_70b).parameters() == 70'553'706'496);
  CHECK(read(configs::llama32_1b).parameters() == 1'235'814'400);
  CHECK(read(configs::mistral_7b).parameters() == 7'241'732'096);
  CHECK(read(configs::qwen25_7b).parameters() == 7'615'616'512);
  CHECK(read(configs::qwen3_8b).parameters() == 8'190'735'360);
  CHECK(read(configs::gemma2_9b).parameters() == 9'241'705'984);
  CHECK(read(configs::gemma3_27b).parameters() == 27'009'346'304);
  CHECK(read(configs::phi3_mini).parameters() == 3'821'079'552);
  CHECK(read(configs::phi2).parameters() == 2'779'683'840);
  CHECK(read(configs::mixtral_8x7b).parameters() == 46'702'792'704);
  CHECK(read(configs::qwen15_moe).parameters() == 14'315'784'192);
  CHECK(read(configs::qwen3_30b).parameters() == 30'532'122'624);
  CHECK(read(configs::deepseek_v3).parameters() == 671'026'419'200);
  CHECK(read(configs::deepseek_v2_lite).parameters() == 15'706'484'224);
  CHECK(read(configs::gpt_oss_20b).parameters() == 20'914'757'184);
  CHECK(read(configs::jamba).parameters() == 51'570'323'328);
  CHECK(read(configs::qwen3_next).parameters() == 79'674'391'296);
  CHECK(read(configs::whisper_tiny).parameters() == 37'760'640);
  CHECK(read(configs::whisper_large_v3).parameters() == 1'543'490'560);
  CHECK(read(configs::gpt2).parameters() == 124'439'808);
  CHECK(read(configs::falcon_7b).parameters() == 6'921'720'704);
  CHECK(read(configs::bloom_560m).parameters() == 559'214'592);
  CHECK(read(configs::pythia_7b).parameters() == 6'857'302'016);
  CHECK(read(configs::starcoder).parameters() == 15'517'456'384);
  CHECK(read(configs::chatglm2_6b).parameters() == 6'243'584'000);
  CHECK(read(configs::stablelm2_1_6b).parameters() == 1'644'515'328);
  CHECK(read(configs::starcoder2_3b).parameters() == 3'030'371'328);
  CHECK(read(configs::command_r).parameters() == 34'980'831'232);
  CHECK(read(configs::olmo2_7b).parameters() == 7'298'617'344);
  CHECK(read(configs::olmoe_7b).parameters() == 6'919'161'856);
  CHECK(read(configs::gptj_6b).parameters() == 6'050'882'784);
  CHECK(read(configs::mpt_7b).parameters() == 6'649'286'656);
  CHECK(read(configs::dbrx).parameters() == 131'596'523'520);
  CHECK(read(configs::phi35_moe).parameters() == 41'873'153'344);
  CHECK(read(configs::gemma_2b).parameters() == 2'506'172'416);
  CHECK(read(configs::lfm2_1_2b).parameters() == 1'170'340'608);
  CHECK(read(configs::mamba2_130m).parameters() == 128'989'632);
}

TEST_CASE("read_config: plain attention", "[plan][config]") {
  const plan::model m = read(configs::llama2_13b);
  CHECK(m.name == "config.json");
  CHECK(m.type == "llama");
  CHECK(m.layers == 40);
  CHECK(m.hidden == 5120);
  CHECK(m.intermediate == 13824);
  CHECK(m.vocabulary == 32000);
  CHECK(m.query_heads == 40);
  CHECK(m.head_size == 128);
  CHECK(m.longest == 4096);
  CHECK(m.weight_dtype == "fp16");
  CHECK(m.warnings.empty());
  REQUIRE(m.groups.size() == 1);
  CHECK(m.groups[0].kind == kv::group_kind::full);
  CHECK(m.groups[0].at.size() == 40);
  CHECK(m.groups[0].kv_heads == 40);
  CHECK(m.groups[0].head_size == 128);
  CHECK(read(configs::qwen25_7b).groups[0].at.size() == 28);
  CHECK(read(configs::qwen25_7b).groups[0].kv_heads == 4);
  CHECK(read(configs::qwen3_8b).groups[0].kv_heads == 8);
  CHECK(read(configs::mistral_7b).groups[0].span == 4096);
  CHECK(read(configs::phi3_mini).groups[0].head_size == 96);
}

TEST_CASE("read_config: windows and full layers of Gemma", "[plan][config]") {
  const plan::model m = read(configs::gemma3_27b);
  REQUIRE(m.groups.size() == 2);
  CHECK(m.groups[0].at == std::vector<std::size_t>{5, 11, 17, 23, 29, 35, 41, 47, 53, 59});
  CHECK(m.groups[1].at.size() == 52);
  CHECK(m.groups[1].span == 1024);
  for (const plan::layer_group& g : m.groups) CHECK((g.kv_heads == 16 && g.head_size == 128));
  CHECK(m.longest == 131072);
  CHECK(m.tied);
  // the small one leaves out what is usual
  const plan::model four = read(configs::gemma3_4b);
  REQUIRE(four.groups.size() == 2);
  CHECK(four.query_heads == 8);
  CHECK(four.groups[0].kv_heads == 4);
  CHECK(four.groups[0].head_size == 256);
  CHECK(four.vocabulary == 262208);
  CHECK(four.longest == 131072);
  CHECK(read(configs::gemma2_9b).groups[0].at.size() == 21);
}

TEST_CASE("read_config: latent vectors of DeepSeek, with and without the layer that drafts", "[plan][config]") {
  const plan::model m = read(configs::deepseek_v3);
  REQUIRE(m.groups.size() == 1);
  CHECK(m.groups[0].latent);
  CHECK(m.groups[0].at.size() == 61);
  CHECK(m.groups[0].head_size == 512);
  CHECK(m.groups[0].rope_size == 64);
  CHECK(m.weight_dtype == "fp8");
  CHECK(m.plain_dtype == "bf16");
  CHECK(m.experts == 256);
  const auto drafting = plan::read_config(configs::deepseek_v3, "config.json", {.drafts = true});
  REQUIRE(drafting);
  CHECK(drafting.value.groups[0].at.size() == 62);
  CHECK(drafting.value.layers == 62);
  CHECK(drafting.value.parameters() > m.parameters() + 11'000'000'000);
}

TEST_CASE("read_config: states among attention", "[plan][config]") {
  const plan::model jamba = read(configs::jamba);
  REQUIRE(jamba.groups.size() == 2);
  CHECK(jamba.groups[0].at == std::vector<std::size_t>{4, 12, 20, 28});
  CHECK(jamba.groups[1].at.size() == 28);
  CHECK(jamba.groups[1].conv_numbers == 8192 * 3);
  CHECK(jamba.groups[1].state_numbers == 8192 * 16);
  const plan::model next = read(configs::qwen3_next);
  REQUIRE(next.groups.size() == 2);
  CHECK(next.groups[0].at.size() == 12);
  CHECK(next.groups[0].kv_heads == 2);
  CHECK(next.groups[0].head_size == 256);
  CHECK(next.groups[1].at.size() == 36);
  CHECK(next.groups[1].conv_numbers == (2 * 16 * 128 + 32 * 128) * 3);
  CHECK(next.groups[1].state_numbers == 32 * 128 * 128);
  // latent vectors among states
  const plan::model kimi = read(configs::kimi_linear_48b);
  REQUIRE(kimi.groups.size() == 2);
  CHECK(kimi.groups[0].latent);
  CHECK(kimi.groups[0].at == std::vector<std::size_t>{3, 7, 11, 15, 19, 23, 26});
  CHECK(kimi.groups[1].at.size() == 20);
  CHECK(kimi.groups[1].state_numbers == 32 * 128 * 128);
  CHECK(kimi.groups[1].conv_numbers == 3 * 32 * 128 * 3);
  CHECK(kimi.parameters() / 10'000'000 == 4'912);
}

TEST_CASE("read_config: a type that nobody knows", "[plan][config]") {
  const auto got = plan::read_config(R"({"model_type": "unheard_of", "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 9,
      "num_attention_heads": 4, "intermediate_size": 128, "torch_dtype": "float16"})", "c.json");
  REQUIRE(got.error == "");
  CHECK(got.value.warnings == std::vector<std::string>{"model_type 'unheard_of' is not known: read like a Llama"});
  CHECK(got.value.groups[0].kv_heads == 4);
  CHECK(plan::read_config("{}", "c.json").error == "c.json: hidden_size is missing");
}

TEST_CASE("read_config: a config inside of another is named in complaints", "[plan][config][bad]") {
  CHECK(complaint(configs::gemma3_27b, R"({"text_config": {"num_hidden_layers": "62"}})") ==
        "config.json: text_config.num_hidden_layers is \"62\", a whole number from 1 to 4096 is needed");
  CHECK(complaint(configs::gemma3_27b, R"({"text_config": 5})") ==
        "config.json: text_config is 5, an object is needed");
  CHECK(complaint(configs::llama3_8b, R"({"thinker_config": {"text_config": {}}, "model_type": "x"})") ==
        "config.json: thinker_config.text_config.hidden_size is missing");
}

TEST_CASE("read_config: fields that are missing, zero, negative, absurd or of a wrong type are named", "[plan][config][bad]") {
  const std::string start = "config.json: ";
  for (const char* field : {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size"}) {
    CAPTURE(field);
    const std::string begin = start + field + " is ";
    const auto with = [&](const char* value) {
      return complaint(configs::llama3_8b, (std::string("{\"") + field + "\": " + value + "}").c_str());
    };
    CHECK(with("null") == begin + "missing");
    for (const char* value : {"0", "-1", "1.5", "1099511627777", "18446744073709551615", "1e30", "true", "\"8\"", "[8]", "{}"}) {
      CAPTURE(value);
      CHECK(with(value).rfind(begin, 0) == 0);
    }
  }
  CHECK(complaint(configs::llama3_8b, R"({"num_key_value_heads": 0})").rfind(start + "num_key_value_heads is 0", 0) == 0);
  CHECK(complaint(configs::llama3_8b, R"({"max_position_embeddings": 1099511627777})").find("max_position_embeddings") < 20);
  CHECK(complaint(configs::llama3_8b, R"({"tie_word_embeddings": "no"})") ==
        start + "tie_word_embeddings is \"no\", true or false is needed");
  CHECK(complaint(configs::llama3_8b, R"({"model_type": 7})") == start + "model_type is 7, a text is needed");
  CHECK(complaint(configs::llama3_8b, R"({"hidden_size": 67108864, "intermediate_size": 67108864,
                                          "num_attention_heads": 65536})") ==
        start + "hidden_size and the other sizes make more than 2^56 weights");
  CHECK(complaint(configs::deepseek_v3, R"({"v_head_dim": null})") == start + "v_head_dim is missing");
}

namespace {

/// Whatever a text says: a complaint, or a model whose sums are sound.
void survives(const std::string& text) {
  const auto got = plan::read_config(text, "f");
  if (!got) {
    if (got.error.size() > 300 || got.error.rfind("f: ", 0) != 0) FAIL(got.error << "\n" << text);
    return;
  }
  const plan::model& m = got.value;
  bool sound = m.layers >= 1 && m.layers <= 4096 && m.parameters() < plan::too_many_weights;
  for (const plan::layer_group& g : m.groups) {
    sound = sound && !g.at.empty() && std::is_sorted(g.at.begin(), g.at.end()) && g.at.back() < m.layers;
    const bool spans = g.kind == kv::group_kind::window || g.kind == kv::group_kind::chunked;
    sound = sound && (!spans || g.span != 0) && (g.kind == kv::group_kind::state || (g.kv_heads != 0 && g.head_size != 0));
  }
  for (const plan::weight_part& w : m.weights) {
    for (const std::size_t at : w.at) sound = sound && at < m.layers;
  }
  if (!sound) FAIL("a model that is not sound:\n" << text);
}

/// Puts something else in the place of one value, anywhere.
void twist(json& of, std::mt19937& dice) {
  json* at = &of;
  for (int deep = 0; deep < 3 && at->is_structured() && !at->empty(); ++deep) {
    auto next = at->begin();
    std::advance(next, static_cast<std::ptrdiff_t>(dice() % at->size()));
    if (at->is_object() && dice() % 12 == 0) {
      at->erase(next);
      return;
    }
    at = &*next;
  }
  static const json odd[] = {0, 1, 2, -1, 3.5, 64, 65, 4096, 65536, 67108864, 268435456, 1099511627776, 1099511627777,
                             ~std::uint64_t{0}, -9223372036854775807, 1e18, "", "auto", "full_attention", "mamba", "MMM*",
                             true, false, nullptr, json::array(), json::object(), json::array({1, 2}), json::array({"x"})};
  *at = odd[dice() % std::size(odd)];
}

}  // namespace

TEST_CASE("read_config: twisted configs", "[plan][config][fuzz]") {
  const unsigned seed = 5'2026;
  INFO("seed " << seed);
  std::mt19937 dice(seed);
  for (const char* text : everything) {
    const json whole = json::parse(text, nullptr, false);
    for (int i = 0; i < 25; ++i) {
      json other = whole;
      for (auto n = 1 + dice() % 3; n != 0; --n) twist(other, dice);
      if (dice() % 8 == 0) {  // the fields of two families in one
        const char* more = everything[dice() % std::size(everything)];
        json both = json::parse(more, nullptr, false);
        both.update(other);
        other = both;
      }
      survives(other.dump());
    }
  }
}

TEST_CASE("read_config: bytes that were cut off or changed", "[plan][config][fuzz]") {
  const unsigned seed = 5'2027;
  INFO("seed " << seed);
  std::mt19937 dice(seed);
  for (const char* text : everything) {
    const std::string whole(text);
    for (int i = 0; i < 20; ++i) survives(whole.substr(0, dice() % whole.size()));
    for (int i = 0; i < 40; ++i) {
      std::string other = whole;
      for (auto n = 1 + dice() % 4; n != 0; --n) {
        const std::size_t at = dice() % other.size();
        // digits become other digits often enough to stay JSON
        other[at] = other[at] >= '0' && other[at] <= '9' ? static_cast<char>('0' + dice() % 10) : static_cast<char>(dice());
      }
      survives(other);
    }
  }
  survives(std::string(100'000, '{'));
  survives("{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}");
  survives("{\"hidden_size\": " + std::string(10'000, '9') + "}");
  survives("{\"hidden_size\": 1e" + std::string(10'000, '9') + "}");
  survives(std::string(1000, '\0'));
}

TEST_CASE("read_config: all configs read, and none warns of what it should know", "[plan][config]") {
  for (const char* text : everything) {
    CAPTURE(text);
    const plan::model m = read(text);
    CHECK((m.longest != 0 || m.type == "mamba2"));
    for (const std::string& each : m.warnings) {
      const bool expected = each.find("torch_dtype is missing") == 0 || each.find("weights of the parts that see") == 0;
      CHECK(expected);
    }
  }
}
