// What every order of eviction must keep, whatever it prefers: played with seeded random chains of one tree.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <random>
#include <vector>

#include <tokenheap/concepts/kv.hpp>

#include <support/catch.hpp>

namespace order_suite {

namespace kv = tokenheap::kv;

/// Plays requests over a tree of prefixes as a pool would: found blocks are reused and live, new ones are valued, all
/// are pushed again, and whoever leaves must be a member that nothing cached or live was built on.
template <class Order>
class player {
 public:
  static constexpr std::size_t blocks = 96;

  explicit player(unsigned seed) : dice_(seed) { REQUIRE(order_.open(blocks)); }

  void step() {
    switch (roll(6)) {
      case 0: return evict(1 + roll(8));
      case 1: return close_one();
      case 2: return outside();
      default: return open_one();
    }
  }

  void check() {
    std::size_t members = 0;
    for (kv::block_id id = 0; id < blocks; ++id) {
      const bool cached = nodes_[id].used && nodes_[id].holders == 0;
      REQUIRE(order_.contains(id) == cached);
      members += cached;
    }
    REQUIRE(order_.size() == members);
    REQUIRE(order_.is_valid());
    const kv::block_id next = order_.victim();
    REQUIRE((next == kv::no_block) == (members == 0));
    if (next != kv::no_block) REQUIRE(is_leaf(next));
    if constexpr (requires { order_.after(next); }) {
      std::size_t seen = 0;
      std::vector<bool> left(blocks);
      for (kv::block_id id = next; id != kv::no_block; id = order_.after(id), ++seen) {
        left[id] = true;
        const kv::block_id parent = nodes_[id].parent;
        REQUIRE((parent == kv::no_block || !left[parent]));
      }
      REQUIRE(seen == members);
    }
  }

  std::size_t evicted = 0;

 private:
  struct node {
    kv::block_id parent = kv::no_block;
    unsigned word = 0;
    std::size_t holders = 0;
    bool used = false;
  };
  using chain = std::vector<kv::block_id>;

  std::size_t roll(std::size_t sides) { return static_cast<std::size_t>(dice_()) % sides; }

  bool is_leaf(kv::block_id id) const {
    for (const node& at : nodes_)
      if (at.used && at.parent == id) return false;
    return true;
  }

  kv::block_id child(kv::block_id parent, unsigned word) const {
    for (kv::block_id id = 0; id < blocks; ++id)
      if (nodes_[id].used && nodes_[id].parent == parent && nodes_[id].word == word) return id;
    return kv::no_block;
  }

  void gone(kv::block_id id) {
    REQUIRE(nodes_[id].used);
    REQUIRE(nodes_[id].holders == 0);
    REQUIRE(is_leaf(id));
    nodes_[id] = {};
    ++evicted;
  }

  void evict(std::size_t n) {
    if (n > order_.size()) n = order_.size();
    chain out(n);
    chain seen;
    order_.pop(out.data(), n, [&](kv::block_id id) { seen.push_back(id); });
    REQUIRE(seen == out);
    for (const kv::block_id id : out) gone(id);
  }

  kv::block_id take() {
    for (kv::block_id id = 0; id < blocks; ++id)
      if (!nodes_[id].used) return id;
    if (order_.size() == 0) return kv::no_block;
    const kv::block_id victim = order_.victim();
    REQUIRE(order_.remove(victim));
    gone(victim);
    return victim;
  }

  void open_one() {
    if (live_.size() > 4) close_one();
    chain held;
    kv::block_id parent = kv::no_block;
    const std::size_t length = 1 + roll(9);
    const unsigned words = 2 + static_cast<unsigned>(roll(3));
    unsigned word = static_cast<unsigned>(roll(words));
    for (; held.size() < length; word = static_cast<unsigned>(roll(words))) {
      const kv::block_id id = child(parent, word);
      if (id == kv::no_block) break;
      if constexpr (requires { order_.reuse(id); }) order_.reuse(id);
      if (nodes_[id].holders++ == 0) REQUIRE(order_.remove(id));
      held.push_back(parent = id);
    }
    const std::size_t from = held.size();
    if constexpr (requires { order_.built(held.data(), 0, from); }) order_.built(held.data(), 0, from);
    for (; held.size() < length; word = static_cast<unsigned>(roll(words))) {
      const kv::block_id id = take();
      if (id == kv::no_block) break;
      nodes_[id] = {parent, word, 1, true};
      held.push_back(parent = id);
    }
    const kv::worth of{.priority = static_cast<std::uint8_t>(roll(5) * 25), .later = static_cast<std::uint8_t>(roll(101)),
                       .again = roll(2) == 0, .until = roll(2) == 0 ? 0 : now_ + roll(200)};
    for (std::size_t at = from; at < held.size(); ++at)
      if constexpr (requires { order_.value(parent, of); }) order_.value(held[at], of);
    if constexpr (requires { order_.built(held.data(), from, held.size()); }) order_.built(held.data(), from, held.size());
    live_.push_back(held);
  }

  void close_one() {
    if (live_.empty()) return;
    const std::size_t which = roll(live_.size());
    const chain held = live_[which];
    live_.erase(live_.begin() + static_cast<std::ptrdiff_t>(which));
    for (std::size_t n = held.size(); n-- > 0;)
      if (--nodes_[held[n]].holders == 0) order_.push(held[n]);
  }

  // what comes from elsewhere: the clock, the waiting queue, and calls that must change nothing
  void outside() {
    if constexpr (requires { order_.advance(now_); }) order_.advance(now_ += roll(40));
    if constexpr (requires { order_.look_ahead(); }) {
      if (roll(4) == 0) order_.look_ahead();
      chain path;
      for (kv::block_id id = child(kv::no_block, 0); id != kv::no_block && path.size() < 6;
           id = child(id, static_cast<unsigned>(roll(3))))
        path.push_back(id);
      order_.expect(path.data(), path.size(), roll(1200));
    }
    const auto id = static_cast<kv::block_id>(roll(blocks + 2));
    if (order_.contains(id)) {
      order_.push(id);
    } else {
      REQUIRE_FALSE(order_.remove(id));
    }
  }

  std::mt19937 dice_;
  Order order_;
  std::vector<node> nodes_ = std::vector<node>(blocks);
  std::vector<chain> live_;
  std::uint64_t now_ = 0;
};

template <class Order>
void play(unsigned seeds, std::size_t steps) {
  if (std::getenv("TOKENHEAP_TEST_LONG") != nullptr) seeds *= 100;
  for (unsigned seed = 0; seed < seeds; ++seed) {
    INFO("seed " << seed);
    player<Order> game(seed);
    for (std::size_t at = 0; at < steps; ++at) {
      game.step();
      game.check();
    }
    REQUIRE(game.evicted > steps / 8);
  }
}

}  // namespace order_suite
