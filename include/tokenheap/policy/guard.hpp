// What a misuse leads to, and how deep a guard looks for one.
#pragma once

#include <cstdio>
#include <cstdlib>

#include <tokenheap/concepts/policy.hpp>

namespace tokenheap {
inline namespace v0 {

/// Hands a failure to the program's failure handler, or writes it to stderr as one line if none is installed.
///
/// Threads   safe, if the installed handler is
TOKENHEAP_COLD inline void report(const failure& f) noexcept {
  if (const failure_handler installed = installed_failure_handler()) return installed(f);
  char line[512];
  const std::size_t length = describe(f, line, sizeof line);
  std::fprintf(stderr, "tokenheap: %.*s\n", static_cast<int>(length), line);
}

/// Reports a misuse and keeps running; the call that was misused changed nothing. The default of every checked type.
struct report_misuse {
  void on_misuse(const failure& f) const noexcept { report(f); }
};

/// Reports a misuse and aborts: for tests, and for programs that would rather stop than go on with a bug.
struct abort_on_misuse {
  [[noreturn]] void on_misuse(const failure& f) const noexcept {
    report(f);
    std::abort();
  }
};

/// How deep a `guard` looks. All of it is fixed at compile time and none of it changes what an allocation is.
struct guard_shape {
  /// Bytes behind each allocation that must not be written; checked when it comes back. Needs CPU-accessible memory.
  std::size_t canary = 0;
  /// Bytes of freed memory that are held back before they may be given out again.
  std::size_t quarantine = 0;
  /// Fill memory when it comes back, and report a write to it while it is in quarantine. Needs CPU-accessible memory.
  bool poison = false;
  /// Tell AddressSanitizer and Valgrind which bytes are out, where one of them watches.
  bool annotate = false;
};

/// Keeps a book of every allocation above it, so that each misuse is caught in Release, with the pool's name.
///
/// Caught: double free, foreign and interior pointers, a wrong size, and whatever `Shape` adds: writes behind the end,
/// writes after free. What is still out at the end is reported as leaked. A misused call changes nothing. Stands in a
/// column as `with<guard<>>` over any source, also one whose memory the CPU cannot touch (without canary and poison).
///
/// Threads   not safe; put it below a lock
/// Cost      one entry of a hash table per allocation (24 bytes, about 10 ns a pair), plus what `Shape` asks for
template <guard_shape Shape = guard_shape{}, class Misuse = report_misuse>
struct guard : Misuse {
  static constexpr guard_shape shape = Shape;
};

static_assert(guard_policy<report_misuse> && guard_policy<abort_on_misuse> && guard_policy<guard<>>);

}  // namespace v0
}  // namespace tokenheap
