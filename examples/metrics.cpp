// Three pools of an engine on one page of metrics: who registers, what is counted beside, and the text that is served.

#include <cstdio>
#include <numeric>
#include <string>
#include <vector>

#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/slab.hpp>
#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/kv/sequence.hpp>
#include <tokenheap/kv/tier_host.hpp>
#include <tokenheap/observe/openmetrics.hpp>
#include <tokenheap/observe/reading_of.hpp>
#include <tokenheap/observe/reading_of_kv.hpp>
#include <tokenheap/source/host.hpp>

namespace kv = tokenheap::kv;
using tokenheap::errc;

#define EXPECT(condition)                                          \
  do {                                                             \
    if (!(condition)) {                                            \
      std::fprintf(stderr, "metrics: expected %s\n", #condition);  \
      return 1;                                                    \
    }                                                              \
  } while (false)

namespace {

// [pools]
struct shared : kv::default_policy {
  using lock = tokenheap::spin_lock;  // the thread that serves metrics reads beside the one that schedules
};
using pool_type = kv::block_pool<shared>;

struct requests : tokenheap::layered<tokenheap::host_source, tokenheap::arena<>, tokenheap::slab<>,
                                     tokenheap::with<tokenheap::counters>, tokenheap::with<tokenheap::spin_lock>> {};
// [pools]

bool has(const std::string& page, const char* line) { return page.find(line) != std::string::npos; }

int run() {
  tokenheap::host_source heap;
  const kv::layout shape{.layers = 2, .kv_heads = 2, .head_size = 32, .type = kv::dtype::float16, .block_tokens = 16};
  auto pool = pool_type::open({.blocks = 8, .name = "chat"}, shape, heap);
  auto below = kv::host_tier<>::open({.block_bytes = shape.block_bytes(), .room = {.blocks = 4}}, heap);
  if (!pool || !below) return 1;
  requests memory;
  tokenheap::mutex_lock guard;  // of the tier, which one thread at a time may use

  // [register]
  tokenheap::refusal_counts refused;
  tokenheap::latency_histogram opening;
  const tokenheap::registration seen_pool(
      *pool, {.owner = "llama", .space = "device", .device = "0", .refusals = &refused, .latencies = {{{"open", &opening}}}});
  const tokenheap::registration seen_tier(*below, guard, {.pool = "chat", .owner = "llama", .space = "host"});
  const tokenheap::registration seen_memory(memory, {.pool = "requests"});
  // [register]

  // [count]
  using sequence = kv::sequence<pool_type>;
  const auto open = [&](const std::vector<kv::token>& prompt) {
    const tokenheap::timed scope(opening);
    auto made = sequence::open(*pool, prompt);
    refused.count(made.error());
    return made;
  };
  // [count]
  std::vector<kv::token> prompt(40);
  std::iota(prompt.begin(), prompt.end(), 1);
  auto first = open(prompt);
  if (!first) return 1;
  EXPECT(first->publish(40) == errc::ok && first->close() == errc::ok);
  auto second = open(prompt);  // finds two blocks
  const auto much = open(std::vector<kv::token>(1000, 7));
  EXPECT(second && !much);
  const tokenheap::allocation piece = memory.allocate(100);

  // [page]
  const std::vector<tokenheap::pool_reading> now = tokenheap::registry().snapshot();
  const std::string page = tokenheap::to_metrics(now);
  // [page]
  EXPECT(now.size() == 3);
  const std::string chat = R"({pool="chat",space="device",device="0",owner="llama")";
  EXPECT(has(page, ("tokenheap_pool_blocks" + chat + R"(,state="live"} 3)").c_str()));
  EXPECT(has(page, ("tokenheap_prefix_hit_tokens_total" + chat + "} 32\n").c_str()));
  EXPECT(has(page, ("tokenheap_failures_total" + chat + R"(,reason="too_large"} 1)").c_str()));
  EXPECT(has(page, ("tokenheap_latency_seconds_count" + chat + R"(,op="open"} 3)").c_str()));
  EXPECT(has(page, R"(tokenheap_pool_info{pool="chat",space="host",owner="llama",kind="tier"} 1)"));
  EXPECT(has(page, R"(tokenheap_pool_pieces{pool="requests",space="host",state="live"} 1)"));

  std::fputs(page.c_str(), stdout);
  memory.deallocate(piece);
  return 0;
}

}  // namespace

int main() { return run(); }
