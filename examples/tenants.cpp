// Two tenants in one pool: neither finds the other's prompts, and a block is wiped before it changes hands.

#include <cstdio>
#include <cstring>
#include <numeric>
#include <vector>

#include <tokenheap/kv/scrub.hpp>
#include <tokenheap/kv/sequence.hpp>
#include <tokenheap/source/host.hpp>

namespace kv = tokenheap::kv;
using tokenheap::errc;

#define EXPECT(condition)                                              \
  do {                                                                 \
    if (!(condition)) {                                                \
      std::fprintf(stderr, "tenants: expected %s\n", #condition);      \
      return 1;                                                        \
    }                                                                  \
  } while (false)

// [policy]
struct shared_by_tenants : kv::default_policy {
  using scrub = kv::scrub<kv::scrub_when::tenant_change>;
};
using pool_type = kv::block_pool<shared_by_tenants>;
using sequence = kv::sequence<pool_type>;
// [policy]

int main() {
  tokenheap::host_source heap;
  const kv::layout shape{.layers = 2, .kv_heads = 2, .head_size = 8, .block_tokens = 16};
  auto opened = pool_type::open({.blocks = 4, .name = "tenants"}, shape, heap);
  if (!opened) return std::fprintf(stderr, "%s\n", opened.why().fix), 1;
  pool_type& pool = *opened;
  std::vector<kv::token> prompt(49);
  std::iota(prompt.begin(), prompt.end(), 1);

  // [scope]
  {
    auto alice = sequence::open(pool, prompt, {.key = {.tenant = 1}});
    if (!alice || alice->publish(49) != errc::ok) return 1;
    for (const kv::block_id id : alice->blocks()) std::memset(pool.data(id), 0x5a, shape.block_bytes());
  }
  EXPECT(pool.match(prompt, {.tenant = 1}) == 48);
  EXPECT(pool.match(prompt, {.tenant = 2}) == 0);

  const std::size_t before = pool.stats().scrubbed;
  auto bob = sequence::open(pool, prompt, {.key = {.tenant = 2}, .share = kv::share_scope::request});
  if (!bob) return 1;
  EXPECT(bob->cached_tokens() == 0);
  EXPECT(pool.stats().scrubbed - before == 4);
  // [scope]
  for (const kv::block_id id : bob->blocks()) EXPECT(static_cast<unsigned char*>(pool.data(id))[0] == 0);
  std::printf("4 blocks changed hands, all of them wiped\n");
  return 0;
}
