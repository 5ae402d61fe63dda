// How allocators are read: columns of layers, the caching allocator, pools of pinned memory.
#pragma once

#include <concepts>
#include <type_traits>

#include <tokenheap/alloc/device_counters.hpp>
#include <tokenheap/alloc/magazines.hpp>
#include <tokenheap/alloc/range.hpp>
#include <tokenheap/alloc/with.hpp>
#include <tokenheap/concepts/device.hpp>
#include <tokenheap/observe/registry.hpp>
#include <tokenheap/policy/limit.hpp>
#include <tokenheap/policy/stats.hpp>

namespace tokenheap {
inline namespace v0 {

// ---- the caching allocator ---------------------------------------------------------------------------------------------

/// Answers `stats()` with `device_stats`: a caching allocator, or what wraps one.
template <class T>
concept counts_device_memory = requires(T& pool) {
  { pool.stats() } noexcept -> std::same_as<device_stats>;
};

template <counts_device_memory T>
inline constexpr bool reads_alone<T> = std::same_as<typename T::policy_type::lock, no_lock>;

/// Fills in what a caching allocator's `device_stats` say.
inline void read_stats(const device_stats& now, pool_reading& into) noexcept {
  const device_gauges& all = now.all;
  into.bytes.live = all.allocated_bytes.current;
  into.bytes.peak = all.allocated_bytes.peak;
  into.bytes.pending = now.pending_bytes;
  into.bytes.cached = now.cached_bytes;
  const std::size_t stuck = all.inactive_split_bytes.current;
  into.bytes.evictable = now.cached_bytes > stuck ? now.cached_bytes - stuck : 0;
  into.pieces = all.allocation.current;
  into.pending_pieces = all.active.current - all.allocation.current;
  into.largest_free = now.largest_free;
  into.allocations = all.allocation.allocated;
  into.deallocations = all.allocation.freed;
  into.allocated_bytes = all.allocated_bytes.allocated;
  into.failures.add("out_of_memory", now.num_ooms);
  into.waste.add("rounding", all.allocated_bytes.current - all.requested_bytes.current);
  into.waste.add("split", stuck);
}

inline void read_calls(const device_stats& now, pool_reading& into) noexcept {
  into.device_calls.add("allocate", now.num_device_alloc);
  into.device_calls.add("free", now.num_device_free);
  into.device_calls.add("refused", now.num_alloc_retries);
  into.device_calls.add("synchronize", now.num_sync_all_streams);
  into.device_calls.add("record_event", now.num_events);
  into.device_calls.add("borrow", now.num_borrows);
}

/// Owners are asked one by one behind the rest: their numbers may be of a later moment.
template <counts_device_memory T>
void read_pool(T& pool, pool_reading& into) noexcept {
  into.kind = "caching_allocator";
  const device_stats now = pool.stats();
  read_stats(now, into);
  read_calls(now, into);
  if constexpr (std::same_as<typename T::policy_type::counters, no_counters>) {
    // nobody counts pieces; what the allocator needs itself is there
    for (std::uint64_t* n : {&into.bytes.live, &into.bytes.peak, &into.bytes.evictable, &into.pieces, &into.pending_pieces,
                             &into.allocations, &into.deallocations, &into.allocated_bytes})
      *n = not_counted;
    into.waste = {};
  }
  constexpr unsigned most = 64;
  for (unsigned k = 0; k != most; ++k) {
    const auto one = pool.owner(static_cast<std::uint16_t>(k));
    if (one.name == nullptr || *one.name == '\0') break;
    if (one.peak != 0) into.owners.push_back({one.name, one.current, one.peak});
  }
}

// ---- pinned memory -----------------------------------------------------------------------------------------------------

template <device Device, allocator_policy Policy>
class pinned_pool;  // its header is heavy, and whoever has a pool has it

template <class Device, class Policy>
inline constexpr bool reads_alone<pinned_pool<Device, Policy>> = std::same_as<typename Policy::lock, no_lock>;

template <class Device, class Policy>
void read_pool(pinned_pool<Device, Policy>& pool, pool_reading& into) noexcept {
  into.kind = "pinned_pool";
  const auto now = pool.stats();
  into.bytes.live = now.live;
  into.bytes.peak = now.peak_live;
  into.bytes.pending = now.waiting;
  into.bytes.free = now.available;
  into.pieces = now.live_pieces;
  into.pending_pieces = now.waiting_pieces;
  into.largest_free = now.largest_free;
  into.device_calls.add("allocate", now.grown);
  into.device_calls.add("wait", now.waited);
  into.device_calls.add("lost_event", now.lost_uses);
}

// ---- columns of layers -------------------------------------------------------------------------------------------------

/// An allocator made of layers: `layered<...>`, or a name made by inheritance from one.
template <class T>
concept is_a_column = stands_on_a_floor<T> && requires { typename T::layer; };

namespace detail {

template <class Layer>
struct policy_of_layer {
  using type = void;
};
template <class P>
struct policy_of_layer<with<P>> {
  using type = P;
};
template <class P>
concept tells_values = requires(const P& p) {
  { p.values() } -> std::convertible_to<counter_values>;
};
template <class Layer>
inline constexpr bool is_magazines = false;
template <magazine_shape Shape, lockable Lock>
inline constexpr bool is_magazines<magazines<Shape, Lock>> = true;

/// The topmost lock of a column: void if it has none, the layer `magazines` if that comes first.
template <class Level>
struct lock_of_column {
  using type = void;
};
template <is_a_column Level>
struct lock_of_column<Level> {
  using policy = typename policy_of_layer<typename Level::layer>::type;
  [[nodiscard]] static constexpr auto find() noexcept {
    if constexpr (is_magazines<typename Level::layer>) {
      return std::type_identity<typename Level::layer>{};
    } else if constexpr (lockable<policy>) {
      return std::type_identity<policy>{};
    } else {
      return std::type_identity<typename lock_of_column<typename Level::below_type>::type>{};
    }
  }
  using type = typename decltype(find())::type;
};

/// Puts the numbers of the layers together: the topmost that counts says what callers hold, the lowest what there is.
class column_reader {
 public:
  explicit column_reader(pool_reading& into) noexcept : into_(into) {}

  // of a slab, of an arena: by what they say, so that neither header is needed here
  template <class Stats>
    requires requires(const Stats& s) { s.live_bytes + s.live + s.reserved; }
  void see(const Stats& s) noexcept {
    holds(s.live_bytes, s.live), reserved_ = s.reserved;
  }
  template <class Stats>
    requires requires(const Stats& s) { s.used + s.reserved; }
  void see(const Stats& s) noexcept {
    holds(s.used, not_counted), reserved_ = s.reserved;
  }
  void see(const range_stats& s) noexcept {
    if (into_.bytes.live == not_counted) into_.largest_free = s.largest_free;
    holds(s.out, s.live_ranges), reserved_ = s.capacity;
  }
  void see(const counter_values& s, bool exact) noexcept {
    if (into_.bytes.live == not_counted) {
      into_.bytes.peak = s.granted.peak;
      into_.allocations = s.calls.allocated;
      into_.deallocations = s.calls.freed;
      into_.allocated_bytes = s.granted.allocated;
      into_.failures.add("refused", s.failures);
      if (exact) into_.waste.add("rounding", s.granted.current - s.requested.current);
    }
    holds(s.granted.current, s.calls.current);
  }
  void see(const hard_limit& l) noexcept {
    if (l.limit() < into_.bytes.limit) into_.bytes.limit = l.limit();
  }
  void see(const soft_limit& l) noexcept {
    if (l.limit() < into_.soft_limit) into_.soft_limit = l.limit();
  }
  ~column_reader() {
    if (reserved_ == not_counted) return;
    const std::uint64_t live = into_.bytes.live;
    // what went past a slab into the arena below is live to the arena alone
    into_.bytes.free = live == not_counted ? reserved_ : (reserved_ > live ? reserved_ - live : 0);
  }

 private:
  void holds(std::uint64_t bytes, std::uint64_t pieces) noexcept {
    if (into_.bytes.live != not_counted) return;
    into_.bytes.live = bytes;
    into_.pieces = pieces;
  }

  pool_reading& into_;
  std::uint64_t reserved_ = not_counted;
};

template <class Level, class Column>
void read_layers(Column& column, column_reader& reader) noexcept {
  if constexpr (is_a_column<Level>) {
    using layer = typename Level::layer;
    using policy = typename policy_of_layer<layer>::type;
    if constexpr (std::same_as<policy, hard_limit> || std::same_as<policy, soft_limit>) {
      reader.see(column.template policy<policy>());
    } else if constexpr (tells_values<policy>) {
      reader.see(column.template policy<policy>().values(), policy::remembers_requests);
    } else if constexpr (!std::is_void_v<policy>) {
      // locks, guards and traces hold nothing
    } else if constexpr (std::same_as<layer, typename Column::layer>) {
      if constexpr (requires { reader.see(column.stats()); }) reader.see(column.stats());
    } else if constexpr (requires { reader.see(column.template floor<layer>().stats()); }) {
      reader.see(column.template floor<layer>().stats());
    }
    // below magazines only their own lock would do
    if constexpr (!is_magazines<layer>) read_layers<typename Level::below_type>(column, reader);
  }
}

}  // namespace detail

template <is_a_column Column>
inline constexpr bool reads_alone<Column> = std::is_void_v<typename detail::lock_of_column<Column>::type>;

/// Under the column's own lock, if it has one. Of two equal layers the upper one is read.
template <is_a_column Column>
void read_pool(Column& column, pool_reading& into) noexcept {
  into.kind = "column";
  using lock = typename detail::lock_of_column<Column>::type;
  detail::column_reader reader(into);
  if constexpr (lockable<lock>) {
    const locked hold(column.template policy<lock>());
    detail::read_layers<Column>(column, reader);
  } else {
    detail::read_layers<Column>(column, reader);
  }
}

}  // namespace v0
}  // namespace tokenheap
