// The exact bytes of the weights that lie in a folder of safetensors files.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <dirent.h>
#include <sys/stat.h>

#include <tokenheap/plan/byte_reader.hpp>
#include <tokenheap/plan/reading.hpp>
#include <tokenheap/plan/safetensors.hpp>
#include <tokenheap/plan/safetensors_index.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// What a folder has of weights.
struct checkpoint {
  std::uint64_t bytes = 0;            ///< of all tensors; 0: there are no files, or none says
  std::string main_type;              ///< fp32, fp16 or bf16, where most bytes are of it; else empty
  std::string found;                  ///< "3 safetensors files"
  std::vector<std::string> warnings;
};

/// Names of the entries of a folder, sorted; empty where it cannot be read. At most 10,000.
[[nodiscard]] inline std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> out;
  DIR* const open = ::opendir(folder.c_str());
  if (open == nullptr) return out;
  while (const dirent* entry = ::readdir(open)) {
    if (out.size() == 10'000) break;
    out.emplace_back(entry->d_name);
  }
  ::closedir(open);
  std::sort(out.begin(), out.end());
  return out;
}

/// True if something is there under this name.
[[nodiscard]] inline bool is_there(const std::string& path) noexcept {
  struct stat about = {};
  return ::stat(path.c_str(), &about) == 0;
}

namespace detail {

inline constexpr const char* index_file = "model.safetensors.index.json";

/// The files of a folder without an index: one model, or else the parts of one, never adapters.
[[nodiscard]] inline std::vector<std::string> weight_files(const std::vector<std::string>& names) {
  std::vector<std::string> rest, parts;
  for (const std::string& name : names) {
    if (!is_file_beside(name) || name.starts_with("adapter")) continue;
    if (name == "model.safetensors") return {name};
    (name.starts_with("model-") ? parts : rest).push_back(name);
  }
  if (!parts.empty()) return parts;
  // the same weights a second time, in another layout
  const bool only = std::all_of(rest.begin(), rest.end(), [](const std::string& n) { return n.starts_with("consolidated"); });
  if (!only) std::erase_if(rest, [](const std::string& n) { return n.starts_with("consolidated"); });
  return rest;
}

/// Adds the headers of these files up. Fails  on the first that is broken
[[nodiscard]] inline reading<checkpoint> weigh_files(const std::string& folder, const std::vector<std::string>& files) {
  reading<checkpoint> out;
  safetensors_header sum;
  for (const std::string& name : files) {
    const reading<safetensors_header> one = read_safetensors(folder + "/" + name);
    if (!one) return out.error = one.error, out;
    const safetensors_header& h = one.value;
    if (h.bytes > (std::uint64_t{1} << 56) || sum.bytes > (std::uint64_t{1} << 56)) {
      return out.error = folder + "/" + name + ": data_offsets: the tensors have more than 2^56 bytes", out;
    }
    sum.bytes += h.bytes;
    for (std::size_t t = 0; t < safetensors_type_count; ++t) sum.by_type[t] += h.by_type[t];
    if (h.file_bytes < h.data_at + h.bytes) {
      out.value.warnings.push_back(name + " ends " + std::to_string(h.data_at + h.bytes - h.file_bytes) +
                                   " bytes before its last tensor does: it was not copied whole");
    }
  }
  out.value.bytes = sum.bytes;
  out.value.main_type = sum.main_type();
  out.value.found = std::to_string(files.size()) + (files.size() == 1 ? " safetensors file" : " safetensors files");
  return out;
}

/// By the index: the files that it names, where all are there, else its sum.
[[nodiscard]] inline reading<checkpoint> weigh_indexed(const std::string& folder) {
  const std::string path = folder + "/" + index_file;
  reading<checkpoint> out;
  const reading<std::string> text = read_text(path, std::uint64_t{256} << 20);
  if (!text) return out.error = text.error, out;
  const reading<safetensors_index> index = read_safetensors_index(text.value, path);
  if (!index) return out.error = index.error, out;
  const std::uint64_t total = index.value.total_size;
  std::vector<std::string> here;
  std::string missing;
  for (const std::string& name : index.value.files) {
    if (is_there(folder + "/" + name)) here.push_back(name);
    else if (missing.empty()) missing = name;
  }
  if (missing.empty() && !here.empty()) {
    out = weigh_files(folder, here);
    if (out && total != 0 && total != out.value.bytes) {
      out.value.warnings.push_back(std::string(index_file) + ": metadata.total_size is " + std::to_string(total) +
                                   ", but its files have " + std::to_string(out.value.bytes) + " bytes: these are taken");
    }
    return out;
  }
  if (total == 0) {
    out.error = path + (missing.empty() ? ": metadata.total_size: is missing, and weight_map names no file"
                                        : ": metadata.total_size: is missing, and so is the file " + missing);
    return out;
  }
  if (total > (std::uint64_t{1} << 56)) return out.error = path + ": metadata.total_size: is more than 2^56", out;
  out.value.bytes = total;
  out.value.found = std::string(index_file);
  if (!here.empty()) {
    out.value.warnings.push_back(std::to_string(index.value.files.size() - here.size()) + " of " +
                                 std::to_string(index.value.files.size()) +
                                 " safetensors files are missing, the first is " + missing + ": metadata.total_size is taken");
  }
  return out;
}

}  // namespace detail

/// Weighs the safetensors files of a folder by their headers: those that its index names, else `model.safetensors`, else
/// its parts. No name of an index leads out of the folder.
///
/// Returns   `bytes` 0 where there are none
/// Fails     on a broken header or index: the file, the tensor and the field
/// Cost      the headers alone are read
[[nodiscard]] inline reading<checkpoint> weigh_folder(const std::string& folder) {
  if (is_there(folder + "/" + detail::index_file)) return detail::weigh_indexed(folder);
  const std::vector<std::string> files = detail::weight_files(names_in(folder));
  return files.empty() ? reading<checkpoint>{} : detail::weigh_files(folder, files);
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
