// A file as the place where text goes.
#pragma once

#include <cstdio>
#include <string_view>

#include <tokenheap/core/result.hpp>

namespace tokenheap {
inline namespace v0 {

/// Hands pieces of text or bytes to a file that the caller opened and closes.
///
/// Fails     `system_refused` stays in `status()`, and nothing more is written
/// Threads   as the file
class file_sink {
 public:
  explicit file_sink(std::FILE* to) noexcept : to_(to) {}

  void operator()(std::string_view piece) noexcept {
    if (status_ == errc::ok && std::fwrite(piece.data(), 1, piece.size(), to_) != piece.size()) status_ = failed;
  }
  /// Pushes out what the file holds back, so that the answer counts.
  [[nodiscard]] errc status() noexcept {
    if (status_ == errc::ok && std::fflush(to_) != 0) status_ = failed;
    return status_;
  }

 private:
  static constexpr errc failed = errc::system_refused;
  std::FILE* to_;
  errc status_ = errc::ok;
};

}  // namespace v0
}  // namespace tokenheap
