// What the tests of events share: pools that tell, readers that follow, and what both must agree on.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <kv/kit.hpp>
#include <tokenheap/kv/event_feed.hpp>
#include <tokenheap/kv/event_mirror.hpp>
#include <tokenheap/kv/events.hpp>
#include <tokenheap/kv/hash_chain.hpp>

namespace kit {

template <class Index, std::size_t Bytes = 64 * tokenheap::KiB, class Lock = tokenheap::no_lock>
struct telling : kv::default_policy {
  using prefixes = Index;
  using events = kv::event_stream<kv::event_shape{.bytes = Bytes}>;
  using lock = Lock;
};
using telling_radix = kv::block_pool<telling<kv::radix_index<>>>;
using telling_chain = kv::block_pool<telling<kv::hash_chain_index<>>>;

/// A prefix as a router sees it, by its name: the parent's name and the tokens of the last block.
using name_pair = std::pair<std::uint64_t, std::uint64_t>;
using prefix_set = std::map<name_pair, std::pair<name_pair, std::vector<kv::token>>>;

inline name_pair pair_of(const kv::hash128& name) { return {name.low, name.high}; }

/// All that the index of a pool can find; the same prefix once, whoever holds it.
template <class Pool>
prefix_set findable(Pool& pool, std::size_t blocks) {
  prefix_set made;
  pool.with_events([&](const auto& stream, const auto& index) {
    REQUIRE(stream.is_valid(index));
    for (kv::block_id id = 0; index.size() != 0 && id != blocks; ++id) {
      if (!index.is_published(id)) continue;
      const auto parent = index.parent_of(id);
      kv::hash128 above;
      if (std::remove_cvref_t<decltype(index)>::is_root(parent)) {
        const kv::prefix_key key = index.key_of(parent);
        const bool keyed = key.salt_bytes != 0 || key.tenant != 0 || key.request != 0;
        above = keyed ? stream.name_of(key) : kv::event_mirror::root_of(key.adapter);
      } else {
        above = stream.name_of(index.holder_of(parent));
      }
      const kv::token* const tokens = index.tokens_of(id);
      made[pair_of(stream.name_of(id))] = {pair_of(above), {tokens, tokens + index.block_tokens()}};
    }
  });
  return made;
}

inline prefix_set held_by(const kv::event_mirror& mirror, std::size_t block_tokens) {
  prefix_set made;
  mirror.each([&](const kv::hash128& name, const kv::hash128& parent, const kv::token* tokens, std::uint8_t) {
    made[pair_of(name)] = {pair_of(parent), {tokens, tokens + block_tokens}};
  });
  return made;
}

inline kv::event_feed feed_of(std::size_t bytes = 4 * tokenheap::KiB) {
  auto made = kv::event_feed::open({.bytes = bytes});
  REQUIRE(made);
  return static_cast<kv::event_feed&&>(*made);
}

inline kv::event_mirror mirror_of(std::size_t blocks, std::size_t block_tokens, std::uint64_t seed = 5) {
  auto made = kv::event_mirror::open({.blocks = blocks, .block_tokens = block_tokens, .seed = seed});
  REQUIRE(made);
  return static_cast<kv::event_mirror&&>(*made);
}

/// Lets a mirror follow a pool until nothing is new; returns how many snapshots that took.
template <class Pool>
std::size_t follow(kv::event_feed& feed, Pool& pool, kv::event_mirror& mirror) {
  std::size_t snapshots = 0;
  for (;;) {
    const kv::feed_answer got = feed.poll(pool);
    REQUIRE(got != kv::feed_answer::failed);
    if (got == kv::feed_answer::idle) return snapshots;
    snapshots += got == kv::feed_answer::snapshot;
    for (const kv::event& e : feed.batch()) REQUIRE(mirror.apply(e) == errc::ok);
  }
}

/// An event as one line: kind, count of names, count of tokens.
inline std::string line_of(const kv::event& e) {
  constexpr const char* kinds[] = {"stored", "removed", "cleared"};
  constexpr const char* reasons[] = {"evicted", "asked", "cleared"};
  std::string line = kinds[static_cast<int>(e.kind)];
  if (e.kind == kv::event_kind::removed) line += std::string(" ") + reasons[static_cast<int>(e.why)];
  if (e.snapshot) line = "snapshot " + line;
  if (e.kind == kv::event_kind::cleared) return line;
  return line + " " + std::to_string(e.names.size()) + " " + std::to_string(e.tokens.size());
}

inline std::vector<kv::event> events_of(const kv::event_batch& batch) {
  std::vector<kv::event> made;
  for (const kv::event& e : batch) made.push_back(e);
  return made;
}

/// What is new in a pool, line by line.
template <class Pool>
std::vector<std::string> lines_of(kv::event_feed& feed, Pool& pool) {
  std::vector<std::string> made;
  while (feed.poll(pool) != kv::feed_answer::idle) {
    for (const kv::event& e : feed.batch()) made.push_back(line_of(e));
  }
  return made;
}

}  // namespace kit
