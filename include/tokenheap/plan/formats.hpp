// What numbers cost: the formats of weights and of cached keys and values, by the names that people use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <tokenheap/kv/layout.hpp>
#include <tokenheap/plan/model.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// Products of two counts without a wrap; what is kept is checked against `max_allocation` first.
__extension__ typedef unsigned __int128 wide;

/// A format of weights: `bits / over` bits for each number, scales and zero points included.
struct weight_format {
  const char* name = "";
  std::uint32_t bits = 0;
  std::uint32_t over = 1;
  std::uint32_t loss = 0;  ///< what it costs in quality, as an order only
  bool plain = false;      ///< a float without scales, which norms and embeddings take as well
};

/// All formats of weights. The scales that are counted in:
/// fp8 one float32 for each 128 x 128; int8 one for each 4,096 (a row); awq and gptq 16 + 4 bits for each 128, or as `grouped`;
/// nvfp4 8 bits for each 16; mxfp4 8 bits for each 32. What gguf costs only its own header says.
inline constexpr weight_format weight_formats[] = {
    {"fp32", 32, 1, 0, true},   {"bf16", 16, 1, 1, true},   {"fp16", 16, 1, 1, true},
    {"fp8", 4097, 512, 2},      {"int8", 1025, 128, 3},     {"nvfp4", 9, 2, 4},
    {"awq", 133, 32, 5},        {"gptq", 133, 32, 5},       {"mxfp4", 17, 4, 6},
    {"gguf", 0, 1, 4},
};

/// A format of keys and values.
struct kv_format {
  const char* name = "";
  kv::dtype type = kv::dtype::bfloat16;
  kv::scaling scales{};
  std::uint32_t loss = 0;
  bool latent_only = false;
};

/// All formats of keys and values, scaled as the layouts of the library are.
inline constexpr kv_format kv_formats[] = {
    {"fp32", kv::dtype::float32, {}, 0},
    {"bf16", kv::dtype::bfloat16, {}, 1},
    {"fp16", kv::dtype::float16, {}, 1},
    {"fp8_token_head", kv::dtype::float8, {.per = kv::scale_per::token_head}, 2},
    {"fp8", kv::dtype::float8, kv::default_scaling(kv::dtype::float8), 3},
    {"fp8_ds_mla", kv::dtype::float8,
     {.per = kv::scale_per::group, .group = 128, .place = kv::scale_place::row}, 2, true},
    {"int8", kv::dtype::int8, kv::default_scaling(kv::dtype::int8), 3},
    {"nvfp4", kv::dtype::nvfp4, kv::default_scaling(kv::dtype::nvfp4), 4},
    {"mxfp4", kv::dtype::mxfp4, kv::default_scaling(kv::dtype::mxfp4), 5},
    {"int4", kv::dtype::int4, kv::default_scaling(kv::dtype::int4), 6},
};

/// One name for each format: engines have several for the same.
[[nodiscard]] inline std::string_view plain_name(std::string_view name) noexcept {
  constexpr std::string_view other[][2] = {
      {"float32", "fp32"},  {"float", "fp32"},    {"f32", "fp32"},        {"float16", "fp16"},    {"half", "fp16"},
      {"f16", "fp16"},      {"bfloat16", "bf16"}, {"fp8_e4m3", "fp8"},    {"fp8_e5m2", "fp8"},    {"float8", "fp8"},
      {"fp4", "nvfp4"},     {"w8a8", "int8"},     {"int4_awq", "awq"},    {"compressed-tensors", "fp8"},
  };
  for (const auto& pair : other)
    if (pair[0] == name) return pair[1];
  return name;
}

/// The format of this name in `formats`, or null.
template <class Format, std::size_t N>
[[nodiscard]] const Format* find_format(const Format (&formats)[N], std::string_view name) noexcept {
  for (const Format& f : formats)
    if (plain_name(name) == f.name) return &f;
  return nullptr;
}

/// The names of all formats, for a sentence.
template <class Format, std::size_t N>
[[nodiscard]] std::string names_of(const Format (&formats)[N]) {
  std::string all;
  for (const Format& f : formats) all.append(all.empty() ? "" : " ").append(f.name);
  return all;
}

/// The format as a checkpoint has it: `bits` for a weight, a scale and a zero point for each `group`; 0: as is usual.
[[nodiscard]] constexpr weight_format grouped(weight_format f, std::size_t bits, std::size_t group) noexcept {
  if (bits == 0 || group == 0) return f;
  f.bits = static_cast<std::uint32_t>(bits * group + 16 + bits);
  f.over = static_cast<std::uint32_t>(group);
  return f;
}

/// Bytes of so many weights; `pruned`: two of four are kept, each with two bits that say which. Requires numbers < 2^96
[[nodiscard]] constexpr wide weight_bytes(wide numbers, const weight_format& f, bool pruned = false) noexcept {
  const wide bits = pruned ? f.bits + 2 * f.over : f.bits;
  const wide over = wide{8} * f.over * (pruned ? 2 : 1);
  return (numbers * bits + over - 1) / over;
}

/// How `layers` layers of a group lie in one block, before the heads are split among ranks.
///
/// A latent vector is one plane with its position's numbers behind it; only fp8_ds_mla keeps these in bfloat16.
[[nodiscard]] constexpr kv::layout layout_of(const layer_group& g, const kv_format& f, std::size_t layers,
                                             std::size_t block_tokens) noexcept {
  kv::layout l{.layers = layers, .kv_heads = g.kv_heads, .head_size = g.head_size, .type = f.type,
               .block_tokens = block_tokens, .value_head_size = g.value_head_size, .scales = f.scales};
  if (!g.latent) return l;
  l.planes = 1;
  l.value_head_size = 0;
  if (f.latent_only) {
    l.tail_size = g.rope_size;
  } else {
    l.head_size += g.rope_size;
  }
  return l;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
