#pragma once

// Catches what the library reports, for as long as it stands.

#include <string>
#include <vector>

#include <tokenheap/core/result.hpp>

namespace support {

/// Installs a failure handler for a scope and keeps every failure, in order.
class recorder {
 public:
  recorder() : before_(tokenheap::set_failure_handler(&keep)) { seen().clear(); }
  ~recorder() { tokenheap::set_failure_handler(before_); }
  recorder(const recorder&) = delete;
  recorder& operator=(const recorder&) = delete;

  [[nodiscard]] std::size_t count() const { return seen().size(); }
  [[nodiscard]] const tokenheap::failure& operator[](std::size_t k) const { return seen().at(k); }
  [[nodiscard]] const tokenheap::failure& last() const { return seen().back(); }
  [[nodiscard]] bool only(tokenheap::errc code) const { return seen().size() == 1 && seen()[0].code == code; }
  void clear() { seen().clear(); }

  /// The last failure as the line that a user would read.
  [[nodiscard]] std::string line() const {
    char text[512];
    return std::string(text, tokenheap::describe(seen().back(), text, sizeof text));
  }

 private:
  static std::vector<tokenheap::failure>& seen() {
    static std::vector<tokenheap::failure> all;
    return all;
  }
  static void keep(const tokenheap::failure& f) noexcept { seen().push_back(f); }

  tokenheap::failure_handler before_;
};

}  // namespace support
