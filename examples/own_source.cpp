// A source of your own: what it must answer, and the suite that tells whether it keeps its promises.
#include <sys/mman.h>

#include <cstdio>

#include <tokenheap/tokenheap.hpp>

using namespace tokenheap;

// [source]
// whole mappings of the system, with the length kept in the size that was granted: no book is needed
class mapping_source {
 public:
  using space = host_space;

  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    if (!is_request(bytes, alignment) || alignment > page) return {};  // 0, SIZE_MAX, 3: one test at the door
    const std::size_t length = align_up(bytes, page);
    void* const at = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? allocation{} : allocation{at, length};   // what was granted, not what was asked
  }

  void deallocate(allocation a) noexcept {
    if (a) ::munmap(a.data, a.size);                                   // null is given back often: it is nothing
  }

  [[nodiscard]] static const char* name() noexcept { return "mapping"; }

 private:
  static constexpr std::size_t page = 4 * KiB;
};
static_assert(source<mapping_source> && named<mapping_source>);
// [source]

// the same with the mistake that is made most often: it forgets to look at what it is asked for
class careless_source : public mapping_source {
 public:
  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    return mapping_source::allocate(bytes == 0 ? 1 : bytes, alignment);
  }
};

int main() {
  // [suite]
  mapping_source mine;
  const verdict v = check_source(mine, {.seed = 42, .rounds = 500, .alignment = 4 * KiB});
  if (!v) std::printf("%s (at %zu)\n", v.first_broken(), v.broken_with());
  // [suite]
  if (!v || v.checks() < 1'000) return 1;

  careless_source careless;
  const verdict found = check_source(careless);
  std::printf("careless_source: %s\n", found.first_broken());  // "0 bytes are refused"
  if (found) return 2;

  // [use]
  layered<mapping_source, arena<>, slab<>, with<counters>> memory;  // every layer stands on it at once
  const allocation a = memory.allocate(100);
  // [use]
  return a && memory.name() == mapping_source::name() ? 0 : 3;
}
