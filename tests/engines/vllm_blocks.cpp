// Does to a block pool what the lines of its input say, and prints what each did: cached tokens, free blocks, block ids.
// "o NUMBER TOKEN..." opens a request, "a NUMBER TOKEN" adds a token, "f NUMBER" ends it. Built and run by vllm_blocks.py.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <tokenheap/kv/sequence.hpp>

namespace kv = tokenheap::kv;
using tokenheap::errc;
using pool_type = kv::block_pool<>;
using sequence = kv::sequence<pool_type>;

namespace {

struct operation {
  char what = 0;
  int number = 0;
  std::vector<kv::token> tokens;
};

struct outcome {
  bool done = false;
  std::size_t cached = 0, free = 0;
  std::vector<kv::block_id> ids;
};

std::vector<operation> read_all() {
  std::vector<operation> all;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    operation one;
    in >> one.what >> one.number;
    for (kv::token t = 0; in >> t;) one.tokens.push_back(t);
    all.push_back(one);
  }
  return all;
}

outcome run(pool_type& pool, std::map<int, sequence>& running, const operation& one, bool keep) {
  outcome did;
  const auto found = running.find(one.number);
  if (one.what == 'o') {
    auto made = sequence::open(pool, one.tokens);
    if (made && made->publish(one.tokens.size()) == errc::ok) {
      did.done = true, did.cached = made->cached_tokens();
      if (keep) did.ids.assign(made->blocks().begin(), made->blocks().end());
      running.emplace(one.number, static_cast<sequence&&>(*made));
    }
  } else if (one.what == 'a' && found != running.end()) {
    sequence& s = found->second;
    did.done = s.append(one.tokens) == errc::ok && s.publish(s.length()) == errc::ok;
    if (keep && did.done) did.ids.assign(s.blocks().begin(), s.blocks().end());
  } else if (found != running.end()) {
    running.erase(found);
    did.done = true;
  }
  did.free = pool.stats().available();
  return did;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return std::fputs("vllm_blocks BLOCKS BLOCK_TOKENS < operations\n", stderr), 2;
  const std::size_t blocks = std::strtoul(arguments[1], nullptr, 10), tokens = std::strtoul(arguments[2], nullptr, 10);
  const std::vector<operation> all = read_all();
  std::vector<double> times;
  for (int round = 0; round != 6; ++round) {  // the first one is printed, the others are timed
    auto pool = pool_type::open({.blocks = blocks, .block_tokens = tokens, .null_block = true});
    if (!pool) return std::fprintf(stderr, "%s\n", pool.why().fix), 2;
    std::map<int, sequence> running;
    const auto begin = std::chrono::steady_clock::now();
    for (const operation& one : all) {
      const outcome did = run(*pool, running, one, round == 0);
      if (round != 0) continue;
      std::printf("%d %zu %zu", did.done ? 1 : 0, did.cached, did.free);
      for (const kv::block_id id : did.ids) std::printf(" %u", static_cast<unsigned>(id));
      std::puts("");
    }
    if (round != 0) times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    if (!pool->is_valid()) return 3;
  }
  std::printf("seconds");
  for (const double t : times) std::printf(" %.9f", t);
  std::puts("");
  return 0;
}
