// In which format a checkpoint keeps its weights, by the fields that quantisers leave in a config.json.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <tokenheap/plan/config_fields.hpp>
#include <tokenheap/plan/model.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

namespace config_parts {

/// torch.bfloat16 and the like by the names of the planner; empty: not known.
[[nodiscard]] inline std::string torch_name(std::string_view dtype) {
  if (dtype.substr(0, 6) == "torch.") dtype.remove_prefix(6);
  if (dtype == "bfloat16" || dtype == "bf16" || dtype == "auto") return "bf16";
  if (dtype == "float16" || dtype == "fp16" || dtype == "half") return "fp16";
  if (dtype == "float32" || dtype == "fp32" || dtype == "float") return "fp32";
  return {};
}

/// The type of the weights that no quantiser touched.
inline void read_plain(const config_fields& top, const config_fields& text, model& out) {
  std::string dtype = text.text({"torch_dtype", "dtype"});
  if (dtype.empty()) dtype = top.text({"torch_dtype", "dtype"});
  const std::string name = torch_name(dtype);
  if (dtype.empty()) out.warnings.push_back("torch_dtype is missing: weights are taken for bf16");
  else if (name.empty()) out.warnings.push_back("torch_dtype " + dtype.substr(0, 40) + " is not known: taken for bf16");
  out.plain_dtype = name.empty() ? "bf16" : name;
  out.weight_dtype = out.plain_dtype;
}

inline void set_whole(model& out, const char* method, std::size_t bits, std::size_t group) {
  out.weight_dtype = bits == 8 ? "int8" : method;
  out.weight_bits = bits;
  out.weight_group = group;
}

/// Numbers that share a scale; -1 means a whole row.
[[nodiscard]] inline std::size_t shared_by(const config_fields& in, std::size_t usual, std::size_t row) {
  return in.is_minus_one("group_size") ? row : in.take({"group_size", "q_group_size"}, usual, config_limits::width);
}

/// Formats that come in groups of layers: the first group speaks for all.
inline void read_scheme(const config_fields& in, model& out) {
  const config_fields weights = in.inside("config_groups").first_inside().inside("weights");
  const std::string format = in.text({"format"});
  const std::size_t bits = weights.take({"num_bits"}, 8, 64);
  const std::string kind = weights.text({"type"}, format.find("float") == std::string::npos ? "int" : "float");
  const std::size_t group = shared_by(weights, 0, out.hidden);
  if (kind == "float") out.weight_dtype = bits == 8 ? "fp8" : bits == 4 ? (group == 32 ? "mxfp4" : "nvfp4") : out.plain_dtype;
  else if (bits <= 8) set_whole(out, "gptq", bits, group);
}

inline void read_bits(const config_fields& in, const std::string& method, model& out) {
  if (method == "bitsandbytes" || in.has("load_in_4bit")) {
    const bool four = in.flag("load_in_4bit", false) || in.flag("_load_in_4bit", false);
    set_whole(out, "gptq", four ? 4 : 8, four ? 64 : 0);
    if (four) out.warnings.push_back("bitsandbytes: counted as 4 bits with a scale for each 64 weights");
    return;
  }
  set_whole(out, method.rfind("awq", 0) == 0 ? "awq" : "gptq", in.take({"bits", "w_bit"}, 4, 16), shared_by(in, 128, out.hidden));
}

inline void read_modelopt(const config_fields& in, model& out) {
  const config_fields inner = in.inside("quantization");
  const std::string algorithm = in.text({"quant_algo"}, inner.text({"quant_algo"}));
  if (algorithm == "FP8" || algorithm.empty()) out.weight_dtype = "fp8";
  else if (algorithm == "NVFP4") out.weight_dtype = "nvfp4";
  else if (algorithm.find("AWQ") != std::string::npos) set_whole(out, "awq", 4, 128);
  else out.warnings.push_back("quant_algo " + algorithm.substr(0, 40) + " is not known: weights are taken as dtype says");
}

/// Parts that the quantiser was told to leave alone in all layers.
inline void spare_parts(const config_fields& in, model& out) {
  for (const char* name : {"modules_to_not_convert", "ignore", "ignored_layers", "exclude_modules", "llm_int8_skip_modules"}) {
    for (const std::string& each : in.texts(name)) {
      const bool every = each.find_first_of("*^") != std::string::npos || each.find_first_of("0123456789") == std::string::npos;
      const auto says = [&](const char* word) { return every && each.find(word) != std::string::npos; };
      for (weight_part& part : out.weights) {
        const bool spared = (says("self_attn") && (part.name.rfind("attention", 0) == 0 || part.name.rfind("latent", 0) == 0)) ||
                            ((says("linear_attn") || says("mamba")) && part.name == "state matrices") ||
                            (says("shared_expert") && part.name == "shared expert") ||
                            (says("mlp.experts") && part.name == "experts");
        if (spared) part.quantised = false;
      }
    }
  }
}

}  // namespace config_parts

/// Fills in the formats of a model's weights. Requires  that its weights are listed
inline void read_formats(const config_fields& top, const config_fields& text, model& out) {
  using namespace config_parts;
  read_plain(top, text, out);
  const bool inner = text.has("quantization_config");
  const char* name = inner || top.has("quantization_config") ? "quantization_config" : "compression_config";
  if (!inner && !top.has(name)) return;
  const config_fields in = (inner ? text : top).inside(name);
  const std::string method = in.text({"quant_method"});
  const auto starts = [&](const char* with) { return method.rfind(with, 0) == 0; };
  const bool unnamed = method.empty() && (in.has("bits") || in.has("w_bit") || in.has("load_in_4bit"));
  if (unnamed || starts("awq") || starts("gptq") || starts("auto") || method == "bitsandbytes") read_bits(in, method, out);
  else if (method == "fp8" || method == "fbgemm_fp8") out.weight_dtype = "fp8";
  else if (method == "compressed-tensors") read_scheme(in, out);
  else if (starts("modelopt")) read_modelopt(in, out);
  else if (method == "mxfp4") {
    out.weight_dtype = "mxfp4";
    for (weight_part& part : out.weights) part.quantised = part.quantised && part.name == "experts";
  } else {
    out.warnings.push_back("quant_method " + method.substr(0, 40) + " is not known: weights are taken as dtype says");
  }
  spare_parts(in, out);
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
