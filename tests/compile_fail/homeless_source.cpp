// expect: names_its_space
// A source that does not say where its bytes live is refused, and the message names that one question.
#include <tokenheap/concepts/source.hpp>

struct homeless {
  tokenheap::allocation allocate(std::size_t bytes, std::size_t alignment) noexcept;
  void deallocate(tokenheap::allocation a) noexcept;
};

static_assert(tokenheap::source<homeless>);
