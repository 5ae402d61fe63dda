// Blocks of 1 MiB into the tiers and out of them, 16 a batch, beside loops that only move the bytes.
//
// The file stands in the current folder and in the page cache: the disk is not measured.

#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <tokenheap/kv/tier_file.hpp>
#include <tokenheap/kv/tier_host.hpp>

namespace {

namespace kv = tokenheap::kv;
using tokenheap::MiB;

constexpr std::size_t block = 1 * MiB, batch = 16, blocks = 64, slot = block + 4096;
constexpr const char* path = "benchmark_kv_tiers.file";

[[noreturn]] void fail(const char* why) {
  std::fprintf(stderr, "benchmark_kv_tiers: %s\n", why);
  std::exit(1);
}

struct batch_of_blocks {
  std::vector<unsigned char> bytes = std::vector<unsigned char>(batch * block, 7);
  kv::tier_key keys[batch];
  kv::tier_span spans[batch];
  kv::tier_answer answers[batch];

  void name(std::uint64_t first) {
    for (std::size_t k = 0; k != batch; ++k) keys[k] = {first + k, 1, 0}, spans[k] = {bytes.data() + k * block, block};
  }
};

void count(benchmark::State& state) {
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(batch));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(batch * block));
}

template <class Tier>
void store(Tier& t, batch_of_blocks& b) {
  const kv::tier_ticket out = t.prepare_store(b.keys, b.spans, batch);
  while (!t.poll(out)) {}
  if (t.complete_store(out, true, b.answers) != batch) fail("a store was refused");
}
template <class Tier>
void run(benchmark::State& state, Tier& t, bool loads) {
  batch_of_blocks b;
  std::uint64_t first = 0;
  for (; first != 2 * blocks; first += batch) b.name(first), store(t, b);
  for (auto _ : state) {
    b.name(loads ? blocks + first % blocks : first);
    first += batch;
    if (!loads) {
      store(t, b);
      continue;
    }
    const kv::tier_ticket out = t.prepare_load(b.keys, b.spans, batch);
    while (!t.poll(out)) {}
    if (t.complete_load(out, b.answers) != batch) fail("a load was a miss");
  }
  count(state);
}
void file(benchmark::State& state, bool loads) {
  std::remove(path);
  auto t = kv::file_tier<>::open({.path = path, .block_bytes = block, .max_bytes = 4096 + blocks * slot});
  if (!t) fail("no file");
  run(state, *t, loads);
  std::remove(path);
}
void host(benchmark::State& state, bool loads) {
  tokenheap::host_source heap;
  auto t = kv::host_tier<>::open({.block_bytes = block, .room = {.blocks = blocks}}, heap);
  if (!t) fail("no memory");
  run(state, *t, loads);
}
// the bytes alone: no names, no checksums
void raw_file(benchmark::State& state, bool loads) {
  kv::file_calls calls;
  int error = 0;
  std::remove(path);
  const int fd = calls.open(path, error);
  batch_of_blocks b;
  std::size_t at = 0;
  const auto move = [&](bool writes) {
    for (std::size_t k = 0; k != batch; ++k, at = (at + 1) % blocks) {
      const kv::tier_span one{b.bytes.data() + k * block, block};
      if (!(writes ? kv::move_all<true>(calls, fd, one, {}, at * slot) : kv::move_all<false>(calls, fd, one, {}, at * slot)))
        fail("the file cannot be used");
    }
  };
  for (std::size_t k = 0; k != blocks / batch; ++k) move(true);
  for (auto _ : state) move(!loads);
  count(state);
  calls.close(fd);
  std::remove(path);
}
void raw_host(benchmark::State& state, bool loads) {
  batch_of_blocks b;
  std::vector<unsigned char> there(blocks * block, 1);
  std::size_t at = 0;
  for (auto _ : state)
    for (std::size_t k = 0; k != batch; ++k, at = (at + 1) % blocks) {
      unsigned char* const in = b.bytes.data() + k * block;
      unsigned char* const out = there.data() + at * block;
      std::memcpy(loads ? in : out, loads ? out : in, block);
      benchmark::ClobberMemory();
    }
  count(state);
}

BENCHMARK_CAPTURE(raw_file, limit_pwrite, false)->Name("kv_tier_file_store/limit_pwrite")->UseRealTime();
BENCHMARK_CAPTURE(file, tokenheap, false)->Name("kv_tier_file_store/tokenheap")->UseRealTime();
BENCHMARK_CAPTURE(raw_file, limit_pread, true)->Name("kv_tier_file_load/limit_pread")->UseRealTime();
BENCHMARK_CAPTURE(file, tokenheap, true)->Name("kv_tier_file_load/tokenheap")->UseRealTime();
BENCHMARK_CAPTURE(raw_host, limit_memcpy, false)->Name("kv_tier_host_store/limit_memcpy")->UseRealTime();
BENCHMARK_CAPTURE(host, tokenheap, false)->Name("kv_tier_host_store/tokenheap")->UseRealTime();
BENCHMARK_CAPTURE(raw_host, limit_memcpy, true)->Name("kv_tier_host_load/limit_memcpy")->UseRealTime();
BENCHMARK_CAPTURE(host, tokenheap, true)->Name("kv_tier_host_load/tokenheap")->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
