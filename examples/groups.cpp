// A hybrid model: attention, a window and states in one room, with pages moved together, and with prefixes shared; and a
// pool that has memory only while requests need it.

#include <cstdio>
#include <cstring>
#include <list>
#include <numeric>
#include <span>
#include <vector>

#include <tokenheap/device/sim.hpp>
#include <tokenheap/kv/elastic_pool.hpp>
#include <tokenheap/kv/groups.hpp>
#include <tokenheap/kv/hybrid_search.hpp>
#include <tokenheap/kv/page_shelf.hpp>
#include <tokenheap/kv/sequence.hpp>

namespace kv = tokenheap::kv;
using tokenheap::errc;
using tokenheap::KiB;
using tokenheap::MiB;

#define EXPECT(condition)                                              \
  do {                                                                 \
    if (!(condition)) {                                                \
      std::fprintf(stderr, "groups: expected %s\n", #condition);       \
      return 1;                                                        \
    }                                                                  \
  } while (false)

namespace {

int groups() {
  // [rules]
  const std::size_t page_bytes[] = {16 * KiB, 48 * KiB, 1000 * KiB};  // all layers of a group, one page
  const kv::group_rule rules[] = {
      {.name = "full", .block_tokens = 16},
      {.name = "window", .kind = kv::group_kind::window, .block_tokens = 16, .span = 1024},
      {.name = "state", .kind = kv::group_kind::state, .span = 512, .fixed = 1, .keep = 2},
  };
  auto opened = kv::page_space::open({.name = "hybrid", .bytes = 64 * MiB, .page_bytes = page_bytes, .groups = 3});
  if (!opened) return std::fprintf(stderr, "%s\n", opened.why().fix), 1;
  kv::page_space& space = *opened;
  // [rules]

  std::vector<unsigned char> room(64 * MiB);
  std::list<kv::group_sequence> live;
  // [sequence]
  auto request = kv::group_sequence::open(space, rules);  // takes its state at once
  if (!request) return 1;
  if (request->grow(2048).code != errc::ok) return 1;     // pages of all groups, or of none
  // ... the engine computes, and reads page(group, block) and state_page(group) for its tables ...
  if (request->settle(2048) != errc::ok) return 1;        // what lies behind the window goes back
  // [sequence]
  EXPECT(request->held(1).first == 64 && request->held(1).end == 128);
  EXPECT(request->held(2).end - request->held(2).first == 2);
  live.push_back(static_cast<kv::group_sequence&&>(*request));

  // [drafts]
  kv::group_sequence& s = live.front();
  if (s.grow(1 + 4).code != errc::ok) return 1;  // a token and four drafts
  if (s.rewind(3) != errc::ok) return 1;         // one draft was right
  if (s.settle(s.tokens()) != errc::ok) return 1;
  // [drafts]

  // [room]
  std::vector<kv::page_move> moves(space.most_moves());
  const auto copy = [&](std::size_t from, std::size_t to, std::size_t n) noexcept {
    std::memmove(room.data() + to, room.data() + from, n);  // on a device: a copy on the stream of the steps
  };
  auto admit = [&]() -> bool {
    do {
      auto next = kv::group_sequence::open(space, rules);
      if (!next || next->grow(300).code != errc::ok) continue;
      live.push_back(static_cast<kv::group_sequence&&>(*next));
      return true;
    } while (kv::make_room(space, moves.data(), live, copy));
    return false;
  };
  // [room]
  while (admit()) {
  }
  const kv::page_space_stats full = space.stats();
  std::printf("%zu requests; of %zu KiB: used %zu, idle %zu, tails %zu, empty %zu\n", live.size(), full.bytes / KiB,
              full.used / KiB, full.idle / KiB, full.tails / KiB, full.empty / KiB);
  EXPECT(live.size() > 10);
  live.clear();
  EXPECT(space.stats().used == 0);

  // [search]
  const kv::search_group asks[] = {{.block_tokens = 16},
                                   {.block_tokens = 16, .last_blocks = kv::window_blocks(1024, 16)},
                                   {.block_tokens = 512, .last_blocks = 1}};
  const auto found = [](std::size_t group, std::size_t block) noexcept {
    return group != 2 || block < 3;  // the state has checkpoints behind 512, 1,024 and 1,536 tokens
  };
  const std::size_t hit = kv::hybrid_prefix(asks, 3, 2048, found);
  // [search]
  EXPECT(hit == 1536);
  return 0;
}

// [policy]
struct hybrid_policy : kv::default_policy {
  using events = kv::shelf_events;  // a block that leaves takes the pages beside it along
};
using hybrid_pool = kv::block_pool<hybrid_policy>;
// [policy]

int shared() {
  // [shelf]
  auto pool = hybrid_pool::open({.blocks = 1000});  // full attention: its blocks, and all prefixes
  const std::size_t page_bytes[] = {48 * KiB, 1000 * KiB};
  auto space = kv::page_space::open({.bytes = 64 * MiB, .page_bytes = page_bytes, .groups = 2});
  if (!pool || !space) return 1;
  auto shelf = kv::page_shelf::open(*space, 1000);
  if (!shelf) return 1;
  pool->events().shelf = &*shelf;
  const kv::search_group groups[] = {{.block_tokens = 16},
                                     {.block_tokens = 16, .last_blocks = kv::window_blocks(64, 16)},
                                     {.block_tokens = 128, .last_blocks = 1}};
  // [shelf]

  std::vector<kv::token> prompt(300);
  std::iota(prompt.begin(), prompt.end(), 1);
  using sequence = kv::sequence<hybrid_pool>;
  {
    auto first = sequence::open(*pool, prompt);
    if (!first) return 1;
    const std::size_t need[] = {18, 2};
    EXPECT(shelf->make_fit(need));
    std::vector<kv::page_key> window(18), state(2);
    EXPECT(space->take(0, 18, window.data()) == errc::ok && space->take(1, 2, state.data()) == errc::ok);
    // [put]
    EXPECT(first->publish(300) == errc::ok);
    for (std::size_t at = 0; at < 18; ++at) {  // window blocks; in_use: somebody else's page is there, keep this one
      EXPECT(shelf->put(0, first->blocks()[at], window[at]) == errc::ok);
    }
    for (std::size_t at = 0; at < 2; ++at) {  // checkpoints, behind 128 and 256 tokens
      EXPECT(shelf->put(1, first->blocks()[(at + 1) * 8 - 1], state[at]) == errc::ok);
    }
    // [put]
    for (std::size_t at = 0; at < 18; ++at) EXPECT(shelf->let_go(0, first->blocks()[at]) == errc::ok);
    for (std::size_t at = 0; at < 2; ++at) EXPECT(shelf->let_go(1, first->blocks()[(at + 1) * 8 - 1]) == errc::ok);
  }

  // [shared]
  const std::span<const kv::token> asked(prompt.data(), prompt.size() - 1);  // the last token is computed
  const kv::shared_prefix found = kv::find_shared(*pool, *shelf, groups, asked);
  kv::each_hit(*shelf, groups, found, [&](std::size_t group, std::size_t, kv::block_id id) {
    shelf->hold(group, id);  // into the request's table; let_go it when it is behind the window
  });
  auto second = sequence::open(*pool, prompt);  // the blocks; on a refusal, let all pages go again
  if (!second) return 1;
  const std::size_t need[] = {18 - found.tokens / 16, 2 - found.tokens / 128};
  EXPECT(shelf->make_fit(need));  // only now: what was found is held and stays
  // ... take the pages; compute from found.tokens on; full attention writes from found.full_tokens on ...
  // [shared]
  EXPECT(found.tokens == 256 && found.full_tokens == 288);
  EXPECT(second->cached_tokens() == 288);
  kv::each_hit(*shelf, groups, found, [&](std::size_t group, std::size_t, kv::block_id id) {
    static_cast<void>(shelf->let_go(group, id));
  });
  EXPECT(second->close() == errc::ok);
  EXPECT(shelf->is_valid());
  return 0;
}

int elastic() {
  tokenheap::sim_machine machine({.capacity = 64 * MiB});
  const auto device = machine.device();
  const kv::layout shape{.layers = 8, .kv_heads = 8, .head_size = 128, .block_tokens = 16};
  // [elastic]
  using pool_type = kv::block_pool<>;
  auto opened = kv::elastic_pool<pool_type, tokenheap::sim_device>::open(device, {.blocks = 100'000}, shape);
  if (!opened) return std::fprintf(stderr, "%s\n", opened.why().fix), 1;
  auto& blocks = *opened;  // 48 GiB of addresses, no memory

  std::vector<kv::token> prompt(100);
  std::iota(prompt.begin(), prompt.end(), 1);
  if (blocks.try_grow_to(7).code != errc::ok) return 1;  // or go on: the request then evicts what is cached
  auto request = kv::sequence<pool_type>::open(blocks.pool(), prompt);
  if (!request) return 1;
  // ... steps ...
  if (request->publish(100) != errc::ok || request->close() != errc::ok) return 1;

  blocks.trim();  // free blocks give their memory; the prompt is still cached
  // [elastic]
  EXPECT(blocks.pool().match(prompt) == 96);
  EXPECT(blocks.stats().addresses == 100'000 * shape.block_bytes());
  EXPECT(machine.used() == 4 * MiB);
  EXPECT(blocks.is_valid());
  EXPECT(machine.violations() == 0);
  return 0;
}

}  // namespace

int main() { return groups() != 0 || shared() != 0 || elastic() != 0 ? 1 : 0; }
