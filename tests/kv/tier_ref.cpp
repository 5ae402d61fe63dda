#include <tokenheap/kv/tier_ref.hpp>

#include <support/catch.hpp>

#include <string>

using namespace tokenheap::kv;

namespace {

// says with what it was called, and answers with numbers of its own
struct plain {
  std::string heard = {};

  std::string say(const char* what, const void* a, const void* b, std::size_t n) {
    return heard = std::string(what) + (a == keys() ? " keys" : " ?") + (b != nullptr ? " spans " : " ") + std::to_string(n);
  }
  static const tier_key* keys() {
    static const tier_key all[3] = {{1, 1, 0}, {2, 2, 0}, {3, 3, 0}};
    return all;
  }
  std::size_t lookup(const tier_key* k, std::size_t n, tier_answer* out) noexcept {
    say("lookup", k, nullptr, n);
    for (std::size_t i = 0; i != n; ++i) out[i] = tier_answer::pending;
    return 1;
  }
  tier_ticket prepare_load(const tier_key* k, const tier_span* to, std::size_t n) noexcept {
    return say("load", k, to, n), tier_ticket{2};
  }
  std::size_t complete_load(tier_ticket t, tier_answer* out) noexcept {
    heard = "loaded " + std::to_string(t.id);
    return *out = tier_answer::hit, 3;
  }
  tier_ticket prepare_store(const tier_key* k, const tier_span* from, std::size_t n) noexcept {
    return say("store", k, from, n), tier_ticket{4};
  }
  std::size_t complete_store(tier_ticket t, bool keep, tier_answer* out) noexcept {
    heard = (keep ? "kept " : "dropped ") + std::to_string(t.id);
    return *out = tier_answer::retry, 5;
  }
  bool poll(tier_ticket t) noexcept { return t.id == 6; }
  std::size_t remove(const tier_key* k, std::size_t n) noexcept { return say("remove", k, nullptr, n), 7; }
  std::size_t block_bytes() const noexcept { return 8; }
  tier_stats stats() const noexcept { return {.capacity = 9}; }
  const char* name() const noexcept { return "plain"; }
  bool is_valid() const noexcept { return heard != "broken"; }
};

struct in_memory : plain {
  std::size_t hold_leavers(tier_key* k, tier_span*, std::size_t n) noexcept { return *k = {5, 5, 5}, n - 1; }
  void spilled(const tier_key& k, bool saved) noexcept {
    heard = "spilled " + std::to_string(k.low) + (saved ? " saved" : " lost");
  }
  std::size_t spare() const noexcept { return 11; }
};
struct half : plain {
  std::size_t spare() const noexcept { return 1; }
};
static_assert(tier<plain> && !shows_leavers<plain> && shows_leavers<in_memory> && !shows_leavers<half>);
static_assert(sizeof(tier_ref) == 2 * sizeof(void*) && std::is_trivially_copyable_v<tier_ref>);

}  // namespace

TEST_CASE("every question reaches the tier as it was asked, and every answer comes back") {
  plain there;
  const tier_ref made(there);
  tier_ref to = made;  // a copy refers to the tier, not to the other handle
  const tier_key* const keys = plain::keys();
  const tier_span spans[3] = {};
  tier_answer out[3] = {};
  CHECK(static_cast<bool>(to));
  CHECK(to.lookup(keys, 3, out) == 1);
  CHECK(there.heard == "lookup keys 3");
  CHECK(out[2] == tier_answer::pending);
  CHECK(to.prepare_load(keys, spans, 2) == tier_ticket{2});
  CHECK(there.heard == "load keys spans 2");
  CHECK(to.complete_load({12}, out) == 3);
  CHECK(there.heard == "loaded 12");
  CHECK(out[0] == tier_answer::hit);
  CHECK(to.prepare_store(keys, spans, 1) == tier_ticket{4});
  CHECK(there.heard == "store keys spans 1");
  CHECK(to.complete_store({13}, true, out) == 5);
  CHECK(there.heard == "kept 13");
  CHECK(to.complete_store({14}, false, out) == 5);
  CHECK(there.heard == "dropped 14");
  CHECK(to.poll({6}));
  CHECK(!to.poll({5}));
  CHECK(to.remove(keys, 3) == 7);
  CHECK(there.heard == "remove keys 3");
  CHECK(to.block_bytes() == 8);
  CHECK(to.stats().capacity == 9);
  CHECK(std::string(to.name()) == "plain");
  CHECK(to.is_valid());
  there.heard = "broken";
  CHECK(!to.is_valid());
}

TEST_CASE("a tier that does not show who leaves has nobody to save and room without end") {
  plain there;
  half other;
  tier_key key{};
  tier_span where{};
  for (tier_ref to : {tier_ref(there), tier_ref(other)}) {
    CHECK(to.hold_leavers(&key, &where, 4) == 0);
    CHECK(to.spare() == ~std::size_t{0});
    to.spilled(key, true);
  }
  CHECK(there.heard.empty());
  in_memory shows;
  tier_ref to(shows);
  CHECK(to.hold_leavers(&key, &where, 4) == 3);
  CHECK(key == tier_key{5, 5, 5});
  CHECK(to.spare() == 11);
  to.spilled(key, true);
  CHECK(shows.heard == "spilled 5 saved");
  to.spilled(key, false);
  CHECK(shows.heard == "spilled 5 lost");
}

TEST_CASE("a handle of nothing says so") {
  CHECK(!static_cast<bool>(tier_ref{}));
}
