// Tells AddressSanitizer and Valgrind which bytes may be touched, where one of them watches.
#pragma once

#include <cstddef>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TOKENHEAP_HAS_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(TOKENHEAP_HAS_ASAN)
#define TOKENHEAP_HAS_ASAN 1
#endif

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#endif

#ifdef TOKENHEAP_HAS_ASAN
extern "C" void __asan_poison_memory_region(void const volatile* address, std::size_t size);
extern "C" void __asan_unpoison_memory_region(void const volatile* address, std::size_t size);
#endif

namespace tokenheap {
inline namespace v0 {
namespace annotate {

/// Makes any touch of these bytes an error of the program, for whichever tool watches.
///
/// Cost      nothing without a tool but the six idle instructions of a Valgrind request, where its header is installed
inline void forbid([[maybe_unused]] void* address, [[maybe_unused]] std::size_t size) noexcept {
#ifdef TOKENHEAP_HAS_ASAN
  __asan_poison_memory_region(address, size);
#endif
#ifdef VALGRIND_MAKE_MEM_NOACCESS
  static_cast<void>(VALGRIND_MAKE_MEM_NOACCESS(address, size));
#endif
}

/// Makes these bytes ordinary memory again, with contents that count as defined.
inline void allow([[maybe_unused]] void* address, [[maybe_unused]] std::size_t size) noexcept {
#ifdef TOKENHEAP_HAS_ASAN
  __asan_unpoison_memory_region(address, size);
#endif
#ifdef VALGRIND_MAKE_MEM_DEFINED
  static_cast<void>(VALGRIND_MAKE_MEM_DEFINED(address, size));
#endif
}

}  // namespace annotate
}  // namespace v0
}  // namespace tokenheap
