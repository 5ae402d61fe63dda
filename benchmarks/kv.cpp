// KV blocks and prefixes: blocks taken and given back at 90 % full, and whole requests through the prefix index.
//
// Beside each workload stands a limit: what must be done and nothing else, without checks, counts of references per
// block, generations, salts, duplicates or statistics. Requests come from TOKENHEAP_TRACE, or from
// ../shared/traces/mooncake_conversation.jsonl where that is there, or else from a seeded generator.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <tokenheap/kv/sequence.hpp>

namespace {

namespace kv = tokenheap::kv;
using tokenheap::errc;

constexpr std::uint32_t pool_blocks = 65'536;
constexpr std::size_t block_tokens = 16;
constexpr std::size_t id_tokens = 512;
constexpr std::size_t in_flight = 16;
constexpr std::size_t trace_requests = 2'000;

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

// ---- whole requests

struct requests {
  std::vector<std::vector<kv::token>> prompts;
  std::size_t blocks = 0;
  const char* from = "";
};

// 512 tokens that belong to an id alone
void add_tokens(std::vector<kv::token>& to, std::uint64_t id, std::size_t n) {
  std::uint64_t mixed = (id + 1) * 0x9e3779b97f4a7c15;
  for (std::size_t at = 0; at < n; ++at) {
    mixed ^= mixed >> 29;
    mixed *= 0xbf58476d1ce4e5b9;
    to.push_back(static_cast<kv::token>((mixed >> 40) % 128'000));
    mixed += id + at;
  }
}

bool number_after(const std::string& line, const char* name, std::size_t& at, std::uint64_t& out) {
  at = line.find(name);
  if (at == std::string::npos) return false;
  at += std::strlen(name);
  while (at < line.size() && (line[at] == ':' || line[at] == ' ' || line[at] == '[')) ++at;
  out = std::strtoull(line.c_str() + at, nullptr, 10);
  return true;
}

requests read_trace(std::ifstream& file) {
  requests made;
  std::string line;
  while (made.prompts.size() < trace_requests && std::getline(file, line)) {
    std::size_t at = 0;
    std::uint64_t length = 0;
    std::uint64_t id = 0;
    if (!number_after(line, "\"input_length\"", at, length) || !number_after(line, "\"hash_ids\"", at, id)) continue;
    std::vector<kv::token> prompt;
    prompt.reserve(length);
    for (const char* next = line.c_str() + at; prompt.size() < length && *next != ']' && *next != '\0';) {
      char* end = nullptr;
      id = std::strtoull(next, &end, 10);
      if (end == next) break;
      add_tokens(prompt, id, std::min<std::size_t>(id_tokens, length - prompt.size()));
      next = *end == ',' ? end + 1 : end;
    }
    made.prompts.push_back(std::move(prompt));
  }
  made.from = "conversation trace";
  return made;
}

// chats that come back with all they said before, under one common beginning
requests generate() {
  requests made;
  std::mt19937_64 random(2026);
  std::vector<std::vector<std::uint64_t>> chats;
  std::uint64_t next = 1;
  while (made.prompts.size() < trace_requests) {
    if (chats.empty() || random() % 100 < 45) chats.push_back({0});
    auto& chat = chats[chats.size() - 1 - random() % std::min<std::size_t>(chats.size(), 200)];
    for (std::size_t n = 1 + random() % 24; n != 0; --n) chat.push_back(next++);
    std::vector<kv::token> prompt;
    for (const auto id : chat) add_tokens(prompt, id, id_tokens);
    prompt.resize(prompt.size() - random() % id_tokens);
    made.prompts.push_back(std::move(prompt));
  }
  made.from = "generated chats";
  return made;
}

const requests& all_requests() {
  static const requests made = [] {
    const char* named = std::getenv("TOKENHEAP_TRACE");
    requests read;
    for (const std::string& path : {std::string(named != nullptr ? named : ""),
                                   std::string("../shared/traces/mooncake_conversation.jsonl")}) {
      std::ifstream file(path);
      if (path.empty() || !file) continue;
      read = read_trace(file);
      break;
    }
    if (read.prompts.empty()) read = generate();
    for (const auto& prompt : read.prompts) read.blocks += (prompt.size() + block_tokens - 1) / block_tokens;
    return read;
  }();
  return made;
}

// The limit: a tree whose nodes hold runs of blocks. References, order and links exist per node, not per block.
class radix_limit {
 public:
  struct open_request {
    std::vector<std::uint32_t> ids;
    std::uint32_t node = 0;
    std::size_t shared = 0;
  };

  radix_limit() : tokens_(std::size_t{pool_blocks} * block_tokens), free_(pool_blocks), table_(1 << 17) {
    for (std::uint32_t n = 0; n < pool_blocks; ++n) free_[n] = pool_blocks - 1 - n;
    nodes_.reserve(1 << 16);
    nodes_.resize(2);  // 0 nobody, 1 the root
    nodes_[1].references = 1;
    order_.next = order_.previous = 0;
  }

  open_request open(const std::vector<kv::token>& prompt) {
    open_request r;
    const std::size_t count = (prompt.size() + block_tokens - 1) / block_tokens;
    const std::size_t full = prompt.size() / block_tokens;
    const std::size_t limit = (prompt.size() - 1) / block_tokens;
    r.ids.reserve(count);
    std::uint32_t node = 1;
    while (r.ids.size() < limit) {
      const kv::token* const at = prompt.data() + r.ids.size() * block_tokens;
      const std::uint32_t child = find(node, at);
      if (child == 0) break;
      const auto& run = nodes_[child].run;
      std::size_t n = 0;
      const std::size_t most = std::min(run.size(), limit - r.ids.size());
      while (n < most && kv::equal_tokens(tokens_of(run[n]), at + n * block_tokens, block_tokens)) ++n;
      if (n == 0) break;
      r.ids.insert(r.ids.end(), run.begin(), run.begin() + static_cast<long>(n));
      node = n < run.size() ? split(child, n) : child;
      if (n < most) break;
    }
    r.shared = r.ids.size();
    hold(node);
    const std::size_t need = count - r.shared;
    while (free_.size() < need) evict(need - free_.size());
    r.ids.insert(r.ids.end(), free_.end() - static_cast<long>(need), free_.end());
    free_.resize(free_.size() - need);
    for (std::size_t n = r.shared; n < full; ++n) {
      std::memcpy(&tokens_[r.ids[n] * block_tokens], prompt.data() + n * block_tokens, block_tokens * 4);
    }
    r.node = node;
    if (full > r.shared && find(node, prompt.data() + r.shared * block_tokens) == 0) {
      const std::uint32_t leaf = fresh();
      nodes_[leaf].run.assign(r.ids.begin() + static_cast<long>(r.shared), r.ids.begin() + static_cast<long>(full));
      nodes_[leaf].references = 1;
      attach(leaf, node);
      r.node = leaf;
      r.shared = full;
    }
    return r;
  }

  void close(const open_request& r) {
    for (std::size_t n = r.ids.size(); n > r.shared; --n) free_.push_back(r.ids[n - 1]);
    for (std::uint32_t node = r.node; node != 1; node = nodes_[node].parent) {
      if (--nodes_[node].references == 0) push(node);
    }
  }

 private:
  struct node_type {
    std::vector<std::uint32_t> run;
    std::uint32_t parent = 0;
    std::uint32_t references = 0;
    std::uint32_t next = 0;
    std::uint32_t previous = 0;
  };
  struct ends {
    std::uint32_t next;
    std::uint32_t previous;
  };

  const kv::token* tokens_of(std::uint32_t id) const { return &tokens_[std::size_t{id} * block_tokens]; }

  std::size_t home(std::uint32_t parent, const kv::token* tokens) const {
    return kv::mixed_hash{}(tokens, block_tokens, parent) & (table_.size() - 1);
  }
  std::uint32_t find(std::uint32_t parent, const kv::token* tokens) const {
    for (std::size_t at = home(parent, tokens); table_[at] != 0; at = (at + 1) & (table_.size() - 1)) {
      const node_type& n = nodes_[table_[at]];
      if (n.parent == parent && kv::equal_tokens(tokens_of(n.run[0]), tokens, block_tokens)) return table_[at];
    }
    return 0;
  }
  void attach(std::uint32_t node, std::uint32_t parent) {
    nodes_[node].parent = parent;
    std::size_t at = home(parent, tokens_of(nodes_[node].run[0]));
    while (table_[at] != 0) at = (at + 1) & (table_.size() - 1);
    table_[at] = node;
  }
  void detach(std::uint32_t node) {
    const std::size_t mask = table_.size() - 1;
    std::size_t hole = home(nodes_[node].parent, tokens_of(nodes_[node].run[0]));
    while (table_[hole] != node) hole = (hole + 1) & mask;
    for (std::size_t at = (hole + 1) & mask; table_[at] != 0; at = (at + 1) & mask) {
      const node_type& n = nodes_[table_[at]];
      const std::size_t wanted = home(n.parent, tokens_of(n.run[0]));
      if (((at - wanted) & mask) < ((at - hole) & mask)) continue;
      table_[hole] = table_[at];
      hole = at;
    }
    table_[hole] = 0;
  }

  std::uint32_t fresh() {
    if (spare_.empty()) {
      nodes_.emplace_back();
      return static_cast<std::uint32_t>(nodes_.size() - 1);
    }
    const std::uint32_t node = spare_.back();
    spare_.pop_back();
    return node;
  }

  // the upper part becomes a node of its own, so that the lower one keeps its holders and children
  std::uint32_t split(std::uint32_t node, std::size_t n) {
    const std::uint32_t upper = fresh();
    detach(node);
    auto& run = nodes_[node].run;
    nodes_[upper].run.assign(run.begin(), run.begin() + static_cast<long>(n));
    run.erase(run.begin(), run.begin() + static_cast<long>(n));
    nodes_[upper].references = nodes_[node].references;
    attach(upper, nodes_[node].parent);
    attach(node, upper);
    if (nodes_[upper].references == 0) insert(upper, node, nodes_[node].next);
    return upper;
  }

  void hold(std::uint32_t node) {
    for (; node != 1; node = nodes_[node].parent) {
      if (nodes_[node].references++ == 0) unlink(node);
    }
  }

  void insert(std::uint32_t node, std::uint32_t previous, std::uint32_t next) {
    nodes_[node].next = next;
    nodes_[node].previous = previous;
    (previous == 0 ? order_.next : nodes_[previous].next) = node;
    (next == 0 ? order_.previous : nodes_[next].previous) = node;
  }
  void push(std::uint32_t node) { insert(node, order_.previous, 0); }
  void unlink(std::uint32_t node) {
    const node_type& n = nodes_[node];
    (n.previous == 0 ? order_.next : nodes_[n.previous].next) = n.next;
    (n.next == 0 ? order_.previous : nodes_[n.next].previous) = n.previous;
  }

  void evict(std::size_t n) {
    const std::uint32_t node = order_.next;
    if (node == 0) fail("the limit ran out of blocks");
    auto& run = nodes_[node].run;
    const std::size_t gone = std::min(n, run.size());
    for (std::size_t at = 0; at < gone; ++at) free_.push_back(run[run.size() - 1 - at]);
    if (gone < run.size()) return run.resize(run.size() - gone);
    unlink(node);
    detach(node);
    run.clear();
    spare_.push_back(node);
  }

  std::vector<kv::token> tokens_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> table_;
  std::vector<std::uint32_t> spare_;
  std::vector<node_type> nodes_;
  ends order_{};
};

class index_of_ours {
 public:
  using pool_type = kv::block_pool<>;
  using open_request = kv::sequence<pool_type>;

  index_of_ours() : pool_(open_pool()) {}

  open_request open(const std::vector<kv::token>& prompt) {
    auto made = open_request::open(pool_, prompt);
    if (!made) fail("a request was refused");
    if (made->publish(prompt.size()) != errc::ok) fail("a publish was refused");
    reused += made->cached_tokens();
    return static_cast<open_request&&>(*made);
  }
  void close(open_request& r) { r.close(); }
  const pool_type& pool() const { return pool_; }
  std::size_t reused = 0;

 private:
  static pool_type open_pool() {
    auto made = pool_type::open({.blocks = pool_blocks, .block_tokens = block_tokens});
    if (!made) fail("no pool");
    return static_cast<pool_type&&>(*made);
  }
  pool_type pool_;
};

template <class Index>
void replay(Index& index, const requests& all) {
  std::vector<typename Index::open_request> running;
  running.reserve(in_flight);
  std::size_t oldest = 0;
  for (const auto& prompt : all.prompts) {
    if (running.size() < in_flight) {
      running.push_back(index.open(prompt));
      continue;
    }
    index.close(running[oldest]);
    running[oldest] = index.open(prompt);
    oldest = (oldest + 1) % in_flight;
  }
  for (auto& r : running) index.close(r);
}

template <class Index>
void whole_requests(benchmark::State& state) {
  const requests& all = all_requests();
  state.SetLabel(all.from);
  for (auto _ : state) {
    state.PauseTiming();
    auto index = std::make_unique<Index>();
    state.ResumeTiming();
    replay(*index, all);
    state.PauseTiming();
    if constexpr (requires { index->reused; }) {
      state.counters["bytes_per_block"] = static_cast<double>(index->pool().stats().bookkeeping_bytes) / pool_blocks;
      state.counters["reused_tokens"] = static_cast<double>(index->reused);
    }
    index.reset();
    state.ResumeTiming();
  }
  state.counters["ns_per_block"] =
      benchmark::Counter(static_cast<double>(state.iterations()) * static_cast<double>(all.blocks) * 1e-9,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

BENCHMARK_TEMPLATE(whole_requests, radix_limit)->Name("kv_requests/limit_radix")->Unit(benchmark::kMillisecond);
BENCHMARK_TEMPLATE(whole_requests, index_of_ours)->Name("kv_requests/tokenheap")->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
