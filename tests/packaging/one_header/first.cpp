// One of two translation units that include the single header: a composed allocator, checked, and shared with the other.
#include "one.hpp"

tokenheap::allocation second_takes(tokenheap::host_source& heap);
const void* second_sees();

int main() {
  using namespace tokenheap;
  struct request_memory : layered<host_source, with<hard_limit>, slab<>, with<counters>> {
    using layered::layered;
  };
  request_memory memory{hard_limit_options{.limit = 64 * MiB}};
  const allocation a = memory.allocate(3000, 64);
  const bool composed = a && a.size == 3072 && memory.policy<counters>().values().granted.current == 3072;
  memory.deallocate(a);

  host_source heap;
  const allocation b = second_takes(heap);
  const bool shared = b && b.size >= 100 && second_sees() == static_cast<const void*>(&library_version);
  heap.deallocate(b);
  return composed && shared && library_version == version{TOKENHEAP_VERSION_MAJOR, TOKENHEAP_VERSION_MINOR,
                                                          TOKENHEAP_VERSION_PATCH} ? 0 : 1;
}
