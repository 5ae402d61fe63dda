#pragma once

// Whether there is a GPU here: tests that need one, or need none, leave with 77, which ctest calls skipped.

#include <cstdio>
#include <cstdlib>

#include <tokenheap/device/cuda.hpp>

namespace gpu {

[[nodiscard]] inline tokenheap::device_status status() {
  int count = 0;
  return tokenheap::cuda_device::count(count);
}

[[noreturn]] inline void skip(const char* why) {
  std::printf("skipped: %s\n", why);
  std::fflush(stdout);
  std::_Exit(77);
}

inline void need_device() {
  const tokenheap::device_status found = status();
  if (!found) skip(tokenheap::cuda_device::to_text(found));
}
inline void need_no_device() {
  if (status()) skip("there is a GPU here, and the test is about having none");
}

}  // namespace gpu
