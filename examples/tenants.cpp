// Two tenants in one pool: neither finds the other's prompts, a block is wiped before it changes hands, and a flood of
// one leaves the other what lies within its share.

#include <cstdio>
#include <cstring>
#include <numeric>
#include <vector>

#include <tokenheap/kv/scrub.hpp>
#include <tokenheap/kv/sequence.hpp>
#include <tokenheap/kv/shares.hpp>
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

// [shares]
struct with_shares : shared_by_tenants {
  using evict = kv::shares;
};
// [shares]

int flood() {
  using divided_pool = kv::block_pool<with_shares>;
  tokenheap::host_source heap;
  const kv::layout shape{.layers = 2, .kv_heads = 2, .head_size = 8, .block_tokens = 16};
  auto opened = divided_pool::open({.blocks = 12, .name = "shares"}, shape, heap);
  if (!opened) return std::fprintf(stderr, "%s\n", opened.why().fix), 1;
  divided_pool& pool = *opened;
  std::vector<kv::token> prompt(49);
  std::iota(prompt.begin(), prompt.end(), 1);
  const auto run = [&](kv::tenant_id tenant, kv::token first) {
    prompt[0] = first;
    auto s = kv::sequence<divided_pool>::open(pool, prompt, {.key = {.tenant = tenant}});
    return s ? s->publish(49) : s.error();
  };

  // [flood]
  errc said = errc::ok;
  pool.with_order([&](kv::shares& order) {
    said = order.share(1, 4);
    order.share_others(8);  // of each tenant that was given none of its own
  });
  EXPECT(said == errc::ok);
  EXPECT(run(1, 100) == errc::ok);
  for (kv::token first = 200; first < 300; ++first) EXPECT(run(2, first) == errc::ok);
  prompt[0] = 100;
  EXPECT(pool.match(prompt, {.tenant = 1}) == 48);
  // [flood]
  EXPECT(pool.is_valid());
  std::printf("100 prompts of one tenant, and the other one's prefix is still there\n");
  return 0;
}

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
  return flood();
}
