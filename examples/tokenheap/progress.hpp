// A bar on the terminal, and nothing at all where there is none.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdio>

namespace program {

/// Shows how far a phase has come, on stderr, if that is a terminal; wipes its line when it ends.
class progress_bar {
 public:
  progress_bar(const char* phase, std::size_t total)
      : phase_(phase), total_(total), shown_(::isatty(STDERR_FILENO) == 1) {}
  progress_bar(const progress_bar&) = delete;
  progress_bar& operator=(const progress_bar&) = delete;
  ~progress_bar() {
    if (shown_) std::fputs("\r\033[K", stderr);
  }

  void at(std::size_t done) {
    if (!shown_ || total_ == 0 || done * width / total_ == last_) return;
    last_ = done * width / total_;
    char bar[width + 1] = {};
    for (std::size_t i = 0; i < width; ++i) bar[i] = i < last_ ? '#' : '.';
    std::fprintf(stderr, "\r%-10s [%s] %zu of %zu", phase_, bar, done, total_);
    std::fflush(stderr);
  }

 private:
  static constexpr std::size_t width = 50;
  const char* phase_;
  std::size_t total_;
  std::size_t last_ = ~std::size_t{0};
  bool shown_;
};

}  // namespace program
