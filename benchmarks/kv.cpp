// KV blocks taken and given back at 90 % full, beside limits: what must be done and nothing else, without checks.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include <tokenheap/kv/block_pool.hpp>

namespace {

namespace kv = tokenheap::kv;
using tokenheap::errc;

constexpr std::uint32_t pool_blocks = 65'536;
constexpr std::size_t block_tokens = 16;

[[noreturn]] void fail(const char* why) {
  std::fprintf(stderr, "benchmark_kv: %s\n", why);
  std::exit(1);
}

// ---- blocks, one by one and in batches

class stack_limit {
 public:
  stack_limit() : ids_(pool_blocks), top_(pool_blocks) {
    for (std::uint32_t n = 0; n < pool_blocks; ++n) ids_[n] = pool_blocks - 1 - n;
  }
  void take(std::uint32_t* out, std::size_t n) {
    top_ -= n;
    std::memcpy(out, ids_.data() + top_, n * sizeof *out);
  }
  void give(const std::uint32_t* in, std::size_t n) {
    std::memcpy(ids_.data() + top_, in, n * sizeof *in);
    top_ += n;
  }

 private:
  std::vector<std::uint32_t> ids_;
  std::size_t top_;
};

// a count of references per block, and a ring in the order of release
class ring_limit {
 public:
  ring_limit() : rows_(pool_blocks + 1), references_(pool_blocks) {
    for (std::uint32_t n = 0; n <= pool_blocks; ++n) {
      rows_[n] = {n == pool_blocks ? 0 : n + 1, n == 0 ? pool_blocks : n - 1};
    }
  }
  void take(std::uint32_t* out, std::size_t n) {
    for (std::size_t at = 0; at < n; ++at) {
      const std::uint32_t id = out[at] = rows_[pool_blocks].next;
      rows_[pool_blocks].next = rows_[id].next;
      rows_[rows_[id].next].previous = pool_blocks;
      references_[id] = 1;
    }
  }
  void give(const std::uint32_t* in, std::size_t n) {
    for (std::size_t at = 0; at < n; ++at) {
      if (--references_[in[at]] != 0) continue;
      const std::uint32_t last = rows_[pool_blocks].previous;
      rows_[in[at]] = {pool_blocks, last};
      rows_[last].next = rows_[pool_blocks].previous = in[at];
    }
  }

 private:
  struct row {
    std::uint32_t next;
    std::uint32_t previous;
  };
  std::vector<row> rows_;
  std::vector<std::uint32_t> references_;
};

template <class Policy>
class pool_of_ours {
 public:
  pool_of_ours() : pool_(open()) {}
  void take(std::uint32_t* out, std::size_t n) {
    if (pool_.allocate({out, n}) != errc::ok) fail("a take was refused");
  }
  void give(const std::uint32_t* in, std::size_t n) { pool_.deallocate(std::span<const std::uint32_t>{in, n}); }

 private:
  static kv::block_pool<Policy> open() {
    auto made = kv::block_pool<Policy>::open({.blocks = pool_blocks, .block_tokens = block_tokens});
    if (!made) fail("no pool");
    return static_cast<kv::block_pool<Policy>&&>(*made);
  }
  kv::block_pool<Policy> pool_;
};

struct spinning : kv::default_policy {
  using lock = tokenheap::spin_lock;
};

using ours = pool_of_ours<kv::default_policy>;
using ours_spinning = pool_of_ours<spinning>;

// whether a batch comes back as it went, as the blocks of a request do, or mixed with all others
enum class order { as_taken, scattered };

template <class Pool, order Order>
void take_and_give(benchmark::State& state) {
  const auto batch = static_cast<std::size_t>(state.range(0));
  Pool pool;
  std::vector<std::uint32_t> live(pool_blocks / 10 * 9 / batch * batch);
  for (std::size_t at = 0; at < live.size(); at += batch) pool.take(live.data() + at, batch);
  std::mt19937 random(7);
  if (Order == order::scattered) std::shuffle(live.begin(), live.end(), random);
  // batches come back in random order all the same
  std::vector<std::size_t> turns(live.size() / batch);
  for (std::size_t n = 0; n < turns.size(); ++n) turns[n] = n * batch;
  std::shuffle(turns.begin(), turns.end(), random);
  std::array<std::uint32_t, 64> fresh{};
  std::size_t turn = 0;
  for (auto _ : state) {
    std::uint32_t* const old = live.data() + turns[turn];
    pool.take(fresh.data(), batch);
    pool.give(old, batch);
    std::memcpy(old, fresh.data(), batch * sizeof(std::uint32_t));
    benchmark::ClobberMemory();
    if (++turn == turns.size()) turn = 0;
  }
  pool.give(live.data(), live.size());
  state.counters["ns_per_block"] = benchmark::Counter(
      static_cast<double>(state.iterations()) * static_cast<double>(batch) * 1e-9,
      benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

BENCHMARK_TEMPLATE(take_and_give, stack_limit, order::as_taken)->Name("kv_blocks/limit_stack")->Arg(1)->Arg(64);
BENCHMARK_TEMPLATE(take_and_give, ring_limit, order::as_taken)->Name("kv_blocks/limit_ring")->Arg(1)->Arg(64);
BENCHMARK_TEMPLATE(take_and_give, ours, order::as_taken)->Name("kv_blocks/tokenheap")->Arg(1)->Arg(64);
BENCHMARK_TEMPLATE(take_and_give, ours_spinning, order::as_taken)
    ->Name("kv_blocks/tokenheap_spin_lock")->Arg(1)->Arg(64);
BENCHMARK_TEMPLATE(take_and_give, stack_limit, order::scattered)->Name("kv_blocks_scattered/limit_stack")->Arg(64);
BENCHMARK_TEMPLATE(take_and_give, ring_limit, order::scattered)->Name("kv_blocks_scattered/limit_ring")->Arg(64);
BENCHMARK_TEMPLATE(take_and_give, ours, order::scattered)->Name("kv_blocks_scattered/tokenheap")->Arg(64);
BENCHMARK_TEMPLATE(take_and_give, ours_spinning, order::scattered)
    ->Name("kv_blocks_scattered/tokenheap_spin_lock")->Arg(64);

}  // namespace

BENCHMARK_MAIN();
