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
/// A call from where an earlier one came from is not walked again: the return addresses that were found then lie in the same
/// places of the stack. So a decoder that asks for the same pieces in each step pays for the walk once.
///
/// Threads   each thread has its own
/// Cost      a comparison for each of 16 frames of a call that is known, else a walk: 3 us and more
struct ggml_call {
  static constexpr std::size_t most_frames = 16;

  void* frames[most_frames];
  std::size_t depth;
  std::size_t walks;  ///< how often the stack was walked

  [[nodiscard]] static ggml_call& mine() noexcept {
    static thread_local ggml_call now{};
    return now;
  }

  /// Finds the stack, whose innermost frame is `caller`, the address that the asking function returns to.
  ///
  /// Returns   true where the caller gives back by ggml_aligned_free alone: null, or in ggml's base library
  TOKENHEAP_NOINLINE bool look_back(void* caller) noexcept {
    const std::uintptr_t here = address_of(__builtin_frame_address(0));
    place& p = places_[((address_of(caller) >> 2) ^ (here >> 4)) % remembered];
    if (p.caller != caller || p.here != here || p.depth == 0 || !still_there(p)) {
      ++walks;
      p.caller = caller;
      p.here = here;
      p.is_base = caller == nullptr || is_in_ggml_base(static_cast<unsigned char*>(caller) - 1);
      p.depth = walk_by_backtrace(p.frames, most_frames);
      begin_at(p, caller);
      depth = p.depth;
      std::memcpy(frames, p.frames, depth * sizeof(void*));
      // what cannot be found on the stack is not known the next time
      if (caller == nullptr || !find_places(p)) p.depth = 0;
    } else {
      depth = p.depth;
      std::memcpy(frames, p.frames, depth * sizeof(void*));
    }
    return p.is_base;
  }

  /// A `stack_walk` that gives what this thread's `look_back` found.
  static std::size_t hand_over(void** to, std::size_t most) noexcept {
    const ggml_call& seen = mine();
    const std::size_t count = seen.depth < most ? seen.depth : most;
    for (std::size_t k = 0; k != count; ++k) to[k] = seen.frames[k];
    return count;
  }

 private:
  static constexpr std::size_t remembered = 16;

  struct place {
    void* caller;
    std::uintptr_t here;  ///< the frame of `look_back`: below it the stack keeps what is over
    bool is_base;
    std::size_t depth;
    void* frames[most_frames];
    std::uintptr_t at[most_frames];  ///< where on the stack each of them lies
  };

  static void begin_at(place& p, void* caller) noexcept {
    for (std::size_t k = 0; caller != nullptr && k != p.depth; ++k) {
      if (p.frames[k] != caller) continue;
      p.depth -= k;
      std::memmove(p.frames, p.frames + k, p.depth * sizeof(void*));
      return;
    }
  }
  [[nodiscard]] static void* word(std::uintptr_t at) noexcept
      __attribute__((no_sanitize_address, no_sanitize_thread, noinline)) {
    return *reinterpret_cast<void* const*>(at);
  }
  [[nodiscard]] static bool still_there(const place& p) noexcept {
    for (std::size_t k = 0; k != p.depth; ++k)
      if (word(p.at[k]) != p.frames[k]) return false;
    return true;
  }
  /// Looks for each return address from the innermost frame outwards; false off the thread's own stack, or far away.
  [[nodiscard]] static bool find_places(place& p) noexcept {
    constexpr std::size_t farthest = 64 * KiB;
    const stack_bounds& mine = bounds_of_stack();
    if (p.here < mine.lowest || p.here >= mine.end) return false;
    std::uintptr_t at = align_up(p.here, sizeof(void*));
    const std::uintptr_t end = mine.end - at < farthest ? mine.end : at + farthest;
    for (std::size_t k = 0; k != p.depth; ++k, at += sizeof(void*)) {
      while (end - at >= sizeof(void*) && word(at) != p.frames[k]) at += sizeof(void*);
      if (end - at < sizeof(void*)) return false;
      p.at[k] = at;
    }
    return true;
  }

  place places_[remembered];
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
