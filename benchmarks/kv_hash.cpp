// Names of blocks in a hash chain: nanoseconds per token for blocks of 16, each block's parent the one before it.
//
// Beside SipHash stands a limit: the 30 rounds that a block of 16 tokens and its parent need, on registers alone.

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <tokenheap/kv/key_parts.hpp>
#include <tokenheap/kv/media.hpp>
#include <tokenheap/kv/sha256.hpp>
#include <tokenheap/kv/siphash.hpp>
#include <tokenheap/kv/tokens.hpp>
#include <tokenheap/kv/xxh3.hpp>

namespace {

namespace kv = tokenheap::kv;

constexpr std::size_t prompt_tokens = 3'125 * 16;

std::vector<kv::token> prompt() {
  std::vector<kv::token> made(prompt_tokens);
  for (std::size_t at = 0; at < made.size(); ++at) made[at] = static_cast<kv::token>(at * 2'654'435'761u) >> 15;
  return made;
}

void per_token(benchmark::State& state, std::size_t tokens) {
  state.counters["ns_per_token"] = benchmark::Counter(static_cast<double>(tokens) / 1e9,
                                                      benchmark::Counter::kIsIterationInvariantRate |
                                                          benchmark::Counter::kInvert);
}

template <class Hash>
void chain(benchmark::State& state) {
  const auto tokens = prompt();
  const auto block = static_cast<std::size_t>(state.range(0));
  const auto hash = Hash::open("0123456789abcdef", 16);
  const std::size_t blocks = tokens.size() / block;
  for (auto _ : state) {
    kv::hash128 at = hash.root("tenant", 6);
    for (std::size_t n = 0; n < blocks; ++n) at = hash(at, tokens.data() + n * block, block);
    benchmark::DoNotOptimize(at);
  }
  per_token(state, blocks * block);
}

void sip_limit(benchmark::State& state) {
  constexpr std::size_t blocks = prompt_tokens / 16;
  for (auto _ : state) {
    kv::detail::sip_state sip({1, 2});
    for (std::size_t n = 0; n < blocks; ++n) {
      for (int round = 0; round < 30; ++round) sip.round();
    }
    benchmark::DoNotOptimize(sip);
  }
  per_token(state, prompt_tokens);
}

void mixed_once(benchmark::State& state) {
  const auto tokens = prompt();
  for (auto _ : state) {
    std::uint64_t at = 0;
    for (std::size_t n = 0; n + 16 <= tokens.size(); n += 16) at = kv::mixed_hash{}(tokens.data() + n, 16, at);
    benchmark::DoNotOptimize(at);
  }
  per_token(state, tokens.size());
}

void key_of_four_parts(benchmark::State& state) {
  const kv::image_part images[] = {{3, "0123456789abcdef0123456789abcdef", 32}};
  const kv::key_parts parts{"tenant 1", 8, 7, 2, images};
  unsigned char out[128];
  std::size_t written = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(kv::encode(parts, out, sizeof out, written));
    benchmark::DoNotOptimize(out);
  }
}

void image_known(benchmark::State& state) {
  auto table = kv::media_table::open({});
  unsigned char fingerprint[32] = {};
  std::uint32_t n = 0;
  for (auto _ : state) {
    n = (n + 1) % 1'000;
    std::memcpy(fingerprint, &n, sizeof n);
    benchmark::DoNotOptimize(table->image(fingerprint, sizeof fingerprint));
  }
}

BENCHMARK_TEMPLATE(chain, kv::sip128)->Name("sip128")->Arg(16)->Arg(1)->Arg(512);
BENCHMARK(sip_limit);
BENCHMARK_TEMPLATE(chain, kv::xxh3_128)->Name("xxh3_128")->Arg(16)->Arg(1)->Arg(512);
BENCHMARK_TEMPLATE(chain, kv::sha256_128)->Name("sha256_128")->Arg(16)->Arg(1)->Arg(512);
BENCHMARK(mixed_once);
BENCHMARK(key_of_four_parts);
BENCHMARK(image_known);

}  // namespace
