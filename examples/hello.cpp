// A first allocator: slots for request objects, out of the heap, within 64 MiB, counted.
// [hello]
#include <tokenheap/tokenheap.hpp>
using namespace tokenheap;

// read it from the bottom up: the heap, a limit, slots of a few sizes, and a count of what callers hold
struct request_memory : layered<host_source, with<hard_limit>, slab<>, with<counters>> {
  using layered::layered;
};

int main() {
  request_memory memory{hard_limit_options{.limit = 64 * MiB}};
  allocation a = memory.allocate(3000, 64);                // null if there is no more; nothing throws
  if (!a || a.size != 3072) return 1;                      // a.size is the whole slot: all of it is yours
  memory.deallocate(a);                                    // the size comes back with it
  const counter_values& seen = memory.policy<counters>().values();
  return seen.granted.peak == 3072 && seen.calls.current == 0 ? 0 : 1;
}
// [hello]
