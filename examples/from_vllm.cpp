// What a scheduler does with vLLM's KVCacheManager, done with a block pool and sequences: the same blocks in the same order.

#include <cstdio>
#include <cstring>
#include <numeric>
#include <vector>

#include <tokenheap/kv/event_feed.hpp>
#include <tokenheap/kv/events.hpp>
#include <tokenheap/kv/events_json.hpp>
#include <tokenheap/kv/page_table.hpp>
#include <tokenheap/kv/plan.hpp>
#include <tokenheap/kv/sequence.hpp>

namespace kv = tokenheap::kv;
using tokenheap::errc;
using ids = std::vector<kv::block_id>;

#define EXPECT(condition)                                             \
  do {                                                                \
    if (!(condition)) {                                               \
      std::fprintf(stderr, "from_vllm: expected %s\n", #condition);   \
      return 1;                                                       \
    }                                                                 \
  } while (false)

namespace {

// [policy]
struct told : kv::default_policy {
  using events = kv::event_stream<>;  // enable_kv_cache_events
  using fence = kv::step_fence;       // blocks of a running step are not handed out before it ends
};
using pool_type = kv::block_pool<told>;
using sequence = kv::sequence<pool_type>;
// [policy]

std::vector<kv::token> tokens_of(kv::token first, std::size_t n) {
  std::vector<kv::token> made(n);
  std::iota(made.begin(), made.end(), first);
  return made;
}

bool holds(const sequence& s, const ids& expected) {
  return ids(s.blocks().begin(), s.blocks().end()) == expected;
}

// 55 tokens of which 48 are shared, twice, and then 160 others: ids, counts and the order of reuse that vLLM has
int same_blocks() {
  // [open]
  auto opened = pool_type::open({.blocks = 10,         // num_gpu_blocks - 1: the null block is one more
                                 .block_tokens = 16,   // block_size
                                 .null_block = true,   // id 0 is never handed out
                                 .cache = true,        // enable_prefix_caching
                                 .watermark = 0});     // watermark_blocks
  if (!opened) return std::fprintf(stderr, "%s\n", opened.why().fix), 1;
  pool_type& pool = *opened;
  // [open]

  const auto shared = tokens_of(1, 55);
  auto other = shared;
  for (std::size_t at = 48; at != 55; ++at) other[at] += 1000;

  // [schedule]
  auto first = sequence::open(pool, shared);           // get_computed_blocks, then allocate_slots
  if (!first) return 1;                                // allocate_slots returned None
  EXPECT(first->cached_tokens() == 0 && holds(*first, {1, 2, 3, 4}));
  EXPECT(first->publish(55) == errc::ok);              // cache_blocks, once the step has written them
  auto second = sequence::open(pool, other);
  if (!second) return 1;
  EXPECT(second->cached_tokens() == 48);               // num_new_computed_tokens: the engine starts there
  EXPECT(holds(*second, {1, 2, 3, 5}) && pool.references(1) == 2);
  EXPECT(pool.stats().available() == 5);               // get_num_free_blocks
  // [schedule]

  // [free]
  EXPECT(first->close() == errc::ok);                  // free(request): the tail goes first
  EXPECT(second->close() == errc::ok);
  EXPECT(pool.stats().available() == 10 && pool.match(shared) == 48);
  auto all = sequence::open(pool, tokens_of(5'000, 160));
  if (!all) return 1;
  EXPECT(holds(*all, {5, 4, 6, 7, 8, 9, 10, 3, 2, 1}));  // what holds nothing, what was never used, the chain tail first
  EXPECT(pool.match(shared) == 0);                     // evicted: the old prefix is gone
  // [free]
  EXPECT(all->close() == errc::ok && pool.is_valid());
  return 0;
}

int decode(pool_type& pool) {
  auto request = sequence::open(pool, tokens_of(1, 55), {.lookahead = 4});  // num_lookahead_tokens
  if (!request) return 1;
  // [decode]
  const kv::token accepted[] = {7, 8};
  EXPECT(request->append(accepted) == errc::ok);       // allocate_slots(request, 2); out_of_memory: preempt somebody
  EXPECT(request->grow(4) == errc::ok);                // slots for the drafts of the next step
  EXPECT(request->publish(57) == errc::ok);            // only verified tokens are ever published
  EXPECT(request->published_tokens() == 48);
  // [decode]
  return 0;
}

// [preempt]
// what allocate_slots returning None leads to: the last one that came gives its blocks back and waits again
bool append_or_preempt(std::vector<sequence>& running, std::vector<std::size_t>& waiting, std::size_t who, kv::token next) {
  while (running[who].append({&next, 1}) != errc::ok) {
    const std::size_t victim = running.size() - 1;
    if (victim == who) return false;                   // nobody is left but itself
    waiting.push_back(victim);
    running.pop_back();                                // closes; what it published stays cached, and is found again
  }
  return true;
}
// [preempt]

int preempting() {
  auto opened = pool_type::open({.blocks = 6, .name = "short"});
  if (!opened) return 1;
  std::vector<sequence> running;
  std::vector<std::size_t> waiting;
  for (kv::token n = 0; n != 2; ++n) {
    auto made = sequence::open(*opened, tokens_of(n * 1000, 48));
    if (!made || made->publish(48) != errc::ok) return 1;
    running.push_back(static_cast<sequence&&>(*made));
  }
  EXPECT(append_or_preempt(running, waiting, 0, 7) && waiting.size() == 1 && running.size() == 1);
  EXPECT(opened->match(tokens_of(1000, 48)) == 32);    // its tail made room; the rest needs no new computing
  return 0;
}

int keys(pool_type& pool) {
  const auto prompt = tokens_of(9'000, 33);
  // [keys]
  auto salted = sequence::open(pool, prompt, {.key = {.salt = "s1", .salt_bytes = 2, .adapter = 7}});  // cache_salt, lora
  if (!salted || salted->publish(33) != errc::ok) return 1;
  EXPECT(pool.match(prompt, {.salt = "s1", .salt_bytes = 2, .adapter = 7}) == 32);
  EXPECT(pool.match(prompt, {.salt = "s2", .salt_bytes = 2, .adapter = 7}) == 0);
  EXPECT(pool.match(prompt) == 0);
  // [keys]

  // [reset]
  EXPECT(pool.reset() == errc::in_use);                // reset_prefix_cache() is False: a request still runs
  EXPECT(salted->close() == errc::ok);
  EXPECT(pool.reset() == errc::ok);                    // True, and one AllBlocksCleared
  // [reset]
  return 0;
}

int steps(pool_type& pool) {
  auto request = sequence::open(pool, tokens_of(1, 40));
  if (!request) return 1;
  // [steps]
  const std::uint64_t step = pool.begin_step();        // the step goes to the device
  EXPECT(request->close() == errc::ok);                // abort: freed while the step runs
  EXPECT(pool.stats().in_flight == 3);                 // nobody gets these blocks yet
  EXPECT(pool.settle(step) == errc::ok);               // update_from_output
  EXPECT(pool.stats().in_flight == 0);
  // [steps]
  return 0;
}

int tables(pool_type& pool) {
  auto request = sequence::open(pool, tokens_of(1, 40));
  if (!request) return 1;
  // [tables]
  const kv::table_row rows[] = {kv::row_of(*request)};
  std::int32_t block_table[8];
  std::int64_t slot_mapping[40];
  EXPECT(kv::write_dense(rows, 8, 0, block_table) == errc::ok);                       // padded with the null block
  EXPECT(kv::write_slots(request->blocks(), 16, 0, slot_mapping) == errc::ok);
  EXPECT(slot_mapping[17] == block_table[1] * 16 + 1 && block_table[3] == 0);
  // [tables]
  return 0;
}

int events() {
  auto opened = pool_type::open({.blocks = 8});
  auto feed = kv::event_feed::open();
  if (!opened || !feed) return 1;
  pool_type& pool = *opened;
  EXPECT(feed->poll(pool) == kv::feed_answer::snapshot);  // whoever begins gets all that is there
  // [events]
  {
    auto request = sequence::open(pool, tokens_of(1, 40));
    if (!request || request->publish(40) != errc::ok) return 1;
  }
  EXPECT(feed->poll(pool) == kv::feed_answer::news);   // take_events()
  kv::event_batch news = feed->batch();
  char text[2'000];
  std::size_t length = 0;
  EXPECT(kv::write_json(news, {.microseconds = 0, .rank = 0}, text, sizeof text, length) == errc::ok);
  EXPECT(std::strstr(text, "\"type\":\"BlockStored\"") != nullptr);  // the JSON that vLLM's routers read
  // [events]
  return 0;
}

int batch() {
  auto opened = pool_type::open({.blocks = 10, .watermark = 1});
  if (!opened) return 1;
  pool_type& pool = *opened;
  auto running = sequence::open(pool, tokens_of(1, 64));
  if (!running) return 1;
  // [batch]
  kv::plan<pool_type> step;                            // a whole schedule() at once, all or nothing
  EXPECT(step.grow(*running, 16) == errc::ok);
  EXPECT(step.open(pool, tokens_of(2'000, 80)).code == errc::ok);
  const kv::admission no = step.commit();              // 6 blocks where 5 of its 10 are left above a watermark of 1
  EXPECT(no.code == errc::out_of_memory && running->blocks().size() == 4);
  // [batch]
  return 0;
}

}  // namespace

int main() {
  auto opened = pool_type::open({.blocks = 32, .null_block = true});
  if (!opened) return 1;
  const bool wrong = same_blocks() != 0 || decode(*opened) != 0 || keys(*opened) != 0 || preempting() != 0 ||
                     steps(*opened) != 0 || tables(*opened) != 0 || events() != 0 || batch() != 0;
  if (!wrong) std::puts("ids, counts and the order of reuse are those of vLLM's block pool");
  return wrong ? 1 : 0;
}
