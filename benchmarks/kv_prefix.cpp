// Whole requests through a block pool and its prefix index, each beside a limit with the same kind of index.
//
// Requests come from TOKENHEAP_TRACE, or from ../shared/traces/mooncake_conversation.jsonl where that is there, or else
// from a seeded generator. They are opened, published whole and closed, 16 at a time.

#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>
#include <vector>

#include <tokenheap/kv/hash_chain.hpp>
#include <tokenheap/kv/sequence.hpp>
#include <tokenheap/kv/xxh3.hpp>

#include "kv_limits.hpp"

namespace {

namespace kv = tokenheap::kv;
using limits::all_requests;
using limits::fail;
using limits::hash_limit;
using limits::radix_limit;
using limits::requests;
using tokenheap::errc;

constexpr std::size_t in_flight = 16;

template <class Index>
struct with_index : kv::default_policy {
  using prefixes = Index;
};

template <class Index, std::size_t Blocks, std::size_t BlockTokens>
class pool_of_ours {
 public:
  using pool_type = kv::block_pool<with_index<Index>>;
  using open_request = kv::sequence<pool_type>;

  pool_of_ours() : pool_(open_pool()) {}

  open_request open(const std::vector<kv::token>& prompt) {
    auto made = open_request::open(pool_, prompt);
    if (!made) fail("a request was refused");
    if (made->publish(prompt.size()) != errc::ok) fail("a publish was refused");
    return static_cast<open_request&&>(*made);
  }
  void close(open_request& r) { r.close(); }
  kv::pool_stats stats() const { return pool_.stats(); }

 private:
  static pool_type open_pool() {
    auto made = pool_type::open({.blocks = Blocks, .block_tokens = BlockTokens});
    if (!made) fail("no pool");
    return static_cast<pool_type&&>(*made);
  }
  pool_type pool_;
};

template <class Index>
void replay(Index& index, std::vector<typename Index::open_request>& running, const requests& all, std::size_t from,
            std::size_t to) {
  for (std::size_t at = from; at < to; ++at) {
    if (running.size() < in_flight) {
      running.push_back(index.open(all.prompts[at]));
      continue;
    }
    auto& oldest = running[at % in_flight];
    index.close(oldest);
    oldest = index.open(all.prompts[at]);
  }
}

// Of the requests the first `Warm` (or those before the pool is full) are not timed; `Count` limits the others.
template <class Index, std::size_t Blocks, std::size_t BlockTokens, std::size_t Count, bool Warm>
void whole_requests(benchmark::State& state) {
  const requests& all = all_requests();
  state.SetLabel(all.from);
  std::size_t from = 0;
  while (Warm && from + 1 < all.prompts.size() && all.distinct[from] * limits::id_tokens < Blocks * BlockTokens) ++from;
  const std::size_t to = std::min(all.prompts.size(), from + Count);
  std::size_t blocks = 0;
  for (std::size_t at = from; at < to; ++at) blocks += (all.prompts[at].size() + BlockTokens - 1) / BlockTokens;
  for (auto _ : state) {
    auto index = std::make_unique<Index>();
    std::vector<typename Index::open_request> running;
    running.reserve(in_flight);
    replay(*index, running, all, 0, from);
    const auto start = std::chrono::steady_clock::now();
    replay(*index, running, all, from, to);
    for (auto& r : running) index->close(r);
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    state.SetIterationTime(spent.count());
    running.clear();
    if constexpr (requires { index->stats(); }) {
      const auto now = index->stats();
      state.counters["bytes_per_block"] = static_cast<double>(now.bookkeeping_bytes) / Blocks;
      state.counters["hit_percent"] =
          100 * static_cast<double>(now.reused_tokens) / static_cast<double>(now.asked_tokens);
      state.counters["cached_blocks"] = static_cast<double>(now.cached);
    }
  }
  const auto turns = static_cast<double>(state.iterations());
  using benchmark::Counter;
  state.counters["ns_per_block"] =
      Counter(turns * static_cast<double>(blocks) * 1e-9, Counter::kIsRate | Counter::kInvert);
  state.counters["us_per_request"] =
      Counter(turns * static_cast<double>(to - from) * 1e-6, Counter::kIsRate | Counter::kInvert);
}

constexpr std::size_t usual = 65'536, million = 1'000'000, resident = 4'200'000, few = 5'859;
constexpr std::size_t first = 2'000, everything = ~std::size_t{0} / 2;
using radix = kv::radix_index<>;
template <std::size_t Blocks, std::size_t BlockTokens>
using radix_past_caches = radix_limit<Blocks, BlockTokens, true>;
using sip = kv::hash_chain_index<kv::sip128>;
using xxh3 = kv::hash_chain_index<kv::xxh3_128>;

#define KV_REQUESTS(workload, blocks, tokens, count, warm)                                                             \
  BENCHMARK_TEMPLATE(whole_requests, radix_limit<blocks, tokens>, blocks, tokens, count, warm)                        \
      ->Name(workload "/limit_radix")->UseManualTime()->Unit(benchmark::kMillisecond);                                \
  BENCHMARK_TEMPLATE(whole_requests, radix_past_caches<blocks, tokens>, blocks, tokens, count, warm)                  \
      ->Name(workload "/limit_radix_past_caches")->UseManualTime()->Unit(benchmark::kMillisecond);                    \
  BENCHMARK_TEMPLATE(whole_requests, pool_of_ours<radix, blocks, tokens>, blocks, tokens, count, warm)                \
      ->Name(workload "/tokenheap")->UseManualTime()->Unit(benchmark::kMillisecond);                                  \
  BENCHMARK_TEMPLATE(whole_requests, hash_limit<kv::sip128, blocks, tokens>, blocks, tokens, count, warm)             \
      ->Name(workload "_hash/limit_sip128")->UseManualTime()->Unit(benchmark::kMillisecond);                          \
  BENCHMARK_TEMPLATE(whole_requests, pool_of_ours<sip, blocks, tokens>, blocks, tokens, count, warm)                  \
      ->Name(workload "_hash/tokenheap")->UseManualTime()->Unit(benchmark::kMillisecond);                             \
  BENCHMARK_TEMPLATE(whole_requests, hash_limit<kv::xxh3_128, blocks, tokens>, blocks, tokens, count, warm)           \
      ->Name(workload "_xxh3/limit_xxh3")->UseManualTime()->Unit(benchmark::kMillisecond);                            \
  BENCHMARK_TEMPLATE(whole_requests, pool_of_ours<xxh3, blocks, tokens>, blocks, tokens, count, warm)                 \
      ->Name(workload "_xxh3/tokenheap")->UseManualTime()->Unit(benchmark::kMillisecond)

KV_REQUESTS("kv_requests", usual, 16, first, false);
KV_REQUESTS("kv_requests_of_512", few, 512, first, false);
KV_REQUESTS("kv_requests_million", million, 16, everything, false);
KV_REQUESTS("kv_requests_resident", resident, 16, first, true);

}  // namespace

BENCHMARK_MAIN();
