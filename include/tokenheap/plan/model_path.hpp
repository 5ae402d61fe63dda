// A model out of whatever path a person has at hand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/stat.h>

#include <tokenheap/plan/byte_reader.hpp>
#include <tokenheap/plan/checkpoint.hpp>
#include <tokenheap/plan/config_json.hpp>
#include <tokenheap/plan/gguf.hpp>
#include <tokenheap/plan/gguf_model.hpp>
#include <tokenheap/plan/model.hpp>
#include <tokenheap/plan/reading.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// A model, and what it was read from: "config.json and 4 safetensors files".
struct found_model {
  model what;
  std::string from;
};

/// The name of a part of a split GGUF file: "x-00002-of-00003.gguf".
struct gguf_part_name {
  std::string stem;  ///< "x"; empty: no such name
  std::size_t parts = 0;

  [[nodiscard]] std::string of(std::size_t part) const {
    const auto five = [](std::size_t n) {
      const std::string digits = std::to_string(n);
      return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
    };
    return stem + "-" + five(part) + "-of-" + five(parts) + ".gguf";
  }
};

[[nodiscard]] inline gguf_part_name part_of(std::string_view path) {
  constexpr std::size_t tail = 20;  // "-00002-of-00003.gguf"
  gguf_part_name out;
  if (path.size() <= tail) return out;
  const std::string_view end = path.substr(path.size() - tail);
  for (std::size_t i = 0; i < tail; ++i) {
    const bool digit = (i >= 1 && i <= 5) || (i >= 10 && i <= 14);
    if (digit ? end[i] < '0' || end[i] > '9' : end[i] != "-#####-of-#####.gguf"[i]) return out;
  }
  for (std::size_t i = 10; i <= 14; ++i) out.parts = 10 * out.parts + static_cast<std::size_t>(end[i] - '0');
  if (out.parts != 0) out.stem = std::string(path.substr(0, path.size() - tail));
  return out;
}

namespace detail {

[[nodiscard]] inline std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}
[[nodiscard]] inline std::string_view leaf_of(std::string_view path) noexcept {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}
[[nodiscard]] inline bool is_folder(const std::string& path) noexcept {
  struct stat about = {};
  return ::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode);
}

/// Puts the tensors of the other parts to those of the first.
[[nodiscard]] inline std::string join_parts(gguf& first, const gguf_part_name& name, std::uint64_t& missing) {
  for (std::size_t part = 2; part <= name.parts; ++part) {
    const std::string path = name.of(part);
    reading<gguf> more = read_gguf(path);
    if (!more && is_there(path)) return more.error;
    if (!more) return more.error + "; the model has " + std::to_string(name.parts) + " parts, put all side by side";
    first.weight_bytes += more.value.weight_bytes;
    if (first.weight_bytes > gguf_reader::most_bytes) return path + ": the tensors have more than 2^56 bytes";
    missing += more.value.missing_bytes();
    for (gguf_tensor& one : more.value.tensors) first.tensors.push_back(std::move(one));
  }
  return {};
}

[[nodiscard]] inline reading<found_model> read_gguf_path(const std::string& path) {
  reading<found_model> out;
  const gguf_part_name name = part_of(path);
  const bool split = !name.stem.empty() && name.parts > 1;
  const std::string first = split ? name.of(1) : path;
  reading<gguf> header = read_gguf(first);
  if (!header) return out.error = header.error, out;
  const gguf_value* count = header.value.find("split.count");
  if (!split && count != nullptr && count->whole > 1) {
    out.error = first + ": split.count: the file is one of " + std::to_string(count->whole) +
                " parts; name it as it was, like model-00001-of-" + "0000N.gguf";
    return out;
  }
  std::uint64_t missing = 0;
  if (split) out.error = join_parts(header.value, name, missing);
  if (!out) return out;
  reading<model> made = model_of(header.value, first);
  if (!made) return out.error = made.error, out;
  if (missing != 0) {
    made.value.warnings.push_back("the other parts lack " + std::to_string(missing) + " bytes: they were not copied whole");
  }
  out.value.what = std::move(made.value);
  out.value.from = split ? std::to_string(name.parts) + " GGUF files" : "a GGUF file";
  return out;
}

/// The types of the tensors go before what config.json says of floats that are not quantised.
inline void take_weights(model& m, const checkpoint& weights) {
  m.exact_weight_bytes = weights.bytes;
  m.warnings.insert(m.warnings.end(), weights.warnings.begin(), weights.warnings.end());
  const auto is_float = [](std::string_view name) { return name == "fp32" || name == "fp16" || name == "bf16"; };
  if (!is_float(weights.main_type) || !is_float(m.weight_dtype) || m.weight_dtype == weights.main_type) return;
  m.warnings.push_back("config.json says " + m.weight_dtype + ", but the tensors are " + weights.main_type);
  m.weight_dtype = weights.main_type;
  m.plain_dtype = weights.main_type;
}

[[nodiscard]] inline reading<found_model> read_config_path(const std::string& path, bool weigh) {
  reading<found_model> out;
  reading<std::string> text = read_text(path, std::uint64_t{64} << 20);
  if (!text) return out.error = text.error, out;
  reading<model> made = read_config(std::move(text.value), path);
  if (!made) return out.error = made.error, out;
  out.value.what = std::move(made.value);
  out.value.from = std::string(leaf_of(path));
  if (!weigh) return out;
  const reading<checkpoint> weights = weigh_folder(folder_of(path));
  if (!weights) return out.error = weights.error, out;
  if (weights.value.bytes == 0) return out;
  take_weights(out.value.what, weights.value);
  out.value.from += " and " + weights.value.found;
  return out;
}

/// The GGUF files of language models in a folder, the first of each that is split.
[[nodiscard]] inline std::vector<std::string> gguf_models_in(const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (const std::string& name : names) {
    if (!name.ends_with(".gguf") || name.starts_with("mmproj") || name.starts_with("ggml-vocab")) continue;
    const gguf_part_name part = part_of(name);
    if (part.stem.empty() || name == part.of(1)) out.push_back(name);
  }
  return out;
}

[[nodiscard]] inline reading<found_model> read_model_folder(const std::string& folder) {
  const std::vector<std::string> names = names_in(folder);
  const std::vector<std::string> ggufs = gguf_models_in(names);
  const bool has_config = is_there(folder + "/config.json");
  const bool has_weights = is_there(folder + "/" + index_file) || !weight_files(names).empty();
  // beside a GGUF file config.json is often a stub
  if (ggufs.size() == 1 && !(has_config && has_weights)) return read_gguf_path(folder + "/" + ggufs[0]);
  if (has_config) return read_config_path(folder + "/config.json", true);
  reading<found_model> out;
  if (!ggufs.empty()) {
    out.error = folder + ": has " + std::to_string(ggufs.size()) + " GGUF models: name one, as " + printable(ggufs[0]);
  } else {
    out.error = folder + "/config.json: there is no such file" +
                (has_weights ? "; safetensors files do not say what the model is, put its config.json beside them"
                             : "; give the folder of a model, a config.json or a .gguf file");
  }
  return out;
}

}  // namespace detail

/// Reads a model from a path: a folder, a config.json, a .gguf file or one of its parts, or a .safetensors file or index
/// beside its config.json. Exact bytes of weights come from GGUF and safetensors headers, wherever there are any.
///
/// A JSON file of another name than config.json is read alone, without the weights beside it.
/// Fails  with the file and the field, and what to do where that helps
[[nodiscard]] inline reading<found_model> read_model_path(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  reading<found_model> out;
  if (path.empty()) return out.error = "the path of the model is empty: give a folder, a config.json or a .gguf file", out;
  if (path.find('\0') != std::string::npos) return out.error = printable(path) + ": no path has a zero byte", out;
  if (detail::is_folder(path)) {
    out = detail::read_model_folder(path);
  } else if (!is_there(path)) {
    out.error = path + ": there is no such file or folder";
  } else if (path.ends_with(".safetensors") || detail::leaf_of(path) == detail::index_file) {
    out = detail::read_model_folder(detail::folder_of(path));
  } else if (path.ends_with(".json")) {
    out = detail::read_config_path(path, detail::leaf_of(path) == "config.json");
  } else {
    // whatever its name, a file in the cache of a downloader for one: its first bytes tell
    reading<byte_reader> file = byte_reader::open(path);
    char first[4] = {};
    if (!file) return out.error = file.error, out;
    const bool read = file.value.read(first, sizeof first);
    const std::string_view magic(first, sizeof first);
    const bool is_gguf = path.ends_with(".gguf") || (read && (magic == "GGUF" || magic == "FUGG"));
    if (!is_gguf && first[0] != '{') {
      out.error = path + ": is neither a config.json nor a GGUF file; give a folder, a config.json or a .gguf file";
      return out;
    }
    file.value = byte_reader();
    out = is_gguf ? detail::read_gguf_path(path) : detail::read_config_path(path, false);
  }
  if (out) out.value.what.name = path;
  return out;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
