#include <tokenheap/plan/gguf_weights.hpp>

#include <support/catch.hpp>

#include <plan/file_kit.hpp>

namespace plan = tokenheap::plan;
using plan::weight_split;
using layers = std::vector<std::size_t>;

TEST_CASE("names of tensors are taken apart", "[plan][gguf]") {
  const auto q = plan::take_apart("blk.31.attn_q.weight");
  CHECK(q.part == "attn_q");
  CHECK(q.in_layer);
  CHECK(q.layer == 31);
  CHECK_FALSE(q.bias);
  CHECK(plan::take_apart("blk.0.attn_k.bias").bias);
  CHECK(plan::take_apart("blk.0.attn_k.bias").part == "attn_k");
  CHECK(plan::take_apart("dec.blk.2.cross_attn_k.weight").layer == 2);
  CHECK(plan::take_apart("enc.blk.2.attn_k.weight").layer == ~std::size_t{0});
  CHECK(plan::take_apart("output_norm.weight").part == "output_norm");
  CHECK_FALSE(plan::take_apart("output_norm.weight").in_layer);
  for (const char* odd : {"blk.", "blk.x.y", "blk.1", "blk.99999999999999999999.y", "blk.-1.y", ""}) {
    INFO(odd);
    CHECK_FALSE(plan::take_apart(odd).in_layer);
  }
}

TEST_CASE("each tensor is spread as engines spread it", "[plan][gguf]") {
  const auto split = [](const char* name) { return plan::split_of(plan::take_apart(name)); };
  CHECK(split("token_embd.weight") == weight_split::embedding);
  CHECK(split("output.weight") == weight_split::head);
  CHECK(split("output_norm.weight") == weight_split::replicated);
  CHECK(split("blk.1.attn_q.weight") == weight_split::tensor);
  CHECK(split("blk.1.attn_k.weight") == weight_split::kv);
  CHECK(split("blk.1.attn_v.bias") == weight_split::kv);
  CHECK(split("blk.1.attn_output.weight") == weight_split::tensor);
  CHECK(split("blk.1.attn_output.bias") == weight_split::replicated);
  CHECK(split("blk.1.attn_norm.weight") == weight_split::replicated);
  CHECK(split("blk.1.attn_q_norm.weight") == weight_split::replicated);
  CHECK(split("blk.1.attn_kv_a_mqa.weight") == weight_split::replicated);
  CHECK(split("blk.1.attn_kv_b.weight") == weight_split::tensor);
  CHECK(split("blk.1.ffn_gate_inp.weight") == weight_split::replicated);
  CHECK(split("blk.1.ffn_gate_exps.weight") == weight_split::expert);
  CHECK(split("blk.1.ffn_gate.7.weight") == weight_split::expert);
  CHECK(split("blk.1.ffn_gate_shexp.weight") == weight_split::tensor);
  CHECK(split("blk.1.ffn_down.weight") == weight_split::tensor);
}

TEST_CASE("tensors of the same kind are one part with its layers", "[plan][gguf]") {
  files::gguf_writer w;
  w.tensor("token_embd.weight", {64, 10}, 1, 1280);
  for (const char* layer : {"0", "1", "2"}) {
    const std::string at = std::string("blk.") + layer + ".";
    w.tensor(at + "attn_k.weight", {64, 8}, 8, 544).tensor(at + "attn_norm.weight", {64}, 0, 256);
    // the last is kept in more bits than the others: the same part all the same
    w.tensor(at + "ffn_down.weight", {256, 2}, *layer == '2' ? 14 : 12, *layer == '2' ? 420 : 288);
  }
  w.tensor("blk.3.attn_k.weight", {64, 8}, 8, 544);  // of a layer that the model does not have
  const std::string bytes = w.header();
  plan::byte_reader from{std::string_view(bytes)};
  const auto file = plan::read_gguf(from, "m");
  REQUIRE(file.error.empty());
  const auto parts = plan::weights_of(file.value, 3, {8, 8, 4});
  REQUIRE(parts.size() == 6);
  CHECK(parts[0].name == "token_embd");
  CHECK(parts[0].numbers == 640);
  CHECK(parts[0].at.empty());
  CHECK_FALSE(parts[0].quantised);
  CHECK(parts[1].name == "attn_k");
  CHECK(parts[1].at == layers{0, 1});
  CHECK(parts[1].heads == 8);
  CHECK(parts[1].quantised);
  CHECK(parts[2].name == "attn_norm");
  CHECK(parts[2].at == layers{0, 1, 2});
  CHECK(parts[3].name == "ffn_down");
  CHECK(parts[3].at == layers{0, 1, 2});
  CHECK(parts[4].at == layers{2});
  CHECK(parts[4].heads == 4);
  CHECK(parts[5].at.empty());
  CHECK(parts[5].numbers == 512);
}
