// Who leaves the cache, under pressure: each step one block leaves and one comes in, as it is where all blocks are in use.
//
// Blocks stand in random order, so that in a large pool every row is far memory. The limit is a list through an array
// of links and nothing else.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <vector>

#include <tokenheap/kv/eviction.hpp>
#include <tokenheap/kv/hinted.hpp>
#include <tokenheap/kv/s3_fifo.hpp>
#include <tokenheap/kv/shares.hpp>

namespace {

namespace kv = tokenheap::kv;

[[noreturn]] void fail(const char* why) {
  std::fprintf(stderr, "benchmark_kv_eviction: %s\n", why);
  std::exit(1);
}

class list_limit {
 public:
  bool open(std::size_t blocks) {
    rows_.assign(blocks + 1, {static_cast<kv::block_id>(blocks), static_cast<kv::block_id>(blocks)});
    end_ = static_cast<kv::block_id>(blocks);
    return true;
  }
  void push(kv::block_id id) {
    rows_[id] = {end_, rows_[end_].previous};
    rows_[rows_[end_].previous].next = id;
    rows_[end_].previous = id;
  }
  bool remove(kv::block_id id) {
    rows_[rows_[id].previous].next = rows_[id].next;
    rows_[rows_[id].next].previous = rows_[id].previous;
    return true;
  }
  template <class Seen>
  void pop(kv::block_id* out, std::size_t n, Seen&&) {
    for (std::size_t at = 0; at < n; ++at) static_cast<void>(remove(out[at] = rows_[end_].next));
  }

 private:
  struct row {
    kv::block_id next;
    kv::block_id previous;
  };
  std::vector<row> rows_;
  kv::block_id end_ = 0;
};

// what the requests say: nothing, or all kinds of things
enum class says { nothing, priorities, ticks };

template <class Order, says What>
void tell(Order& order, kv::block_id id, std::uint64_t now, std::uint64_t turnover) {
  if constexpr (What == says::nothing) {
    static_cast<void>(order), static_cast<void>(id), static_cast<void>(now), static_cast<void>(turnover);
  } else if constexpr (What == says::priorities) {
    order.value(id, {.priority = static_cast<std::uint8_t>(id % 101), .again = id % 3 == 0});
  } else {
    // as long as it takes until all blocks were exchanged, on average: about every second one falls before it leaves
    order.value(id, {.priority = 90, .later = 10, .until = now + 1 + id % (2 * turnover)});
  }
}

template <class Order, says What>
void under_pressure(benchmark::State& state) {
  const auto blocks = static_cast<std::size_t>(state.range(0));
  constexpr std::size_t batch = 24;  // what a request of the conversation trace brings
  Order order;
  if (!order.open(blocks)) fail("no memory");
  std::vector<kv::block_id> ids(blocks);
  std::iota(ids.begin(), ids.end(), 0U);
  std::mt19937 dice(7);
  std::shuffle(ids.begin(), ids.end(), dice);
  std::uint64_t now = 0;
  for (const kv::block_id id : ids) {
    tell<Order, What>(order, id, now, blocks / batch);
    order.push(id);
  }
  kv::block_id out[batch];
  for (auto _ : state) {
    order.pop(out, batch, kv::block_visitor{});
    if constexpr (What == says::ticks) order.advance(++now);
    for (const kv::block_id id : out) {
      tell<Order, What>(order, id, now, blocks / batch);
      order.push(id);
    }
  }
  state.counters["ns_per_block"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * static_cast<double>(batch) * 1e-9,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

// 64 tenants, every second one beyond its share: those below take from them, as the pool does it, block by block
void under_pressure_of_tenants(benchmark::State& state) {
  const auto blocks = static_cast<std::size_t>(state.range(0));
  constexpr std::size_t batch = 24;
  constexpr kv::tenant_id tenants = 64;
  kv::shares order;
  if (!order.open(blocks)) fail("no memory");
  order.share_others(blocks / tenants / 2);
  std::vector<kv::block_id> ids(blocks);
  std::iota(ids.begin(), ids.end(), 0U);
  std::mt19937 dice(7);
  std::shuffle(ids.begin(), ids.end(), dice);
  for (const kv::block_id id : ids) {
    order.charge(&id, 1, id % tenants);
    order.push(id);
  }
  kv::block_id out[batch];
  kv::tenant_id who = 0;
  for (auto _ : state) {
    who = (who + 1) % tenants;
    const auto account = order.account(who);
    if (account.room(0, order.over() - account.over()) < batch) fail("no room");
    order.pop_for(who, out, batch, kv::block_visitor{});
    order.charge(out, batch, who);
    for (const kv::block_id id : out) order.push(id);
    // shares move, so that some are always beyond theirs
    if (who != 0) continue;
    const auto other = static_cast<kv::tenant_id>(dice() % tenants);
    if (order.share(other, batch + dice() % (blocks / tenants)) != tokenheap::errc::ok) fail("no share");
  }
  state.counters["ns_per_block"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * static_cast<double>(batch) * 1e-9,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

#define PRESSURE(Order, What, label) \
  BENCHMARK_TEMPLATE(under_pressure, Order, What)->Name("kv_evict/" label)->Arg(10'000)->Arg(100'000)->Arg(1'000'000)

PRESSURE(list_limit, says::nothing, "limit_list");
PRESSURE(kv::lru, says::nothing, "tokenheap_lru");
PRESSURE(kv::s3_fifo, says::nothing, "tokenheap_s3_fifo");
PRESSURE(kv::shares, says::nothing, "tokenheap_shares_one_tenant");
BENCHMARK(under_pressure_of_tenants)->Name("kv_evict/tokenheap_shares")->Arg(10'000)->Arg(100'000)->Arg(1'000'000);
PRESSURE(kv::hinted, says::nothing, "tokenheap_hinted");
PRESSURE(kv::hinted, says::priorities, "tokenheap_hinted_priorities");
PRESSURE(kv::hinted, says::ticks, "tokenheap_hinted_ticks");

}  // namespace
