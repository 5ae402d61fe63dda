// Catch2 2.13's main and runner, compiled once; version 3 brings its own in Catch2::Catch2WithMain.

#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif

#include <tokenheap/check/fiber.hpp>  // says which sanitizer watches

/// Memory that nobody has is refused, as without a sanitizer, instead of ending the program.
#if defined(TOKENHEAP_HAS_ASAN)
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
#elif defined(TOKENHEAP_HAS_TSAN)
extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "allocator_may_return_null=1"; }
#endif
