#pragma once

// What the tests of readers write: bytes, small GGUF and safetensors files, folders that go when the test ends.

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <cstdio>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

namespace files {

/// An empty folder; it goes with all that is in it.
class folder {
 public:
  folder() {
    std::string name = (std::filesystem::temp_directory_path() / "tokenheap_plan_XXXXXX").string();
    path_ = ::mkdtemp(name.data()) == nullptr ? std::string() : name;
  }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  ~folder() {
    std::error_code none;
    if (!path_.empty()) std::filesystem::remove_all(path_, none);
  }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::string in(const std::string& name) const { return path_ + "/" + name; }
  /// Writes a file into it. Returns its path.
  std::string write(const std::string& name, std::string_view bytes) const {
    const std::string path = in(name);
    if (std::FILE* to = std::fopen(path.c_str(), "wb"); to != nullptr) {
      if (std::fwrite(bytes.data(), 1, bytes.size(), to) != bytes.size()) std::abort();
      std::fclose(to);
    }
    return path;
  }

 private:
  std::string path_;
};

/// The little-endian bytes of a number.
template <class T>
std::string bytes_of(T number) {
  std::string out(sizeof number, '\0');
  std::memcpy(out.data(), &number, sizeof number);
  return out;
}

/// A length of 64 bits and the text.
inline std::string counted(std::string_view text) { return bytes_of<std::uint64_t>(text.size()) + std::string(text); }

/// Writes GGUF files as the format says, and as it does not.
struct gguf_writer {
  std::uint32_t version = 3;
  std::string keys, tensors, data;
  std::uint64_t key_count = 0, tensor_count = 0, next = 0;
  std::uint64_t alignment = 32;

  gguf_writer& raw(std::string_view key, std::uint32_t kind, std::string_view value) {
    keys += counted(key) + bytes_of(kind) + std::string(value);
    ++key_count;
    return *this;
  }
  gguf_writer& u32(std::string_view key, std::uint32_t value) { return raw(key, 4, bytes_of(value)); }
  gguf_writer& text(std::string_view key, std::string_view value) { return raw(key, 8, counted(value)); }
  gguf_writer& u32s(std::string_view key, const std::vector<std::uint32_t>& values) {
    std::string all = bytes_of<std::uint32_t>(4) + bytes_of<std::uint64_t>(values.size());
    for (const std::uint32_t v : values) all += bytes_of(v);
    return raw(key, 9, all);
  }
  gguf_writer& bools(std::string_view key, const std::vector<bool>& values) {
    std::string all = bytes_of<std::uint32_t>(7) + bytes_of<std::uint64_t>(values.size());
    for (const bool v : values) all += v ? '\1' : '\0';
    return raw(key, 9, all);
  }
  gguf_writer& texts(std::string_view key, std::size_t n) {
    std::string all = bytes_of<std::uint32_t>(8) + bytes_of<std::uint64_t>(n);
    for (std::size_t i = 0; i < n; ++i) all += counted("t" + std::to_string(i));
    return raw(key, 9, all);
  }
  gguf_writer& tensor_at(std::string_view name, const std::vector<std::uint64_t>& dims, std::uint32_t type,
                         std::uint64_t offset) {
    tensors += counted(name) + bytes_of(static_cast<std::uint32_t>(dims.size()));
    for (const std::uint64_t d : dims) tensors += bytes_of(d);
    tensors += bytes_of(type) + bytes_of(offset);
    ++tensor_count;
    return *this;
  }
  /// Behind the one before; `bytes` is what it takes.
  gguf_writer& tensor(std::string_view name, const std::vector<std::uint64_t>& dims, std::uint32_t type,
                      std::uint64_t bytes) {
    tensor_at(name, dims, type, next);
    next += (bytes + alignment - 1) / alignment * alignment;
    return *this;
  }
  [[nodiscard]] std::string header() const {
    return "GGUF" + bytes_of(version) + bytes_of(tensor_count) + bytes_of(key_count) + keys + tensors;
  }
  /// With as many zeros as the tensors take.
  [[nodiscard]] std::string whole() const {
    std::string out = header();
    out.resize((out.size() + alignment - 1) / alignment * alignment + next);
    return out;
  }
};

/// A file of tensors: the length of the header, the header, `data` zeros.
inline std::string safetensors(std::string_view header, std::size_t data = 0) {
  return counted(header) + std::string(data, '\0');
}

/// `text` with 1 to 4 of its bytes changed, taken out or doubled.
inline std::string spoiled(std::string text, std::mt19937_64& random) {
  for (std::uint64_t n = 1 + random() % 4; n != 0 && !text.empty(); --n) {
    const std::size_t at = static_cast<std::size_t>(random() % text.size());
    switch (random() % 5) {
      case 0: text[at] = static_cast<char>(random()); break;
      case 1: text[at] = static_cast<char>(random() % 2 != 0 ? 0xff : 0); break;
      case 2: text.erase(at, 1); break;
      case 3: text.insert(at, 1, text[at]); break;
      default: text[at] = static_cast<char>(text[at] ^ static_cast<char>(1u << (random() % 8))); break;
    }
  }
  return text;
}

}  // namespace files
