// Ways to find out who called: exact and slow, or fast where the program keeps frame pointers.
#pragma once

#include <execinfo.h>
#include <pthread.h>

#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// Writes the return addresses of the caller's stack, innermost first, and returns how many; must not allocate.
using stack_walk = std::size_t (*)(void** frames, std::size_t most) noexcept;

/// The walk by glibc's `backtrace`, without its own frame and that of its caller.
///
/// Cost      about 0.2 us per frame. The first walk of a process loads a library, which allocates
TOKENHEAP_NOINLINE inline std::size_t walk_by_backtrace(void** frames, std::size_t most) noexcept {
  constexpr std::size_t own = 2;
  void* all[64 + own];
  const int found = ::backtrace(all, static_cast<int>(most < 64 ? most + own : 64 + own));
  const std::size_t depth = found > static_cast<int>(own) ? static_cast<std::size_t>(found) - own : 0;
  for (std::size_t k = 0; k != depth; ++k) frames[k] = all[k + own];
  return depth;
}

/// Where this thread's stack lies; nowhere if nobody knows it.
struct stack_bounds {
  std::size_t lowest = 0;
  std::size_t end = 0;
};

/// Cost      a load; the first call of a thread asks the system, which allocates
[[nodiscard]] inline const stack_bounds& bounds_of_stack() noexcept {
  static thread_local stack_bounds known;
  if (known.end != 0) [[likely]] return known;
  ::pthread_attr_t attributes;
  if (::pthread_getattr_np(::pthread_self(), &attributes) != 0) return known;
  void* lowest = nullptr;
  std::size_t bytes = 0;
  if (::pthread_attr_getstack(&attributes, &lowest, &bytes) == 0) known = {address_of(lowest), address_of(lowest) + bytes};
  ::pthread_attr_destroy(&attributes);
  return known;
}

/// The walk along frame pointers: for programs that are built with `-fno-omit-frame-pointer`, else it ends too early.
///
/// Reads the thread's own stack alone. Not for code that runs on a stack of its own, such as a fiber: it finds nothing.
///
/// Cost      about 1 ns per frame. The first walk of a thread asks for the end of its stack, which allocates
__attribute__((no_sanitize_address)) TOKENHEAP_NOINLINE inline std::size_t walk_by_frame_pointers(
    void** frames, std::size_t most) noexcept {
  const stack_bounds& mine = bounds_of_stack();
  auto at = address_of(__builtin_frame_address(0));
  std::size_t depth = 0;
  if (at < mine.lowest) return 0;
  // a frame begins with the caller's frame pointer and the return address; the first two are of the sampler
  for (std::size_t skipped = 0; at % sizeof(void*) == 0 && at < mine.end && mine.end - at >= 2 * sizeof(void*); ++skipped) {
    auto* const frame = reinterpret_cast<void**>(at);
    if (frame[1] == nullptr || depth == most) break;
    if (skipped >= 1) frames[depth++] = frame[1];
    if (address_of(frame[0]) <= at) break;
    at = address_of(frame[0]);
  }
  return depth;
}

}  // namespace v0
}  // namespace tokenheap
