// Every macro of the library: its version, its assert level, and what the compiler was told about exceptions.
#pragma once

#define TOKENHEAP_VERSION_MAJOR 0
#define TOKENHEAP_VERSION_MINOR 1
#define TOKENHEAP_VERSION_PATCH 0

/// How much of its own contracts the library checks: 0 nothing, 1 cheap checks, 2 all O(1) checks, 3 whole structures.
///
/// The level never changes a layout. Set it alike in all translation units of a program: inline functions differ by it.
#ifndef TOKENHEAP_ASSERT_LEVEL
#define TOKENHEAP_ASSERT_LEVEL 1
#endif

#if defined(__cpp_exceptions)
#define TOKENHEAP_HAS_EXCEPTIONS 1
#else
#define TOKENHEAP_HAS_EXCEPTIONS 0
#endif

// What compilers spell in their own way stands here, or between `#if TOKENHEAP_GNU` and its `#else`. g++, clang and nvcc have
// the one spelling, all others the plain one; TOKENHEAP_PLAIN takes the plain one everywhere, for tests.
#if !defined(TOKENHEAP_PLAIN)
#define TOKENHEAP_PLAIN 0
#endif
#if defined(__GNUC__) && !TOKENHEAP_PLAIN
#define TOKENHEAP_GNU 1
#else
#define TOKENHEAP_GNU 0
#endif

// paths that are taken once per chunk or once per failure stay out of the caller's inlined code
#if TOKENHEAP_GNU
#define TOKENHEAP_COLD __attribute__((noinline, cold))
#define TOKENHEAP_NOINLINE __attribute__((noinline))
#define TOKENHEAP_INLINE inline __attribute__((always_inline))
#define TOKENHEAP_PREFETCH(address) __builtin_prefetch(address)
#define TOKENHEAP_PREFETCH_TO_WRITE(address) __builtin_prefetch(address, 1)
#define TOKENHEAP_STOP_() __builtin_trap()
#else
#if defined(_MSC_VER)
#define TOKENHEAP_COLD __declspec(noinline)
#define TOKENHEAP_NOINLINE __declspec(noinline)
#define TOKENHEAP_INLINE __forceinline
#else
#define TOKENHEAP_COLD
#define TOKENHEAP_NOINLINE
#define TOKENHEAP_INLINE inline
#endif
#define TOKENHEAP_PREFETCH(address) static_cast<void>(address)
#define TOKENHEAP_PREFETCH_TO_WRITE(address) static_cast<void>(address)
#define TOKENHEAP_STOP_() ::tokenheap::detail::stop()
#endif

// the standard's attribute does nothing in Microsoft's ABI
#if defined(_MSC_VER)
#define TOKENHEAP_NO_UNIQUE_ADDRESS [[msvc::no_unique_address]]
#else
#define TOKENHEAP_NO_UNIQUE_ADDRESS [[no_unique_address]]
#endif

// a broken contract is a bug of the program: it stops at once, at the place that shows it
#define TOKENHEAP_CHECK_(level, condition) \
  ((TOKENHEAP_ASSERT_LEVEL < (level) || static_cast<bool>(condition)) ? void() : TOKENHEAP_STOP_())
#define TOKENHEAP_ASSERT(condition) TOKENHEAP_CHECK_(1, condition)
#define TOKENHEAP_ASSERT_FULL(condition) TOKENHEAP_CHECK_(2, condition)
#define TOKENHEAP_ASSERT_WALK(condition) TOKENHEAP_CHECK_(3, condition)

namespace tokenheap {
inline namespace v0 {

#if !TOKENHEAP_GNU
namespace detail {

// a store to address 0 is the one way to stop that needs no header and no extension
[[noreturn]] inline void stop() noexcept {
  volatile char* const nowhere = nullptr;
  for (;;) *nowhere = 0;
}

}  // namespace detail
#endif

/// The version of these headers, as numbers that a program can compare.
struct version {
  int major_number;
  int minor_number;
  int patch_number;
  friend constexpr bool operator==(const version&, const version&) = default;
};

inline constexpr version library_version{TOKENHEAP_VERSION_MAJOR, TOKENHEAP_VERSION_MINOR, TOKENHEAP_VERSION_PATCH};

}  // namespace v0
}  // namespace tokenheap
