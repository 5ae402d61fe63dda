// What the C interface remembers of a refusal, for each thread.
#pragma once

#include <cstdint>

#include <tokenheap/adapt/c_status.h>
#include <tokenheap/core/result.hpp>
#include <tokenheap/core/text.hpp>

// a function of the interface: it is there whether the source file that includes it calls it or not
#if defined(__GNUC__)
#define TOKENHEAP_C_SYMBOL extern "C" __attribute__((visibility("default"), used)) inline
#else
#define TOKENHEAP_C_SYMBOL extern "C" inline
#endif

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// A copy of a failure whose texts outlive the pool that it names, and the line that `th_last_error` gives.
struct c_reason {
  th_status status = th_ok;
  std::size_t need = 0;
  std::size_t available = 0;
  std::size_t limit = 0;
  const void* address = nullptr;
  char pool[64] = "";
  char what[192] = "";
  char fix[320] = "";
  char line[768] = "";
};

/// The last refusal of the calling thread.
[[nodiscard]] inline c_reason& c_last_reason() noexcept {
  thread_local c_reason last;
  return last;
}

/// How many refusals this thread has noted: tells whether a call that returns an `errc` said more than that.
[[nodiscard]] inline std::uint64_t& c_noted() noexcept {
  thread_local std::uint64_t count = 0;
  return count;
}

[[nodiscard]] constexpr th_status c_status_of(errc code) noexcept { return static_cast<th_status>(code); }

static_assert(c_status_of(errc::ok) == th_ok && c_status_of(errc::out_of_memory) == th_out_of_memory);
static_assert(c_status_of(errc::too_large) == th_too_large && c_status_of(errc::wrong_size) == th_wrong_size);
static_assert(c_status_of(errc::in_use) == th_in_use && c_status_of(errc::system_refused) == th_system_refused);
static_assert(c_status_of(errc::no_device) == th_no_device && c_status_of(errc::forked) == th_forked);

/// Notes a refusal for this thread and returns its status; a failure that is `ok` notes nothing.
TOKENHEAP_COLD inline th_status c_refuse(const failure& f) noexcept {
  if (f.code == errc::ok) return th_ok;
  c_reason& last = c_last_reason();
  ++c_noted();
  last.status = c_status_of(f.code);
  last.need = f.need;
  last.available = f.available;
  last.limit = f.limit;
  last.address = f.address;
  text_buffer(last.pool, sizeof last.pool) << f.pool;
  text_buffer(last.what, sizeof last.what) << f.what;
  text_buffer(last.fix, sizeof last.fix) << f.fix;
  static_cast<void>(describe(f, last.line, sizeof last.line));
  return last.status;
}

/// The same with a line of the caller's own, for refusals that know more than a `failure` holds.
TOKENHEAP_COLD inline th_status c_refuse(const failure& f, const char* line) noexcept {
  static_cast<void>(c_refuse(f));
  text_buffer(c_last_reason().line, sizeof c_last_reason().line) << line;
  return c_last_reason().status;
}

TOKENHEAP_COLD inline th_status c_refuse_null(const char* what) noexcept {
  return c_refuse({.code = errc::invalid_argument, .pool = "c", .what = what, .fix = "give a pointer that is not null"});
}

/// The answer to a call that returned a bare `errc`: what its guard has noted meanwhile counts, else `otherwise`.
[[nodiscard]] inline th_status c_answer(errc code, std::uint64_t noted_before, failure otherwise) noexcept {
  if (code == errc::ok) return th_ok;
  if (c_noted() != noted_before && c_last_reason().status == c_status_of(code)) return c_last_reason().status;
  otherwise.code = code;
  return c_refuse(otherwise);
}

/// A misuse that a guard finds below the C interface is the thread's last refusal, and goes nowhere else.
struct c_misuse {
  void on_misuse(const failure& f) const noexcept { static_cast<void>(c_refuse(f)); }
};

/// Runs a call that reports misuse to its guard alone, and returns what was reported.
template <class Call>
[[nodiscard]] th_status c_checked(Call&& call) noexcept {
  const std::uint64_t before = c_noted();
  call();
  return c_noted() == before ? th_ok : c_last_reason().status;
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
