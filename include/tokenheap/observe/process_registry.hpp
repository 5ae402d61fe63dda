// The one list of registered pools of a process, whatever shared objects it is made of.
#pragma once

#include <cstddef>

#include <tokenheap/policy/lock.hpp>

namespace tokenheap {
inline namespace v0 {

class registry_entry;

/// The head of a list of registered pools. All zero is an empty list: it needs no constructor and no destructor.
struct registry_head {
  spin_lock lock;
  registry_entry* first = nullptr;
  registry_entry* last = nullptr;
  std::size_t size = 0;
};
static_assert(sizeof(registry_head) <= 64);

// An inline variable would be one for each shared object where these are opened with RTLD_LOCAL and compiled by clang, or
// by g++ with -flto. A symbol of the kind "unique" is one for the whole process, hidden visibility or not, and the only way
// to have one in every build is to say so to the assembler. What holds it is never unloaded. The name carries the version.
#if TOKENHEAP_GNU && defined(__ELF__)
extern "C" {
[[gnu::visibility("default")]] extern registry_head tokenheap_registry_v0;
}
asm(R"(
  .ifndef tokenheap_registry_v0
  .pushsection .bss.tokenheap_registry_v0, "awG", @nobits, tokenheap_registry_v0, comdat
  .globl tokenheap_registry_v0
  .type tokenheap_registry_v0, @gnu_unique_object
  .size tokenheap_registry_v0, 64
  .balign 64
tokenheap_registry_v0:
  .zero 64
  .popsection
  .endif
)");
#else
// a DLL has one of its own
extern "C" {
inline registry_head tokenheap_registry_v0;
}
#endif

/// The list that all registrations of the process share, also those of shared objects with hidden symbols.
///
/// One for all shared objects built with the same version of the library, opened with RTLD_LOCAL or not. A program that
/// has pools of its own and opens all its shared objects late must export its symbols (`-rdynamic`), or it stands alone.
[[nodiscard]] inline registry_head& process_registry() noexcept { return tokenheap_registry_v0; }

}  // namespace v0
}  // namespace tokenheap
