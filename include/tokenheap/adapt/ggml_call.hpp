// Who asks ggml for memory on this thread, found out before any lock is taken.
#pragma once

#include <cstring>

#include <tokenheap/adapt/ggml_owners.hpp>
#include <tokenheap/observe/stack_walk.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// The stack of the call that this thread makes now, and what kind of caller it has.
///
/// Threads   each thread has its own
/// Cost      a walk of 16 frames, about 3 us; callers that were seen before are known without the dynamic linker
struct ggml_call {
  static constexpr std::size_t most_frames = 16;

  void* frames[most_frames];
  std::size_t depth;

  [[nodiscard]] static ggml_call& mine() noexcept {
    static thread_local ggml_call now{};
    return now;
  }

  /// Walks the stack, whose innermost frame is `caller`, the address that the asking function returns to.
  ///
  /// Returns   true where the caller gives back by ggml_aligned_free alone: null, or in ggml's base library
  TOKENHEAP_NOINLINE bool look_back(void* caller) noexcept {
    depth = walk_by_backtrace(frames, most_frames);
    if (caller == nullptr) return true;
    for (std::size_t k = 0; k != depth; ++k) {
      if (frames[k] != caller) continue;
      depth -= k;
      std::memmove(frames, frames + k, depth * sizeof(void*));
      break;
    }
    auto& known = callers[(address_of(caller) >> 2) % 16];
    if (known.at != caller) known = {caller, is_in_ggml_base(static_cast<unsigned char*>(caller) - 1)};
    return known.is_base;
  }

  /// A `stack_walk` that gives what this thread's `look_back` found.
  static std::size_t hand_over(void** to, std::size_t most) noexcept {
    const ggml_call& seen = mine();
    const std::size_t count = seen.depth < most ? seen.depth : most;
    for (std::size_t k = 0; k != count; ++k) to[k] = seen.frames[k];
    return count;
  }

 private:
  struct {
    const void* at;
    bool is_base;
  } callers[16];
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
