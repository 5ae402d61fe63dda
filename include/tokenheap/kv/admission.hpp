// Whether a request for blocks fits, and if not, where the blocks are.
#pragma once

#include <cstddef>

#include <tokenheap/core/result.hpp>
#include <tokenheap/core/text.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// What a pool says to a request for blocks: all that a scheduler or an operator asks next. Counts are blocks.
///
/// `block_pool::would_fit` and `plan::would_fit` return one and change nothing; `block_pool::last_refusal` is that of the
/// last request that was refused. What is missing can be had by waiting for `in_flight`, by closing or preempting
/// (`live`), by unpinning (`pinned`), or by asking for `longest` tokens instead.
struct admission {
  errc code = errc::ok;  ///< ok: it fits
  const char* pool = "";
  std::size_t need = 0;  ///< to be taken, and to be there besides where the options say that the whole request must fit
  std::size_t found = 0;  ///< published blocks of the prompt that it would share
  std::size_t room = 0;   ///< what it may take
  std::size_t total = 0;
  std::size_t free = 0;
  std::size_t evictable = 0;  ///< cached: they leave when room is needed
  std::size_t live = 0;       ///< held by sequences and handles
  std::size_t pinned = 0;     ///< references that handles of published blocks hold
  std::size_t in_flight = 0;  ///< given back, but the fence of their last use has not passed
  std::size_t reserved = 0;   ///< promised to running requests
  std::size_t watermark = 0;  ///< left for running requests by those that begin
  std::size_t longest = 0;    ///< tokens of the longest prompt that starts with what was found and would fit now
  const char* fix = "";

  explicit operator bool() const noexcept { return code == errc::ok; }

  /// The same in the words of every other refusal.
  [[nodiscard]] failure why(const char* what = "slots of a prompt, in blocks") const noexcept {
    return {.code = code, .pool = pool, .what = what, .need = need, .available = room, .limit = total, .fix = fix};
  }
};

/// What a pool has promised, and what it said last; part of its books.
struct pool_promises {
  std::size_t reserved = 0;  ///< blocks set aside for requests that run
  std::size_t pinned = 0;    ///< references that handles of published blocks hold
  admission last_refusal{};
};

/// Writes an admission as one line into `out` (always terminated) and returns its length without the terminator.
inline std::size_t describe(const admission& a, char* out, std::size_t capacity) noexcept {
  text_buffer line(out, capacity);
  line << "pool '" << a.pool << "': " << (a ? "fits" : to_text(a.code)) << ": need " << a.need << " blocks beside "
       << a.found << " found, room for " << a.room << " of " << a.total << ": free " << a.free << ", evictable "
       << a.evictable << ", live " << a.live << ", pinned " << a.pinned << ", in flight " << a.in_flight
       << ", reserved " << a.reserved << ", watermark " << a.watermark << "; longest prompt that fits: " << a.longest
       << " tokens";
  if (*a.fix != '\0') line << "; fix: " << a.fix;
  return line.length();
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
