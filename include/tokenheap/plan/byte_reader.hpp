// Bytes of a file that somebody else wrote, read from the front without ever trusting a length.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tokenheap/plan/reading.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// A name out of a file as it can stand in a message: what does not print is `?`, what is long is cut.
[[nodiscard]] inline std::string printable(std::string_view name) {
  constexpr std::size_t most = 80;
  std::string out;
  for (const char c : name.substr(0, most)) out += c >= ' ' && c <= '~' ? c : '?';
  return name.size() > most ? out + "..." : out;
}

/// Bytes of a memory range or of a file, in order, with a window of 64 KiB at the most in memory.
///
/// Requires  little-endian numbers; a memory range outlives the reader
/// Returns   false where fewer bytes are left than asked for; nothing is taken then
/// Fails     open: no such file, no permission, no plain file
class byte_reader {
 public:
  byte_reader() = default;
  explicit byte_reader(std::string_view bytes) noexcept : memory_(bytes), size_(bytes.size()) {}
  byte_reader(byte_reader&& other) noexcept { swap(other); }
  byte_reader& operator=(byte_reader&& other) noexcept {
    swap(other);
    return *this;
  }
  ~byte_reader() {
    if (file_ >= 0) ::close(file_);
  }

  [[nodiscard]] static reading<byte_reader> open(const std::string& path) {
    reading<byte_reader> out;
    // a named pipe must not block
    const int file = path.find('\0') == std::string::npos ? ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (file < 0) {
      const int why = errno;
      out.error = path + (why == ENOENT ? ": there is no such file" : ": cannot be opened: " + std::string(::strerror(why)));
      return out;
    }
    out.value.file_ = file;
    struct stat about = {};
    if (::fstat(file, &about) != 0 || !S_ISREG(about.st_mode) || about.st_size < 0) {
      out.error = path + ": is no plain file";
      return out;
    }
    out.value.size_ = static_cast<std::uint64_t>(about.st_size);
    return out;
  }

  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t at() const noexcept { return at_; }
  [[nodiscard]] std::uint64_t left() const noexcept { return size_ - at_; }

  [[nodiscard]] bool skip(std::uint64_t n) noexcept {
    if (n > left()) return false;
    at_ += n;
    return true;
  }

  [[nodiscard]] bool read(void* to, std::size_t n) {
    if (n > left()) return false;
    const std::uint64_t start = at_;
    char* out = static_cast<char*>(to);
    while (n != 0) {
      const std::string_view near = window();
      if (near.empty()) {
        at_ = start;  // the file became shorter, or cannot be read
        return false;
      }
      const std::size_t part = near.size() < n ? near.size() : n;
      std::memcpy(out, near.data(), part);
      out += part, at_ += part, n -= part;
    }
    return true;
  }

  /// A whole number or a floating-point one.
  template <class T>
    requires std::is_arithmetic_v<T>
  [[nodiscard]] bool number(T& to) {
    return read(&to, sizeof to);
  }

  [[nodiscard]] bool text(std::string& to, std::uint64_t n) {
    if (n > left()) return false;
    to.resize(static_cast<std::size_t>(n));
    return read(to.data(), to.size());
  }

 private:
  static constexpr std::size_t window_bytes = std::size_t{64} << 10;

  void swap(byte_reader& other) noexcept {
    std::swap(memory_, other.memory_), std::swap(held_, other.held_), std::swap(held_at_, other.held_at_);
    std::swap(size_, other.size_), std::swap(at_, other.at_), std::swap(file_, other.file_);
  }

  /// What is in memory from at() on: at least one byte unless the file cannot be read.
  [[nodiscard]] std::string_view window() {
    if (file_ < 0) return memory_.substr(static_cast<std::size_t>(at_));
    if (at_ < held_at_ || at_ >= held_at_ + held_.size()) {
      held_.resize(left() < window_bytes ? static_cast<std::size_t>(left()) : window_bytes);
      held_at_ = at_;
      ssize_t got = 0;
      do {
        got = ::pread(file_, held_.data(), held_.size(), static_cast<off_t>(at_));
      } while (got < 0 && errno == EINTR);
      held_.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    }
    return std::string_view(held_.data(), held_.size()).substr(static_cast<std::size_t>(at_ - held_at_));
  }

  std::string_view memory_;
  std::vector<char> held_;
  std::uint64_t held_at_ = 0, size_ = 0, at_ = 0;
  int file_ = -1;
};

/// A whole file as text; one of more than `most` bytes is refused.
[[nodiscard]] inline reading<std::string> read_text(const std::string& path, std::uint64_t most) {
  reading<std::string> out;
  reading<byte_reader> from = byte_reader::open(path);
  if (!from) {
    out.error = from.error;
  } else if (from.value.size() > most) {
    out.error = path + ": has " + std::to_string(from.value.size()) + " bytes, at most " + std::to_string(most) + " are read";
  } else if (!from.value.text(out.value, from.value.size())) {
    out.error = path + ": cannot be read to its end";
  }
  return out;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
