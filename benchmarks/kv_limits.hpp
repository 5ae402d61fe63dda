// Requests and hand-written limits for the benchmarks of the prefix indexes: what must be done and nothing else.
//
// Limits have no checks, generations, salts, duplicates or statistics.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <unordered_set>
#include <vector>

#include <tokenheap/kv/block_hash.hpp>
#include <tokenheap/kv/tokens.hpp>

namespace limits {

namespace kv = tokenheap::kv;

constexpr std::size_t id_tokens = 512;

[[noreturn]] inline void fail(const char* why) {
  std::fprintf(stderr, "benchmark_kv_prefix: %s\n", why);
  std::exit(1);
}

struct requests {
  std::vector<std::vector<kv::token>> prompts;
  std::vector<std::size_t> distinct;  // different ids up to the end of each
  const char* from = "";
};

// 512 tokens that belong to an id alone
inline void add_tokens(std::vector<kv::token>& to, std::uint64_t id, std::size_t n) {
  std::uint64_t mixed = (id + 1) * 0x9e3779b97f4a7c15;
  for (std::size_t at = 0; at < n; ++at) {
    mixed ^= mixed >> 29;
    mixed *= 0xbf58476d1ce4e5b9;
    to.push_back(static_cast<kv::token>((mixed >> 40) % 128'000));
    mixed += id + at;
  }
}

inline bool number_after(const std::string& line, const char* name, std::size_t& at, std::uint64_t& out) {
  at = line.find(name);
  if (at == std::string::npos) return false;
  at += std::strlen(name);
  while (at < line.size() && (line[at] == ':' || line[at] == ' ' || line[at] == '[')) ++at;
  out = std::strtoull(line.c_str() + at, nullptr, 10);
  return true;
}

inline requests read_trace(std::ifstream& file) {
  requests made;
  std::unordered_set<std::uint64_t> seen;
  std::string line;
  while (std::getline(file, line)) {
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
      seen.insert(id);
      add_tokens(prompt, id, std::min<std::size_t>(id_tokens, length - prompt.size()));
      next = *end == ',' ? end + 1 : end;
    }
    made.prompts.push_back(std::move(prompt));
    made.distinct.push_back(seen.size());
  }
  made.from = "conversation trace";
  return made;
}

// chats that come back with all they said before, under one common beginning
inline requests generate() {
  constexpr std::size_t count = 12'000;
  requests made;
  std::mt19937_64 random(2026);
  std::vector<std::vector<std::uint64_t>> chats;
  std::uint64_t next = 1;
  while (made.prompts.size() < count) {
    if (chats.empty() || random() % 100 < 45) chats.push_back({0});
    auto& chat = chats[chats.size() - 1 - random() % std::min<std::size_t>(chats.size(), 200)];
    for (std::size_t n = 1 + random() % 24; n != 0; --n) chat.push_back(next++);
    std::vector<kv::token> prompt;
    for (const auto id : chat) add_tokens(prompt, id, id_tokens);
    prompt.resize(prompt.size() - random() % id_tokens);
    made.prompts.push_back(std::move(prompt));
    made.distinct.push_back(static_cast<std::size_t>(next));
  }
  made.from = "generated chats";
  return made;
}

inline const requests& all_requests() {
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
    return read;
  }();
  return made;
}

// The limit: a tree whose nodes hold runs of blocks. References, order and links exist per node, not per block.
// With `PastCaches` the tokens are written past the caches, as the library's radix index does.
template <std::size_t Blocks, std::size_t BlockTokens, bool PastCaches = false>
class radix_limit {
 public:
  struct open_request {
    std::vector<std::uint32_t> ids;
    std::uint32_t node = 0;
    std::size_t shared = 0;
  };

  radix_limit() : tokens_(Blocks * BlockTokens), free_(Blocks), table_(1 << 17) {
    for (std::uint32_t n = 0; n < Blocks; ++n) free_[n] = static_cast<std::uint32_t>(Blocks - 1 - n);
    nodes_.reserve(1 << 16);
    nodes_.resize(2);  // 0 nobody, 1 the root
    nodes_[1].references = 1;
    order_.next = order_.previous = 0;
  }

  open_request open(const std::vector<kv::token>& prompt) {
    open_request r;
    const std::size_t count = (prompt.size() + BlockTokens - 1) / BlockTokens;
    const std::size_t full = prompt.size() / BlockTokens;
    const std::size_t limit = (prompt.size() - 1) / BlockTokens;
    r.ids.reserve(count);
    std::uint32_t node = 1;
    while (r.ids.size() < limit) {
      const kv::token* const at = prompt.data() + r.ids.size() * BlockTokens;
      const std::uint32_t child = find(node, at);
      if (child == 0) break;
      const auto& run = nodes_[child].run;
      std::size_t n = 0;
      const std::size_t most = std::min(run.size(), limit - r.ids.size());
      while (n < most && kv::equal_tokens(tokens_of(run[n]), at + n * BlockTokens, BlockTokens)) ++n;
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
      copy(&tokens_[r.ids[n] * BlockTokens], prompt.data() + n * BlockTokens);
    }
    if constexpr (PastCaches) asm volatile("sfence" ::: "memory");
    r.node = node;
    if (full > r.shared && find(node, prompt.data() + r.shared * BlockTokens) == 0) {
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

  static void copy(kv::token* to, const kv::token* from) {
    if constexpr (!PastCaches) {
      std::memcpy(to, from, BlockTokens * sizeof *to);
    } else {
      for (std::size_t at = 0; at < BlockTokens; at += 2) {
        std::uint64_t two;
        std::memcpy(&two, from + at, sizeof two);
        asm volatile("movnti %1, %0" : "=m"(*reinterpret_cast<kv::token(*)[2]>(to + at)) : "r"(two));
      }
    }
  }

  const kv::token* tokens_of(std::uint32_t id) const { return &tokens_[std::size_t{id} * BlockTokens]; }

  std::size_t home(std::uint32_t parent, const kv::token* tokens) const {
    return kv::mixed_hash{}(tokens, BlockTokens, parent) & (table_.size() - 1);
  }
  std::uint32_t find(std::uint32_t parent, const kv::token* tokens) const {
    for (std::size_t at = home(parent, tokens); table_[at] != 0; at = (at + 1) & (table_.size() - 1)) {
      const node_type& n = nodes_[table_[at]];
      if (n.parent == parent && kv::equal_tokens(tokens_of(n.run[0]), tokens, BlockTokens)) return table_[at];
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

// The limit of a hash chain: one row per block with its name, a bucket and a place in the order of release.
template <class Hash, std::size_t Blocks, std::size_t BlockTokens>
class hash_limit {
 public:
  struct open_request {
    std::vector<std::uint32_t> ids;
    std::size_t published = 0;
  };

  hash_limit()
      : tokens_(Blocks * BlockTokens), free_(Blocks), buckets_(Blocks), rows_(Blocks + 1), hash_(Hash::open("seed", 4)) {
    for (std::uint32_t n = 0; n < Blocks; ++n) free_[n] = static_cast<std::uint32_t>(Blocks - 1 - n);
  }

  open_request open(const std::vector<kv::token>& prompt) {
    open_request r;
    const std::size_t count = (prompt.size() + BlockTokens - 1) / BlockTokens;
    const std::size_t full = prompt.size() / BlockTokens;
    const std::size_t limit = (prompt.size() - 1) / BlockTokens;
    r.ids.reserve(count);
    kv::hash128 name = hash_.root("", 0);
    kv::hash128 next = name;
    while (r.ids.size() < limit) {
      const kv::token* const at = prompt.data() + r.ids.size() * BlockTokens;
      next = hash_(name, at, BlockTokens);
      const std::uint32_t row = find(next, at);
      if (row == 0) break;
      r.ids.push_back(row - 1);
      name = next;
    }
    const std::size_t shared = r.ids.size();
    for (const auto id : r.ids) {
      if (rows_[id + 1].references++ == 0) unlink(id + 1);
    }
    const std::size_t need = count - shared;
    while (free_.size() < need) evict();
    r.ids.insert(r.ids.end(), free_.end() - static_cast<long>(need), free_.end());
    free_.resize(free_.size() - need);
    r.published = shared;
    for (std::size_t n = shared; n < full; ++n) {
      const kv::token* const at = prompt.data() + n * BlockTokens;
      std::memcpy(&tokens_[r.ids[n] * BlockTokens], at, BlockTokens * 4);
      if (n != shared || shared == limit) next = hash_(name, at, BlockTokens);
      name = next;
      if (n == shared && find(name, at) != 0) return r;
      std::uint32_t& bucket = buckets_[home(name)];
      if (n + 8 < full) __builtin_prefetch(&rows_[r.ids[n + 8] + 1], 1);
      rows_[r.ids[n] + 1] = {name, bucket, 1, 0, 0};
      bucket = r.ids[n] + 1;
      ++r.published;
    }
    return r;
  }

  void close(const open_request& r) {
    for (std::size_t n = r.ids.size(); n > r.published; --n) free_.push_back(r.ids[n - 1]);
    for (std::size_t n = r.published; n != 0; --n) {
      const std::uint32_t row = r.ids[n - 1] + 1;
      if (--rows_[row].references != 0) continue;
      const std::uint32_t last = rows_[0].previous;
      rows_[row].next = 0;
      rows_[row].previous = last;
      rows_[last].next = rows_[0].previous = row;
    }
  }

 private:
  struct row_type {
    kv::hash128 name;
    std::uint32_t link = 0;
    std::uint32_t references = 0;
    std::uint32_t next = 0;
    std::uint32_t previous = 0;
  };

  std::size_t home(const kv::hash128& name) const { return ((name.low >> 32) * Blocks) >> 32; }
  std::uint32_t find(const kv::hash128& name, const kv::token* tokens) const {
    std::uint32_t at = buckets_[home(name)];
    while (at != 0 && !(rows_[at].name == name)) at = rows_[at].link;
    return at != 0 && kv::equal_tokens(&tokens_[(at - 1) * BlockTokens], tokens, BlockTokens) ? at : 0;
  }
  void unlink(std::uint32_t row) {
    rows_[rows_[row].previous].next = rows_[row].next;
    rows_[rows_[row].next].previous = rows_[row].previous;
  }
  void evict() {
    const std::uint32_t row = rows_[0].next;
    if (row == 0) fail("the limit ran out of blocks");
    unlink(row);
    // the row after the next, and what the next one will want of its bucket, are on their way meanwhile
    const row_type& after = rows_[rows_[row].next];
    __builtin_prefetch(&rows_[after.next]);
    __builtin_prefetch(&rows_[buckets_[home(after.name)]]);
    std::uint32_t* from = &buckets_[home(rows_[row].name)];
    while (*from != row) from = &rows_[*from].link;
    *from = rows_[row].link;
    free_.push_back(row - 1);
  }

  std::vector<kv::token> tokens_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> buckets_;
  std::vector<row_type> rows_;
  Hash hash_;
};

}  // namespace limits
