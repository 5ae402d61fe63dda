// The choices that make up a block pool, and their defaults.
#pragma once

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/kv/eviction.hpp>
#include <tokenheap/kv/fence.hpp>
#include <tokenheap/kv/prefix_index.hpp>
#include <tokenheap/kv/scrub.hpp>
#include <tokenheap/policy/guard.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/policy/none.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Hears of nothing.
struct no_events {
  constexpr void on_all_cleared() noexcept {}
};

/// The choices of a pool that one thread uses and that reports every misuse; inherit it and override by name.
///
/// Example   struct shared : kv::default_policy { using lock = spin_lock; };
struct default_policy {
  using lock = no_lock;
  using guard = report_misuse;
  using prefixes = radix_index<>;
  using evict = lru;
  using events = no_events;
  using scrub = no_scrub;
  using fence = no_fence;
};

static_assert(pool_policy<default_policy>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
