#include <tokenheap/kv/shares.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include <kv/kit.hpp>
#include <kv/order_suite.hpp>
#include <tokenheap/kv/plan.hpp>
#include <tokenheap/source/host.hpp>

using namespace kit;

namespace {

struct shared : kv::default_policy {
  using evict = kv::shares;
};
struct wiped : shared {
  using scrub = kv::scrub<kv::scrub_when::tenant_change>;
};
struct stepped : shared {
  using fence = kv::step_fence;
};
using divided_pool = kv::block_pool<shared>;
using divided_sequence = kv::sequence<divided_pool>;

// near-misses: an order that does not let one tenant take, and one that does not hear of free blocks
struct takes_nothing : kv::shares {
  void pop_for() = delete;
};
struct hears_nothing : kv::shares {
  void leave() = delete;
};
static_assert(kv::divides_blocks<kv::shares> && kv::eviction_order<kv::shares>);
static_assert(!kv::divides_blocks<kv::lru> && !kv::divides_blocks<takes_nothing> && !kv::divides_blocks<hears_nothing>);

template <class Pool>
void give_share(Pool& pool, kv::tenant_id tenant, std::size_t blocks) {
  pool.with_order([&](kv::shares& order) { REQUIRE(order.share(tenant, blocks) == errc::ok); });
}
template <class Pool>
kv::tenant_account account(Pool& pool, kv::tenant_id tenant) {
  kv::tenant_account found;
  pool.with_order([&](kv::shares& order) { found = order.account(tenant); });
  return found;
}

// publishes a prompt of `blocks` blocks of 4 tokens and lets it go
template <class Pool>
errc run(Pool& pool, kv::tenant_id tenant, kv::token first, std::size_t blocks,
         kv::share_scope share = kv::share_scope::tenant) {
  const auto prompt = count_up(4 * blocks, first);
  auto s = kv::sequence<Pool>::open(pool, prompt, {.key = {.tenant = tenant}, .share = share, .recompute_last = false});
  if (!s) return s.error();
  return s->publish(prompt.size());
}

std::size_t hit(divided_pool& pool, kv::tenant_id tenant, kv::token first, std::size_t blocks) {
  return pool.match(count_up(4 * blocks, first), {.tenant = tenant}) / 4;
}

}  // namespace

TEST_CASE("shares: among the blocks of one tenant the order is that of all orders", "[kv][shares]") {
  order_suite::play<kv::shares>(20, 400);
}

TEST_CASE("shares: what a tenant can take follows from its account", "[kv][shares]") {
  constexpr kv::tenant_account below{.share = 10, .used = 4, .cached = 3};
  CHECK(below.over() == 0);
  CHECK(below.room(0, 100) == 6 + 3);
  CHECK(below.room(2, 100) == 2 + 4 + 3);
  CHECK(below.room(20, 100) == 20 + 3);
  CHECK(below.room(0, 5) == 5 + 3);
  constexpr kv::tenant_account above{.share = 10, .used = 14, .cached = 6};
  CHECK(above.over() == 4);
  CHECK(above.room(3, 100) == 3 + 6);
  CHECK(kv::tenant_account{.share = 10, .used = 14, .cached = 2}.over() == 2);
}

TEST_CASE("shares: a flood takes from another tenant what is beyond its share, to the block, and no more", "[kv][shares]") {
  auto pool = pool_of<divided_pool>(20, 4);
  give_share(pool, 1, 8);
  give_share(pool, 2, 12);
  REQUIRE(run(pool, 1, 1000, 14) == errc::ok);  // free blocks are for everybody: 6 beyond its share
  REQUIRE(account(pool, 1).over() == 6);
  for (kv::token at = 0; at < 50; ++at) {
    REQUIRE(run(pool, 2, 5000 + at * 100, 4) == errc::ok);
    REQUIRE(pool.is_valid());
    REQUIRE(account(pool, 1).used >= 8);
  }
  CHECK(account(pool, 1).used == 8);
  CHECK(account(pool, 2).used == 12);
  CHECK(hit(pool, 1, 1000, 14) == 8);

  // more than its share and what is free: refused, and nothing has changed
  CHECK(run(pool, 2, 9000, 12) == errc::ok);
  CHECK(run(pool, 2, 9500, 13) == errc::limit_reached);
  const auto no = pool.last_refusal();
  CHECK(no.need == 13);
  CHECK(no.room == 12);
  CHECK(std::strstr(no.fix, "share") != nullptr);
  CHECK(hit(pool, 2, 9000, 12) == 12);
  CHECK(hit(pool, 1, 1000, 14) == 8);
  CHECK(pool.would_fit(count_up(52, 9500), {.key = {.tenant = 2}}).code == errc::limit_reached);
  CHECK(pool.would_fit(count_up(48, 9500), {.key = {.tenant = 2}}));
  CHECK(pool.is_valid());
}

TEST_CASE("shares: an attacker that fills the pool and floods learns nothing of a victim within its share", "[kv][shares]") {
  auto pool = pool_of<divided_pool>(64, 4);
  give_share(pool, 1, 16);
  pool.with_order([](kv::shares& order) { order.share_others(16); });
  REQUIRE(run(pool, 1, 100, 16) == errc::ok);
  // prime: the attacker's own blocks everywhere; the victim comes or does not; probe: which of them are still there
  const auto probe = [&](bool victim_comes) {
    for (kv::token at = 0; at < 30; ++at) REQUIRE(run(pool, 2, 10000 + at * 100, 7) == errc::ok);
    CHECK(hit(pool, 1, 100, 16) == 16);
    if (victim_comes) REQUIRE(run(pool, 1, 100, 16) == errc::ok);
    std::vector<std::size_t> hits;
    for (kv::token at = 0; at < 30; ++at) hits.push_back(hit(pool, 2, 10000 + at * 100, 7));
    return hits;
  };
  const auto without = probe(false);
  CHECK(*std::max_element(without.begin(), without.end()) == 7);
  CHECK(probe(true) == without);
  CHECK(hit(pool, 1, 100, 16) == 16);
  CHECK(pool.is_valid());
}

TEST_CASE("shares: below its share a tenant has room while others are beyond theirs, each of them in turn", "[kv][shares]") {
  auto pool = pool_of<divided_pool>(30, 4);
  give_share(pool, 1, 10);
  give_share(pool, 2, 5);
  give_share(pool, 3, 5);
  REQUIRE(run(pool, 2, 1000, 15) == errc::ok);
  REQUIRE(run(pool, 3, 2000, 15) == errc::ok);
  REQUIRE(run(pool, 1, 3000, 10) == errc::ok);
  CHECK(account(pool, 1).used == 10);
  CHECK(account(pool, 2).used == 10);
  CHECK(account(pool, 3).used == 10);
  CHECK(run(pool, 1, 4000, 11) == errc::limit_reached);
  CHECK(run(pool, 7, 5000, 1) == errc::limit_reached);  // no share, and nothing is free
  pool.with_order([](kv::shares& order) { order.share_others(2); });
  CHECK(run(pool, 7, 5000, 2) == errc::ok);
  CHECK(run(pool, 7, 6000, 3) == errc::limit_reached);
  pool.with_order([](kv::shares& order) { order.unshare(3); });
  CHECK(account(pool, 3).share == 2);
  CHECK(pool.is_valid());
  CHECK(pool.evict(30) == 30);
  CHECK(account(pool, 7).used == 0);
  CHECK(pool.is_valid());
}

TEST_CASE("shares: live blocks beyond a share stay, and what all tenants share counts for tenant 0", "[kv][shares]") {
  auto pool = pool_of<divided_pool>(8, 4);
  give_share(pool, 1, 4);
  auto holds = opened(pool, count_up(32), {.key = {.tenant = 2}});
  CHECK(run(pool, 1, 100, 1) == errc::out_of_memory);
  REQUIRE(holds.publish(32) == errc::ok);
  REQUIRE(holds.close() == errc::ok);
  REQUIRE(run(pool, 1, 100, 4) == errc::ok);
  CHECK(account(pool, 2).used == 4);

  give_share(pool, 0, 2);
  REQUIRE(run(pool, 1, 300, 2, kv::share_scope::process) == errc::ok);
  CHECK(account(pool, 0).used == 2);
  CHECK(account(pool, 1).used == 4);
  CHECK(run(pool, 1, 400, 3, kv::share_scope::process) == errc::limit_reached);
  // found and built on by another tenant: the chain still has one owner
  REQUIRE(pool.evict(2) == 2);
  REQUIRE(run(pool, 2, 300, 4, kv::share_scope::process) == errc::ok);
  CHECK(account(pool, 0).used == 4);
  CHECK(pool.is_valid());
}

TEST_CASE("shares: a handle's block counts for tenant 0 until it is published, then for who can find it", "[kv][shares]") {
  auto pool = pool_of<divided_pool>(4, 4);
  auto a = pool.allocate();
  CHECK(account(pool, 0).used == 1);
  auto made = a.publish({.tenant = 5}, count_up(4));
  REQUIRE(made);
  CHECK(account(pool, 0).used == 0);
  CHECK(account(pool, 5).used == 1);
  auto b = pool.allocate();
  auto behind = b.publish(*made, count_up(4, 4));
  REQUIRE(behind);
  CHECK(account(pool, 5).used == 2);
  kv::block_id three[3];
  CHECK(pool.allocate(three) == errc::out_of_memory);
  CHECK(behind->close() == errc::ok);
  CHECK(made->close() == errc::ok);
  CHECK(account(pool, 5).cached == 2);
  CHECK(pool.allocate(three) == errc::limit_reached);  // 2 are free, and tenant 0 has no share
  pool.with_order([](kv::shares& order) { order.share_others(1); });
  CHECK(pool.allocate(three) == errc::limit_reached);
  give_share(pool, 0, 3);
  CHECK(pool.allocate(three) == errc::ok);
  CHECK(pool.deallocate(three) == errc::ok);
  CHECK(pool.is_valid());
}

TEST_CASE("shares: what was promised to one tenant no other can take", "[kv][shares]") {
  auto pool = pool_of<divided_pool>(12, 4);
  give_share(pool, 1, 6);
  give_share(pool, 2, 6);
  REQUIRE(run(pool, 2, 1000, 12) == errc::ok);
  auto runs = opened(pool, count_up(8), {.key = {.tenant = 1}, .expected_tokens = 24, .fit = kv::admit::reserved});
  CHECK(pool.stats().reserved == 4);
  CHECK(account(pool, 1).used == 6);
  CHECK(account(pool, 1).promised == 4);
  CHECK(pool.is_valid());
  for (kv::token at = 0; at < 9; ++at) REQUIRE(run(pool, 2, 2000 + 100 * at, 6) == errc::ok);
  CHECK(run(pool, 2, 5000, 7) == errc::out_of_memory);  // 2 are live and 4 promised
  CHECK(runs.grow(16) == errc::ok);
  CHECK(runs.grow(20) == errc::limit_reached);
  CHECK(pool.stats().reserved == 0);
  CHECK(runs.rewind(4) == errc::ok);
  CHECK(pool.is_valid());
  CHECK(runs.close() == errc::ok);
  CHECK(pool.stats().reserved == 0);
  CHECK(pool.is_valid());
}

TEST_CASE("shares: without a cache blocks count all the same", "[kv][shares]") {
  auto pool = pool_of<divided_pool>(8, 4, false);
  {
    auto s = opened(pool, count_up(24), {.key = {.tenant = 3}});
    CHECK(account(pool, 3).used == 6);
    CHECK(run(pool, 4, 100, 3) == errc::out_of_memory);
    CHECK(pool.is_valid());
  }
  CHECK(account(pool, 3).used == 0);
  CHECK(pool.stats().free == 8);
  CHECK(pool.is_valid());
}

TEST_CASE("shares: more tenants than can have a share of their own are refused one", "[kv][shares]") {
  kv::shares order;
  REQUIRE(order.open(4));
  for (kv::tenant_id t = 0; t < kv::shares::most_shares; ++t) REQUIRE(order.share(7 * t, t) == errc::ok);
  CHECK(order.share(3, 1) == errc::limit_reached);
  CHECK(order.share(7, 9) == errc::ok);
  CHECK(order.account(7).share == 9);
  order.unshare(0);
  CHECK(order.share(3, 1) == errc::ok);
  CHECK(order.is_valid());
}

TEST_CASE("shares: blocks are wiped as they change hands, whoever gives them up", "[kv][shares]") {
  tokenheap::host_source heap;
  const kv::layout shape{.layers = 1, .kv_heads = 1, .head_size = 4, .type = kv::dtype::float32, .block_tokens = 4};
  auto pool = kv::block_pool<wiped>::open({.blocks = 8, .block_tokens = 4}, shape, heap);
  REQUIRE(pool);
  give_share(*pool, 1, 4);
  give_share(*pool, 2, 4);
  for (kv::tenant_id round = 0; round < 40; ++round) {
    const kv::tenant_id tenant = 1 + round % 2;
    auto s = kv::sequence<kv::block_pool<wiped>>::open(*pool, count_up(12, 100 * round), {.key = {.tenant = tenant}});
    REQUIRE(s);
    for (const kv::block_id id : s->blocks()) {
      auto* const bytes = static_cast<unsigned char*>(pool->data(id));
      for (std::size_t at = 0; at < shape.block_bytes(); ++at) REQUIRE((bytes[at] == 0 || bytes[at] == tenant));
      std::memset(bytes, static_cast<int>(tenant), shape.block_bytes());
    }
    REQUIRE(s->publish(12) == errc::ok);
    REQUIRE(s->close() == errc::ok);
    REQUIRE(pool->is_valid());
  }
}

namespace {

using ids_of_tenant = std::vector<kv::block_id>;

// the same rules over plain lists: for each tenant how many blocks count for it, and its cached ones, the oldest first
struct plain_model {
  std::size_t free = 0;
  std::size_t share[4] = {}, used[4] = {};
  ids_of_tenant cached[4];

  std::size_t over(std::size_t t) const {
    return used[t] <= share[t] ? 0 : std::min(used[t] - share[t], cached[t].size());
  }
  std::size_t over_of_others(std::size_t t) const {
    std::size_t sum = 0;
    for (std::size_t x = 0; x < 4; ++x) sum += x == t ? 0 : over(x);
    return sum;
  }
  // how many of `n` come from others, once the free ones are gone
  std::size_t from_others(std::size_t t, std::size_t n) const {
    const std::size_t taken = std::min(n, free), then = used[t] + taken;
    return std::min({n - taken, over_of_others(t), share[t] > then ? share[t] - then : 0});
  }
  bool fits(std::size_t t, std::size_t n) const { return n <= free || n - free - from_others(t, n) <= cached[t].size(); }
};

struct chain {
  std::size_t tenant = 0;
  kv::token first = 0;
  std::size_t blocks = 0;
};

class trial {
 public:
  explicit trial(unsigned seed) : dice_(seed), pool_(pool_of<divided_pool>(40, 4)) {
    model_.free = 40;
    reshare();
  }
  void step() {
    switch (dice_() % 8) {
      case 0: case 1: case 2: open({dice_() % 4, next_ += 1000, 1 + dice_() % 9}); break;
      case 3: if (!known_.empty()) open(known_[dice_() % known_.size()]); break;
      case 4: if (dice_() % 8 == 0) reshare(); break;
      default: close(); break;
    }
    for (std::size_t t = 0; t < 4; ++t) {
      const auto a = account(pool_, static_cast<kv::tenant_id>(t));
      REQUIRE(a.used == model_.used[t]);
      REQUIRE(a.cached == model_.cached[t].size());
    }
    REQUIRE(pool_.stats().free == model_.free);
    REQUIRE(pool_.is_valid());
  }
  std::size_t refused = 0, from_others = 0, found = 0;

 private:
  void reshare() {
    for (std::size_t t = 0; t < 4; ++t) {
      model_.share[t] = dice_() % 16;
      give_share(pool_, static_cast<kv::tenant_id>(t), model_.share[t]);
    }
  }
  void open(const chain& c) {
    for (const auto& other : live_) {
      if (other.first.first == c.first) return;
    }
    const auto prompt = count_up(4 * c.blocks, c.first);
    const kv::sequence_options with{.key = {.tenant = static_cast<kv::tenant_id>(c.tenant)}, .recompute_last = false};
    const std::size_t hits = pool_.match(prompt, with.key) / 4, need = c.blocks - hits;
    const plain_model before = model_;
    auto& own = model_.cached[c.tenant];
    auto s = divided_sequence::open(pool_, prompt, with);
    // what is found leaves the cached ones first; it was looked for by the pool, so its ids are known only where it fits
    plain_model held = model_;
    held.cached[c.tenant].resize(own.size() - hits);
    REQUIRE(static_cast<bool>(s) == held.fits(c.tenant, need));
    if (!s) {
      ++refused;
      return;
    }
    found += hits;
    for (std::size_t at = 0; at < hits; ++at) REQUIRE(std::erase(own, s->blocks()[at]) == 1);
    take(before, c.tenant, need);
    REQUIRE(s->publish(prompt.size()) == errc::ok);
    live_.emplace_back(c, std::move(*s));
    known_.push_back(c);
  }
  // who lost what: the oldest of each, no one of the others anything within its share, and in sum as the rules say
  void take(const plain_model& before, std::size_t t, std::size_t need) {
    plain_model held = model_;
    const std::size_t others = held.from_others(t, need);
    const std::size_t own = need - std::min(need, held.free) - others;
    std::size_t lost_by_others = 0;
    pool_.with_order([&](kv::shares& order) {
      for (std::size_t x = 0; x < 4; ++x) {
        auto& list = model_.cached[x];
        const auto is_gone = [&](kv::block_id id) { return !order.contains(id); };
        const std::size_t lost = static_cast<std::size_t>(std::count_if(list.begin(), list.end(), is_gone));
        REQUIRE(std::all_of(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(lost), is_gone));
        list.erase(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(lost));
        model_.used[x] -= lost;
        if (x == t) {
          REQUIRE(lost == own);
        } else {
          REQUIRE(lost <= before.over(x));
          lost_by_others += lost;
        }
      }
    });
    REQUIRE(lost_by_others == others);
    from_others += others;
    model_.free -= std::min(need, held.free);
    model_.used[t] += need;
  }
  void close() {
    if (live_.empty()) return;
    const auto which = live_.begin() + static_cast<std::ptrdiff_t>(dice_() % live_.size());
    const auto held = which->second.blocks();
    auto& list = model_.cached[which->first.tenant];
    list.insert(list.end(), held.rbegin(), held.rend());
    live_.erase(which);
  }

  std::mt19937 dice_;
  divided_pool pool_;
  plain_model model_;
  std::vector<std::pair<chain, divided_sequence>> live_;
  std::vector<chain> known_;
  kv::token next_ = 0;
};

}  // namespace

TEST_CASE("shares: random requests of four tenants do what the plain model says", "[kv][shares]") {
  std::size_t refused = 0, from_others = 0, found = 0;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    trial run(seed);
    for (int at = 0; at < 500; ++at) {
      CAPTURE(at);
      run.step();
    }
    refused += run.refused, from_others += run.from_others, found += run.found;
  }
  CHECK(refused > 500);
  CHECK(from_others > 500);
  CHECK(found > 500);
}

namespace {

// many tenants in one plan, promises, fences, forks and parts of blocks: whatever the plan says, it must be able to do
template <class Policy>
void play_plans(unsigned seed) {
  using pool_type = kv::block_pool<Policy>;
  using sequence = kv::sequence<pool_type>;
  std::mt19937 dice(seed);
  auto made = pool_type::open({.blocks = 40, .block_tokens = 4, .watermark = seed % 3,
                               .copy = {.run = [](void*, kv::block_id, kv::block_id) noexcept {}}});
  REQUIRE(made);
  auto& pool = *made;
  std::vector<sequence> all;
  std::size_t done = 0, refused = 0;
  for (int round = 0; round < 1500; ++round) {
    CAPTURE(round);
    if (round % 100 == 0) {
      for (kv::tenant_id t = 0; t < 4; ++t) give_share(pool, t, dice() % 14);
    }
    std::vector<std::vector<kv::token>> prompts(3);
    std::vector<std::size_t> places;
    kv::plan<pool_type> step;
    for (auto& s : all) {
      if (dice() % 3 == 0) {
        REQUIRE(step.grow(s, dice() % 9) == errc::ok);
      } else if (dice() % 5 == 0) {
        REQUIRE(step.close(s) == errc::ok);
      }
    }
    for (auto& prompt : prompts) {
      if (dice() % 2 == 0) continue;
      prompt = joined(count_up(dice() % 16), count_up(1 + dice() % 12, static_cast<kv::token>(dice() % 3) * 50));
      const std::size_t place = step.size();
      const kv::sequence_options with{.key = {.tenant = static_cast<kv::tenant_id>(dice() % 4)},
                                      .share = static_cast<kv::share_scope>(dice() % 3),
                                      .partial = dice() % 2 == 0, .expected_tokens = dice() % 40,
                                      .fit = static_cast<kv::admit>(dice() % 3)};
      if (step.open(pool, prompt, with).code == errc::ok) places.push_back(place);
    }
    const bool fits = static_cast<bool>(step.would_fit());
    REQUIRE(pool.is_valid());
    REQUIRE(static_cast<bool>(step.commit()) == fits);
    REQUIRE(pool.is_valid());
    if (fits) {
      ++done;
      for (const std::size_t place : places) all.push_back(step.take(place));
      step.clear();
      std::erase_if(all, [](const sequence& s) { return !s.is_open(); });
      for (auto& s : all) REQUIRE(s.publish(s.length()) == errc::ok);
    } else {
      ++refused;
      step.clear();
      if (!all.empty()) all.erase(all.begin());
    }
    if constexpr (requires { pool.begin_step(); }) {
      const auto running = pool.begin_step();
      if (!all.empty() && dice() % 4 == 0) all.erase(all.begin());
      REQUIRE(pool.is_valid());
      if (dice() % 3 != 0) REQUIRE(pool.settle(running) == errc::ok);
    }
    if (!all.empty() && dice() % 4 == 0) {
      auto fork = all.front().fork();
      // refused where the copy of a shared tail would have to come out of what was promised
      if (fork) static_cast<void>(fork->grow(1 + dice() % 5));
      if (fork) all.push_back(std::move(*fork));
    }
    if (!all.empty() && dice() % 4 == 0) REQUIRE(all.back().rewind(dice() % (all.back().length() + 1)) == errc::ok);
    if (all.size() > 12) all.erase(all.begin());
    REQUIRE(pool.is_valid());
  }
  CHECK(done > 200);
  CHECK(refused > 50);
  all.clear();
  CHECK(pool.stats().reserved == 0);
  if constexpr (requires { pool.begin_step(); }) REQUIRE(pool.settle(pool.begin_step()) == errc::ok);
  CHECK(pool.stats().live == 0);
  CHECK(pool.stats().in_flight == 0);
  CHECK(pool.is_valid());
}

}  // namespace

TEST_CASE("shares: a plan of several tenants never promises what it cannot take", "[kv][shares][plan]") {
  for (unsigned seed = 0; seed < 6; ++seed) {
    CAPTURE(seed);
    play_plans<shared>(seed);
    play_plans<stepped>(seed);
  }
}
