// What comes of reading a file that somebody else wrote: a value, or a sentence that says what is wrong with it.
#pragma once

#include <string>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// A value out of a file; where `error` is not empty, it names the file and the field, and the value means nothing.
template <class T>
struct [[nodiscard]] reading {
  T value{};
  std::string error;

  explicit operator bool() const noexcept { return error.empty(); }
};

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
