#include <tokenheap/concepts/tier.hpp>

#include <support/catch.hpp>

using namespace tokenheap;
using namespace tokenheap::kv;

namespace {

struct nothing_tier {
  std::size_t block_bytes() const noexcept { return 64; }
  std::size_t lookup(const tier_key*, std::size_t n, tier_answer* out) noexcept {
    for (std::size_t k = 0; k != n; ++k) out[k] = tier_answer::miss;
    return 0;
  }
  tier_ticket prepare_load(const tier_key*, const tier_span*, std::size_t) noexcept { return {}; }
  std::size_t complete_load(tier_ticket, tier_answer*) noexcept { return 0; }
  tier_ticket prepare_store(const tier_key*, const tier_span*, std::size_t) noexcept { return {}; }
  std::size_t complete_store(tier_ticket, bool, tier_answer*) noexcept { return 0; }
  bool poll(tier_ticket) noexcept { return true; }
  std::size_t remove(const tier_key*, std::size_t) noexcept { return 0; }
  tier_stats stats() const noexcept { return {}; }
  const char* name() const noexcept { return "nothing"; }
  bool is_valid() const noexcept { return true; }
};
struct throwing : nothing_tier {
  std::size_t lookup(const tier_key*, std::size_t, tier_answer*) { return 0; }
};
struct blunt : nothing_tier {
  void complete_load(tier_ticket, tier_answer*) noexcept {}
};
struct nameless : nothing_tier {
  void name() const noexcept {}
};

static_assert(tier<nothing_tier>);
static_assert(!tier<throwing> && !answers_lookups<throwing>);
static_assert(!tier<blunt> && !ends_loads<blunt>);
static_assert(!tier<nameless>);
static_assert(!tier<int>);

}  // namespace

TEST_CASE("the rows of a tier's numbers add up, and a number too many is seen") {
  tier_stats s;
  CHECK(s.adds_up());
  s.lookups = 4, s.hits = 1, s.misses = 1, s.pending = 1, s.retries = 1;
  s.stores = 4, s.stored = 1, s.present = 1, s.refused = 1, s.storing = 1;
  s.loads = 3, s.loaded = 1, s.load_failures = 1, s.loading = 1;
  s.recovered = 3, s.blocks = 1, s.evicted = 1, s.removed = 1, s.lost = 1;
  CHECK(s.adds_up());
  s.lost = 0;
  CHECK(!s.adds_up());
  CHECK(s.adds_up(true));
  s.loading = 0;
  CHECK(!s.adds_up(true));
}

TEST_CASE("the zero ticket is no ticket, and keys of two groups differ") {
  CHECK(!tier_ticket{});
  CHECK(tier_ticket{1});
  CHECK(tier_key{1, 2, 3} == tier_key{1, 2, 3});
  CHECK(!(tier_key{1, 2, 3} == tier_key{1, 2, 4}));
}
