// The functions of c_tier.h that open tiers. Define TOKENHEAP_C_REDIS as 1, and link hiredis, for tiers in Redis.
#pragma once

#include <tokenheap/adapt/c_chain.hpp>

#ifndef TOKENHEAP_C_REDIS
#define TOKENHEAP_C_REDIS 0
#endif
#if TOKENHEAP_C_REDIS
#include <tokenheap/kv/tier_redis.hpp>
#endif

namespace tokenheap {
inline namespace v0 {
namespace adapt {

static_assert(static_cast<int>(kv::tier_write::on_eviction) == th_tier_write_on_eviction);

template <class T>
[[nodiscard]] std::size_t c_or(T given, std::size_t otherwise) noexcept {
  return given != 0 ? static_cast<std::size_t>(given) : otherwise;
}

/// Hands a tier over once it is open; null and the refusal noted where it is not.
[[nodiscard]] inline th_tier* c_hand_out_tier(c_tier* made, const failure& why) noexcept {
  if (made == nullptr || why.code == errc::ok) return c_hand_out<th_tier>(made);
  static_cast<void>(c_refuse(why));
  delete made;
  return nullptr;
}
[[nodiscard]] inline failure c_no_text(const c_tier& of) noexcept {
  return {.code = errc::out_of_memory, .pool = of.name(), .what = "texts of a tier", .fix = "free some memory"};
}

template <kv::tier_order Order>
[[nodiscard]] th_tier* c_open_host_tier(const th_host_tier_options& with, c_source* from) noexcept {
  using tier = kv::host_tier<c_memory, kv::memory_copier, Order>;
  auto* const made = new (std::nothrow) c_tier_of<tier>(with.name, "host", from);
  if (made == nullptr) return c_hand_out_tier(made, {});
  const std::uint64_t noted = c_noted();
  const kv::host_tier_options asked{.block_bytes = with.block_bytes,
                                    .room = {.blocks = with.blocks, .high = with.high, .low = with.low},
                                    .batches = c_or(with.batches, 64), .name = made->name()};
  const failure why = made->keep(tier::open(asked, made->memory));
  if (why.code == errc::ok || c_noted() == noted) return c_hand_out_tier(made, why);
  delete made;  // the source has said why
  return nullptr;
}
TOKENHEAP_C_SYMBOL th_tier* th_host_tier_open(const th_host_tier_options* options) noexcept {
  th_host_tier_options with;
  if (c_read(options, with, "th_host_tier_options") != th_ok) return nullptr;
  c_source* const from = with.source != nullptr ? c_find<c_source>(with.source) : nullptr;
  if (with.source != nullptr && from == nullptr) return nullptr;
  if (with.order == th_tier_order_lru) return c_open_host_tier<kv::tier_lru>(with, from);
  if (with.order == th_tier_order_arc) return c_open_host_tier<kv::tier_arc>(with, from);
  static_cast<void>(c_refuse({.code = errc::invalid_argument, .pool = "host", .what = "order of a tier", .need = with.order,
                              .limit = th_tier_order_arc, .fix = "give a th_tier_order"}));
  return nullptr;
}
TOKENHEAP_C_SYMBOL th_tier* th_file_tier_open(const th_file_tier_options* options) noexcept {
  th_file_tier_options with;
  if (c_read(options, with, "th_file_tier_options") != th_ok) return nullptr;
  if (with.path == nullptr) return static_cast<void>(c_refuse_null("path of a file tier")), nullptr;
  auto* const made = new (std::nothrow) c_tier_of<kv::file_tier<>>(with.name, "file", nullptr);
  if (made == nullptr) return c_hand_out_tier(made, {});
  if (!made->texts[0].keep(with.path, "")) return c_hand_out_tier(made, c_no_text(*made));
  return c_hand_out_tier(
      made, made->keep(kv::file_tier<>::open({.path = made->texts[0].text(), .block_bytes = with.block_bytes,
                                              .max_bytes = with.max_bytes, .high = with.high, .low = with.low,
                                              .key = {with.key.low, with.key.high}, .durable = with.durable != 0,
                                              .scan = with.scan_headers != 0 ? kv::file_scan::headers : kv::file_scan::whole,
                                              .batches = c_or(with.batches, 64), .name = made->name()})));
}
TOKENHEAP_C_SYMBOL th_tier* th_redis_tier_open(const th_redis_tier_options* options) noexcept {
  th_redis_tier_options with;
  if (c_read(options, with, "th_redis_tier_options") != th_ok) return nullptr;
#if TOKENHEAP_C_REDIS
  auto* const made = new (std::nothrow) c_tier_of<kv::redis_tier<>>(with.name, "redis", nullptr);
  if (made == nullptr) return c_hand_out_tier(made, {});
  kv::redis_tier_options asked;
  const char* const given[] = {with.servers, with.user, with.password, with.prefix};
  const char* const otherwise[] = {asked.servers, asked.user, asked.password, asked.prefix};
  for (std::size_t k = 0; k != 4; ++k)
    if (!made->texts[k].keep(given[k], otherwise[k])) return c_hand_out_tier(made, c_no_text(*made));
  asked.servers = made->texts[0].text(), asked.user = made->texts[1].text();
  asked.password = made->texts[2].text(), asked.prefix = made->texts[3].text();
  asked.block_bytes = with.block_bytes;
  asked.key = {with.key.low, with.key.high};
  asked.ttl_ms = with.keep_forever != 0 ? 0 : c_or(with.ttl_ms, asked.ttl_ms);
  asked.renew = with.no_renew == 0;
  asked.deadline_ns = c_or(with.deadline_ns, asked.deadline_ns);
  asked.recent_ns = c_or(with.recent_ns, asked.recent_ns);
  asked.in_flight = c_or(with.in_flight, asked.in_flight);
  asked.batches = c_or(with.batches, asked.batches);
  asked.name = made->name();
  return c_hand_out_tier(made, made->keep(kv::redis_tier<>::open(asked)));
#else
  static_cast<void>(c_refuse({.code = errc::unsupported, .pool = with.name != nullptr ? with.name : "redis",
                              .what = "a tier in Redis", .fix = "build the library with TOKENHEAP_C_REDIS=1 and hiredis"}));
  return nullptr;
#endif
}
TOKENHEAP_C_SYMBOL th_tier* th_chain_open(th_tier* const* tiers, size_t n, const th_chain_options* options) noexcept {
  th_chain_options with;
  if (c_read(options, with, "th_chain_options") != th_ok) return nullptr;
  if (c_check_list(tiers, n, "tiers of a chain") != th_ok) return nullptr;
  c_tier* found[kv::tier_chain<>::max_tiers] = {};
  for (std::size_t k = 0; k != n && k != kv::tier_chain<>::max_tiers; ++k)
    if ((found[k] = c_find<c_tier>(tiers[k])) == nullptr) return nullptr;
  auto* const made = new (std::nothrow) c_chain(with.name, "tiers");
  if (made == nullptr) return c_hand_out_tier(made, {});
  failure why{.code = errc::invalid_argument, .pool = made->name(), .what = "write policy of a chain", .need = with.write,
              .limit = th_tier_write_on_eviction, .fix = "give a th_tier_write"};
  if (with.write > th_tier_write_on_eviction) return c_hand_out_tier(made, why);
  return c_hand_out_tier(made, made->open(found, n, {.threshold = c_or(with.threshold, 1),
                                                     .write = static_cast<kv::tier_write>(with.write),
                                                     .promote = with.no_promote == 0, .batches = c_or(with.batches, 32),
                                                     .sightings = c_or(with.sightings, 65536)}));
}
}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
