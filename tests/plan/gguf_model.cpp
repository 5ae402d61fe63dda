#include <tokenheap/plan/gguf_model.hpp>

#include <support/catch.hpp>

#include <plan/file_kit.hpp>

namespace plan = tokenheap::plan;
namespace kv = tokenheap::kv;
using files::gguf_writer;

namespace {

plan::reading<plan::model> read(const std::string& bytes) {
  plan::byte_reader from{std::string_view(bytes)};
  const auto file = plan::read_gguf(from, "m.gguf");
  if (file) return plan::model_of(file.value, "m.gguf");
  plan::reading<plan::model> out;
  out.error = file.error;
  return out;
}

struct llama {
  std::uint32_t layers, hidden, heads, kv_heads, mlp, words;
};

constexpr llama llama_70b{80, 8192, 64, 8, 28'672, 128'256};

// all tensors of a Llama, matrices in one type and norms in float32
gguf_writer write(const llama& m, std::uint32_t type) {
  gguf_writer w;
  w.text("general.architecture", "llama").u32("llama.block_count", m.layers).u32("llama.embedding_length", m.hidden);
  w.u32("llama.attention.head_count", m.heads).u32("llama.attention.head_count_kv", m.kv_heads);
  w.u32("llama.feed_forward_length", m.mlp).u32("llama.context_length", 131'072).u32("llama.vocab_size", m.words);
  const plan::gguf_type& t = plan::gguf_types[type];
  const auto matrix = [&](const std::string& name, std::uint64_t in, std::uint64_t out) {
    w.tensor(name, {in, out}, type, in * out / t.block_numbers * t.block_bytes);
  };
  const std::uint64_t kv = m.hidden / m.heads * m.kv_heads;
  matrix("token_embd.weight", m.hidden, m.words);
  for (std::uint32_t l = 0; l < m.layers; ++l) {
    const std::string at = "blk." + std::to_string(l) + ".";
    matrix(at + "attn_q.weight", m.hidden, m.hidden), matrix(at + "attn_k.weight", m.hidden, kv);
    matrix(at + "attn_v.weight", m.hidden, kv), matrix(at + "attn_output.weight", m.hidden, m.hidden);
    matrix(at + "ffn_gate.weight", m.hidden, m.mlp), matrix(at + "ffn_up.weight", m.hidden, m.mlp);
    matrix(at + "ffn_down.weight", m.mlp, m.hidden);
    w.tensor(at + "attn_norm.weight", {m.hidden}, 0, 4 * m.hidden).tensor(at + "ffn_norm.weight", {m.hidden}, 0, 4 * m.hidden);
  }
  w.tensor("output_norm.weight", {m.hidden}, 0, 4 * m.hidden);
  matrix("output.weight", m.hidden, m.words);
  return w;
}

gguf_writer small_model() { return write({2, 256, 4, 2, 512, 96}, 12); }

}  // namespace

TEST_CASE("Llama 3.1 70B has the bytes that its published files have", "[plan][gguf]") {
  const auto q8 = read(write(llama_70b, 8).header());
  REQUIRE(q8.error.empty());
  const std::uint64_t norms = 161 * 8192, matrices = 70'553'706'496 - norms;
  CHECK(q8.value.exact_weight_bytes == matrices / 32 * 34 + norms * 4);
  CHECK(static_cast<double>(q8.value.exact_weight_bytes) / 1e9 == Approx(74.98).margin(0.015));
  CHECK(static_cast<double>(read(write(llama_70b, 14).header()).value.exact_weight_bytes) / 1e9 == Approx(57.89).margin(0.015));
  CHECK(q8.value.parameters() == 70'553'706'496);
}

TEST_CASE("a model is made of the metadata and the tensors", "[plan][gguf]") {
  const auto got = read(write(llama_70b, 8).header());
  REQUIRE(got.error.empty());
  const plan::model& m = got.value;
  CHECK(m.name == "m.gguf");
  CHECK(m.type == "llama");
  CHECK(m.layers == 80);
  CHECK(m.hidden == 8192);
  CHECK(m.intermediate == 28'672);
  CHECK(m.vocabulary == 128'256);
  CHECK(m.query_heads == 64);
  CHECK(m.head_size == 128);
  CHECK(m.experts == 0);
  CHECK(m.longest == 131'072);
  CHECK(m.weight_dtype == "gguf");
  CHECK_FALSE(m.tied);
  REQUIRE(m.groups.size() == 1);
  CHECK(m.groups[0].at.size() == 80);
  CHECK(m.groups[0].kv_heads == 8);
  CHECK(m.weights.size() == 12);
  // a header alone is enough, but is no whole file
  REQUIRE(m.warnings.size() == 1);
  CHECK(m.warnings[0].find("before its last tensor") != std::string::npos);
  CHECK(read(small_model().whole()).value.warnings.empty());
}

TEST_CASE("what the file leaves out is found elsewhere, or said", "[plan][gguf]") {
  gguf_writer w;
  w.text("general.architecture", "x").u32("x.block_count", 1).u32("x.embedding_length", 64).u32("x.attention.head_count", 4);
  CHECK(read(w.header()).value.warnings.size() == 3);  // tensors, context, vocabulary
  gguf_writer with = w;
  with.tensor("token_embd.weight", {64, 77}, 1, 9856);
  CHECK(read(with.header()).value.vocabulary == 77);
  CHECK(read(with.header()).value.tied);
  CHECK(read(with.header()).value.plain_dtype == "fp16");
  with.texts("tokenizer.ggml.tokens", 90);
  CHECK(read(with.header()).value.vocabulary == 90);
  w.u32("x.expert_count", 8).u32("x.expert_used_count", 2).u32s("x.feed_forward_length", {100});
  w.u32("x.expert_feed_forward_length", 70).u32("x.expert_shared_count", 1);
  CHECK(read(w.header()).value.experts == 8);
  CHECK(read(w.header()).value.intermediate == 210);
}

TEST_CASE("files of something else are refused with what to give instead", "[plan][gguf][bad]") {
  const auto error = [](const gguf_writer& w) { return read(w.header()).error; };
  CHECK(error(gguf_writer()).find("m.gguf: general.architecture: is missing") == 0);
  CHECK(error(gguf_writer().u32("general.architecture", 3)).find("m.gguf: general.architecture: is missing") == 0);
  CHECK(error(gguf_writer().text("general.architecture", "clip")).find("is a projector") != std::string::npos);
  CHECK(error(gguf_writer().text("general.type", "adapter").text("general.architecture", "llama")) ==
        "m.gguf: general.type: 'adapter', give the file of the model itself");
  const auto small = [](const char* key, std::uint32_t value) {
    gguf_writer w;
    w.text("general.architecture", "x");
    for (const char* name : {"x.block_count", "x.embedding_length", "x.attention.head_count"}) {
      if (std::string_view(name) != key) w.u32(name, 4);
    }
    return w.u32(key, value);
  };
  CHECK(error(small("x.y", 1)).empty());
  CHECK(error(small("x.block_count", 0)) == "m.gguf: x.block_count: is 0");
  CHECK(error(small("x.block_count", 4097)).find("m.gguf: x.block_count: 4097 is not within 0 and 4096 (byte ") == 0);
  CHECK(error(small("x.embedding_length", 0xffffffff)).find("m.gguf: x.embedding_length: 4294967295 is not within") == 0);
  CHECK(error(small("x.attention.head_count", 0)).find("m.gguf: x.attention.head_count: is missing or 0") == 0);
  gguf_writer none;
  none.text("general.architecture", "x");
  CHECK(error(none).find("m.gguf: x.block_count: is missing") == 0);
}

TEST_CASE("no bytes make a model that breaks", "[plan][gguf][bad][fuzz]") {
  const std::uint64_t seed = 5002;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  const std::string all = small_model().header();
  std::size_t good = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string bytes = files::spoiled(all, random);
    const auto got = read(bytes);
    if (!got) {
      REQUIRE(got.error.find("m.gguf: ") == 0);
      continue;
    }
    ++good;
    REQUIRE(got.value.layers <= 4096);
    for (const plan::layer_group& g : got.value.groups) {
      for (const std::size_t l : g.at) REQUIRE(l < got.value.layers);
    }
    for (const plan::weight_part& part : got.value.weights) {
      for (const std::size_t l : part.at) REQUIRE(l < got.value.layers);
    }
  }
  CHECK(good > 20);
}
