// What fits, as the command lines of engines.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <system_error>

#include <fmt/format.h>

#include <tokenheap/plan/formats.hpp>

#include "plan_report.hpp"

namespace program {
namespace {

namespace plan = tokenheap::plan;

// for a POSIX shell
std::string shell_word(const std::string& text) {
  constexpr const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@+,=";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) return text;
  std::string out = "'";
  for (const char c : printable(text)) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// what an engine wants of a checkpoint: its folder
std::string folder_of(const std::string& path) {
  if (!ends_with(path, ".json") && !ends_with(path, ".safetensors")) return path;
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

/// What the engine is told.
struct setting {
  std::size_t tokens = 0;
  std::size_t sequences = 0;
  std::size_t kv_bytes = 0;  ///< of the device that has least
};

// as asked; or as many sequences as there is room for; or the longest context
setting what_fits(const plan_report& r) {
  const plan::answer& a = r.found;
  setting s{a.tokens, r.options.asked.sequences, ~std::size_t{0}};
  if (!r.options.sequences_given) s.sequences = std::min<std::size_t>(a.max_sequences, 256);
  if (!a.fits) s.sequences = a.max_sequences;
  if (s.sequences == 0 && a.max_tokens != 0) s = {a.max_tokens, r.options.asked.sequences, s.kv_bytes};
  for (const plan::device_need& n : a.devices) s.kv_bytes = std::min(s.kv_bytes, n.kv);
  if (a.devices.empty()) s.kv_bytes = 0;
  return s;
}

// one option a line, ready to paste
class command_line {
 public:
  explicit command_line(std::string start) : text_(std::move(start)) {}
  command_line& add(const std::string& option) {
    text_ += " \\\n    " + option;
    return *this;
  }
  command_line& add_if(bool wanted, const std::string& option) { return wanted ? add(option) : *this; }
  [[nodiscard]] std::string text(const std::string& notes) const { return notes + text_; }

 private:
  std::string text_;
};

// what every engine has to be told by other means
std::string common_notes(const plan_report& r) {
  std::string notes;
  if (plan::plain_name(r.of.weight_dtype) != r.found.weight_dtype)
    notes += fmt::format("# planned for weights in {}: take a checkpoint in that format\n", r.found.weight_dtype);
  if (r.options.asked.pruned_2_4) notes += "# planned for weights of which two in four are pruned\n";
  return notes;
}

std::string copies_note(const plan_report& r) {
  const std::size_t copies = r.options.asked.data;
  return copies > 1 ? fmt::format("# one copy; start it {} times, each on devices of its own\n", copies) : std::string();
}

engine_line vllm(const plan_report& r, const setting& s) {
  const plan::deployment& d = r.options.asked;
  const std::string& kv = r.found.kv_dtype;
  std::string notes = common_notes(r) + "# where both are given, vLLM goes by --kv-cache-memory-bytes\n";
  const bool known = kv == "bf16" || kv == "fp16" || kv == "fp8" || kv == "fp8_ds_mla";
  if (!known) notes += fmt::format("# vLLM's name for a cache of {} is not known here: add --kv-cache-dtype\n", kv);
  command_line line("vllm serve " + shell_word(folder_of(r.options.path)));
  line.add_if(d.tensor > 1, fmt::format("--tensor-parallel-size {}", d.tensor))
      .add_if(d.pipeline > 1, fmt::format("--pipeline-parallel-size {}", d.pipeline))
      .add_if(d.data > 1, fmt::format("--data-parallel-size {}", d.data))
      .add_if(d.expert > 1, "--enable-expert-parallel")
      .add(fmt::format("--gpu-memory-utilization {:g}", d.utilization))
      .add(fmt::format("--kv-cache-memory-bytes {}", s.kv_bytes))
      .add_if(kv == "fp8" || kv == "fp8_ds_mla", "--kv-cache-dtype " + kv)
      .add(fmt::format("--max-model-len {}", s.tokens))
      .add(fmt::format("--max-num-seqs {}", s.sequences))
      .add(fmt::format("--max-num-batched-tokens {}", d.prefill_tokens))
      .add(fmt::format("--block-size {}", d.block_tokens))
      .add_if(d.lora_adapters > 0,
              fmt::format("--enable-lora --max-loras {} --max-lora-rank {}", d.lora_adapters, d.lora_rank));
  return {"vLLM", line.text(notes)};
}

engine_line tensorrt(const plan_report& r, const setting& s) {
  const plan::deployment& d = r.options.asked;
  const std::string& kv = r.found.kv_dtype;
  // of what is free once the weights and buffers are in place
  double fraction = 1;
  for (const plan::device_need& n : r.found.devices) {
    const double left = static_cast<double>(n.kv) + static_cast<double>(n.unused);
    if (left > 0) fraction = std::min(fraction, static_cast<double>(n.kv) / left);
  }
  std::string notes = common_notes(r) + copies_note(r);
  if (r.of.weight_dtype == "gguf") notes += "# TensorRT-LLM reads no GGUF: name the model's own checkpoint\n";
  const bool file = kv == "fp8" || kv == "nvfp4";
  if (kv == "fp8") notes += "# in the file of --extra_llm_api_options:  kv_cache_config: {dtype: fp8}\n";
  if (kv == "nvfp4") notes += "# in the file of --extra_llm_api_options:  kv_cache_config: {dtype: nvfp4}\n";
  command_line line("trtllm-serve " + shell_word(folder_of(r.options.path)));
  line.add_if(d.tensor > 1, fmt::format("--tp_size {}", d.tensor))
      .add_if(d.pipeline > 1, fmt::format("--pp_size {}", d.pipeline))
      .add_if(d.expert > 1, fmt::format("--ep_size {}", d.expert))
      .add(fmt::format("--max_batch_size {}", s.sequences))
      .add(fmt::format("--max_seq_len {}", s.tokens))
      .add(fmt::format("--max_num_tokens {}", d.prefill_tokens))
      .add(fmt::format("--kv_cache_free_gpu_memory_fraction {:.4f}", std::floor(fraction * 1e4) / 1e4))
      .add_if(file, "--extra_llm_api_options kv.yaml");
  return {"TensorRT-LLM", line.text(notes)};
}

engine_line llama_cpp(const plan_report& r, const setting& s) {
  const plan::deployment& d = r.options.asked;
  const std::string& kv = r.found.kv_dtype;
  const char* type = kv == "fp32" ? "f32" : kv == "bf16" ? "bf16" : kv == "int8" ? "q8_0" : kv == "int4" ? "q4_0" : "f16";
  std::string notes = common_notes(r) + copies_note(r);
  if (kv == "int8") notes += "# q8_0 keeps a scale for every 32 numbers: 34 bytes for 32, more than planned\n";
  if (kv == "int4") notes += "# q4_0 keeps a scale for every 32 numbers: 18 bytes for 32, more than planned\n";
  if (kv != "fp16" && std::string(type) == "f16")
    notes += fmt::format("# llama.cpp has no {} cache: f16 takes the bytes of --kv-dtype fp16\n", kv);
  std::string file = r.options.path;
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(file, ignored);
  const bool gguf = r.of.weight_dtype == "gguf";
  if (!gguf) {
    file = "model.gguf";
    notes += "# convert the model first; planned from its GGUF file, the bytes of its weights\n# are exact\n";
  }
  const std::size_t devices = d.tensor * d.pipeline;
  command_line line("llama-server -m " + shell_word(file) + (gguf && folder ? "/*.gguf" : ""));
  line.add("-ngl 999 -fa on")
      .add(fmt::format("-c {} -np {}", s.tokens * s.sequences, s.sequences))
      .add(fmt::format("-ctk {} -ctv {}", type, type))
      .add_if(devices > 1, d.tensor > 1 ? "--split-mode row" : "--split-mode layer");
  return {"llama.cpp", line.text(notes)};
}

}  // namespace

std::vector<engine_line> engine_lines(const plan_report& r) {
  const setting s = what_fits(r);
  if (s.sequences == 0 || s.tokens == 0) return {};
  return {vllm(r, s), tensorrt(r, s), llama_cpp(r, s)};
}

}  // namespace program
