// Ranges: churn and fill-and-drain against a hand-written two-level segregated fit without any safety, and occupancy at
// the first failure against exact best fit (`--occupancy`).
//
// The limit does what such an allocator must do and nothing else: no checks, no counters, no generations, arrays of a
// fixed size, good fit (the first range of a class in which every range fits).

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <string_view>
#include <vector>

#include <tokenheap/alloc/range_map.hpp>

namespace {

using namespace tokenheap;

constexpr std::size_t pool_bytes = 4 * GiB;
constexpr std::size_t unit = 256;

class limit {
 public:
  struct piece {
    std::uint64_t offset;
    std::uint32_t node;
  };

  explicit limit(std::size_t size) : nodes_(1u << 17) {
    for (std::uint32_t n = 1; n + 1 < nodes_.size(); ++n) nodes_[n].after = n + 1;
    spare_ = 2;
    nodes_[0].out = true;
    nodes_[1] = {0, size, 0, 0, 0, 0, false};
    list(1);
  }

  piece allocate(std::size_t bytes) {
    const std::uint64_t size = (bytes + unit - 1) & ~std::uint64_t{unit - 1};
    const std::uint64_t units = size / unit;
    // up to the next class, so that any range of it fits
    const unsigned log = static_cast<unsigned>(63 - std::countl_zero(units | sub));
    const std::size_t c = class_of(units + (units < sub ? 0 : (std::uint64_t{1} << (log - 5)) - 1));
    std::size_t level = c / sub;
    std::uint32_t word = bits_[level] & (~0u << (c % sub));
    if (word == 0) {
      const std::uint64_t tops = tops_ & (~std::uint64_t{1} << level);
      if (tops == 0) return {0, 0};
      level = static_cast<std::size_t>(std::countr_zero(tops));
      word = bits_[level];
    }
    const std::uint32_t n = heads_[level * sub + static_cast<std::size_t>(std::countr_zero(word))];
    unlist(n);
    node& a = nodes_[n];
    if (a.size != size) {
      const std::uint32_t r = spare_;
      node& b = nodes_[r];
      spare_ = b.after;
      b.offset = a.offset + size;
      b.size = a.size - size;
      b.left = n;
      b.right = a.right;
      b.out = false;
      nodes_[a.right].left = r;
      a.right = r;
      a.size = size;
      list(r);
    }
    a.out = true;
    return {a.offset, n};
  }

  void deallocate(piece p) {
    std::uint32_t n = p.node;
    nodes_[n].out = false;
    if (const std::uint32_t l = nodes_[n].left; !nodes_[l].out) {
      unlist(l);
      merge(l, n);
      n = l;
    }
    if (const std::uint32_t r = nodes_[n].right; !nodes_[r].out) {
      unlist(r);
      merge(n, r);
    }
    list(n);
  }

 private:
  static constexpr std::size_t sub = 32;
  struct node {
    std::uint64_t offset;
    std::uint64_t size;
    std::uint32_t left, right, before, after;
    bool out;
  };

  static std::size_t class_of(std::uint64_t units) {
    const unsigned e = static_cast<unsigned>(63 - std::countl_zero(units | sub)) - 5;
    return (std::size_t{e} << 5) + static_cast<std::size_t>(units >> e);
  }
  void merge(std::uint32_t n, std::uint32_t r) {
    nodes_[n].size += nodes_[r].size;
    nodes_[n].right = nodes_[r].right;
    nodes_[nodes_[r].right].left = n;
    nodes_[r].after = spare_;
    spare_ = r;
  }
  void list(std::uint32_t n) {
    const std::size_t c = class_of(nodes_[n].size / unit);
    nodes_[n].before = 0;
    nodes_[n].after = heads_[c];
    nodes_[heads_[c]].before = n;
    heads_[c] = n;
    bits_[c / sub] |= 1u << (c % sub);
    tops_ |= std::uint64_t{1} << (c / sub);
  }
  void unlist(std::uint32_t n) {
    node& a = nodes_[n];
    nodes_[a.after].before = a.before;
    if (a.before != 0) {
      nodes_[a.before].after = a.after;
      return;
    }
    const std::size_t c = class_of(a.size / unit);
    heads_[c] = a.after;
    if (a.after != 0) return;
    bits_[c / sub] &= ~(1u << (c % sub));
    if (bits_[c / sub] == 0) tops_ &= ~(std::uint64_t{1} << (c / sub));
  }

  std::vector<node> nodes_;
  std::uint32_t spare_ = 0;
  std::uint64_t tops_ = 0;
  std::array<std::uint32_t, 64> bits_{};
  std::array<std::uint32_t, 64 * sub> heads_{};
};

// --- what each contender is asked

struct with_limit {
  using piece = limit::piece;
  limit map{pool_bytes};
  piece take(std::size_t bytes) { return map.allocate(bytes); }
  void give(piece p, std::size_t) { map.deallocate(p); }
  static bool is_there(piece p) { return p.node != 0; }
};

template <range_shape Shape>
struct with_handles {
  using piece = range;
  range_map<Shape> map{{.size = pool_bytes, .reserve = 1u << 12}};
  piece take(std::size_t bytes) { return map.allocate(bytes); }
  void give(piece p, std::size_t) { benchmark::DoNotOptimize(map.deallocate(p)); }
  static bool is_there(piece p) { return static_cast<bool>(p); }
};

template <range_shape Shape>
struct with_offsets : with_handles<Shape> {
  void give(range p, std::size_t bytes) { benchmark::DoNotOptimize(this->map.deallocate(p.offset, bytes)); }
};

// the other way to find a range by its offset: one word per unit of the whole span
struct with_granules : with_handles<range_shape{.granularity = unit}> {
  std::vector<std::uint64_t> granules = std::vector<std::uint64_t>(pool_bytes / unit);
  range take(std::size_t bytes) {
    const range r = map.allocate(bytes);
    if (r) granules[r.offset / unit] = std::uint64_t{r.generation} << 32 | r.node;
    return r;
  }
  void give(range p, std::size_t) {
    std::uint64_t& word = granules[p.offset / unit];
    const range r{p.offset, static_cast<std::uint32_t>(word), static_cast<std::uint32_t>(word >> 32)};
    word = 0;
    benchmark::DoNotOptimize(map.deallocate(r));
  }
};

constexpr range_shape by_handle{.granularity = unit};
constexpr range_shape by_offset{.granularity = unit, .by_offset = true};

// --- workloads

enum class sizes { log_uniform, uniform, kv_mix };

std::vector<std::size_t> draw(sizes which, std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> exponent(9.0, 26.0);
  std::uniform_int_distribution<std::size_t> flat(512, 64 * MiB);
  // sequences of 2 MiB blocks, the growth of a batch, small tables
  constexpr std::array<std::size_t, 8> mix{2 * MiB,  2 * MiB,  2 * MiB,   4 * MiB,
                                           16 * MiB, 64 * KiB, 512 * KiB, 36 * MiB};
  std::vector<std::size_t> out(count);
  for (std::size_t& bytes : out) {
    switch (which) {
      case sizes::log_uniform: bytes = static_cast<std::size_t>(std::exp2(exponent(random))); break;
      case sizes::uniform: bytes = flat(random); break;
      case sizes::kv_mix: bytes = mix[random() % mix.size()]; break;
    }
  }
  return out;
}

// a random piece goes, a new one of another size comes; about 60 % of the span is out
template <class Contender>
void churn(benchmark::State& state) {
  constexpr std::size_t steps = 1u << 16;
  const auto bytes = draw(static_cast<sizes>(state.range(0)), steps, 7);
  std::mt19937_64 random(11);
  Contender contender;
  std::vector<typename Contender::piece> live;
  std::vector<std::size_t> live_bytes;
  std::size_t out = 0;
  for (std::size_t i = 0; out + bytes[i] < pool_bytes / 10 * 6; ++i) {
    live.push_back(contender.take(bytes[i]));
    live_bytes.push_back(bytes[i]);
    out += bytes[i];
  }
  std::vector<std::uint32_t> victims(steps);
  for (auto& v : victims) v = static_cast<std::uint32_t>(random() % live.size());
  std::size_t at = 0;
  std::size_t refused = 0;
  for (auto _ : state) {
    const std::uint32_t v = victims[at];
    if (Contender::is_there(live[v])) contender.give(live[v], live_bytes[v]);
    live[v] = contender.take(bytes[at]);
    live_bytes[v] = bytes[at];
    refused += !Contender::is_there(live[v]);
    at = (at + 1) % steps;
  }
  state.counters["live"] = static_cast<double>(live.size());
  state.counters["refused%"] = 100.0 * static_cast<double>(refused) / static_cast<double>(state.iterations());
}

template <class Contender>
void fill_and_drain(benchmark::State& state) {
  const auto bytes = draw(sizes::log_uniform, 512, 3);
  Contender contender;
  std::vector<typename Contender::piece> live(bytes.size());
  for (auto _ : state) {
    for (std::size_t i = 0; i != bytes.size(); ++i) live[i] = contender.take(bytes[i]);
    for (std::size_t i = 0; i != bytes.size(); ++i)
      if (Contender::is_there(live[i])) contender.give(live[i], bytes[i]);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * bytes.size()));
}

BENCHMARK(churn<with_limit>)->Name("ranges/churn/limit")->DenseRange(0, 2);
BENCHMARK(churn<with_handles<by_handle>>)->Name("ranges/churn/ours")->DenseRange(0, 2);
BENCHMARK(churn<with_offsets<by_offset>>)->Name("ranges/churn/ours_by_offset")->DenseRange(0, 2);
BENCHMARK(churn<with_granules>)->Name("ranges/churn/ours_by_granule")->DenseRange(0, 2);
BENCHMARK(fill_and_drain<with_limit>)->Name("ranges/fill_and_drain/limit");
BENCHMARK(fill_and_drain<with_handles<by_handle>>)->Name("ranges/fill_and_drain/ours");
BENCHMARK(fill_and_drain<with_offsets<by_offset>>)->Name("ranges/fill_and_drain/ours_by_offset");

// --- occupancy at the first failure

class exact_best_fit {
 public:
  explicit exact_best_fit(std::size_t size) { put(0, size); }
  bool allocate(std::size_t bytes, std::size_t& offset) {
    const std::size_t size = align_up(bytes, unit);
    const auto best = by_size_.lower_bound({size, 0});
    if (best == by_size_.end()) return false;
    const auto [have, at] = *best;
    drop(at, have);
    if (have != size) put(at + size, have - size);
    offset = at;
    return true;
  }
  void deallocate(std::size_t offset, std::size_t bytes) {
    std::size_t size = align_up(bytes, unit);
    auto next = by_offset_.lower_bound(offset);
    if (next != by_offset_.end() && next->first == offset + size) {
      const auto [at, have] = *next;
      size += have;
      drop(at, have);
    }
    next = by_offset_.lower_bound(offset);
    if (next != by_offset_.begin()) {
      const auto [at, have] = *std::prev(next);
      if (at + have == offset) {
        drop(at, have);
        offset = at;
        size += have;
      }
    }
    put(offset, size);
  }

 private:
  void put(std::size_t at, std::size_t size) {
    by_size_.insert({size, at});
    by_offset_[at] = size;
  }
  void drop(std::size_t at, std::size_t size) {
    by_size_.erase({size, at});
    by_offset_.erase(at);
  }
  std::set<std::pair<std::size_t, std::size_t>> by_size_;
  std::map<std::size_t, std::size_t> by_offset_;
};

struct first_failure_of_best_fit {
  exact_best_fit map{pool_bytes};
  bool take(std::size_t bytes, std::size_t& offset, range&) { return map.allocate(bytes, offset); }
  void give(std::size_t offset, std::size_t bytes, range) { map.deallocate(offset, bytes); }
};
template <range_shape Shape>
struct first_failure_of_ours {
  range_map<Shape> map{{.size = pool_bytes}};
  bool take(std::size_t bytes, std::size_t&, range& r) { return static_cast<bool>(r = map.allocate(bytes)); }
  void give(std::size_t, std::size_t, range r) { (void)map.deallocate(r); }
};
struct first_failure_of_limit {
  limit map{pool_bytes};
  bool take(std::size_t bytes, std::size_t& offset, range& r) {
    const limit::piece p = map.allocate(bytes);
    offset = p.offset;
    r.node = p.node;
    return p.node != 0;
  }
  void give(std::size_t offset, std::size_t, range r) { map.deallocate({offset, r.node}); }
};

// three pieces come for two that go, at random, until one is refused; the share of the span that is out then
template <class Contender>
double occupancy(sizes which, std::uint64_t seed) {
  struct piece {
    std::size_t offset, bytes;
    range handle;
  };
  const auto bytes = draw(which, 1u << 18, seed);
  std::mt19937_64 random(seed * 77 + 5);
  Contender contender;
  std::vector<piece> live;
  std::size_t out = 0;
  for (const std::size_t next : bytes) {
    piece p{0, next, {}};
    if (!contender.take(next, p.offset, p.handle)) break;
    out += align_up(next, unit);
    live.push_back(p);
    if (random() % 3 == 0) continue;
    const std::size_t v = random() % live.size();
    contender.give(live[v].offset, live[v].bytes, live[v].handle);
    out -= align_up(live[v].bytes, unit);
    live[v] = live.back();
    live.pop_back();
  }
  return 100.0 * static_cast<double>(out) / static_cast<double>(pool_bytes);
}

void report_occupancy() {
  constexpr int seeds = 200;
  std::printf("percent of the span that is out at the first failure, mean of %d runs\n", seeds);
  std::printf("%-12s %9s %9s %9s %9s %9s\n", "sizes", "best fit", "ours", "scan 4", "32 cls", "limit");
  constexpr std::array<const char*, 3> names{"log-uniform", "uniform", "KV mix"};
  for (int which = 0; which != 3; ++which) {
    std::array<double, 5> sum{};
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      const auto s = static_cast<sizes>(which);
      sum[0] += occupancy<first_failure_of_best_fit>(s, seed);
      sum[1] += occupancy<first_failure_of_ours<range_shape{}>>(s, seed);
      sum[2] += occupancy<first_failure_of_ours<range_shape{.scan = 4}>>(s, seed);
      sum[3] += occupancy<first_failure_of_ours<range_shape{.subclasses = 32}>>(s, seed);
      sum[4] += occupancy<first_failure_of_limit>(s, seed);
    }
    std::printf("%-12s", names[static_cast<std::size_t>(which)]);
    for (const double s : sum) std::printf(" %9.2f", s / seeds);
    std::printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--occupancy") {
    report_occupancy();
    return 0;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
