// What it costs a pool to tell: whole requests without events, with them, and with a router that follows.
//
// A limit stands beside: the hash of each block and the copy of its tokens and name, and nothing else.

#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>
#include <vector>

#include <tokenheap/kv/event_feed.hpp>
#include <tokenheap/kv/event_mirror.hpp>
#include <tokenheap/kv/events.hpp>
#include <tokenheap/kv/events_json.hpp>
#include <tokenheap/kv/hash_chain.hpp>
#include <tokenheap/kv/sequence.hpp>
#include <tokenheap/kv/xxh3.hpp>

namespace {

namespace kv = tokenheap::kv;
using tokenheap::errc;

constexpr std::size_t block_tokens = 16, prompt_blocks = 1'000, prompts = 100;
constexpr std::size_t pool_blocks = 32'768;  // less than all prompts: two thirds of the requests evict

[[noreturn]] void fail(const char* why) {
  std::fprintf(stderr, "benchmark_kv_events: %s\n", why);
  std::exit(1);
}

template <class Index, class Events>
struct told_by : kv::default_policy {
  using prefixes = Index;
  using events = Events;
};
using tree = kv::radix_index<>;
using chain = kv::hash_chain_index<>;
using silent = kv::no_events;
using with_sip = kv::event_stream<>;
using with_xxh3 = kv::event_stream<kv::event_shape{}, kv::xxh3_128>;

const std::vector<std::vector<kv::token>>& all_prompts() {
  static const auto made = [] {
    std::vector<std::vector<kv::token>> all(prompts);
    std::uint64_t mixed = 2026;
    for (auto& prompt : all) {
      for (std::size_t n = 0; n != prompt_blocks * block_tokens; ++n) {
        mixed = mixed * 6364136223846793005 + 1442695040888963407;
        prompt.push_back(static_cast<kv::token>((mixed >> 40) % 128'000));
      }
    }
    return all;
  }();
  return made;
}

template <class Pool>
Pool open_pool(std::size_t blocks) {
  auto made = Pool::open({.blocks = blocks, .block_tokens = block_tokens});
  if (!made) fail("no pool");
  return static_cast<Pool&&>(*made);
}

template <class Pool>
void request(Pool& pool, const std::vector<kv::token>& prompt) {
  auto s = kv::sequence<Pool>::open(pool, prompt);
  if (!s || s->publish(prompt.size()) != errc::ok) fail("a request was refused");
}

void per_block(benchmark::State& state, std::size_t blocks) {
  state.counters["ns_per_block"] = benchmark::Counter(
      static_cast<double>(blocks) / 1e9, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

template <class Index, class Events, bool Follows = false>
void whole_requests(benchmark::State& state) {
  using pool_type = kv::block_pool<told_by<Index, Events>>;
  auto pool = open_pool<pool_type>(pool_blocks);
  auto feed = kv::event_feed::open({.bytes = 256 * tokenheap::KiB});
  auto mirror = kv::event_mirror::open({.blocks = pool_blocks, .block_tokens = block_tokens});
  if (!feed || !mirror) fail("no reader");
  for (auto _ : state) {
    for (const auto& prompt : all_prompts()) {
      request(pool, prompt);
      if constexpr (Follows) {
        while (feed->poll(pool) != kv::feed_answer::idle) {
          for (const kv::event& e : feed->batch()) {
            if (mirror->apply(e) != errc::ok) fail("the mirror lost its place");
          }
        }
      }
    }
  }
  per_block(state, prompts * prompt_blocks);
}

template <class Hash>
void limit(benchmark::State& state) {
  const auto hash = Hash::open("0123456789abcdef", 16);
  constexpr std::size_t record = sizeof(kv::hash128) + block_tokens * sizeof(kv::token);
  std::vector<unsigned char> ring(prompt_blocks * record);
  for (auto _ : state) {
    for (const auto& prompt : all_prompts()) {
      kv::hash128 name = hash.root("", 0);
      for (std::size_t n = 0; n != prompt_blocks; ++n) {
        const kv::token* const tokens = prompt.data() + n * block_tokens;
        name = hash(name, tokens, block_tokens);
        std::memcpy(ring.data() + n * record, &name, sizeof name);
        std::memcpy(ring.data() + n * record + sizeof name, tokens, block_tokens * sizeof(kv::token));
      }
      benchmark::ClobberMemory();
    }
  }
  per_block(state, prompts * prompt_blocks);
}

// a snapshot of a full pool, which is taken under its lock
void snapshot(benchmark::State& state) {
  using pool_type = kv::block_pool<told_by<tree, with_sip>>;
  auto pool = open_pool<pool_type>(prompts * prompt_blocks);
  for (const auto& prompt : all_prompts()) request(pool, prompt);
  auto feed = kv::event_feed::open();
  if (!feed) fail("no reader");
  for (auto _ : state) {
    feed->restart();
    if (feed->poll(pool) != kv::feed_answer::snapshot) fail("no snapshot");
  }
  per_block(state, pool.stats().published);
}

void match_in_a_mirror(benchmark::State& state) {
  using pool_type = kv::block_pool<told_by<tree, with_sip>>;
  auto pool = open_pool<pool_type>(prompts * prompt_blocks);
  for (const auto& prompt : all_prompts()) request(pool, prompt);
  auto feed = kv::event_feed::open();
  auto mirror = kv::event_mirror::open({.blocks = prompts * prompt_blocks, .block_tokens = block_tokens});
  if (!feed || !mirror || feed->poll(pool) != kv::feed_answer::snapshot) fail("no snapshot");
  for (const kv::event& e : feed->batch()) {
    if (mirror->apply(e) != errc::ok) fail("the mirror refused a snapshot");
  }
  for (auto _ : state) {
    for (const auto& prompt : all_prompts()) {
      if (mirror->match(kv::event_mirror::root_of(0), prompt) != prompt.size()) fail("a prompt was not found");
    }
  }
  per_block(state, prompts * prompt_blocks);
}

void json(benchmark::State& state) {
  using pool_type = kv::block_pool<told_by<tree, with_sip>>;
  auto pool = open_pool<pool_type>(pool_blocks);
  auto feed = kv::event_feed::open();
  if (!feed || feed->poll(pool) != kv::feed_answer::snapshot) fail("no reader");
  request(pool, all_prompts()[0]);
  if (feed->poll(pool) != kv::feed_answer::news) fail("no news");
  std::vector<char> text(tokenheap::MiB);
  std::size_t length = 0;
  for (auto _ : state) {
    kv::event_batch left = feed->batch();
    if (kv::write_json(left, {}, text.data(), text.size(), length) != errc::ok) fail("no text");
    benchmark::DoNotOptimize(text.data());
  }
  per_block(state, prompt_blocks);
  state.SetBytesProcessed(static_cast<std::int64_t>(length) * state.iterations());
}

#define KV_EVENTS(name, ...) BENCHMARK_TEMPLATE(__VA_ARGS__)->Name("kv_events/" name)->Unit(benchmark::kMillisecond)

KV_EVENTS("radix/silent", whole_requests, tree, silent);
KV_EVENTS("radix/told_sip128", whole_requests, tree, with_sip);
KV_EVENTS("radix/told_xxh3", whole_requests, tree, with_xxh3);
KV_EVENTS("radix/told_and_followed", whole_requests, tree, with_sip, true);
KV_EVENTS("chain/silent", whole_requests, chain, silent);
KV_EVENTS("chain/told", whole_requests, chain, with_sip);
KV_EVENTS("limit/sip128", limit, kv::sip128);
KV_EVENTS("limit/xxh3", limit, kv::xxh3_128);
BENCHMARK(snapshot)->Name("kv_events/snapshot")->Unit(benchmark::kMillisecond);
BENCHMARK(match_in_a_mirror)->Name("kv_events/mirror_match")->Unit(benchmark::kMillisecond);
BENCHMARK(json)->Name("kv_events/json")->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
