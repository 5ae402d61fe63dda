// A hybrid model: attention, a window and states in one room, pages moved together; and a pool that has memory only
// while requests need it.

#include <cstdio>
#include <cstring>
#include <list>
#include <numeric>
#include <vector>

#include <tokenheap/device/sim.hpp>
#include <tokenheap/kv/elastic_pool.hpp>
#include <tokenheap/kv/groups.hpp>
#include <tokenheap/kv/hybrid_search.hpp>
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

int main() { return groups() != 0 || elastic() != 0 ? 1 : 0; }
