// Memory from the C library's heap: the source that every program already has.
#pragma once

#include <cstdlib>
#include <type_traits>

#include <tokenheap/concepts/source.hpp>
#include <tokenheap/core/allocation.hpp>

#if defined(_WIN32)
#include <malloc.h>
#endif

namespace tokenheap {
inline namespace v0 {

/// Takes memory from the heap of the process, at any alignment up to `max_alignment`.
///
/// The floor to start with: chunks for an arena, a slab or ranges in ordinary memory. It has no state, so two of them
/// are the same one. Not good for gigabytes that want huge pages or a NUMA node: that is `page_source`. It keeps no
/// book: a pointer that was freed twice meets the C library's own checks; put a layer with a guard above it.
///
/// Returns   exactly the bytes asked for
/// Fails     a null allocation for 0 bytes, a bad alignment, and when the heap has no more
/// Threads   safe
/// Cost      what `malloc` costs; `posix_memalign` above 16 bytes of alignment
/// Example   examples/hello.cpp
class host_source {
 public:
  using space = host_space;

  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    if (!is_request(bytes, alignment)) return {};
#if defined(_WIN32)
    // what was aligned goes back by a call of its own there, so all of it is
    void* const memory = ::_aligned_malloc(bytes, alignment);
#else
    void* memory = nullptr;
    if (alignment <= default_alignment) {
      memory = std::malloc(bytes);
    } else if (::posix_memalign(&memory, alignment, bytes) != 0) {
      return {};
    }
#endif
    return memory == nullptr ? allocation{} : allocation{memory, bytes};
  }

#if defined(_WIN32)
  void deallocate(allocation a) noexcept { ::_aligned_free(a.data); }
#else
  void deallocate(allocation a) noexcept { std::free(a.data); }
#endif

  [[nodiscard]] static constexpr const char* name() noexcept { return "host"; }

  friend constexpr bool operator==(const host_source&, const host_source&) noexcept { return true; }
};

static_assert(source<host_source> && named<host_source>);
static_assert(std::is_empty_v<host_source> && std::is_trivially_copyable_v<host_source>);

}  // namespace v0
}  // namespace tokenheap
