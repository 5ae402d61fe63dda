// Two chats share a prompt: the second one finds the blocks of the first, and a fork gets its own tail when it writes.

#include <cstdio>
#include <numeric>
#include <vector>

#include <tokenheap/kv/page_table.hpp>
#include <tokenheap/kv/sequence.hpp>
#include <tokenheap/source/host.hpp>

namespace kv = tokenheap::kv;
using tokenheap::errc;

#define EXPECT(condition)                                              \
  do {                                                                 \
    if (!(condition)) {                                                \
      std::fprintf(stderr, "kv_pool: expected %s\n", #condition);      \
      return 1;                                                        \
    }                                                                  \
  } while (false)

int main() {
  // [open]
  tokenheap::host_source heap;
  const kv::layout shape{.layers = 4, .kv_heads = 4, .head_size = 16, .type = kv::dtype::float32, .block_tokens = 16};
  auto opened = kv::block_pool<>::open({.blocks = 64, .name = "chat"}, shape, heap);
  if (!opened) return std::fprintf(stderr, "%s\n", opened.why().fix), 1;
  kv::block_pool<>& pool = *opened;
  // [open]

  // [request]
  using sequence = kv::sequence<kv::block_pool<>>;
  std::vector<kv::token> prompt(55);
  std::iota(prompt.begin(), prompt.end(), 1);
  auto first = sequence::open(pool, prompt);
  if (!first) return 1;
  // ... the engine computes keys and values of tokens 0 to 54 into first->blocks() ...
  EXPECT(first->publish(55) == errc::ok);

  auto second = sequence::open(pool, prompt);
  if (!second) return 1;
  EXPECT(second->cached_tokens() == 48);  // three full blocks; the engine starts at token 48
  // [request]

  // [decode]
  const kv::token sampled[] = {7};
  EXPECT(second->append(sampled) == errc::ok);  // or out_of_memory: preempt somebody
  EXPECT(second->publish(56) == errc::ok);
  auto beam = second->fork();
  if (!beam) return 1;
  EXPECT(beam->append(sampled) == errc::ok);  // the shared tail is copied before it is written
  EXPECT(beam->blocks()[3] != second->blocks()[3] && beam->blocks()[2] == second->blocks()[2]);
  // [decode]

  // [table]
  const kv::table_row rows[] = {kv::row_of(*second), kv::row_of(*beam)};
  std::int32_t indptr[3];
  std::int32_t indices[8];
  std::int32_t last_page_len[2];
  EXPECT(kv::write_csr(rows, 16, {indptr, indices, last_page_len}) == errc::ok);
  EXPECT(indptr[2] == 8 && last_page_len[0] == 8 && last_page_len[1] == 9);
  // [table]

  EXPECT(first->close() == errc::ok && second->close() == errc::ok && beam->close() == errc::ok);
  EXPECT(pool.stats().live == 0 && pool.stats().available() == 64 && pool.is_valid());
  std::printf("shared 48 of 55 tokens; %zu blocks stay cached\n", pool.stats().cached);
  return 0;
}
