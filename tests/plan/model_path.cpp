#include <tokenheap/plan/model_path.hpp>

#include <support/catch.hpp>

#include <plan/file_kit.hpp>

namespace plan = tokenheap::plan;
using files::gguf_writer;

namespace {

constexpr const char* config = R"({"model_type": "llama", "torch_dtype": "float16", "hidden_size": 64, "intermediate_size": 128,
  "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 512})";

std::string weights(const std::string& type) {
  return files::safetensors("{\"t\":{\"dtype\":\"" + type + "\",\"shape\":[500],\"data_offsets\":[0,1000]}}", 1000);
}
gguf_writer little(std::uint32_t words = 10) {
  gguf_writer w;
  w.text("general.architecture", "llama").u32("llama.block_count", 2).u32("llama.embedding_length", 64);
  w.u32("llama.attention.head_count", 4).u32("llama.context_length", 512);
  return w.tensor("token_embd.weight", {64, words}, 1, 128 * words);
}
gguf_writer more(std::uint32_t part) {
  gguf_writer w;
  return w.u32("split.no", part).tensor("blk." + std::to_string(part) + ".ffn_up.weight", {64, 4}, 0, 1024);
}

auto read(const std::string& path) { return plan::read_model_path(path); }

}  // namespace

TEST_CASE("a folder of Hugging Face is its config and the exact bytes beside it", "[plan][model_path]") {
  const files::folder here;
  here.write("config.json", config);
  const auto alone = read(here.path());
  REQUIRE(alone.error.empty());
  CHECK(alone.value.from == "config.json");
  CHECK(alone.value.what.name == here.path());
  CHECK(alone.value.what.layers == 2);
  CHECK(alone.value.what.exact_weight_bytes == 0);
  here.write("model.safetensors", weights("F16"));
  for (const std::string& path : {here.path(), here.path() + "//", here.in("config.json"), here.in("model.safetensors")}) {
    INFO(path);
    const auto got = read(path);
    REQUIRE(got.error.empty());
    CHECK(got.value.what.exact_weight_bytes == 1000);
    CHECK(got.value.from == "config.json and 1 safetensors file");
    CHECK(got.value.what.weight_dtype == "fp16");
    CHECK(got.value.what.warnings.empty());
  }
  // the same text under another name stands alone
  here.write("llama.json", config);
  CHECK(read(here.in("llama.json")).value.what.exact_weight_bytes == 0);
  here.write("model.safetensors.index.json", R"({"metadata":{"total_size":77},"weight_map":{}})");
  CHECK(read(here.in("model.safetensors.index.json")).value.what.exact_weight_bytes == 77);
  CHECK(read(here.path()).value.from == "config.json and model.safetensors.index.json");
}

TEST_CASE("tensors of another type than config.json says go before it", "[plan][model_path]") {
  const files::folder here;
  here.write("config.json", config);
  here.write("model.safetensors", weights("BF16"));
  const auto got = read(here.path());
  CHECK(got.value.what.weight_dtype == "bf16");
  CHECK(got.value.what.plain_dtype == "bf16");
  REQUIRE(got.value.what.warnings.size() == 1);
  CHECK(got.value.what.warnings[0] == "config.json says fp16, but the tensors are bf16");
}

TEST_CASE("a GGUF file is read by its name, its folder or its first bytes", "[plan][model_path]") {
  const files::folder here;
  here.write("m.gguf", little().whole());
  here.write("mmproj-m.gguf", "x");
  here.write("config.json", R"({"model_type": "llama"})");  // a stub
  here.write("blob", little().whole());
  for (const std::string& path : {here.path(), here.in("m.gguf"), here.in("blob")}) {
    INFO(path);
    const auto got = read(path);
    REQUIRE(got.error.empty());
    CHECK(got.value.from == "a GGUF file");
    CHECK(got.value.what.weight_dtype == "gguf");
    CHECK(got.value.what.exact_weight_bytes == 1280);
    CHECK(got.value.what.name == path);
  }
  here.write("text", config);
  CHECK(read(here.in("text")).value.what.layers == 2);
}

TEST_CASE("a split GGUF file is the sum of its parts, whichever is named", "[plan][model_path]") {
  const files::folder here;
  gguf_writer first = little();
  first.u32("split.count", 3);
  here.write("m-00001-of-00003.gguf", first.whole());
  here.write("m-00002-of-00003.gguf", more(0).whole());
  here.write("m-00003-of-00003.gguf", more(1).whole());
  for (const std::string& path : {here.path(), here.in("m-00001-of-00003.gguf"), here.in("m-00003-of-00003.gguf")}) {
    INFO(path);
    const auto got = read(path);
    REQUIRE(got.error.empty());
    CHECK(got.value.from == "3 GGUF files");
    CHECK(got.value.what.exact_weight_bytes == 1280 + 2 * 1024);
    CHECK(got.value.what.parameters() == 640 + 2 * 256);
    CHECK(got.value.what.warnings.size() == 0);
  }
  REQUIRE(std::filesystem::remove(here.in("m-00003-of-00003.gguf")));
  CHECK(read(here.path()).error ==
        here.in("m-00003-of-00003.gguf") + ": there is no such file; the model has 3 parts, put all side by side");
  here.write("renamed.gguf", first.whole());
  CHECK(read(here.in("renamed.gguf")).error.find(here.in("renamed.gguf") + ": split.count: the file is one of 3 parts") == 0);
  CHECK(plan::part_of("a/x-00002-of-00013.gguf").stem == "a/x");
  CHECK(plan::part_of("a/x-00002-of-00013.gguf").parts == 13);
  CHECK(plan::part_of("a/x-00002-of-00013.gguf").of(1) == "a/x-00001-of-00013.gguf");
  for (const char* other : {"x.gguf", "-00002-of-00013.gguf",
                            "x-0002-of-00013.gguf", "x-00002-of-0001x.gguf", "x-00001-of-00000.gguf"}) {
    CHECK(plan::part_of(other).stem.empty());
  }
}

TEST_CASE("what is missing is named, with what to give", "[plan][model_path][bad]") {
  const files::folder here;
  CHECK(read("").error.find("the path of the model is empty") == 0);
  CHECK(read(here.in("none")).error == here.in("none") + ": there is no such file or folder");
  const std::string none = here.in("config.json") + ": there is no such file; ";
  CHECK(read(here.path()).error == none + "give the folder of a model, a config.json or a .gguf file");
  CHECK(read(here.path() + std::string(1, '\0')).error.find("zero byte") != std::string::npos);
  here.write("model.safetensors", weights("F16"));
  CHECK(read(here.in("model.safetensors")).error ==
        none + "safetensors files do not say what the model is, put its config.json beside them");
  here.write("noise.bin", "noise");
  CHECK(read(here.in("noise.bin")).error.find(here.in("noise.bin") + ": is neither a config.json nor a GGUF file") == 0);
  here.write("empty", "");
  CHECK_FALSE(read(here.in("empty")));
  REQUIRE(::mkfifo(here.in("pipe").c_str(), 0600) == 0);
  CHECK(read(here.in("pipe")).error == here.in("pipe") + ": is no plain file");
}

TEST_CASE("a folder of several GGUF models wants one to be named", "[plan][model_path][bad]") {
  const files::folder here;
  here.write("a.gguf", little().whole());
  here.write("b.gguf", little().whole());
  CHECK(read(here.path()).error == here.path() + ": has 2 GGUF models: name one, as a.gguf");
  here.write("config.json", config);
  CHECK(read(here.path()).value.from == "config.json");
}

TEST_CASE("broken files say where, whoever read them", "[plan][model_path][bad][fuzz]") {
  const files::folder here;
  here.write("config.json", "{");
  CHECK(read(here.path()).error.find(here.in("config.json") + ": ") == 0);
  here.write("config.json", config);
  here.write("model.safetensors", "short");
  CHECK(read(here.path()).error.find(here.in("model.safetensors") + ": header length: ") == 0);
  here.write("model.safetensors.index.json", R"({"weight_map":{"a":"../../x.safetensors"}})");
  CHECK(read(here.path()).error.find(here.in("model.safetensors.index.json") + ": weight_map.a: '../../x") == 0);
  here.write("m.gguf", "GGUF");
  CHECK(read(here.in("m.gguf")).error == here.in("m.gguf") + ": version: the file ends here: it is cut off (byte 4)");
  const std::uint64_t seed = 5005;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 300; ++i) {
    here.write("m.gguf", files::spoiled(little().whole(), random));
    here.write("llama.json", files::spoiled(config, random));
    for (const char* name : {"m.gguf", "llama.json"}) {
      const auto got = read(here.in(name));
      if (!got) REQUIRE(got.error.find(here.in(name) + ": ") == 0);
    }
  }
}
