// Every metric that there is: its name, what it means, and where a pool's reading has it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <tokenheap/observe/metric_text.hpp>
#include <tokenheap/observe/pool_reading.hpp>

namespace tokenheap {
inline namespace v0 {

/// The labels of one pool, as they stand in each of its lines.
struct pool_label_text {
  std::string plain;      ///< without the owner
  std::string whole;
  std::string number;     ///< from the second of several pools with equal labels on
  std::size_t added = 0;  ///< characters that the number takes at the end of `whole`
};

/// One family: its name without `_total` and `_info`, and what writes the lines of one pool.
struct metric_family {
  std::string_view name;
  std::string_view unit;  ///< the last word of the name, or empty
  metric_kind kind;
  std::string_view help;
  void (*write)(metric_text& to, const pool_label_text& labels, const pool_reading& from);
};

namespace detail {

/// One line, unless nobody counts it.
inline void put(metric_text& to, std::string_view labels, metric_text::label more, std::uint64_t value) {
  if (value != not_counted) to.sample(labels, more, value);
}

/// `M` of a reading: one line.
template <auto M>
void put_number(metric_text& to, const pool_label_text& labels, const pool_reading& from) {
  put(to, labels.whole, {}, from.*M);
}
/// `M` of a reading's amounts, bytes or blocks: one line.
template <auto Of, auto M>
void put_amount(metric_text& to, const pool_label_text& labels, const pool_reading& from) {
  put(to, labels.whole, {}, from.*Of.*M);
}
/// The states that do not overlap.
template <auto Of>
void put_states(metric_text& to, const pool_label_text& labels, const pool_reading& from) {
  const state_amounts& of = from.*Of;
  put(to, labels.whole, {"state", "live"}, of.live);
  put(to, labels.whole, {"state", "pending"}, of.pending);
  put(to, labels.whole, {"state", "cached"}, of.cached);
  put(to, labels.whole, {"state", "free"}, of.free);
}
/// Those that lie within them.
template <auto Of>
void put_within(metric_text& to, const pool_label_text& labels, const pool_reading& from) {
  const state_amounts& of = from.*Of;
  put(to, labels.whole, {"state", "evictable"}, of.evictable);
  put(to, labels.whole, {"state", "pinned"}, of.pinned);
  put(to, labels.whole, {"state", "reserved"}, of.reserved);
}
template <auto Of>
void put_capacity(metric_text& to, const pool_label_text& labels, const pool_reading& from) {
  put(to, labels.whole, {}, (from.*Of).capacity());
}

struct reason_word { static constexpr std::string_view text = "reason"; };
struct cause_word { static constexpr std::string_view text = "cause"; };
struct call_word { static constexpr std::string_view text = "call"; };
struct result_word { static constexpr std::string_view text = "result"; };
struct event_word { static constexpr std::string_view text = "event"; };

/// One line for each row of a list.
template <auto List, class Word>
void put_rows(metric_text& to, const pool_label_text& labels, const pool_reading& from) {
  for (const labelled_counts::row& r : from.*List) put(to, labels.whole, {Word::text, r.label}, r.count);
}

inline void put_info(metric_text& to, const pool_label_text& labels, const pool_reading& from) {
  to.sample(labels.whole, {"kind", from.kind}, std::uint64_t{1});
}
inline void put_pieces(metric_text& to, const pool_label_text& labels, const pool_reading& from) {
  put(to, labels.whole, {"state", "live"}, from.pieces);
  put(to, labels.whole, {"state", "pending"}, from.pending_pieces);
}
inline void put_limits(metric_text& to, const pool_label_text& labels, const pool_reading& from) {
  put(to, labels.whole, {"limit", "hard"}, from.bytes.limit);
  put(to, labels.whole, {"limit", "soft"}, from.soft_limit);
}
inline void put_fragmentation(metric_text& to, const pool_label_text& labels, const pool_reading& from) {
  if (const double share = from.fragmentation(); share >= 0) to.sample(labels.whole, share);
}

/// The owner of a row stands behind that of its pool.
template <auto M>
void put_owners(metric_text& to, const pool_label_text& labels, const pool_reading& from) {
  for (const owner_reading& o : from.owners) {
    std::string mine = labels.plain;
    append_label(mine, "owner", from.owner.empty() ? o.owner : from.owner + "/" + o.owner);
    append_label(mine, "number", labels.number);
    to.sample(mine, o.*M);
  }
}

inline void put_latencies(metric_text& to, const pool_label_text& labels, const pool_reading& from) {
  for (const latency_reading& of : from.latencies) {
    double bounds[latency_counts::bounds];
    for (std::size_t k = 0; k != latency_counts::bounds; ++k)
      bounds[k] = static_cast<double>(latency_counts::bound_ns(k)) / 1e9;
    std::string mine = labels.whole;
    append_label(mine, "op", of.op);
    to.histogram(mine, bounds, of.counts.in.data(), latency_counts::bounds, static_cast<double>(of.counts.sum_ns) / 1e9);
  }
}

inline constexpr auto in_bytes = &pool_reading::bytes;
inline constexpr auto in_blocks = &pool_reading::blocks;

}  // namespace detail

/// All families, in the order in which they are written.
inline constexpr metric_family metric_families[] = {
    {"tokenheap_pool", "", metric_kind::info, "A registered pool, and what kind it is.", detail::put_info},
    {"tokenheap_pool_bytes", "bytes", metric_kind::gauge, "Bytes of a pool by state; the states do not overlap.",
     detail::put_states<detail::in_bytes>},
    {"tokenheap_pool_within_bytes", "bytes", metric_kind::gauge,
     "Bytes within those states: cached that can be evicted, held in place, promised.", detail::put_within<detail::in_bytes>},
    {"tokenheap_pool_capacity_bytes", "bytes", metric_kind::gauge, "Bytes that a pool has, the sum of its states.",
     detail::put_capacity<detail::in_bytes>},
    {"tokenheap_pool_limit_bytes", "bytes", metric_kind::gauge,
     "Bytes that a pool may have, and those from which on somebody is told.", detail::put_limits},
    {"tokenheap_pool_peak_bytes", "bytes", metric_kind::gauge, "Most bytes that were live.",
     detail::put_amount<detail::in_bytes, &state_amounts::peak>},
    {"tokenheap_pool_blocks", "blocks", metric_kind::gauge, "KV blocks of a pool by state; the states do not overlap.",
     detail::put_states<detail::in_blocks>},
    {"tokenheap_pool_within_blocks", "blocks", metric_kind::gauge,
     "KV blocks within those states: cached that can be evicted, references that pins hold, promised.",
     detail::put_within<detail::in_blocks>},
    {"tokenheap_pool_capacity_blocks", "blocks", metric_kind::gauge, "KV blocks that a pool has, the sum of its states.",
     detail::put_capacity<detail::in_blocks>},
    {"tokenheap_pool_limit_blocks", "blocks", metric_kind::gauge, "KV blocks that a pool may have.",
     detail::put_amount<detail::in_blocks, &state_amounts::limit>},
    {"tokenheap_pool_peak_blocks", "blocks", metric_kind::gauge, "Most KV blocks that were live.",
     detail::put_amount<detail::in_blocks, &state_amounts::peak>},
    {"tokenheap_pool_pieces", "pieces", metric_kind::gauge, "Allocations that are out, and those that wait for a stream.",
     detail::put_pieces},
    {"tokenheap_block_size_bytes", "bytes", metric_kind::gauge, "Bytes of one KV block.",
     detail::put_number<&pool_reading::block_bytes>},
    {"tokenheap_block_size_tokens", "tokens", metric_kind::gauge, "Tokens of one KV block.",
     detail::put_number<&pool_reading::block_tokens>},
    {"tokenheap_owner_bytes", "bytes", metric_kind::gauge, "Bytes that an owner holds in a pool.",
     detail::put_owners<&owner_reading::bytes>},
    {"tokenheap_owner_peak_bytes", "bytes", metric_kind::gauge, "Most bytes that an owner held in a pool.",
     detail::put_owners<&owner_reading::peak_bytes>},
    {"tokenheap_largest_free_bytes", "bytes", metric_kind::gauge, "Bytes of the largest piece that could be handed out.",
     detail::put_number<&pool_reading::largest_free>},
    {"tokenheap_fragmentation_ratio", "ratio", metric_kind::gauge,
     "Share of the free and cached bytes that one request for the largest piece could not have.", detail::put_fragmentation},
    {"tokenheap_waste_bytes", "bytes", metric_kind::gauge, "Bytes that nobody can use, by cause.",
     detail::put_rows<&pool_reading::waste, detail::cause_word>},
    {"tokenheap_bookkeeping_bytes", "bytes", metric_kind::gauge, "Bytes that the books of a pool take.",
     detail::put_number<&pool_reading::bookkeeping>},
    {"tokenheap_allocations", "", metric_kind::counter, "Allocations that were granted.",
     detail::put_number<&pool_reading::allocations>},
    {"tokenheap_deallocations", "", metric_kind::counter, "Allocations that came back.",
     detail::put_number<&pool_reading::deallocations>},
    {"tokenheap_allocated_bytes", "bytes", metric_kind::counter, "Bytes of all allocations that were granted.",
     detail::put_number<&pool_reading::allocated_bytes>},
    {"tokenheap_failures", "", metric_kind::counter, "Requests that were refused, by reason.",
     detail::put_rows<&pool_reading::failures, detail::reason_word>},
    {"tokenheap_evicted_blocks", "blocks", metric_kind::counter, "KV blocks that left a cache or a tier, by cause.",
     detail::put_rows<&pool_reading::evictions, detail::cause_word>},
    {"tokenheap_prefix_queried_tokens", "tokens", metric_kind::counter, "Prompt tokens that were looked up in the cache.",
     detail::put_number<&pool_reading::queried_tokens>},
    {"tokenheap_prefix_hit_tokens", "tokens", metric_kind::counter, "Prompt tokens that were found in the cache.",
     detail::put_number<&pool_reading::hit_tokens>},
    {"tokenheap_scrubbed_blocks", "blocks", metric_kind::counter, "KV blocks that were wiped between tenants.",
     detail::put_number<&pool_reading::scrubbed>},
    {"tokenheap_moved", "", metric_kind::counter, "Blocks or pages that were copied to another place, by cause.",
     detail::put_rows<&pool_reading::moves, detail::cause_word>},
    {"tokenheap_device_calls", "", metric_kind::counter, "Calls to the device that a pool made, by call.",
     detail::put_rows<&pool_reading::device_calls, detail::call_word>},
    {"tokenheap_tier_lookups", "", metric_kind::counter, "KV blocks that were looked up in a tier, by result.",
     detail::put_rows<&pool_reading::lookups, detail::result_word>},
    {"tokenheap_tier_stores", "", metric_kind::counter, "KV blocks that were to be stored in a tier, by result.",
     detail::put_rows<&pool_reading::stores, detail::result_word>},
    {"tokenheap_tier_loads", "", metric_kind::counter, "KV blocks that were to be loaded from a tier, by result.",
     detail::put_rows<&pool_reading::loads, detail::result_word>},
    {"tokenheap_tier_wire_events", "", metric_kind::counter, "What the connections of a tier went through, by event.",
     detail::put_rows<&pool_reading::wire, detail::event_word>},
    {"tokenheap_latency_seconds", "seconds", metric_kind::histogram, "How long calls took, by operation.",
     detail::put_latencies},
};

}  // namespace v0
}  // namespace tokenheap
