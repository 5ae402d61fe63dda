// A pool of 8 blocks, with host memory and a file below it: 64 blocks leave, come back, and have their own bytes.

#include <cstdio>
#include <cstring>
#include <vector>

#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/kv/siphash.hpp>
#include <tokenheap/kv/tier_file.hpp>
#include <tokenheap/kv/tier_host.hpp>
#include <tokenheap/kv/tiers.hpp>

namespace kv = tokenheap::kv;

#define EXPECT(condition)                                              \
  do {                                                                 \
    if (!(condition)) {                                                \
      std::fprintf(stderr, "tiers: expected %s\n", #condition);        \
      return 1;                                                        \
    }                                                                  \
  } while (false)

namespace {

constexpr const char* path = "tiers_example.kv";

// stands for a model: the bytes that computing this block gives
void compute(std::uint64_t prompt, void* block, std::size_t bytes) {
  for (std::size_t k = 0; k != bytes; k += 8) std::memcpy(static_cast<char*>(block) + k, &(++prompt *= 25214903917), 8);
}

int run() {
  // [open]
  tokenheap::host_source heap;
  const kv::layout shape{.layers = 2, .kv_heads = 2, .head_size = 32, .type = kv::dtype::float16, .block_tokens = 16};
  const std::size_t bytes = shape.block_bytes();
  auto pool = kv::block_pool<>::open({.blocks = 8, .name = "small"}, shape, heap);
  auto host = kv::host_tier<>::open({.block_bytes = bytes, .room = {.blocks = 16}}, heap);
  auto file = kv::file_tier<>::open({.path = path, .block_bytes = bytes, .max_bytes = 4 * tokenheap::MiB});
  if (!pool || !host || !file) return 1;
  const kv::tier_ref below[] = {*host, *file};  // from above to below
  auto tiers = kv::tier_chain<>::open({.write = kv::tier_write::on_eviction}, below, 2, heap);
  if (!tiers) return std::fprintf(stderr, "%s\n", tiers.why().fix), 1;
  // [open]

  // [leave]
  std::vector<kv::tier_key> names;
  for (std::uint64_t prompt = 0; prompt != 64; ++prompt) {
    auto held = pool->allocate();
    if (!held) return 1;
    const kv::tier_span span{pool->data(held.id()), bytes};
    compute(prompt, span.address, bytes);
    const kv::hash128 hash = kv::siphash({1, 2}, &prompt, sizeof prompt);
    names.push_back({hash.low, hash.high, 0});

    const kv::tier_ticket ticket = tiers->prepare_store(&names.back(), &span, 1);
    while (!tiers->source_done(ticket)) {}  // an engine goes on with other work and asks again
    kv::tier_answer stored{};
    EXPECT(tiers->complete_store(ticket, true, &stored) == 1);
  }  // the block goes back to the pool
  EXPECT(host->stats().blocks == 16 && file->stats().blocks == 48);
  // [leave]

  // [return]
  for (std::uint64_t prompt = 64; prompt-- != 0;) {
    auto held = pool->allocate();
    if (!held) return 1;
    const kv::tier_span span{pool->data(held.id()), bytes};
    kv::tier_answer got{};
    const kv::tier_ticket ticket = tiers->prepare_load(&names[prompt], &span, 1);
    while (!tiers->poll(ticket)) {}
    tiers->complete_load(ticket, &got);
    if (got != kv::tier_answer::hit) compute(prompt, span.address, bytes);  // a miss costs time, and nothing else

    std::vector<char> expected(bytes);
    compute(prompt, expected.data(), bytes);
    EXPECT(got == kv::tier_answer::hit && std::memcmp(span.address, expected.data(), bytes) == 0);
  }
  // [return]
  EXPECT(host->stats().loaded == 16 && file->stats().loaded == 48);
  EXPECT(host->stats().adds_up() && file->stats().adds_up() && tiers->is_valid());
  std::printf("64 blocks left a pool of 8 and came back; %llu from the file\n",
              static_cast<unsigned long long>(file->stats().loaded));
  return 0;
}

}  // namespace

int main() {
  std::remove(path);
  const int wrong = run();
  std::remove(path);
  return wrong;
}
