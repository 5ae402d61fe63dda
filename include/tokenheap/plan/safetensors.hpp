// The header of a safetensors file: the exact bytes of its tensors, without the tensors themselves.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/plan/byte_reader.hpp>
#include <tokenheap/plan/json_events.hpp>
#include <tokenheap/plan/reading.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// A type of tensors, and the name that the planner has for it where it is one for whole models.
struct safetensors_type {
  std::string_view name;
  std::uint32_t bits = 0;
  std::string_view plain;
};

inline constexpr safetensors_type safetensors_types[] = {
    {"BOOL", 8, ""},     {"U8", 8, ""},       {"I8", 8, ""},       {"F8_E5M2", 8, ""},     {"F8_E4M3", 8, ""},
    {"F8_E8M0", 8, ""},  {"I16", 16, ""},     {"U16", 16, ""},     {"F16", 16, "fp16"},    {"BF16", 16, "bf16"},
    {"I32", 32, ""},     {"U32", 32, ""},     {"F32", 32, "fp32"}, {"I64", 64, ""},        {"U64", 64, ""},
    {"F64", 64, ""},     {"C64", 64, ""},     {"F4", 4, ""},       {"F6_E2M3", 6, ""},     {"F6_E3M2", 6, ""},
    {"F8_E4M3FNUZ", 8, ""}, {"F8_E5M2FNUZ", 8, ""},
};
inline constexpr std::size_t safetensors_type_count = sizeof safetensors_types / sizeof safetensors_types[0];

/// What a header says.
struct safetensors_header {
  std::uint64_t bytes = 0;         ///< of all tensors: there are no holes between them
  std::uint64_t tensors = 0;
  std::uint64_t data_at = 0;       ///< where the tensors start in the file
  std::uint64_t file_bytes = 0;
  std::uint64_t by_type[safetensors_type_count] = {};  ///< bytes of each of `safetensors_types`

  /// The name of the planner for the floats that have most bytes; empty where another type has more.
  [[nodiscard]] std::string_view main_type() const noexcept {
    std::size_t most = 0;
    for (std::size_t t = 1; t < safetensors_type_count; ++t) most = by_type[t] > by_type[most] ? t : most;
    return by_type[most] == 0 ? std::string_view() : safetensors_types[most].plain;
  }
};

/// Reads the JSON of a header. Use `read_safetensors`.
class safetensors_events : public json_events<safetensors_events> {
 public:
  explicit safetensors_events(safetensors_header& to) noexcept : to_(to) {}

  bool opened(bool object) {
    if (depth() == 1) return object || refuse("header: is no object");
    if (depth() == 2) return object || refuse(shown() + "is no object");
    if (note_ || field_ == field::other) return true;
    if (depth() == 3 && !object && field_ != field::dtype) return list_ = true;
    return refuse_field();
  }
  bool closed() {
    if (depth() == 1) return note_ || finish();
    if (depth() == 2) list_ = false;
    return depth() != 0 || check();
  }
  bool named(std::string& name) {
    if (depth() == 1) {
      note_ = name == "__metadata__";
      one_ = {};
      one_.name = std::move(name);
      type_ = safetensors_type_count, shape_ = 1, offsets_ = 0, seen_[0] = seen_[1] = seen_[2] = false;
    } else if (depth() == 2 && !note_) {
      field_ = name == "dtype"          ? field::dtype
               : name == "shape"        ? field::shape
               : name == "data_offsets" ? field::offsets
                                        : field::other;
      if (field_ == field::other) return true;
      bool& seen = seen_[static_cast<std::size_t>(field_)];
      if (seen) return refuse(shown() + name + ": is there twice");
      seen = true;
    }
    return true;
  }
  bool scalar(const json_scalar& value) {
    if (depth() == 0) return refuse("header: is no object");
    if (depth() == 1) return refuse(shown() + "is no object");
    if (note_ || field_ == field::other) return true;
    if (field_ == field::dtype) return depth() == 2 && value.is == json_scalar::kind::text ? type(value.text) : refuse_field();
    if (!list_ || depth() != 3 || value.is != json_scalar::kind::whole) return refuse_field();
    if (field_ == field::shape) {
      return checked_mul(shape_, value.whole, shape_) || refuse(shown() + "shape: overflows 64 bits");
    }
    if (offsets_ == 2) return refuse_field();
    (offsets_++ == 0 ? one_.begin : one_.end) = value.whole;
    return true;
  }

 private:
  enum class field : std::uint8_t { dtype, shape, offsets, other };
  struct entry {
    std::string name;
    std::uint64_t begin = 0, end = 0;
  };

  [[nodiscard]] std::string shown() const { return printable(one_.name) + ": "; }
  bool refuse_field() {
    switch (field_) {
      case field::dtype: return refuse(shown() + "dtype: is no text");
      case field::shape: return refuse(shown() + "shape: is no list of whole numbers");
      default: return refuse(shown() + "data_offsets: is no list of two whole numbers");
    }
  }

  bool type(std::string_view name) {
    for (type_ = 0; type_ < safetensors_type_count; ++type_) {
      if (safetensors_types[type_].name == name) return true;
    }
    return refuse(shown() + "dtype: '" + printable(name) + "' is not known");
  }

  /// One tensor is complete: its bytes are those of its shape.
  bool finish() {
    for (std::size_t f = 0; f < 3; ++f) {
      constexpr const char* names[] = {"dtype", "shape", "data_offsets"};
      if (!seen_[f]) return refuse(shown() + names[f] + ": is missing");
    }
    if (offsets_ != 2) return field_ = field::offsets, refuse_field();
    std::size_t bits = 0;
    if (!checked_mul(shape_, safetensors_types[type_].bits, bits)) return refuse(shown() + "shape: overflows 64 bits");
    if (bits % 8 != 0) return refuse(shown() + "shape: ends inside a byte");
    if (one_.end < one_.begin || one_.end - one_.begin != bits / 8) {
      return refuse(shown() + "data_offsets: [" + std::to_string(one_.begin) + ", " + std::to_string(one_.end) +
                    "] are not the " + std::to_string(bits / 8) + " bytes of its shape");
    }
    to_.by_type[type_] += bits / 8;
    ++to_.tensors;
    all_.push_back(std::move(one_));
    return true;
  }

  /// All tensors lie one behind the other, and none is there twice.
  bool check() {
    const auto by_name = [](const entry& a, const entry& b) { return a.name < b.name; };
    std::sort(all_.begin(), all_.end(), by_name);
    for (std::size_t i = 1; i < all_.size(); ++i) {
      if (all_[i].name == all_[i - 1].name) return refuse(printable(all_[i].name) + ": is there twice");
    }
    const auto by_place = [](const entry& a, const entry& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    };
    std::sort(all_.begin(), all_.end(), by_place);
    for (const entry& one : all_) {
      if (one.begin != to_.bytes) {
        return refuse(printable(one.name) + ": data_offsets: starts at " + std::to_string(one.begin) + ", " +
                      (one.begin < to_.bytes ? "inside another tensor" : "behind a hole from " + std::to_string(to_.bytes)));
      }
      to_.bytes = one.end;
    }
    return true;
  }

  safetensors_header& to_;
  std::vector<entry> all_;
  entry one_;
  field field_ = field::other;
  std::size_t type_ = safetensors_type_count, shape_ = 1, offsets_ = 0;
  bool seen_[3] = {}, note_ = false, list_ = false;
};

/// Reads the header of a safetensors file out of memory or an open file; `file` is its name in messages.
///
/// Survives any bytes. A file whose tensors are cut off is read all the same: compare `bytes` with `file_bytes`.
[[nodiscard]] inline reading<safetensors_header> read_safetensors(byte_reader& from, const std::string& file) {
  constexpr std::uint64_t longest = 100'000'000;
  reading<safetensors_header> out;
  std::uint64_t length = 0;
  std::string text;
  out.value.file_bytes = from.size();
  if (!from.number(length)) {
    out.error = file + ": header length: the file is too short for a safetensors file (byte 0)";
  } else if (length > longest) {
    out.error = file + ": header length: " + std::to_string(length) + " bytes, at most 100000000: no safetensors file (byte 0)";
  } else if (length > from.left()) {
    out.error = file + ": header length: " + std::to_string(length) + " bytes, but only " + std::to_string(from.left()) +
                " follow: the file is cut off (byte 0)";
  } else if (!from.text(text, length)) {
    out.error = file + ": header: cannot be read (byte 8)";
  } else {
    safetensors_events events(out.value);
    if (!events.read(text, 8)) out.error = file + ": " + events.error();
  }
  out.value.data_at = from.at();
  return out;
}

/// Reads the header of the file at `path`; the tensors are not loaded.
[[nodiscard]] inline reading<safetensors_header> read_safetensors(const std::string& path) {
  reading<byte_reader> from = byte_reader::open(path);
  if (from) return read_safetensors(from.value, path);
  reading<safetensors_header> out;
  out.error = from.error;
  return out;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
