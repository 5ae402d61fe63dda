// The numbers of a model in the metadata of a GGUF file, checked one by one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tokenheap/plan/gguf.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// What no model comes near; products of two or three of these fit 64 bits.
struct gguf_limits {
  static constexpr std::uint64_t layers = 4096;
  static constexpr std::uint64_t heads = std::uint64_t{1} << 16;
  static constexpr std::uint64_t head_size = std::uint64_t{1} << 16;
  static constexpr std::uint64_t width = std::uint64_t{1} << 26;
  static constexpr std::uint64_t words = std::uint64_t{1} << 28;
  static constexpr std::uint64_t tokens = std::uint64_t{1} << 40;
};

/// Reads keys of one architecture; the first that is wrong stays in `error()`, without the name of the file.
class gguf_fields {
 public:
  /// Requires  that `from` outlives this
  gguf_fields(const gguf& from, std::string architecture) : from_(from), architecture_(std::move(architecture)) {}

  [[nodiscard]] bool has(std::string_view name) const { return find(name) != nullptr; }
  [[nodiscard]] const std::string& error() const noexcept { return error_; }

  /// A number up to `most`; `otherwise` where the key is missing. Of a list, its largest.
  [[nodiscard]] std::uint64_t number(std::string_view name, std::uint64_t otherwise, std::uint64_t most) {
    const gguf_value* found = find(name);
    if (found == nullptr) return otherwise;
    if (found->kind != gguf_kind::array) return checked(name, *found, found->kind, found->whole, most);
    std::uint64_t largest = 0;
    for (const std::int64_t one : entries(name, *found)) largest = std::max(largest, checked(name, *found, found->of, one, most));
    return largest;
  }
  /// A number from 1 to `most`; 1 and an error where there is none.
  [[nodiscard]] std::uint64_t need(std::string_view name, std::uint64_t most) {
    if (!has(name)) refuse(name, "is missing; the file was converted without it, or holds no language model");
    const std::uint64_t got = number(name, 1, most);
    if (got == 0) refuse(name, "is 0");
    return got == 0 ? 1 : got;
  }
  /// One number for each layer, whether the file has a list or one for all.
  [[nodiscard]] std::vector<std::uint64_t> each(std::string_view name, std::size_t layers, std::uint64_t otherwise,
                                                std::uint64_t most) {
    const gguf_value* found = find(name);
    if (found == nullptr || found->kind != gguf_kind::array) {
      return std::vector<std::uint64_t>(layers, number(name, otherwise, most));
    }
    std::vector<std::uint64_t> out;
    for (const std::int64_t one : entries(name, *found)) out.push_back(checked(name, *found, found->of, one, most));
    if (out.size() != layers && error_.empty()) {
      refuse_at(name, "has " + std::to_string(out.size()) + " entries for " + std::to_string(layers) + " layers", found->at);
    }
    out.resize(layers);
    return out;
  }
  /// One number for each layer out of a list that starts anew where it ends. Requires that it is a list
  [[nodiscard]] std::vector<std::uint64_t> repeated(std::string_view name, std::size_t layers, std::uint64_t most) {
    const gguf_value& found = *find(name);
    const std::vector<std::int64_t>& list = entries(name, found);
    std::vector<std::uint64_t> out(layers);
    if (list.empty()) refuse_at(name, "is an empty list", found.at);
    for (std::size_t l = 0; l < layers && !list.empty(); ++l) {
      out[l] = checked(name, found, found.of, list[l % list.size()], most);
    }
    return out;
  }
  /// True if the key is there and a list.
  [[nodiscard]] bool is_list(std::string_view name) const {
    const gguf_value* found = find(name);
    return found != nullptr && found->kind == gguf_kind::array;
  }

  void refuse(std::string_view name, const std::string& what) {
    if (error_.empty()) error_ = key(name) + ": " + what;
  }

 private:
  [[nodiscard]] std::string key(std::string_view name) const { return architecture_ + "." + std::string(name); }
  [[nodiscard]] const gguf_value* find(std::string_view name) const { return from_.find(key(name)); }

  void refuse_at(std::string_view name, const std::string& what, std::uint64_t at) {
    refuse(name, what + " (byte " + std::to_string(at) + ")");
  }
  [[nodiscard]] const std::vector<std::int64_t>& entries(std::string_view name, const gguf_value& of) {
    if (!is_whole(of.of)) refuse_at(name, "is no list of whole numbers", of.at);
    if (of.length > of.items.size()) refuse_at(name, "has " + std::to_string(of.length) + " entries, more than are read", of.at);
    return of.items;
  }
  [[nodiscard]] std::uint64_t checked(std::string_view name, const gguf_value& at, gguf_kind kind, std::int64_t whole,
                                      std::uint64_t most) {
    if (!is_whole(kind)) {
      refuse_at(name, "is no whole number", at.at);
    } else if (whole < 0 || static_cast<std::uint64_t>(whole) > most) {
      refuse_at(name, std::to_string(whole) + " is not within 0 and " + std::to_string(most), at.at);
    } else {
      return static_cast<std::uint64_t>(whole);
    }
    return 0;
  }

  const gguf& from_;
  std::string architecture_;
  std::string error_;
};

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
