// Tutorial, step 3: two requests begin alike. The second one finds the blocks of the first, and computes the rest alone.

#include <cstdio>

#include "tutorial_blocks.hpp"
using tokenheap::errc;

// [answer]
// answers a prompt and publishes what it computed; `computed` is how many tokens the model read
std::vector<token> answer(pool_type& pool, const float* weights, std::vector<token> tokens, std::size_t answers,
                          std::size_t& computed) {
  std::vector<float> scores(tokens.size() + answers);
  const std::size_t most = tokens.size() + answers;
  auto request = sequence::open(pool, tokens);
  if (!request) return {};
  for (std::size_t at = request->cached_tokens(); at + 1 != most; ++at) {  // what is cached is not computed again
    const token next = next_token(weights, tokens[at], at, scores.data(), rows_of(pool, *request));
    ++computed;
    if (at + 1 < tokens.size()) continue;
    tokens.push_back(next);
    if (request->append({&next, 1}) != errc::ok) return {};
    if (request->publish(at + 1) != errc::ok) return {};  // keys and values of so many tokens are in place
  }
  return tokens;
}  // the request ends here: its blocks stay cached until somebody needs the room
// [answer]

int main() {
  std::vector<float> weights(weight_count);
  make_weights(weights.data());
  tokenheap::host_source heap;
  auto pool = pool_type::open({.blocks = 16, .block_tokens = block, .name = "tutorial"}, shape, heap);
  if (!pool) return std::fprintf(stderr, "%s\n", pool.why().fix), 1;

  // [twice]
  std::vector<token> first(20), second(20);
  for (token t = 0; t != 20; ++t) first[t] = second[t] = t;
  second[19] = 77;  // 19 tokens alike: two full blocks of 8
  std::size_t computed = 0, computed_again = 0;
  const auto one = answer(*pool, weights.data(), first, 10, computed);
  const auto two = answer(*pool, weights.data(), second, 10, computed_again);
  if (one != plain(weights.data(), first, 10) || two != plain(weights.data(), second, 10)) return 2;
  if (computed != 29 || computed_again != 13) return 3;
  // [twice]

  // [stats]
  const kv::pool_stats s = pool->stats();
  std::printf("computed %zu and %zu tokens; %zu of %zu prompt tokens were found; %zu blocks stay cached\n", computed,
              computed_again, s.reused_tokens, s.asked_tokens, s.cached);
  // [stats]
  return s.reused_tokens == 16 && s.live == 0 ? 0 : 4;
}
