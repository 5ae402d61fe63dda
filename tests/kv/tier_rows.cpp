#include <tokenheap/kv/tier_rows.hpp>

#include <support/catch.hpp>

#include <map>
#include <string>
#include <vector>

using namespace tokenheap::kv;

namespace {

tier_key name(std::uint64_t n) { return {n, n * 3, 0}; }

// a tier out of a table: what it says of each key, what it was asked, and when its batches are over
struct scripted {
  std::map<std::uint64_t, tier_answer> says = {};
  std::vector<std::uint64_t> asked = {};
  std::vector<std::uint64_t> batch = {};
  std::string ended = {};
  bool refuses = false;
  bool over = true;
  std::size_t room = 0;
  std::vector<std::uint64_t> leaving = {};
  std::map<std::uint64_t, bool> saved = {};

  tier_answer of(std::uint64_t n) { return says.count(n) != 0 ? says[n] : tier_answer::miss; }
  std::size_t lookup(const tier_key* k, std::size_t n, tier_answer* out) noexcept {
    for (std::size_t i = 0; i != n; ++i) asked.push_back(k[i].low), out[i] = of(k[i].low);
    return 0;
  }
  tier_ticket prepare_load(const tier_key*, const tier_span*, std::size_t) noexcept { return {}; }
  std::size_t complete_load(tier_ticket, tier_answer*) noexcept { return 0; }
  tier_ticket prepare_store(const tier_key* k, const tier_span*, std::size_t n) noexcept {
    batch.clear();
    for (std::size_t i = 0; i != n; ++i) batch.push_back(k[i].low);
    return {refuses ? 0u : 1u};
  }
  std::size_t complete_store(tier_ticket, bool keep, tier_answer* out) noexcept {
    ended = keep ? "kept" : "dropped";
    for (const std::uint64_t n : batch) *out++ = of(n);
    return 0;
  }
  bool poll(tier_ticket) noexcept { return over; }
  std::size_t remove(const tier_key*, std::size_t) noexcept { return 0; }
  std::size_t block_bytes() const noexcept { return 64; }
  tier_stats stats() const noexcept { return {}; }
  const char* name() const noexcept { return "scripted"; }
  bool is_valid() const noexcept { return true; }
  std::size_t hold_leavers(tier_key* k, tier_span* where, std::size_t n) noexcept {
    std::size_t m = 0;
    for (; m != n && m != leaving.size(); ++m) k[m] = ::name(leaving[m]), where[m] = {this, 64};
    return m;
  }
  void spilled(const tier_key& k, bool was) noexcept { saved[k.low] = was; }
  std::size_t spare() const noexcept { return room; }
};

struct rows : tier_rows {
  using tier_rows::are_over, tier_rows::batch, tier_rows::collect, tier_rows::find_homes, tier_rows::flights, tier_rows::gather,
      tier_rows::item, tier_rows::keys_, tier_rows::own_, tier_rows::settle_spills, tier_rows::spans_, tier_rows::spill,
      tier_rows::spills_;

  explicit rows(std::vector<scripted*> all) {
    for (scripted* t : all) tiers_[count_++] = *t;
    REQUIRE(spills_.open(2));
  }
};

constexpr tier_answer miss = tier_answer::miss, hit = tier_answer::hit, pending = tier_answer::pending, retry = tier_answer::retry;

}  // namespace

TEST_CASE("a key is sought from above to below, no further than its first hit, and the best answer stays") {
  scripted top{.says = {{1, hit}, {3, pending}, {4, retry}, {5, pending}, {6, retry}}};
  scripted low{.says = {{1, hit}, {2, hit}, {3, retry}, {4, pending}, {5, hit}}};
  rows r({&top, &low});
  std::vector<tier_key> keys;
  for (std::uint64_t n = 1; n != 8; ++n) keys.push_back(name(n));
  tier_answer out[7];
  unsigned char homes[7] = {9, 9, 9, 9, 9, 9, 9};
  r.find_homes(keys.data(), 7, out, homes);
  CHECK(std::vector(out, out + 7) == std::vector{hit, hit, pending, pending, hit, retry, miss});
  CHECK(std::vector<int>(homes, homes + 7) == std::vector<int>{0, 1, 9, 9, 1, 9, 9});
  CHECK(low.asked == std::vector<std::uint64_t>{2, 3, 4, 5, 6, 7});
  low.asked.clear();
  r.find_homes(keys.data(), 1, out);
  CHECK(low.asked.empty());
}

TEST_CASE("of a batch the items that are meant stand side by side, with the spans that are meant") {
  scripted top;
  rows r({&top});
  rows::flights f;
  REQUIRE(f.open(1));
  rows::batch& b = *f.find(f.start(rows::flights::way::store, 3));
  char user[3], here[3];
  for (std::size_t k = 0; k != 3; ++k)
    b.items[k] = {.key = name(k), .user = {user + k, 1}, .here = {here + k, 2}, .wanted = k != 1};
  const auto wanted = [](const rows::item& it) { return it.wanted; };
  REQUIRE(r.gather(b, wanted, false) == 2);
  CHECK((r.keys_[0] == name(0) && r.keys_[1] == name(2)));
  CHECK((r.spans_[0].address == user && r.spans_[1].address == user + 2));
  REQUIRE(r.gather(b, wanted, true) == 2);
  CHECK((r.spans_[0].address == here && r.spans_[1].address == here + 2));
}

TEST_CASE("a store is over when every tier is, and each key gets the best answer of those that had it") {
  scripted top{.says = {{0, hit}, {1, pending}, {2, retry}}};
  scripted low{.says = {{0, retry}, {1, hit}, {2, pending}, {3, hit}}};
  rows r({&top, &low});
  rows::flights f;
  REQUIRE(f.open(1));
  rows::batch& b = *f.find(f.start(rows::flights::way::store, 4));
  for (std::size_t k = 0; k != 4; ++k) b.items[k] = {.key = name(k), .wanted = k != 3, .below = true};
  top.batch = {0, 1, 2};
  low.batch = {0, 1, 2, 3};
  b.more.ticket[1] = {1};
  r.collect(b, 0, true);  // the first tier has no part in it yet
  CHECK(b.items[0].answer == miss);
  b.more.ticket[0] = {1};
  low.over = false;
  CHECK(!r.are_over(b));
  low.over = true;
  CHECK(r.are_over(b));
  r.collect(b, 0, true);
  r.collect(b, 1, false);
  CHECK(top.ended == "kept");
  CHECK(low.ended == "dropped");
  CHECK((b.items[0].answer == hit && b.items[1].answer == hit && b.items[2].answer == pending && b.items[3].answer == hit));
}

TEST_CASE("what would leave is saved below first, and told whether it was; with room or one tier nobody is asked") {
  scripted top{.room = 1, .leaving = {7, 8, 9}};
  scripted low{.says = {{7, hit}, {8, miss}}, .over = false};
  rows r({&top, &low});
  r.spill(1);
  CHECK(low.batch.empty());
  r.spill(3);  // two more than there is room for
  CHECK(low.batch == std::vector<std::uint64_t>{7, 8});
  CHECK(top.saved.empty());
  CHECK(r.spills_.size() == 1);
  r.settle_spills();
  CHECK(top.saved.empty());
  low.over = true;
  r.settle_spills();
  CHECK(top.saved == std::map<std::uint64_t, bool>{{7, true}, {8, false}});
  CHECK(r.own_.spilled == 1);
  CHECK(r.spills_.size() == 0);
  rows alone({&top});
  top.saved.clear();
  alone.spill(3);
  CHECK(top.saved.empty());
}

TEST_CASE("leavers are let go unsaved when the tier below refuses them, and when too many batches of them are out") {
  scripted top{.leaving = {7}};
  scripted low{.says = {{7, hit}}, .refuses = true};
  rows r({&top, &low});
  r.spill(1);
  CHECK(top.saved == std::map<std::uint64_t, bool>{{7, false}});
  CHECK(r.own_.spilled == 0);
  low.refuses = low.over = false;
  r.spill(1), r.spill(1);
  top.saved.clear();
  top.leaving = {9};
  r.spill(1);
  CHECK(top.saved == std::map<std::uint64_t, bool>{{9, false}});
  CHECK(r.spills_.size() == 2);
}
