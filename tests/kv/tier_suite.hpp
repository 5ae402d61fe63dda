#pragma once

// What every tier must do, whatever is behind it: each type goes through `support::check_tier`.

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <tokenheap/concepts/tier.hpp>

#include <support/catch.hpp>

namespace support {

using tokenheap::kv::tier_answer;
using tokenheap::kv::tier_key;
using tokenheap::kv::tier_span;
using tokenheap::kv::tier_stats;
using tokenheap::kv::tier_ticket;

inline tier_key key_of(std::uint64_t n) { return {n * 0x9E3779B97F4A7C15u + 1, ~n, static_cast<std::uint32_t>(n % 3)}; }

/// The bytes that belong to a key: any other byte that a tier serves is a wrong one.
inline void fill_block(const tier_key& key, void* out, std::size_t bytes) {
  std::uint64_t x = key.low ^ (key.high << 7) ^ key.group;
  auto* const p = static_cast<unsigned char*>(out);
  for (std::size_t k = 0; k < bytes; k += 8) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    const std::uint64_t mixed = x ^ (x >> 29);
    std::memcpy(p + k, &mixed, bytes - k < 8 ? bytes - k : 8);
  }
}
inline std::vector<unsigned char> block_of(const tier_key& key, std::size_t bytes) {
  std::vector<unsigned char> made(bytes);
  fill_block(key, made.data(), bytes);
  return made;
}

struct tier_limits {
  bool shared = false;  ///< other processes may change what is there
  int patience = 100000;  ///< polls before a batch counts as stuck
};

template <tokenheap::kv::tier Tier>
void wait_for(Tier& t, tier_ticket which, const tier_limits& with) {
  int left = with.patience;
  while (!t.poll(which) && --left > 0) {}
  REQUIRE(left > 0);
}

template <tokenheap::kv::tier Tier>
std::vector<tier_answer> store(Tier& t, const std::vector<tier_key>& keys, bool keep = true, const tier_limits& with = {}) {
  std::vector<std::vector<unsigned char>> bytes;
  std::vector<tier_span> spans;
  for (const tier_key& k : keys) bytes.push_back(block_of(k, t.block_bytes()));
  for (auto& b : bytes) spans.push_back({b.data(), b.size()});
  std::vector<tier_answer> out(keys.size(), tier_answer::miss);
  const tier_ticket which = t.prepare_store(keys.data(), spans.data(), keys.size());
  if (!which) return out;
  wait_for(t, which, with);
  t.complete_store(which, keep, out.data());
  return out;
}

/// Loads and checks every byte that is called a hit; the rest is for the caller to judge.
template <tokenheap::kv::tier Tier>
std::vector<tier_answer> load(Tier& t, const std::vector<tier_key>& keys, const tier_limits& with = {}) {
  std::vector<std::vector<unsigned char>> bytes(keys.size(), std::vector<unsigned char>(t.block_bytes(), 0xEE));
  std::vector<tier_span> spans;
  for (auto& b : bytes) spans.push_back({b.data(), b.size()});
  std::vector<tier_answer> out(keys.size(), tier_answer::miss);
  const tier_ticket which = t.prepare_load(keys.data(), spans.data(), keys.size());
  if (!which) return out;
  wait_for(t, which, with);
  t.complete_load(which, out.data());
  for (std::size_t k = 0; k != keys.size(); ++k)
    if (out[k] == tier_answer::hit) REQUIRE(bytes[k] == block_of(keys[k], t.block_bytes()));
  return out;
}

template <tokenheap::kv::tier Tier>
std::vector<tier_answer> lookup(Tier& t, const std::vector<tier_key>& keys) {
  std::vector<tier_answer> out(keys.size(), tier_answer::miss);
  std::size_t hits = 0;
  std::size_t said = t.lookup(keys.data(), keys.size(), out.data());
  // a tier that must ask somebody says so until it knows
  for (int left = 100000; std::count(out.begin(), out.end(), tier_answer::retry) != 0 && --left > 0;)
    said = t.lookup(keys.data(), keys.size(), out.data());
  for (const tier_answer a : out) hits += a == tier_answer::hit;
  CHECK(said == hits);
  return out;
}

inline std::vector<tier_answer> all(std::size_t n, tier_answer a) { return std::vector<tier_answer>(n, a); }

template <tokenheap::kv::tier Tier>
void check_batches(Tier& t, const tier_limits& with) {
  const std::vector<tier_key> keys = {key_of(1), key_of(2), key_of(3)};
  CHECK(lookup(t, keys) == all(3, tier_answer::miss));
  CHECK(load(t, keys, with) == all(3, tier_answer::miss));
  CHECK(store(t, keys, true, with) == all(3, tier_answer::hit));
  CHECK(lookup(t, {key_of(4), key_of(2)}) == std::vector{tier_answer::miss, tier_answer::hit});
  CHECK(load(t, {key_of(3), key_of(9), key_of(1)}, with) ==
        std::vector{tier_answer::hit, tier_answer::miss, tier_answer::hit});
  // the same name in another group is another block
  tier_key other = key_of(1);
  other.group += 1;
  CHECK(lookup(t, {other}) == all(1, tier_answer::miss));
  CHECK(t.remove(keys.data(), 2) == 2);
  CHECK(t.remove(keys.data(), 2) == 0);
  CHECK(lookup(t, keys) == std::vector{tier_answer::miss, tier_answer::miss, tier_answer::hit});
  CHECK(t.remove(keys.data(), 3) == 1);
}

template <tokenheap::kv::tier Tier>
void check_traces(Tier& t, const tier_limits& with) {
  const std::vector<tier_key> keys = {key_of(11), key_of(12)};
  CHECK(store(t, keys, false, with) == all(2, tier_answer::miss));
  CHECK(lookup(t, keys) == all(2, tier_answer::miss));
  CHECK(load(t, keys, with) == all(2, tier_answer::miss));
  CHECK(store(t, keys, true, with) == all(2, tier_answer::hit));
  // a second store of what is there changes nothing
  CHECK(store(t, keys, false, with)[0] != tier_answer::pending);
  CHECK(load(t, keys, with) == all(2, tier_answer::hit));
  CHECK(t.remove(keys.data(), 2) == 2);
}

template <tokenheap::kv::tier Tier>
void check_tickets(Tier& t, const tier_limits& with) {
  tier_answer out[2] = {tier_answer::retry, tier_answer::retry};
  CHECK(t.complete_load({}, out) == 0);
  CHECK(t.complete_store({}, true, out) == 0);
  CHECK(t.complete_load({~std::uint64_t{0}}, out) == 0);
  CHECK(out[0] == tier_answer::retry);
  CHECK(t.poll({}));
  const tier_key key = key_of(21);
  std::vector<unsigned char> bytes = block_of(key, t.block_bytes());
  const tier_span good{bytes.data(), bytes.size()};
  const tier_ticket which = t.prepare_store(&key, &good, 1);
  REQUIRE(which);
  wait_for(t, which, with);
  CHECK(t.complete_load(which, out) == 0);  // the ticket of a store is none of a load
  CHECK(t.complete_store(which, true, out) == 1);
  CHECK(t.complete_store(which, true, out) == 0);
  CHECK(t.stats().storing == 0);
  const tier_span wrong{bytes.data(), bytes.size() - 1};
  const tier_ticket refused = t.prepare_load(&key, &wrong, 1);
  if (refused) {
    wait_for(t, refused, with);
    CHECK(t.complete_load(refused, out) == 0);
    CHECK(out[0] == tier_answer::miss);
  }
  CHECK(t.remove(&key, 1) == 1);
}

/// Random stores, loads and removals against a plain model: a hit has its own bytes, and nothing removed comes back.
template <tokenheap::kv::tier Tier>
void check_random(Tier& t, std::uint64_t seed, int steps, const tier_limits& with) {
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  std::map<std::uint64_t, bool> maybe;
  for (int step = 0; step != steps; ++step) {
    std::vector<std::uint64_t> ids;
    std::vector<tier_key> keys;
    for (std::size_t n = 1 + random() % 4; n != 0; --n) ids.push_back(100 + random() % 48);
    for (const std::uint64_t id : ids) keys.push_back(key_of(id));
    switch (random() % 4) {
      case 0: {
        const bool keep = random() % 8 != 0;
        const std::vector<tier_answer> got = store(t, keys, keep, with);
        for (std::size_t k = 0; k != got.size(); ++k)
          if (got[k] == tier_answer::hit) maybe[ids[k]] = true;
        break;
      }
      case 1:
        (void)t.remove(keys.data(), keys.size());
        for (const std::uint64_t id : ids) maybe[id] = false;
        break;
      default: {
        const std::vector<tier_answer> seen = lookup(t, keys);
        const std::vector<tier_answer> got = load(t, keys, with);
        for (std::size_t k = 0; k != got.size(); ++k) {
          CHECK((got[k] == tier_answer::hit) <= maybe[ids[k]]);
          if (!with.shared) CHECK(got[k] == seen[k]);
        }
      }
    }
    if (step % 16 == 0) REQUIRE(t.is_valid());
  }
  CHECK(t.is_valid());
}

/// A tier that is empty, has room for 4 blocks at least, and works without faults.
template <tokenheap::kv::tier Tier>
void check_tier(Tier& t, const tier_limits& with = {}, int steps = 400) {
  CHECK(std::string(t.name()) != "");
  CHECK(t.block_bytes() > 0);
  CHECK(t.is_valid());
  check_batches(t, with);
  check_traces(t, with);
  check_tickets(t, with);
  check_random(t, 1, steps, with);
  const tier_stats s = t.stats();
  CHECK(s.adds_up(with.shared));
  CHECK(s.storing == 0);
  CHECK(s.loading == 0);
}

}  // namespace support
