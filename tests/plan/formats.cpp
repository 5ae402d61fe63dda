#include <tokenheap/plan/formats.hpp>

#include <support/catch.hpp>

#include <string>

namespace kv = tokenheap::kv;
namespace plan = tokenheap::plan;

namespace {

std::size_t bytes(const char* name, std::size_t numbers, bool pruned = false) {
  return static_cast<std::size_t>(plan::weight_bytes(numbers, *plan::find_format(plan::weight_formats, name), pruned));
}

kv::layout lay(const char* name, const plan::layer_group& g) {
  return plan::layout_of(g, *plan::find_format(plan::kv_formats, name), 1, 64);
}

}  // namespace

TEST_CASE("weights cost the bits of their format, and their scales", "[plan]") {
  constexpr std::size_t n = 128 * 128 * 32;
  CHECK(bytes("fp32", n) == 4 * n);
  CHECK(bytes("fp16", n) == 2 * n);
  CHECK(bytes("bf16", n) == 2 * n);
  CHECK(bytes("fp8", n) == n + 32 * 4);       // a float32 for each square of 128
  CHECK(bytes("int8", n) == n + n / 4096 * 4);
  CHECK(bytes("awq", 128) == 67);             // 64 bytes of numbers and 20 bits: 66.5
  CHECK(bytes("gptq", 256) == 133);
  CHECK(bytes("nvfp4", 16) == 9);
  CHECK(bytes("mxfp4", 32) == 17);
  CHECK(bytes("bf16", 1) == 2);
  CHECK(bytes("nvfp4", 1) == 1);
  CHECK(bytes("fp8", 0) == 0);
}

TEST_CASE("pruning keeps two of four weights, with two bits each", "[plan]") {
  CHECK(bytes("bf16", 8, true) == 4 * 2 + 1);
  CHECK(bytes("fp32", 8, true) == 4 * 4 + 1);
  CHECK(bytes("nvfp4", 64, true) == 32 * 9 / 16 + 8);
}

TEST_CASE("a format goes by several names, and an unknown one by none", "[plan][bad]") {
  CHECK(plan::find_format(plan::weight_formats, "bfloat16")->name == std::string("bf16"));
  CHECK(plan::find_format(plan::kv_formats, "fp8_e5m2")->name == std::string("fp8"));
  CHECK(plan::find_format(plan::kv_formats, "half")->name == std::string("fp16"));
  CHECK(plan::find_format(plan::kv_formats, "awq") == nullptr);
  CHECK(plan::find_format(plan::weight_formats, "") == nullptr);
  CHECK(plan::names_of(plan::kv_formats) == "fp32 bf16 fp16 fp8_token_head fp8 fp8_ds_mla int8 nvfp4 mxfp4 int4");
}

TEST_CASE("keys and values are two planes, with the scales that the library's layouts have", "[plan]") {
  plan::layer_group g;
  g.kv_heads = 8, g.head_size = 128;
  CHECK(lay("bf16", g).token_bytes() == 4096);
  CHECK(lay("fp32", g).token_bytes() == 8192);
  CHECK(lay("fp8", g).token_bytes() == 2048);
  CHECK(lay("fp8_token_head", g).token_bytes() == 2048 + 2 * 8 * 4);
  CHECK(lay("int8", g).token_bytes() == 2048 + 2 * 8 * 4);
  CHECK(lay("nvfp4", g).token_bytes() == 2 * 8 * (64 + 8));
  CHECK(lay("mxfp4", g).token_bytes() == 2 * 8 * (64 + 4));
  CHECK(lay("int4", g).token_bytes() == 1024 + 2 * 8 * 4);
  g.value_head_size = 64;
  CHECK(lay("bf16", g).token_bytes() == 8 * (128 + 64) * 2);
  for (const plan::kv_format& f : plan::kv_formats) {
    if (!f.latent_only) CHECK(plan::layout_of(g, f, 3, 16).why_not().code == tokenheap::errc::ok);
  }
}

TEST_CASE("a latent vector is one plane, and its position stays in bfloat16 where the format says so", "[plan]") {
  plan::layer_group g;
  g.kv_heads = 1, g.head_size = 512, g.rope_size = 64, g.latent = true;
  CHECK(lay("bf16", g).token_bytes() == 1152);
  CHECK(lay("fp8", g).token_bytes() == 576);
  CHECK(lay("fp8_ds_mla", g).token_bytes() == 656);
  CHECK(lay("fp8_ds_mla", g).block_bytes() == 64 * 656);
  for (const plan::kv_format& f : plan::kv_formats) {
    CHECK(plan::layout_of(g, f, 61, 64).why_not().code == tokenheap::errc::ok);
  }
}
