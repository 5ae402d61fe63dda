#include <tokenheap/adapt/hicache_storage.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <tokenheap/kv/tier_host.hpp>

using namespace tokenheap;
using namespace tokenheap::adapt;

namespace {

constexpr std::size_t bytes = 32;
using host = kv::host_tier<>;
using names = std::vector<std::string_view>;

struct pages {
  std::vector<std::vector<unsigned char>> blocks;
  std::vector<kv::tier_span> spans;
  std::unique_ptr<bool[]> flags;
  std::size_t n;
  explicit pages(const names& keys, bool filled) : flags(new bool[keys.size() + 1]), n(keys.size()) {
    for (const auto& key : keys) blocks.emplace_back(bytes, filled ? static_cast<unsigned char>(key.back()) : 0);
    for (auto& b : blocks) spans.push_back({b.data(), b.size()});
    for (std::size_t k = 0; k <= n; ++k) flags[k] = true;  // every call writes every flag
  }
  std::span<bool> mask() { return {flags.get(), n}; }
  std::vector<bool> said() const { return std::vector<bool>(flags.get(), flags.get() + n); }
};

template <class Storage>
std::vector<bool> set(Storage& s, const names& keys, std::uint32_t group = 0) {
  pages p(keys, true);
  const std::size_t count = s.batch_set(keys, p.spans, p.mask(), group);
  const auto said = p.said();
  CHECK(count == static_cast<std::size_t>(std::count(said.begin(), said.end(), true)));
  return said;
}
template <class Storage>
std::vector<bool> get(Storage& s, const names& keys, std::uint32_t group = 0) {
  pages p(keys, false);
  s.batch_get(keys, p.spans, p.mask(), group);
  const auto said = p.said();
  for (std::size_t k = 0; k != keys.size(); ++k)
    if (said[k]) CHECK(p.blocks[k] == std::vector<unsigned char>(bytes, static_cast<unsigned char>(keys[k].back())));
  return said;
}

/// A tier that must ask somebody: it cannot say for a while, and takes its time with batches.
struct slow_tier : host {
  explicit slow_tier(host&& of) : host(static_cast<host&&>(of)) {}
  int silent = 0, busy = 0, polls = 0;
  std::size_t lookup(const kv::tier_key* keys, std::size_t n, kv::tier_answer* out) noexcept {
    if (silent-- <= 0) return host::lookup(keys, n, out);
    for (std::size_t k = 0; k != n; ++k) out[k] = kv::tier_answer::retry;
    return 0;
  }
  bool poll(kv::tier_ticket which) noexcept { return ++polls % (busy + 1) == 0 && host::poll(which); }
};

}  // namespace

TEST_CASE("pages are set and got by mask, and count until the first miss") {
  host_source heap;
  auto tier = host::open({.block_bytes = bytes, .room = {.blocks = 8}}, heap);
  hicache_storage<host> s(*tier, {.secret = {1, 2}});
  CHECK(s.batch_exists(names{"a", "b"}) == 0);
  CHECK(set(s, {"a", "b", "d"}) == std::vector<bool>(3, true));
  CHECK(s.batch_exists(names{"a", "b", "c", "d"}) == 2);
  CHECK(s.batch_exists(names{"c", "a"}) == 0);
  CHECK(s.batch_exists(names{"d"}) == 1);
  CHECK(s.batch_exists(names{}) == 0);
  CHECK(get(s, {"a", "c", "d"}) == std::vector<bool>{true, false, true});
  CHECK(set(s, {"a", "e", "e"}) == std::vector<bool>(3, true));  // there before, new, and twice in one batch
  CHECK(s.batch_exists(names{"a"}, 1) == 0);                     // another pool
  CHECK(tier->stats().stored == 4);
}

TEST_CASE("every key gets an answer, whatever is wrong") {
  host_source heap;
  auto tier = host::open({.block_bytes = bytes, .room = {.blocks = 2}, .batches = 1}, heap);
  hicache_storage<host> s(*tier);
  CHECK(set(s, {"a", "b", "c"}) == std::vector<bool>{true, true, false});  // no room for the third
  pages p({"a", "b"}, false);
  const names keys{"a", "b"};
  CHECK(s.batch_get(keys, std::span(p.spans).first(1), p.mask()) == 0);
  CHECK(p.said() == std::vector<bool>(2, false));
  pages q({"a", "b"}, false);
  CHECK(s.batch_set(keys, std::span(q.spans).first(1), q.mask()) == 0);
  CHECK(q.said() == std::vector<bool>(2, false));
  pages r({"a", "b"}, false);
  CHECK(s.batch_get(keys, r.spans, r.mask().first(1)) == 0);
  CHECK(r.said() == std::vector<bool>{false, true});
  pages w({"a", "b"}, false);
  w.spans[0].bytes = bytes + 1;
  CHECK(s.batch_get(keys, w.spans, w.mask()) == 1);
  CHECK(w.said() == std::vector<bool>{false, true});
  const kv::tier_key other{7, 7, 7};
  std::vector<unsigned char> memory(bytes);
  const kv::tier_span span{memory.data(), bytes};
  const kv::tier_ticket held = tier->prepare_load(&other, &span, 1);  // the only batch that the tier takes
  REQUIRE(held);
  CHECK(get(s, {"a"}) == std::vector<bool>{false});
  CHECK(set(s, {"a"}) == std::vector<bool>{false});
  tier->complete_load(held, std::vector<kv::tier_answer>(1).data());
  CHECK(get(s, {"a"}) == std::vector<bool>{true});
}

TEST_CASE("a prefix needs every page of some pools and the last ones of others") {
  host_source heap;
  auto tier = host::open({.block_bytes = bytes, .room = {.blocks = 64}}, heap);
  hicache_storage<host> s(*tier);
  const names keys{"0", "1", "2", "3", "4", "5"};
  CHECK(set(s, {"0", "1", "2", "3", "4"}) == std::vector<bool>(5, true));
  CHECK(set(s, {"0", "1", "3", "4"}, 1) == std::vector<bool>(4, true));
  CHECK(set(s, {"2", "3"}, 2) == std::vector<bool>(2, true));
  const auto ask = [&](std::vector<hicache_pool> pools) {
    const std::size_t all = s.batch_exists(keys, pools);
    std::vector<std::size_t> said{all};
    for (const hicache_pool& p : pools) said.push_back(p.hits);
    return said;
  };
  const auto every = hit_policy::all_pages, last = hit_policy::trailing_pages;
  using counts = std::vector<std::size_t>;
  CHECK(ask({}) == counts{5});
  CHECK(ask({{1, every}}) == counts{2, 2});
  CHECK(ask({{1, last, 1}}) == counts{5, 5});
  CHECK(ask({{1, last, 2}}) == counts{5, 5});
  CHECK(ask({{1, last, 3}}) == counts{2, 2});  // three in a row there are not; the first two have nothing before them
  CHECK(ask({{2, last, 2}}) == counts{4, 4});
  CHECK(ask({{2, last, 3}}) == counts{0, 0});
  CHECK(ask({{1, every}, {2, last, 1}}) == counts{2, 2, 4});
  CHECK(ask({{3, last, 0}}) == counts{0, 0});
  std::vector<hicache_pool> pools{{1, every, 1, 99}};
  CHECK(s.batch_exists(names{"5"}, pools) == 0);
  CHECK(pools[0].hits == 0);
}

TEST_CASE("a tier that cannot say yet is asked again, and not for ever") {
  host_source heap;
  auto made = host::open({.block_bytes = bytes, .room = {.blocks = 4}}, heap);
  slow_tier tier(static_cast<host&&>(*made));
  hicache_storage<slow_tier> s(tier, {.patience = 5});
  tier.busy = 3;
  CHECK(set(s, {"a"}) == std::vector<bool>{true});
  CHECK(get(s, {"a"}) == std::vector<bool>{true});
  tier.silent = 5;
  CHECK(s.batch_exists(names{"a"}) == 1);
  tier.silent = 6;
  CHECK(s.batch_exists(names{"a"}) == 0);
  CHECK(s.batch_exists(names{"a"}) == 1);
}

TEST_CASE("a prefetch thread and a backup thread share a storage") {
  host_source heap;
  auto tier = host::open({.block_bytes = bytes, .room = {.blocks = 256}}, heap);
  hicache_storage<host> s(*tier);
  std::deque<std::string> texts;
  names keys;
  for (int k = 0; k != 200; ++k) keys.push_back(texts.emplace_back(std::string("page").append(std::to_string(k))));
  pages all(keys, true);
  std::size_t stored = 0;
  std::thread backup([&] {
    for (std::size_t k = 0; k != keys.size(); k += 4)
      stored +=
          s.batch_set(std::span(keys).subspan(k, 4), std::span(all.spans).subspan(k, 4), all.mask().subspan(k, 4));
  });
  std::size_t seen = 0, before = 0;
  while (seen != keys.size()) {
    seen = s.batch_exists(keys);
    REQUIRE(seen >= before);
    before = seen;
  }
  backup.join();
  CHECK(stored == 200);
  CHECK(get(s, keys) == std::vector<bool>(200, true));
}
