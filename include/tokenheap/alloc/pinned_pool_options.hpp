// The words of a pinned pool: its options, what it counts, what can be chosen.
#pragma once

#include <cstddef>

#include <tokenheap/policy/guard.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/policy/none.hpp>
#include <tokenheap/source/pinned.hpp>

namespace tokenheap {
inline namespace v0 {

/// How much a `pinned_pool` may pin, in what steps, and where from. A node or huge pages ask for `pinned_by::pages`.
template <device Device>
struct pinned_pool_options {
  Device device{};
  std::size_t limit = 0;              ///< bytes that may be pinned in all; 0: as many as there are
  std::size_t least_chunk = 1 * MiB;  ///< the smallest step of growth; steps are an eighth of what is pinned
  std::size_t chunk = 64 * MiB;       ///< the largest step; a larger request pins what it needs
  bool wait = true;                   ///< a request that finds no more waits for streams that still use memory
  pinned_by by = pinned_by::device;
  huge_pages huge = huge_pages::none;
  int node = -1;               ///< NUMA node that all pages must come from; -1: any
  unsigned touch_threads = 1;  ///< with `pinned_by::pages`: threads that touch the pages before they are registered
  const char* name = "pinned pool";
};

/// What a `pinned_pool` holds at one moment. Always: live + waiting + available == reserved.
struct pinned_pool_stats {
  std::size_t reserved = 0;   ///< bytes pinned
  std::size_t live = 0;       ///< bytes that are out
  std::size_t waiting = 0;    ///< bytes that came back while a stream still used them
  std::size_t available = 0;  ///< bytes that can be had at once
  std::size_t largest_free = 0;
  std::size_t live_pieces = 0;
  std::size_t waiting_pieces = 0;
  std::size_t chunks = 0;
  std::size_t peak_live = 0;
  std::size_t peak_reserved = 0;
  std::size_t grown = 0;      ///< chunks taken since the start
  std::size_t waited = 0;     ///< times that a request waited for a stream or the device
  std::size_t lost_uses = 0;  ///< uses, since the start, whose event failed: only the whole device tells their end
};

/// The choices of a `pinned_pool`; inherit it and override by name. Its cap is an amount: `pinned_pool_options::limit`.
struct pinned_policy : default_policy {
  using lock = spin_lock;
  using guard = report_misuse;
};

}  // namespace v0
}  // namespace tokenheap
