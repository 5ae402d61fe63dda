// Tutorial, step 4: continuous batching. Requests join and leave at any step; each has its own blocks.

#include <cstdio>
#include <optional>

#include "tutorial_blocks.hpp"
using tokenheap::errc;

// [request]
struct request {
  std::vector<token> tokens;             // the prompt, and what was decided on since
  std::size_t most;                      // tokens in the end
  std::size_t computed = 0;              // tokens whose keys and values are in place
  std::optional<sequence> blocks = {};   // while it runs
};
// [request]

// [step]
// one step of one request: its prompt as a whole, or one token; true when it is done
bool step(pool_type& pool, const float* weights, request& r, float* scores) {
  token next = 0;
  for (; r.computed != r.tokens.size(); ++r.computed) {
    next = next_token(weights, r.tokens[r.computed], r.computed, scores, rows_of(pool, *r.blocks));
  }
  if (r.blocks->publish(r.computed) != errc::ok) return true;
  r.tokens.push_back(next);
  return r.tokens.size() == r.most || r.blocks->append({&next, 1}) != errc::ok;
}
// [step]

int main() {
  std::vector<float> weights(weight_count), scores(64);
  make_weights(weights.data());
  tokenheap::host_source heap;
  auto pool = pool_type::open({.blocks = 64, .block_tokens = block, .name = "tutorial"}, shape, heap);
  if (!pool) return std::fprintf(stderr, "%s\n", pool.why().fix), 1;

  // [batch]
  std::vector<request> waiting, running;
  for (token n = 0; n != 6; ++n) waiting.push_back({{n, 20, 21, 22}, 12 + 4 * n});
  std::size_t steps = 0, done = 0;
  for (; !waiting.empty() || !running.empty(); ++steps) {
    if (!waiting.empty()) {  // one more in each step
      auto opened = sequence::open(*pool, waiting.back().tokens);
      if (opened) {
        running.push_back(std::move(waiting.back()));
        running.back().computed = opened->cached_tokens();
        running.back().blocks = std::move(*opened);
        waiting.pop_back();
      }
    }
    for (std::size_t at = running.size(); at-- != 0;) {
      if (!step(*pool, weights.data(), running[at], scores.data())) continue;
      const request& r = running[at];
      const std::vector<token> prompt(r.tokens.begin(), r.tokens.begin() + 4);
      if (r.tokens != plain(weights.data(), prompt, r.most - 4)) return 2;
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(at));  // closes its sequence
      ++done;
    }
  }
  // [batch]
  std::printf("%zu requests in %zu steps, %zu blocks at most\n", done, steps, pool->stats().peak_live);
  return done == 6 && pool->stats().live == 0 && pool->is_valid() ? 0 : 3;
}
