// One step of a scheduler: who begins, who grows and who is preempted is decided together, or nothing happens.

#include <cstdio>
#include <numeric>
#include <vector>

#include <tokenheap/kv/plan.hpp>

namespace kv = tokenheap::kv;
using tokenheap::errc;

#define EXPECT(condition)                                         \
  do {                                                            \
    if (!(condition)) {                                           \
      std::fprintf(stderr, "kv_plan: expected %s\n", #condition); \
      return 1;                                                   \
    }                                                             \
  } while (false)

std::vector<kv::token> prompt_of(std::size_t n, kv::token first) {
  std::vector<kv::token> made(n);
  std::iota(made.begin(), made.end(), first);
  return made;
}

int main() {
  using pool_type = kv::block_pool<>;
  using sequence = kv::sequence<pool_type>;
  auto opened = pool_type::open({.blocks = 10, .watermark = 1, .name = "serving"});
  if (!opened) return 1;
  pool_type& pool = *opened;
  const auto a = prompt_of(64, 1), b = prompt_of(48, 1000), c = prompt_of(80, 2000);
  auto first = sequence::open(pool, a);   // 4 blocks
  auto second = sequence::open(pool, b);  // 3 blocks
  if (!first || !second) return 1;

  // [refused]
  kv::plan<pool_type> step;
  EXPECT(step.grow(*first, 16) == errc::ok);    // 1 block more
  EXPECT(step.open(pool, c).code == errc::ok);  // 5 blocks, where 2 are left beside the watermark
  const kv::admission no = step.commit();
  EXPECT(no.code == errc::out_of_memory && step.refused() == 1);
  EXPECT(first->blocks().size() == 4);  // nothing has happened
  char line[400];
  kv::describe(no, line, sizeof line);
  std::puts(line);
  // [refused]

  // [what_if]
  step.clear();
  EXPECT(step.close(*second) == errc::ok);  // what if this one were preempted
  EXPECT(step.grow(*first, 16) == errc::ok);
  const auto shorter = prompt_of(48, 2000);
  EXPECT(step.open(pool, shorter).code == errc::ok);
  EXPECT(step.would_fit() && second->is_open());  // a look changes nothing
  EXPECT(step.commit());
  sequence third = step.take(2);  // its place in the list
  EXPECT(!second->is_open() && third.blocks().size() == 3 && first->blocks().size() == 5);
  // [what_if]

  // [admit]
  // begins only if all 96 tokens that it may come to fit now, and keeps the room for them
  auto sure = sequence::open(pool, prompt_of(16, 5000), {.expected_tokens = 96, .fit = kv::admit::reserved});
  EXPECT(!sure && pool.last_refusal().need == 6 && pool.last_refusal().longest == 16);
  // [admit]
  return 0;
}
