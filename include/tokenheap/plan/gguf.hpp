// The header of a GGUF file: its metadata and what tensors it holds, without the tensors themselves.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/plan/byte_reader.hpp>
#include <tokenheap/plan/gguf_types.hpp>
#include <tokenheap/plan/gguf_values.hpp>
#include <tokenheap/plan/reading.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// One tensor of a file.
struct gguf_tensor {
  std::string name;
  const gguf_type* type = nullptr;
  std::uint64_t dims[4] = {1, 1, 1, 1};
  std::uint64_t numbers = 0;
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;  ///< from `gguf::data_at`
  std::uint64_t at = 0;      ///< where the header speaks of it
};

/// What the header of a GGUF file says. Memory: a small multiple of the header's bytes.
struct gguf {
  std::uint32_t version = 0;
  std::uint64_t alignment = 32;
  std::map<std::string, gguf_value, std::less<>> metadata;
  std::vector<gguf_tensor> tensors;
  std::uint64_t weight_bytes = 0;  ///< of all tensors, without padding
  std::uint64_t data_at = 0;       ///< where the tensors start in the file
  std::uint64_t data_bytes = 0;    ///< up to the end of the last tensor
  std::uint64_t file_bytes = 0;

  /// The value of a key, or null.
  [[nodiscard]] const gguf_value* find(std::string_view key) const {
    const auto at = metadata.find(key);
    return at == metadata.end() ? nullptr : &at->second;
  }
  /// Bytes of tensors that the file no longer has; 0 for a whole file.
  [[nodiscard]] std::uint64_t missing_bytes() const noexcept {
    if (data_bytes == 0) return 0;
    return data_at + data_bytes > file_bytes ? data_at + data_bytes - file_bytes : 0;
  }
};

/// Reads a header from its first byte on. Use `read_gguf`.
class gguf_reader {
 public:
  static constexpr std::uint64_t most_keys = 65'536, longest_name = 65'535;
  static constexpr std::uint64_t most_bytes = std::uint64_t{1} << 56;  ///< of all tensors

  explicit gguf_reader(byte_reader& from) noexcept : from_(from), values_(from) {}

  [[nodiscard]] bool read(gguf& to) {
    to.file_bytes = from_.size();
    std::uint64_t tensors = 0, keys = 0;
    return start(to, tensors, keys) && metadata(to, keys) && alignment(to) && tensor_list(to, tensors) && layout(to);
  }
  [[nodiscard]] const std::string& error() const noexcept { return values_.error(); }

 private:
  bool start(gguf& to, std::uint64_t& tensors, std::uint64_t& keys) {
    char magic[4] = {};
    if (!from_.read(magic, sizeof magic)) return values_.refuse("magic", "the file is too short for a GGUF file");
    const std::string_view found(magic, sizeof magic);
    if (found == "FUGG") return values_.refuse_at("magic", "the file is big-endian; give the little-endian one", 0);
    if (found != "GGUF") return values_.refuse_at("magic", "no GGUF file: it starts with '" + printable(found) + "'", 0);
    if (!values_.number("version", to.version)) return false;
    if (to.version != 0 && (to.version & 0xffffu) == 0) {
      return values_.refuse_at("version", "the file is big-endian; give the little-endian one", 4);
    }
    if (to.version != 2 && to.version != 3) {
      const std::string fix = to.version == 1 ? "; convert the model again" : "";
      return values_.refuse_at("version", std::to_string(to.version) + ", but 2 and 3 are read" + fix, 4);
    }
    if (!values_.number("tensor count", tensors) || !values_.number("metadata count", keys)) return false;
    // a tensor takes at least 24 bytes here, a key with its value 13
    if (tensors > from_.left() / 24) return values_.refuse_at("tensor count", more(tensors), 8);
    if (keys > from_.left() / 13) return values_.refuse_at("metadata count", more(keys), 16);
    return keys <= most_keys || values_.refuse_at("metadata count", std::to_string(keys) + ", at most 65536 are read", 16);
  }
  [[nodiscard]] std::string more(std::uint64_t n) const {
    return std::to_string(n) + " do not fit the " + std::to_string(from_.left()) + " bytes that follow";
  }

  bool metadata(gguf& to, std::uint64_t keys) {
    for (std::uint64_t i = 0; i < keys; ++i) {
      std::string key;
      const std::uint64_t at = from_.at();
      if (!values_.name("key " + std::to_string(i) + " of the metadata", key, longest_name)) return false;
      gguf_value value;
      if (!values_.value(key, value)) return false;
      const auto [place, fresh] = to.metadata.try_emplace(key, std::move(value));
      if (!fresh) return values_.refuse_at(key, "the key is there twice", at);
    }
    return true;
  }

  bool alignment(gguf& to) {
    const gguf_value* given = to.find("general.alignment");
    if (given == nullptr) return true;
    const bool good = is_whole(given->kind) && given->whole > 0 && given->whole <= (std::int64_t{1} << 30) &&
                      is_power_of_two(static_cast<std::size_t>(given->whole));
    if (!good) return values_.refuse_at("general.alignment", "must be a power of two, at most 2^30", given->at);
    to.alignment = static_cast<std::uint64_t>(given->whole);
    return true;
  }

  bool tensor_list(gguf& to, std::uint64_t tensors) {
    for (std::uint64_t i = 0; i < tensors; ++i) {
      gguf_tensor one;
      one.at = from_.at();
      if (!values_.name("name of tensor " + std::to_string(i), one.name, longest_name) || !tensor(one)) return false;
      if (one.offset % to.alignment != 0) {
        return values_.refuse(one.name, "its offset " + std::to_string(one.offset) + " is no multiple of the alignment");
      }
      to.weight_bytes += one.bytes;
      if (to.weight_bytes > most_bytes) return values_.refuse(one.name, "the tensors have more than 2^56 bytes");
      to.tensors.push_back(std::move(one));
    }
    to.data_at = align_up(static_cast<std::size_t>(from_.at()), static_cast<std::size_t>(to.alignment));
    return true;
  }

  bool tensor(gguf_tensor& to) {
    std::uint32_t dims = 0, type = 0;
    if (!values_.number(to.name, dims)) return false;
    if (dims > 4) return values_.refuse(to.name, std::to_string(dims) + " dimensions, at most 4 are read");
    std::size_t numbers = 1;
    for (std::uint32_t d = 0; d < dims; ++d) {
      if (!values_.number(to.name, to.dims[d])) return false;
      if (!checked_mul(numbers, to.dims[d], numbers)) return values_.refuse(to.name, "its dimensions overflow 64 bits");
    }
    const std::uint64_t type_at = from_.at();
    if (!values_.number(to.name, type)) return false;
    to.type = find_gguf_type(type);
    if (to.type == nullptr) {
      return values_.refuse_at(to.name, "there is no tensor type " + std::to_string(type), type_at);
    }
    if (to.type->retired()) {
      const std::string name(to.type->name);
      return values_.refuse_at(to.name, "the tensor type " + name + " was retired; convert the model again", type_at);
    }
    if (to.dims[0] % to.type->block_numbers != 0) {
      const std::string block = std::to_string(to.type->block_numbers) + " of " + std::string(to.type->name);
      return values_.refuse(to.name, "rows of " + std::to_string(to.dims[0]) + " are no multiple of the block of " + block);
    }
    std::size_t bytes = 0;
    if (!checked_mul(numbers / to.type->block_numbers, to.type->block_bytes, bytes) || bytes > most_bytes) {
      return values_.refuse(to.name, "has more than 2^56 bytes");
    }
    to.numbers = numbers, to.bytes = bytes;
    if (!values_.number(to.name, to.offset)) return false;
    return to.offset <= most_bytes || values_.refuse(to.name, "its offset is beyond 2^56 bytes");
  }

  /// No name twice, no tensor in another's bytes.
  bool layout(gguf& to) {
    std::vector<const gguf_tensor*> order;
    order.reserve(to.tensors.size());
    for (const gguf_tensor& one : to.tensors) order.push_back(&one);
    const auto by_name = [](const gguf_tensor* a, const gguf_tensor* b) { return a->name < b->name; };
    std::sort(order.begin(), order.end(), by_name);
    for (std::size_t i = 1; i < order.size(); ++i) {
      if (order[i - 1]->name == order[i]->name) return values_.refuse_at(order[i]->name, "the tensor is there twice", order[i]->at);
    }
    const auto by_offset = [](const gguf_tensor* a, const gguf_tensor* b) {
      return a->offset != b->offset ? a->offset < b->offset : a->bytes < b->bytes;
    };
    std::sort(order.begin(), order.end(), by_offset);
    for (const gguf_tensor* one : order) {
      if (one->offset < to.data_bytes && one->bytes != 0) {
        const std::string where = std::to_string(one->offset);
        return values_.refuse_at(one->name, "starts at offset " + where + ", inside another tensor", one->at);
      }
      to.data_bytes = std::max(to.data_bytes, one->offset + one->bytes);
    }
    return true;
  }

  byte_reader& from_;
  gguf_value_reader values_;
};

/// Reads the header of a GGUF file of version 2 or 3 out of memory or an open file; `file` is its name in messages.
///
/// Survives any bytes. A file whose tensors are cut off is read all the same: see `gguf::missing_bytes`.
[[nodiscard]] inline reading<gguf> read_gguf(byte_reader& from, const std::string& file) {
  reading<gguf> out;
  gguf_reader reader(from);
  if (!reader.read(out.value)) out.error = file + ": " + reader.error();
  return out;
}

/// Reads the header of the file at `path`; the tensors are not loaded.
[[nodiscard]] inline reading<gguf> read_gguf(const std::string& path) {
  reading<byte_reader> from = byte_reader::open(path);
  if (from) return read_gguf(from.value, path);
  reading<gguf> out;
  out.error = from.error;
  return out;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
