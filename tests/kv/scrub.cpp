#include <tokenheap/kv/scrub.hpp>

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include <support/catch.hpp>
#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/kv/sequence.hpp>
#include <tokenheap/source/host.hpp>

using namespace tokenheap;

namespace {

template <kv::scrub_when When>
struct scrubbing : kv::default_policy {
  using scrub = kv::scrub<When>;
};

constexpr kv::layout one_layer{.layers = 1, .kv_heads = 1, .head_size = 8, .block_tokens = 4};

template <class Pool>
Pool open_pool(host_source& below, std::size_t blocks) {
  auto made = Pool::open({.blocks = blocks, .block_tokens = 4, .name = "tenants"}, one_layer, below);
  REQUIRE(made);
  return std::move(*made);
}

template <class Pool>
void fill(Pool& pool, kv::block_id id, int byte) {
  std::memset(pool.data(id), byte, pool.shape().block_bytes());
}

// bytes of a block that are neither 0 nor its tenant's own mark
template <class Pool>
std::size_t foreign_bytes(Pool& pool, kv::block_id id, int own) {
  const auto* bytes = static_cast<const unsigned char*>(pool.data(id));
  std::size_t foreign = 0;
  for (std::size_t at = 0; at < pool.shape().block_bytes(); ++at) foreign += bytes[at] != 0 && bytes[at] != own;
  return foreign;
}

template <class Pool>
kv::sequence<Pool> request(Pool& pool, kv::tenant_id tenant, kv::token first,
                           kv::share_scope share = kv::share_scope::tenant) {
  const kv::token prompt[9] = {first, 1, 2, 3, 4, 5, 6, 7, 8};
  auto made = kv::sequence<Pool>::open(pool, prompt, {.key = {.tenant = tenant}, .share = share});
  REQUIRE(made);
  return std::move(*made);
}

}  // namespace

TEST_CASE("scrub: on a change of tenant, and only then", "[scrub]") {
  using pool_type = kv::block_pool<scrubbing<kv::scrub_when::tenant_change>>;
  host_source below;
  pool_type pool = open_pool<pool_type>(below, 3);
  for (const auto& [tenant, wiped] : {std::pair{0u, 0u}, {1u, 3u}, {1u, 3u}, {2u, 6u}, {2u, 6u}, {1u, 9u}, {0u, 12u}}) {
    auto made = request(pool, tenant, 100 * tenant);
    CHECK(pool.stats().scrubbed == wiped);
    for (const kv::block_id id : made.blocks()) fill(pool, id, 0xab);
  }
  CHECK(pool.is_valid());
}

TEST_CASE("scrub: on free a block is clean before anybody asks; what is cached stays", "[scrub]") {
  using pool_type = kv::block_pool<scrubbing<kv::scrub_when::free>>;
  host_source below;
  pool_type pool = open_pool<pool_type>(below, 3);
  std::vector<kv::block_id> ids;
  {
    auto made = request(pool, 1, 7);
    ids.assign(made.blocks().begin(), made.blocks().end());
    for (const kv::block_id id : ids) fill(pool, id, 0xcd);
    REQUIRE(made.publish(8) == errc::ok);
  }
  CHECK(pool.stats().scrubbed == 3 + 1);
  CHECK(foreign_bytes(pool, ids[2], 0) == 0);
  CHECK(foreign_bytes(pool, ids[0], 0) == pool.shape().block_bytes());
  CHECK(pool.evict(2) == 2);
  CHECK(pool.stats().scrubbed == 3 + 3);
  static_cast<void>(request(pool, 2, 7));
  CHECK(pool.stats().scrubbed == 3 + 3 + 3);
  for (const kv::block_id id : ids) CHECK(foreign_bytes(pool, id, 0) == 0);
}

TEST_CASE("scrub: on take every block is wiped", "[scrub]") {
  using pool_type = kv::block_pool<scrubbing<kv::scrub_when::take>>;
  host_source below;
  pool_type pool = open_pool<pool_type>(below, 4);
  static_cast<void>(request(pool, 1, 7));
  CHECK(pool.stats().scrubbed == 3);
  static_cast<void>(request(pool, 1, 7));
  CHECK(pool.stats().scrubbed == 6);
}

TEST_CASE("scrub: a pool that cannot wipe is refused, one with a fill is not", "[scrub]") {
  using pool_type = kv::block_pool<scrubbing<kv::scrub_when::tenant_change>>;
  const auto refused = pool_type::open({.blocks = 4, .block_tokens = 4, .name = "ids"});
  REQUIRE_FALSE(refused);
  CHECK(refused.why().code == errc::unsupported);
  std::vector<kv::block_id> wiped;
  kv::pool_options with{.blocks = 3, .block_tokens = 4, .name = "ids"};
  with.wipe = {[](void* user, const kv::block_id* ids, std::size_t n) noexcept {
                 static_cast<std::vector<kv::block_id>*>(user)->insert(
                     static_cast<std::vector<kv::block_id>*>(user)->end(), ids, ids + n);
               }, &wiped};
  auto pool = pool_type::open(with);
  REQUIRE(pool);
  static_cast<void>(request(*pool, 1, 7));
  wiped.clear();
  const auto second = request(*pool, 2, 7);
  CHECK(wiped == std::vector<kv::block_id>(second.blocks().begin(), second.blocks().end()));
}

TEST_CASE("scrub: tenants, processes and requests share as they say", "[scrub]") {
  auto pool = kv::block_pool<>::open({.blocks = 64, .block_tokens = 4});
  REQUIRE(pool);
  auto hits = [&](kv::tenant_id tenant, kv::share_scope share) {
    auto made = request(*pool, tenant, 50, share);
    REQUIRE(made.publish(9) == errc::ok);
    auto fork = made.fork();
    REQUIRE(fork);
    CHECK(fork->blocks().front() == made.blocks().front());
    return made.cached_tokens();
  };
  using kv::share_scope;
  CHECK(hits(1, share_scope::tenant) == 0);
  CHECK(hits(1, share_scope::tenant) == 8);
  CHECK(hits(2, share_scope::tenant) == 0);
  CHECK(hits(2, share_scope::process) == 0);
  CHECK(hits(1, share_scope::process) == 8);
  CHECK(hits(1, share_scope::request) == 0);
  CHECK(hits(1, share_scope::request) == 0);
  CHECK(hits(2, share_scope::tenant) == 8);
  const kv::token prompt[5] = {1, 2, 3, 4, 5};
  const auto beyond = kv::sequence<kv::block_pool<>>::open(*pool, prompt, {.key = {.tenant = kv::max_tenant + 1}});
  REQUIRE_FALSE(beyond);
  CHECK(beyond.why().code == errc::invalid_argument);
  CHECK(pool->is_valid());
}

TEST_CASE("scrub: a million recycles between tenants leave no foreign byte", "[scrub]") {
  using pool_type = kv::block_pool<scrubbing<kv::scrub_when::tenant_change>>;
  host_source below;
  pool_type pool = open_pool<pool_type>(below, 24);
  const std::uint64_t seed = 20261124;
  INFO("seed " << seed);
  std::mt19937_64 random(seed);
  std::vector<std::pair<kv::tenant_id, kv::sequence<pool_type>>> open;
  std::size_t recycled = 0;
  std::size_t foreign = 0;
  while (recycled < 1000000) {
    if (open.size() == 6) {
      std::swap(open[random() % open.size()], open.back());
      open.pop_back();
    }
    const auto tenant = static_cast<kv::tenant_id>(1 + random() % 3);
    auto made = request(pool, tenant, static_cast<kv::token>(random() % 8));
    for (std::size_t at = made.cached_tokens() / 4; at < made.blocks().size(); ++at, ++recycled) {
      foreign += foreign_bytes(pool, made.blocks()[at], static_cast<int>(tenant));
      fill(pool, made.blocks()[at], static_cast<int>(tenant));
    }
    if (random() % 2 != 0) REQUIRE(made.publish(9) == errc::ok);
    open.emplace_back(tenant, std::move(made));
  }
  CHECK(foreign == 0);
  CHECK(pool.stats().scrubbed > 100000);
  CHECK(pool.is_valid());
}
