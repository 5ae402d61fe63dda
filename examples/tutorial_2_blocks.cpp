// Tutorial, step 2: keys and values in blocks. The tokens are those of a request whose memory is one piece.

#include <cstdio>

#include "tutorial_blocks.hpp"
using tokenheap::errc;

int main() {
  std::vector<float> weights(weight_count), scores(64);
  make_weights(weights.data());

  // [open]
  tokenheap::host_source heap;
  auto pool = pool_type::open({.blocks = 8, .block_tokens = block, .name = "tutorial"}, shape, heap);
  if (!pool) return std::fprintf(stderr, "%s\n", pool.why().fix), 1;
  // [open]

  // [answer]
  std::vector<token> tokens = {1, 2, 3, 4};
  auto request = sequence::open(*pool, tokens);                 // blocks for the prompt, or a reason
  if (!request) return std::fprintf(stderr, "%s\n", request.why().fix), 1;
  for (std::size_t at = 0; at != 40; ++at) {
    const token next = next_token(weights.data(), tokens[at], at, scores.data(), rows_of(*pool, *request));
    if (at + 1 < tokens.size()) continue;                       // still reading the prompt
    tokens.push_back(next);
    if (request->append({&next, 1}) != errc::ok) return 2;      // a slot for its keys and values, a block if it needs one
  }
  // [answer]

  // [same]
  if (tokens != plain(weights.data(), {1, 2, 3, 4}, 37)) return 3;
  std::printf("%zu tokens in %zu blocks, the same as in one piece\n", tokens.size(), request->blocks().size());
  // [same]
  return request->blocks().size() == 6 && pool->is_valid() ? 0 : 4;
}
