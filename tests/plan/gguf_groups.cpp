#include <tokenheap/plan/gguf_groups.hpp>

#include <support/catch.hpp>

#include <plan/file_kit.hpp>

namespace plan = tokenheap::plan;
namespace kv = tokenheap::kv;
using files::gguf_writer;
using layers = std::vector<std::size_t>;

namespace {

struct found {
  std::vector<plan::layer_group> groups;
  std::vector<std::string> warnings;
  std::string error;
};

// keys are without the architecture in front
struct keys {
  gguf_writer w;
  keys& u32(const std::string& name, std::uint32_t value) { return w.u32("a." + name, value), *this; }
  keys& u32s(const std::string& name, const std::vector<std::uint32_t>& values) { return w.u32s("a." + name, values), *this; }
};

found groups(const keys& with, std::size_t count, std::size_t hidden, const std::string& architecture = "a") {
  const std::string bytes = with.w.header();
  plan::byte_reader from{std::string_view(bytes)};
  const auto file = plan::read_gguf(from, "m");
  REQUIRE(file.error.empty());
  plan::gguf_fields fields(file.value, "a");
  found out;
  plan::gguf_groups builder(fields, architecture, count, hidden);
  out.groups = builder.take(out.warnings);
  out.error = fields.error();
  return out;
}

keys heads(std::uint32_t queries, std::uint32_t kv) {
  return keys().u32("attention.head_count", queries).u32("attention.head_count_kv", kv);
}

}  // namespace

TEST_CASE("full attention is one group", "[plan][gguf]") {
  const found got = groups(heads(32, 8), 3, 4096);
  REQUIRE(got.groups.size() == 1);
  CHECK(got.groups[0].name == "full");
  CHECK(got.groups[0].kind == kv::group_kind::full);
  CHECK(got.groups[0].at == layers{0, 1, 2});
  CHECK(got.groups[0].kv_heads == 8);
  CHECK(got.groups[0].head_size == 128);
  CHECK(got.groups[0].value_head_size == 0);
  CHECK(got.warnings.empty());
  CHECK(got.error.empty());
  // without a number for keys and values there are as many heads as for queries
  CHECK(groups(keys().u32("attention.head_count", 40), 1, 5120).groups[0].kv_heads == 40);
  const found sized = groups(heads(32, 8).u32("attention.key_length", 192).u32("attention.value_length", 128), 1, 4096);
  CHECK(sized.groups[0].head_size == 192);
  CHECK(sized.groups[0].value_head_size == 128);
}

TEST_CASE("layers with other heads are groups of their own; layers without any are in none", "[plan][gguf]") {
  const found got = groups(keys().u32("attention.head_count", 32).u32s("attention.head_count_kv", {8, 4, 0, 8, 4}), 5, 4096);
  REQUIRE(got.groups.size() == 2);
  CHECK(got.groups[0].at == layers{0, 3});
  CHECK(got.groups[1].at == layers{1, 4});
  CHECK(got.groups[0].name == "full");
  CHECK(got.groups[1].name == "full, 4 heads of 128");
  CHECK(got.groups[1].kv_heads == 4);
}

TEST_CASE("windows have a group, and sizes of their own where the file says so", "[plan][gguf]") {
  auto with = heads(8, 4).u32("attention.key_length", 512).u32("attention.value_length", 512);
  with.u32("attention.key_length_swa", 256).u32("attention.value_length_swa", 256);
  with.u32("attention.sliding_window", 1024).u32("attention.sliding_window_pattern", 3).u32("attention.shared_kv_layers", 2);
  const found got = groups(with, 8, 2048);
  REQUIRE(got.groups.size() == 2);
  CHECK(got.groups[0].kind == kv::group_kind::full);
  CHECK(got.groups[0].at == layers{2, 5});
  CHECK(got.groups[0].head_size == 512);
  CHECK(got.groups[1].name == "window 1024");
  CHECK(got.groups[1].kind == kv::group_kind::window);
  CHECK(got.groups[1].at == layers{0, 1, 3, 4});
  CHECK(got.groups[1].span == 1024);
  CHECK(got.groups[1].head_size == 256);
}

TEST_CASE("a latent vector is one group of one head", "[plan][gguf]") {
  const auto with = heads(128, 1).u32("attention.kv_lora_rank", 512).u32("rope.dimension_count", 64);
  const found got = groups(with, 2, 7168);
  REQUIRE(got.groups.size() == 1);
  CHECK(got.groups[0].latent);
  CHECK(got.groups[0].kv_heads == 1);
  CHECK(got.groups[0].head_size == 512);
  CHECK(got.groups[0].rope_size == 64);
  CHECK(got.groups[0].value_head_size == 0);
  const found guess = groups(heads(128, 128).u32("attention.kv_lora_rank", 512), 2, 7168);
  CHECK(guess.groups[0].rope_size == 64);
  CHECK(guess.warnings.size() == 1);
}

TEST_CASE("layers that predict further tokens keep nothing", "[plan][gguf]") {
  CHECK(groups(heads(8, 8).u32("nextn_predict_layers", 1), 4, 512).groups[0].at == layers{0, 1, 2});
}

TEST_CASE("states: all layers, those without heads, or all but one of each interval", "[plan][gguf]") {
  const auto ssm = [](keys with, std::uint32_t inner, std::uint32_t state, std::uint32_t bands, std::uint32_t rank) {
    with.u32("ssm.conv_kernel", 4).u32("ssm.inner_size", inner).u32("ssm.state_size", state).u32("ssm.group_count", bands);
    return with.u32("ssm.time_step_rank", rank);
  };
  const found mamba = groups(ssm(keys(), 5120, 16, 0, 160), 2, 2560);
  REQUIRE(mamba.groups.size() == 1);
  CHECK(mamba.groups[0].kind == kv::group_kind::state);
  CHECK(mamba.groups[0].at == layers{0, 1});
  CHECK(mamba.groups[0].conv_numbers == 3 * 5120);
  CHECK(mamba.groups[0].state_numbers == 16 * 5120);
  CHECK(mamba.groups[0].kv_heads == 0);
  CHECK(mamba.groups[0].state_bytes_each == 4);

  const keys listed = keys().u32("attention.head_count", 32).u32s("attention.head_count_kv", {0, 8, 0, 0});
  const found jamba = groups(ssm(listed, 8192, 16, 0, 256), 4, 4096);
  REQUIRE(jamba.groups.size() == 2);
  CHECK(jamba.groups[0].at == layers{1});
  CHECK(jamba.groups[1].at == layers{0, 2, 3});

  // 16 key heads and 32 value heads of 128: (2 * 16 + 32) * 128 * 3 and 32 * 128 * 128
  const keys wide = heads(16, 2).u32("attention.key_length", 256).u32("attention.value_length", 256);
  const found next = groups(ssm(wide, 4096, 128, 16, 32), 8, 2048, "qwen3next");
  REQUIRE(next.groups.size() == 2);
  CHECK(next.groups[0].at == layers{3, 7});
  CHECK(next.groups[1].at == layers{0, 1, 2, 4, 5, 6});
  CHECK(next.groups[1].conv_numbers == 24'576);
  CHECK(next.groups[1].state_numbers == 524'288);
  CHECK(next.groups[1].state_heads == 32);
  CHECK(next.warnings.empty());

  const found both = groups(ssm(heads(16, 2), 4096, 128, 1, 32), 2, 2048);
  REQUIRE(both.groups.size() == 2);
  CHECK(both.groups[1].at == layers{0, 1});
  CHECK(both.warnings.size() == 1);
  CHECK(groups(ssm(heads(16, 2), 4096, 128, 1, 32), 2, 2048, "falcon-h1").warnings.empty());
}

TEST_CASE("short convolutions and RWKV keep states too", "[plan][gguf]") {
  const keys listed = keys().u32("attention.head_count", 32).u32s("attention.head_count_kv", {0, 8});
  const found lfm = groups(keys(listed).u32("shortconv.l_cache", 3), 2, 2048);
  REQUIRE(lfm.groups.size() == 2);
  CHECK(lfm.groups[1].conv_numbers == 2 * 2048);
  CHECK(lfm.groups[1].state_numbers == 0);
  const found rwkv = groups(keys().u32("wkv.head_size", 64), 2, 2048);
  REQUIRE(rwkv.groups.size() == 1);
  CHECK(rwkv.groups[0].conv_numbers == 2 * 2048);
  CHECK(rwkv.groups[0].state_numbers == 64 * 2048);
  CHECK(rwkv.groups[0].state_heads == 32);
}

TEST_CASE("encoders keep nothing; what has no heads at all is refused", "[plan][gguf]") {
  keys with = heads(12, 12);
  with.w.raw("a.attention.causal", 7, std::string(1, '\0'));
  const found bert = groups(with, 12, 768);
  CHECK(bert.groups.empty());
  CHECK(bert.error.empty());
  CHECK(bert.warnings.size() == 1);
  CHECK(groups(keys(), 2, 512).error.find("a.attention.head_count: is missing or 0") == 0);
  CHECK(groups(heads(8, 8).u32("attention.key_length", 0), 2, 512).error.find("a.attention.key_length: is 0") == 0);
  CHECK(groups(keys().u32("attention.head_count", 8).u32s("attention.head_count_kv", {8}), 2, 512).error.find(
            "a.attention.head_count_kv: has 1 entries for 2 layers") == 0);
}

TEST_CASE("a decoder beside an encoder keeps the encoder's keys as well", "[plan][gguf]") {
  const found t5 = groups(heads(8, 8).u32("context_length", 512), 2, 512, "t5");
  REQUIRE(t5.groups.size() == 2);
  CHECK(t5.groups[1].kind == kv::group_kind::cross);
  CHECK(t5.groups[1].encoder_tokens == 512);
  CHECK(t5.groups[1].at == layers{0, 1});
}
