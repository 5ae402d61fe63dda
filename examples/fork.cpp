// Three answers to one prompt, and a draft that is rejected: blocks are shared until somebody writes.

#include <cstdio>
#include <numeric>
#include <vector>

#include <tokenheap/kv/sequence.hpp>
#include <tokenheap/source/host.hpp>

namespace kv = tokenheap::kv;
using tokenheap::errc;

#define EXPECT(condition)                                           \
  do {                                                              \
    if (!(condition)) {                                             \
      std::fprintf(stderr, "fork: expected %s\n", #condition);      \
      return 1;                                                     \
    }                                                               \
  } while (false)

int main() {
  tokenheap::host_source heap;
  const kv::layout shape{.layers = 2, .kv_heads = 2, .head_size = 8, .block_tokens = 16};
  auto opened = kv::block_pool<>::open({.blocks = 16, .name = "answers"}, shape, heap);
  if (!opened) return std::fprintf(stderr, "%s\n", opened.why().fix), 1;
  kv::block_pool<>& pool = *opened;
  using sequence = kv::sequence<kv::block_pool<>>;

  // [fork]
  std::vector<kv::token> prompt(40);
  std::iota(prompt.begin(), prompt.end(), 1);
  auto first = sequence::open(pool, prompt, {.lookahead = 4});  // 3 blocks: 40 tokens and 4 slots for drafts
  if (!first || first->publish(40) != errc::ok) return 1;
  auto second = first->fork();
  auto third = first->fork();
  if (!second || !third) return 1;
  EXPECT(pool.stats().live == 3);

  // each answer goes on by itself: the half-filled third block is copied, the two full ones stay shared
  const kv::token a[] = {7}, b[] = {8}, c[] = {9};
  EXPECT(first->append(a) == errc::ok && second->append(b) == errc::ok && third->append(c) == errc::ok);
  EXPECT(pool.stats().live == 5);
  EXPECT(first->blocks()[1] == third->blocks()[1] && first->blocks()[2] != third->blocks()[2]);
  // [fork]

  // [rewind]
  const kv::token drafts[] = {21, 22, 23, 24};
  EXPECT(second->append(drafts) == errc::ok);  // the target model now checks all four in one step
  EXPECT(second->rewind(3) == errc::ok);       // it took the first; only what is verified is ever published
  EXPECT(second->publish(second->length()) == errc::ok && second->length() == 42);
  // [rewind]

  EXPECT(third->close() == errc::ok && pool.stats().live == 4);
  EXPECT(first->close() == errc::ok && second->close() == errc::ok);
  EXPECT(pool.stats().live == 0 && pool.is_valid());
  std::printf("three answers in 5 blocks in place of 9\n");
  return 0;
}
