// A staging area: copies of all sizes out of one bounded budget, counted, guarded, for two threads; and scratch per step.
#include <cstring>
#include <thread>

#include <tokenheap/tokenheap.hpp>

using namespace tokenheap;

// [column]
// bottom first: the heap; a budget for the process; chunks; slots; who holds what; one lock over all of it
struct staging : layered<host_source,
                         with<hard_limit>,
                         arena<arena_shape{.chunk = 1 * MiB}>,
                         slab<slab_shape{.largest = 64 * KiB}>,
                         with<counters>,
                         with<guard<guard_shape{.canary = 16}>>,
                         with<spin_lock>> {
  using layered::layered;
};
// [column]

// [pressure]
// asked when the budget is reached, outside all locks: it may free, and may use the very allocator that asks
struct cache {
  staging* memory = nullptr;
  allocation oldest{};

  static bool give_up_the_oldest(void* user, std::size_t) noexcept {
    cache& own = *static_cast<cache*>(user);
    if (!own.oldest) return false;       // nothing to give: the request is refused
    own.memory->deallocate(own.oldest);
    own.oldest = {};
    return true;                         // worth another try
  }
};
// [pressure]

// [scratch]
// scratch of one step: pieces die together, so nothing is given back one by one
bool decode_steps(source_ref below) {
  layered<source_ref, arena<arena_shape{.chunk = 256 * KiB}>> scratch(below);
  for (int step = 0; step != 100; ++step) {
    const allocation logits = scratch.allocate(32'000 * sizeof(float), 64);
    const arena_mark here = scratch.mark();
    const allocation sorted = scratch.allocate(1'000 * sizeof(float));
    if (!logits || !sorted) return false;
    if (scratch.rollback(here) != errc::ok) return false;  // the sorted copy is gone, the logits stay
    scratch.reset();                                       // all of the step is gone, the chunk stays
  }
  return scratch.stats().reserved == 256 * KiB;            // one chunk served a hundred steps
}
// [scratch]

bool copies(staging& memory) {
  for (std::size_t k = 1; k != 5'000; ++k) {
    const allocation copy = memory.allocate(k % 9'000 + 1);
    if (!copy) return false;
    std::memset(copy.data, 0x5A, copy.size);
    memory.deallocate(copy);
  }
  return true;
}

int main() {
  cache held;
  staging memory{hard_limit_options{.limit = 4 * MiB, .on_refusal = {&cache::give_up_the_oldest, &held}},
                 guard_options{.name = "staging"}};
  held.memory = &memory;

  bool first = false;
  std::thread other([&] { first = copies(memory); });
  const bool second = copies(memory);
  other.join();
  if (!first || !second) return 1;

  // the budget is reached: the callback gives the cached piece up, and the second try finds its room
  memory.reset();
  static_cast<void>(memory.trim(0));
  held.oldest = memory.allocate(3 * MiB);
  if (!held.oldest || memory.policy<hard_limit>().held() < 3 * MiB) return 2;
  const allocation large = memory.allocate(2 * MiB);
  if (!large || held.oldest || memory.policy<counters>().values().failures != 1) return 3;
  memory.deallocate(large);
  if (memory.policy<counters>().values().calls.current != 0 || !memory.is_valid()) return 4;

  host_source heap;
  return decode_steps(heap) ? 0 : 5;
}
