// Tutorial, step 5: memory is short. The request that came last gives its blocks back, and goes on where it was.

#include <cstdio>

#include "tutorial_blocks.hpp"
using tokenheap::errc;

struct request {
  std::vector<token> tokens;
  std::size_t computed = 0;
};

// the model reads what is not there yet and decides on one token more
void step(const float* weights, pool_type& pool, sequence& blocks, request& r) {
  std::vector<float> scores(r.tokens.size());
  token next = 0;
  for (; r.computed != r.tokens.size(); ++r.computed) {
    next = next_token(weights, r.tokens[r.computed], r.computed, scores.data(), rows_of(pool, blocks));
  }
  static_cast<void>(blocks.publish(r.computed));
  r.tokens.push_back(next);
}

int main() {
  std::vector<float> weights(weight_count);
  make_weights(weights.data());
  tokenheap::host_source heap;
  auto pool = pool_type::open({.blocks = 7, .block_tokens = block, .name = "short"}, shape, heap);
  if (!pool) return std::fprintf(stderr, "%s\n", pool.why().fix), 1;
  request old{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}, young{{2, 2, 3, 4, 5, 6, 7, 8, 9, 10}};
  auto first = sequence::open(*pool, old.tokens);
  auto second = sequence::open(*pool, young.tokens);
  if (!first || !second) return 2;

  // [short]
  while (true) {
    step(weights.data(), *pool, *first, old);
    if (first->append({&old.tokens.back(), 1}) != errc::ok) break;  // no block is left: nothing has changed
    step(weights.data(), *pool, *second, young);
    if (second->append({&young.tokens.back(), 1}) != errc::ok) break;
  }
  char line[400];
  kv::describe(pool->last_refusal(), line, sizeof line);            // who has the blocks, and what would fit
  std::puts(line);
  // [short]

  // [preempt]
  if (second->close() != errc::ok) return 3;                        // its blocks go back, its full ones stay cached
  if (first->append({&old.tokens.back(), 1}) != errc::ok) return 4;
  // [preempt]

  // [resume]
  if (first->close() != errc::ok) return 5;                         // the first one ends
  auto again = sequence::open(*pool, young.tokens);                 // prompt and answer so far
  if (!again) return 6;
  std::printf("%zu of %zu tokens are still there\n", again->cached_tokens(), young.tokens.size());
  young.computed = again->cached_tokens();
  step(weights.data(), *pool, *again, young);
  if (young.tokens != plain(weights.data(), {2, 2, 3, 4, 5, 6, 7, 8, 9, 10}, young.tokens.size() - 10)) return 7;
  // [resume]
  return again->cached_tokens() != 0 && pool->is_valid() ? 0 : 8;
}
