// The list of files that a checkpoint in several safetensors files has beside them.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include <tokenheap/plan/byte_reader.hpp>
#include <tokenheap/plan/json_events.hpp>
#include <tokenheap/plan/reading.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// What a `model.safetensors.index.json` says: its files, each once, and the bytes of all tensors.
struct safetensors_index {
  std::set<std::string, std::less<>> files;
  std::uint64_t tensors = 0;
  std::uint64_t total_size = 0;  ///< 0: it does not say
};

/// True for the name of a safetensors file that lies in the same folder, wherever that is.
[[nodiscard]] inline bool is_file_beside(std::string_view name) noexcept {
  if (name.size() > 255 || !name.ends_with(".safetensors") || name == ".safetensors") return false;
  for (const char c : name) {
    if (c == '/' || c == '\\' || static_cast<unsigned char>(c) < ' ') return false;
  }
  return true;
}

/// Reads the JSON of an index. Use `read_safetensors_index`.
class safetensors_index_events : public json_events<safetensors_index_events> {
 public:
  explicit safetensors_index_events(safetensors_index& to) noexcept : to_(to) {}

  bool opened(bool object) {
    if (depth() == 1) return object || refuse("is no object");
    if (depth() == 2 && section_ != section::other) return object || refuse(section_name() + "is no object");
    if (section_ == section::map) return refuse("weight_map." + printable(name_) + ": is no text");
    if (section_ == section::metadata && depth() == 3 && name_ == "total_size") return refuse_size();
    return true;
  }
  bool closed() noexcept { return true; }
  bool named(std::string& name) {
    if (depth() == 1) {
      section_ = name == "weight_map" ? section::map : name == "metadata" ? section::metadata : section::other;
    } else if (depth() == 2) {
      name_.swap(name);
    }
    return true;
  }
  bool scalar(const json_scalar& value) {
    if (depth() == 0) return refuse("is no object");
    if (section_ == section::other) return true;
    if (depth() == 1) return refuse(section_name() + "is no object");
    if (section_ == section::map) return file(value);
    return depth() != 2 || name_ != "total_size" || size(value);
  }

 private:
  enum class section : std::uint8_t { other, metadata, map };

  [[nodiscard]] std::string section_name() const { return section_ == section::map ? "weight_map: " : "metadata: "; }
  bool refuse_size() { return refuse("metadata.total_size: is no whole number"); }

  bool size(const json_scalar& value) {
    to_.total_size = value.whole;
    if (value.is == json_scalar::kind::whole) return true;
    // some exporters write it as a floating-point number
    const bool whole = value.is == json_scalar::kind::real && value.real >= 0 && value.real <= 9007199254740992.0 &&
                       std::floor(value.real) == value.real;
    if (!whole) return refuse_size();
    to_.total_size = static_cast<std::uint64_t>(value.real);
    return true;
  }
  bool file(const json_scalar& value) {
    if (value.is != json_scalar::kind::text) return refuse("weight_map." + printable(name_) + ": is no text");
    ++to_.tensors;
    if (to_.files.contains(value.text)) return true;
    if (!is_file_beside(value.text)) {
      return refuse("weight_map." + printable(name_) + ": '" + printable(value.text) +
                    "' is no name of a safetensors file in the same folder");
    }
    to_.files.emplace(value.text);
    return true;
  }

  safetensors_index& to_;
  std::string name_;
  section section_ = section::other;
};

/// Reads an index out of its text; `file` is its name in messages. Survives any bytes.
[[nodiscard]] inline reading<safetensors_index> read_safetensors_index(std::string_view text, const std::string& file) {
  reading<safetensors_index> out;
  safetensors_index_events events(out.value);
  if (!events.read(text, 0)) out.error = file + ": " + events.error();
  return out;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
