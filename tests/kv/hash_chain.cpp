#include <tokenheap/kv/hash_chain.hpp>

#include <support/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include <kv/kit.hpp>
#include <tokenheap/kv/sha256.hpp>
#include <tokenheap/kv/xxh3.hpp>

namespace kv = tokenheap::kv;

namespace {

// a hash that keeps so few bits of the real one that different prefixes share names all the time
template <unsigned Bits>
struct few_bits {
  using value = kv::hash128;
  kv::sip128 real;

  static few_bits open(const void* seed, std::size_t bytes) noexcept { return {kv::sip128::open(seed, bytes)}; }
  static kv::hash128 cut(kv::hash128 whole) noexcept {
    if constexpr (Bits == 0) return {};
    return {(whole.low & ((1U << Bits) - 1)) << (64 - (Bits == 0 ? 1 : Bits)), 0};
  }
  kv::hash128 root(const void* key, std::size_t bytes) const noexcept { return cut(real.root(key, bytes)); }
  kv::hash128 operator()(kv::hash128 parent, const kv::token* tokens, std::size_t n) const noexcept {
    return cut(real(parent, tokens, n));
  }
};

// random chains below three keys, beside a map that spells every prefix out
template <class Hash>
void compare_with_a_map(std::size_t lookups, std::uint32_t seed) {
  CAPTURE(seed);
  constexpr std::size_t blocks = 200, wide = 2, deep = 6;
  auto made = kv::hash_chain_index<Hash>::open({.blocks = blocks, .block_tokens = wide, .seed = seed});
  REQUIRE(made);
  auto& index = *made;
  std::mt19937 random(seed);
  using prefix = std::pair<std::size_t, std::vector<kv::token>>;
  std::map<prefix, kv::block_id> where;
  const std::uint32_t roots[] = {index.hold_root({}), index.hold_root({.salt = "a", .salt_bytes = 1}),
                                 index.hold_root({.adapter = 7})};
  const auto draw = [&] {
    std::vector<kv::token> made_up(deep * wide);
    for (auto& t : made_up) t = static_cast<kv::token>(random() % 3);
    return made_up;
  };
  for (kv::block_id next = 0; next < blocks;) {
    const std::size_t key = random() % 3;
    const auto tokens = draw();
    kv::block_id out[deep];
    std::size_t have = index.match(roots[key], tokens.data(), deep, out);
    if (have == deep) continue;
    index.write(next, 0, tokens.data() + have * wide, wide);
    index.publish(have == 0 ? roots[key] : index.position_of(out[have - 1]), &next, 1);
    where[{key, {tokens.begin(), tokens.begin() + static_cast<long>((have + 1) * wide)}}] = next++;
  }
  REQUIRE(index.is_valid());
  std::size_t wrong = 0;
  std::size_t hits = 0;
  for (std::size_t n = 0; n < lookups; ++n) {
    const std::size_t key = random() % 3;
    const auto tokens = draw();
    kv::block_id out[deep];
    const std::size_t found = index.match(roots[key], tokens.data(), deep, out);
    hits += found;
    prefix spelled{key, {}};
    for (std::size_t at = 0; at <= found && at < deep; ++at) {
      spelled.second.insert(spelled.second.end(), tokens.begin() + static_cast<long>(at * wide),
                            tokens.begin() + static_cast<long>((at + 1) * wide));
      const auto known = where.find(spelled);
      wrong += at < found ? known == where.end() || known->second != out[at] : known != where.end();
    }
  }
  CHECK(wrong == 0);
  CHECK(hits > lookups / 2);
  // the youngest first, so that no block leaves before what hangs below it
  for (kv::block_id id = blocks; id-- != 0;) index.remove(&id, 1);
  CHECK(index.is_valid());
  CHECK(index.size() == 0);
  for (const auto root : roots) index.let_go_root(root);
}

}  // namespace

TEST_CASE("names that collide cost a comparison and never a wrong hit", "[kv][hash_chain]") {
  compare_with_a_map<few_bits<8>>(std::getenv("TOKENHEAP_TEST_LONG") != nullptr ? 10'000'000 : 1'000'000, 1);
  compare_with_a_map<few_bits<0>>(2'000, 2);
  compare_with_a_map<kv::sip128>(20'000, 3);
}

TEST_CASE("a duplicate takes the place of the block that goes, and keeps what is below it", "[kv][hash_chain]") {
  auto made = kv::hash_chain_index<>::open({.blocks = 8, .block_tokens = 1});
  REQUIRE(made);
  auto& index = *made;
  const auto root = index.hold_root({});
  const kv::token same = 5, below = 6;
  for (kv::block_id id = 0; id < 3; ++id) {
    index.write(id, 0, &same, 1);
    index.publish(root, &id, 1);
  }
  const kv::block_id child = 3;
  index.write(child, 0, &below, 1);
  index.publish(index.position_of(1), &child, 1);
  CHECK(index.hash_of(0) == index.hash_of(2));
  CHECK(index.position_of(0) == index.position_of(2));
  const kv::token prompt[] = {same, below};
  kv::block_id out[2];
  // the youngest duplicate comes next, as in the radix index
  for (const kv::block_id expected : {0U, 2U, 1U}) {
    REQUIRE(index.match(root, prompt, 2, out) == 2);
    CHECK(out[0] == expected);
    CHECK(out[1] == child);
    CHECK(index.has_children(expected));
    if (expected == 1) break;
    index.remove(expected);
    CHECK(index.is_valid());
  }
  index.remove(child);
  index.remove(1);
  CHECK(index.is_valid());
  CHECK(index.size() == 0);
  index.let_go_root(root);
}

TEST_CASE("equal blocks leave in any order, and what is below them stays findable", "[kv][hash_chain]") {
  constexpr std::size_t twins = 5;
  const kv::token same = 5, below = 6;
  kv::block_id order[] = {0, 1, 2, 3, 4};
  do {
    CAPTURE(order[0], order[1], order[2], order[3], order[4]);
    auto made = kv::hash_chain_index<>::open({.blocks = twins + 2, .block_tokens = 1});
    REQUIRE(made);
    auto& index = *made;
    const auto root = index.hold_root({});
    for (kv::block_id id = 0; id < twins; ++id) {
      index.write(id, 0, &same, 1);
      index.publish(root, &id, 1);
    }
    const kv::block_id children[] = {twins, twins + 1};
    for (const auto child : children) {
      index.write(child, 0, &below, 1);
      index.publish(index.position_of(order[child - twins]), &child, 1);
    }
    const kv::token prompt[] = {same, below};
    for (std::size_t gone = 0; gone < twins - 1; ++gone) {
      index.remove(order[gone]);
      REQUIRE(index.is_valid());
      kv::block_id out[2] = {};
      REQUIRE(index.match(root, prompt, 2, out) == 2);
      REQUIRE(std::find(order + gone + 1, order + twins, out[0]) != order + twins);
      REQUIRE(out[1] == children[0]);
      std::vector<kv::block_id> holders;
      index.each_holder(index.position_of(out[0]), [&](kv::block_id id) { holders.push_back(id); });
      std::sort(holders.begin(), holders.end());
      std::vector<kv::block_id> expected(order + gone + 1, order + twins);
      std::sort(expected.begin(), expected.end());
      REQUIRE(holders == expected);
      // one that left comes back as another block's child, at a place that is not its own
      const kv::block_id again = order[gone];
      index.write(again, 0, &below, 1);
      index.publish(index.position_of(children[0]), &again, 1);
      REQUIRE(index.is_valid());
      index.remove(again);
      REQUIRE(index.is_valid());
    }
    index.remove(children, 2);
    index.remove(order[twins - 1]);
    REQUIRE(index.is_valid());
    REQUIRE(index.size() == 0);
    index.let_go_root(root);
  } while (std::next_permutation(order, order + twins));
}

TEST_CASE("names depend on key, parent and seed, and damage is seen", "[kv][hash_chain]") {
  auto made = kv::hash_chain_index<>::open({.blocks = 4, .block_tokens = 2, .seed = 9});
  auto twin = kv::hash_chain_index<>::open({.blocks = 4, .block_tokens = 2, .seed = 9});
  auto other = kv::hash_chain_index<>::open({.blocks = 4, .block_tokens = 2, .seed = 10});
  REQUIRE((made && twin && other));
  const kv::token two[] = {1, 2};
  const kv::prefix_key keys[] = {{}, {.adapter = 1}};
  const auto put = [&](auto& index, const kv::prefix_key& key, kv::block_id id) {
    const auto root = index.hold_root(key);
    index.write(id, 0, two, 2);
    index.publish(root, &id, 1);
    index.let_go_root(root);
    return index.hash_of(id);
  };
  const auto plain = put(*made, keys[0], 0);
  CHECK(plain == put(*twin, keys[0], 3));
  CHECK_FALSE(plain == put(*other, keys[0], 0));
  CHECK_FALSE(plain == put(*made, keys[1], 1));
  CHECK(made->find_root(keys[1]) != 0);
  REQUIRE(made->is_valid());
  const kv::token changed = 3;
  made->write(1, 1, &changed, 1);
  CHECK_FALSE(made->is_valid());
  made->write(1, 1, two + 1, 1);
  CHECK(made->is_valid());
}

namespace {

template <class Hash>
struct chained : kv::default_policy {
  using prefixes = kv::hash_chain_index<Hash>;
};

// the same traffic for two pools: prompts out of few beginnings, more than fits, closed in any order
template <class Policy>
void compare_with_radix(std::uint32_t seed, std::size_t requests) {
  CAPTURE(seed);
  using other_pool = kv::block_pool<Policy>;
  auto radix = kit::pool_of(300, 4);
  auto chain = kit::pool_of<other_pool>(300, 4);
  std::mt19937 random(seed);
  std::vector<std::pair<kit::sequence, kv::sequence<other_pool>>> running;
  std::vector<std::vector<kv::token>> past{{1, 2, 3, 4}};
  std::size_t hits = 0;
  const char salts[] = "ab";
  for (std::size_t n = 0; n < requests; ++n) {
    auto prompt = past[past.size() - 1 - random() % std::min<std::size_t>(past.size(), 20)];
    prompt.resize(std::min<std::size_t>(prompt.size(), random() % 120 + 1));
    for (auto more = random() % 30; more-- != 0;) prompt.push_back(static_cast<kv::token>(random() % 3));
    past.push_back(prompt);
    kv::sequence_options with{.read_cache = random() % 8 != 0};
    if (const auto key = random() % 4; key < 2) with.key = {.salt = salts + key, .salt_bytes = 1};
    auto left = kit::sequence::open(radix, prompt, with);
    auto right = kv::sequence<other_pool>::open(chain, prompt, with);
    REQUIRE(static_cast<bool>(left) == static_cast<bool>(right));
    if (left) {
      REQUIRE(left->cached_tokens() == right->cached_tokens());
      REQUIRE(kit::ids_of(*left) == kit::ids_of(*right));
      hits += left->cached_tokens();
      const std::size_t written = random() % (prompt.size() + 1);
      REQUIRE(left->publish(written) == right->publish(written));
      running.emplace_back(static_cast<kit::sequence&&>(*left), static_cast<kv::sequence<other_pool>&&>(*right));
    }
    if (running.size() > 6 || (!left && !running.empty())) {
      std::swap(running[random() % running.size()], running.back());
      running.pop_back();
    }
    REQUIRE(radix.match(prompt, with.key) == chain.match(prompt, with.key));
    if (n % 64 == 0) REQUIRE(chain.is_valid());
  }
  CHECK(hits > 4 * requests);
  CHECK(radix.stats().evictions > requests);
  CHECK(radix.stats().evictions == chain.stats().evictions);
  running.clear();
  CHECK(chain.is_valid());
  CHECK(chain.evict(300) == radix.evict(300));
  CHECK(chain.stats().free == 300);
  CHECK(chain.is_valid());
}

}  // namespace

TEST_CASE("both indexes find the same blocks in the same traffic, whatever names them", "[kv][hash_chain]") {
  const std::size_t requests = std::getenv("TOKENHEAP_TEST_LONG") != nullptr ? 200'000 : 4'000;
  compare_with_radix<chained<kv::sip128>>(1, requests);
  compare_with_radix<chained<kv::xxh3_128>>(2, requests);
  compare_with_radix<chained<kv::sha256_128>>(3, requests);
  compare_with_radix<chained<few_bits<4>>>(4, requests);
}
