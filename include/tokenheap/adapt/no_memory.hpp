// What callers who know nothing but exceptions are told when there is no memory.
#pragma once

#include <cstdlib>
#include <new>

#include <tokenheap/core/config.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// Throws std::bad_alloc; without exceptions the program ends.
[[noreturn]] inline void no_memory() {
#if TOKENHEAP_HAS_EXCEPTIONS
  throw std::bad_alloc();
#else
  std::abort();
#endif
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
