// Tutorial, step 1: memory for weights and for the scratch of a step, with a limit and a count.

#include <cstdio>

#include <tokenheap/tokenheap.hpp>

#include "tutorial_model.hpp"
using namespace tokenheap;

// [column]
// bottom first: the heap; never more than 1 MiB of it; chunks of 64 KiB; what callers hold
struct weight_memory : layered<host_source, with<hard_limit>, arena<arena_shape{.chunk = 64 * KiB}>, with<counters>> {
  using layered::layered;
};
// [column]

int main() {
  // [weights]
  weight_memory memory{hard_limit_options{.limit = 1 * MiB}};
  const allocation weights = memory.allocate(weight_count * sizeof(float), 64);
  if (!weights) return std::fputs("the weights do not fit into 1 MiB\n", stderr), 1;
  make_weights(static_cast<float*>(weights.data));
  std::printf("weights: %zu bytes, of the heap %zu\n", memory.policy<counters>().values().granted.current,
              memory.policy<hard_limit>().held());
  // [weights]

  // [refused]
  const allocation much = memory.allocate(2 * MiB);  // nothing throws: a refusal is null, and changes nothing
  if (much || memory.policy<counters>().values().failures != 1) return 2;
  // [refused]

  // [scratch]
  layered<host_source, arena<>> scratch;
  for (std::size_t step = 0; step != 100; ++step) {
    const allocation scores = scratch.allocate(64 * sizeof(float));
    if (!scores) return 3;
    scratch.reset();  // all of the step is gone, the chunk stays
  }
  if (scratch.stats().chunks != 1) return 4;
  // [scratch]

  const auto answer = plain(static_cast<const float*>(weights.data), {1, 2, 3, 4}, 8);
  for (const token t : answer) std::printf("%u ", t);
  std::puts("");
  return answer.size() == 12 ? 0 : 5;
}
