// Plans a model that is written down by hand, asks in both directions, and opens the pool that was planned.

#include <cstdio>

#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/plan/make_plan.hpp>
#include <tokenheap/plan/search.hpp>

namespace kv = tokenheap::kv;
namespace plan = tokenheap::plan;
using tokenheap::GiB;

#define EXPECT(condition)                                            \
  do {                                                               \
    if (!(condition)) {                                              \
      std::fprintf(stderr, "plan: expected %s\n", #condition);       \
      return 1;                                                      \
    }                                                                \
  } while (false)

int main() {
  // [model]
  plan::model m;
  m.name = "eight billion";
  m.layers = 36;
  m.hidden = 4096;
  m.intermediate = 12288;
  m.vocabulary = 151936;
  m.query_heads = 32;
  m.head_size = 128;
  m.longest = 40960;

  plan::layer_group full;
  full.name = "full";
  full.kv_heads = 8;
  full.head_size = 128;
  for (std::size_t layer = 0; layer < m.layers; ++layer) full.at.push_back(layer);
  m.groups = {full};
  m.weights = {{"layers", 192'946'432, plan::weight_split::tensor, true, full.at},
               {"embedding", 622'329'856, plan::weight_split::embedding, false, {}},
               {"head", 622'329'856, plan::weight_split::head, false, {}}};
  // [model]

  // [ask]
  plan::deployment with;
  with.device_bytes = 24 * GiB;
  with.tokens = 8192;
  with.sequences = 2;
  const plan::reading<plan::answer> answer = plan::make_plan(m, with);
  if (!answer) return std::fprintf(stderr, "%s\n", answer.error.c_str()), 1;
  std::printf("%s: %zu B a token, %zu blocks, %zu sequences of %zu tokens, or %zu of %zu\n",
              answer.value.fits ? "fits" : "does not fit", answer.value.kv_bytes_per_token, answer.value.blocks,
              answer.value.max_sequences, answer.value.tokens, with.sequences, answer.value.max_tokens);
  for (const std::string& change : answer.value.advice) std::printf("  %s\n", change.c_str());
  // [ask]
  EXPECT(answer.value.kv_bytes_per_token == 147'456);
  EXPECT(answer.value.block_bytes == 16 * 147'456);
  EXPECT(answer.value.fits == (answer.value.max_sequences >= 2));

  // [pool]
  const auto pool = kv::block_pool<>::open({.blocks = answer.value.blocks, .block_tokens = answer.value.block_tokens});
  if (!pool) return std::fprintf(stderr, "%s\n", pool.why().fix), 1;
  // [pool]
  EXPECT(answer.value.blocks / 512 == answer.value.max_sequences);

  // [search]
  with.sequences = 16;
  const auto found = plan::search(m, with);
  if (!found) return std::fprintf(stderr, "%s\n", found.error.c_str()), 1;
  if (found.value.empty()) return std::fprintf(stderr, "nothing fits\n"), 1;
  const plan::candidate& cheapest = found.value.front();
  std::printf("16 sequences: %zu devices, weights %s, KV %s\n", cheapest.devices, cheapest.with.weight_dtype.c_str(),
              cheapest.with.kv_dtype.c_str());
  // [search]
  EXPECT(cheapest.max_sequences >= 16);
  return 0;
}
