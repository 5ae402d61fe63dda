// What a chat front end tells the cache: a turn that ends, a user who will be back, a prompt worth keeping, a queue.

#include <cstdio>
#include <numeric>
#include <span>
#include <vector>

#include <tokenheap/kv/hinted.hpp>
#include <tokenheap/kv/sequence.hpp>

namespace kv = tokenheap::kv;
using tokenheap::errc;

#define EXPECT(condition)                                                \
  do {                                                                   \
    if (!(condition)) {                                                  \
      std::fprintf(stderr, "eviction_hints: expected %s\n", #condition); \
      return 1;                                                          \
    }                                                                    \
  } while (false)

// [policy]
struct chat_policy : kv::default_policy {
  using evict = kv::hinted;
};
using pool_type = kv::block_pool<chat_policy>;
using sequence = kv::sequence<pool_type>;
// [policy]

namespace {

std::vector<kv::token> tokens(std::size_t n, kv::token first) {
  std::vector<kv::token> made(n);
  std::iota(made.begin(), made.end(), first);
  return made;
}

// opens a request, fills it and closes it
bool run(pool_type& pool, std::span<const kv::token> prompt, const sequence::options& with) {
  auto request = sequence::open(pool, prompt, with);
  return request && request->publish(prompt.size()) == errc::ok && request->close() == errc::ok;
}

}  // namespace

int main() {
  auto opened = pool_type::open({.blocks = 8, .block_tokens = 16, .name = "chat"});
  if (!opened) return std::fprintf(stderr, "%s\n", opened.why().fix), 1;
  pool_type& pool = *opened;
  const auto last_turn = tokens(32, 1000);
  const auto paused = tokens(32, 2000);
  const auto prompt = tokens(64, 3000);
  std::uint64_t now_ms = 5'000;

  // [last]
  // the conversation is over, or the agent will not come back to this: what it adds leaves first
  EXPECT(run(pool, last_turn, {.value = {.again = false}}));
  // [last]

  // [return]
  // the user reads and types for about a minute: dear until then, worth nothing afterwards
  EXPECT(run(pool, paused, {.value = {.priority = 60, .later = 0, .until = now_ms + 60'000}}));
  // [return]

  // [range]
  // the system prompt is what every request begins with; the rest is as any other
  const kv::retained_range system_prompt[] = {{.first = 0, .end = 32, .value = {.priority = 90}}};
  EXPECT(run(pool, prompt, {.retention = system_prompt}));
  // [range]

  EXPECT(pool.stats().cached == 8);
  EXPECT(pool.evict(2) == 2 && pool.match(last_turn) == 0 && pool.match(paused) == 32);

  // [clock]
  now_ms += 61'000;
  pool.with_order([&](kv::hinted& order) { order.advance(now_ms); });
  // [clock]
  EXPECT(pool.evict(2) == 2 && pool.match(paused) == 0 && pool.match(prompt) == 64);

  // [queue]
  // the waiting requests, the next one first: what they will find stays until all else is gone
  const std::vector<std::vector<kv::token>> waiting = {tokens(40, 3000), last_turn};
  pool.with_order([](kv::hinted& order) { order.look_ahead(); });
  for (std::size_t at = 0; at < waiting.size(); ++at) pool.expect(waiting[at], at);
  // [queue]
  EXPECT(pool.evict(2) == 2 && pool.match(prompt) == 32 && pool.is_valid());
  std::puts("what was not wanted again left first, the system prompt is still there");
  return 0;
}
