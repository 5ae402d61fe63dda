// expect: is not 'noexcept'
// A source that may throw is refused where it is named, not where it first fails.
#include <tokenheap/concepts/source.hpp>

struct throwing {
  using space = tokenheap::host_space;
  tokenheap::allocation allocate(std::size_t bytes, std::size_t alignment);
  void deallocate(tokenheap::allocation a) noexcept;
};

static_assert(tokenheap::source<throwing>);
