// The functions of c_tier.h. Define TOKENHEAP_C_REDIS as 1, and link hiredis, for tiers in Redis.
#pragma once

#include <tokenheap/adapt/c_tiers.hpp>

#ifndef TOKENHEAP_C_REDIS
#define TOKENHEAP_C_REDIS 0
#endif
#if TOKENHEAP_C_REDIS
#include <tokenheap/kv/tier_redis.hpp>
#endif

namespace tokenheap {
inline namespace v0 {
namespace adapt {

static_assert(static_cast<int>(kv::tier_answer::retry) == th_tier_retry && sizeof(kv::tier_answer) == 1);
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
TOKENHEAP_C_SYMBOL th_status th_tier_close(th_tier* tier) noexcept {
  c_tier* const t = c_find<c_tier>(tier);
  if (t == nullptr) return c_last_reason().status;
  if (const std::size_t left = t->in_flight(); left != 0) {
    return c_refuse({.code = errc::in_use, .pool = t->name(), .what = "batches in flight of a tier to be closed", .need = left,
                     .fix = "complete them first"});
  }
  return c_close<c_tier>(tier, t->name());
}

/// A tier and a batch for it; `tier` is null, and the refusal noted, where the call makes no sense.
struct c_batch {
  c_tier* tier = nullptr;

  c_batch(const th_tier* asked, const void* names, const void* spans, std::size_t n) noexcept {
    c_tier* const found = c_find<c_tier>(asked);
    if (found == nullptr || c_check_list(names, n, "names of blocks") != th_ok) return;
    if (c_check_list(spans, n, "spans or answers of blocks") == th_ok) tier = found;
  }
};
[[nodiscard]] inline kv::tier_answer* c_answers(uint8_t* answers) noexcept { return reinterpret_cast<kv::tier_answer*>(answers); }

TOKENHEAP_C_SYMBOL th_status th_tier_lookup(th_tier* tier, const th_block_name* names, size_t n, uint8_t* answers,
                                            size_t* hits) noexcept {
  const c_batch b(tier, names, answers, n);
  std::size_t found = 0;
  const th_status status = b.tier == nullptr ? c_last_reason().status : b.tier->lookup(names, n, c_answers(answers), found);
  if (hits != nullptr) *hits = found;
  return status;
}
TOKENHEAP_C_SYMBOL th_status th_tier_prepare_load(th_tier* tier, const th_block_name* names, const th_block_span* to, size_t n,
                                                  uint64_t* ticket) noexcept {
  if (ticket == nullptr) return c_refuse_null("where a ticket goes");
  *ticket = 0;
  const c_batch b(tier, names, to, n);
  return b.tier == nullptr ? c_last_reason().status : b.tier->prepare(c_tier::way::load, names, to, n, *ticket);
}
TOKENHEAP_C_SYMBOL th_status th_tier_prepare_store(th_tier* tier, const th_block_name* names, const th_block_span* from, size_t n,
                                                   uint64_t* ticket) noexcept {
  if (ticket == nullptr) return c_refuse_null("where a ticket goes");
  *ticket = 0;
  const c_batch b(tier, names, from, n);
  return b.tier == nullptr ? c_last_reason().status : b.tier->prepare(c_tier::way::store, names, from, n, *ticket);
}

[[nodiscard]] inline th_status c_poll(th_tier* tier, uint64_t ticket, bool for_source, int* done) noexcept {
  c_tier* const t = c_find<c_tier>(tier);
  if (t == nullptr) return c_last_reason().status;
  if (done == nullptr) return c_refuse_null("where the answer of a poll goes");
  bool over = false;
  const th_status status = t->poll(ticket, for_source, over);
  return *done = over ? 1 : 0, status;
}
TOKENHEAP_C_SYMBOL th_status th_tier_poll(th_tier* tier, uint64_t ticket, int* done) noexcept {
  return c_poll(tier, ticket, false, done);
}
TOKENHEAP_C_SYMBOL th_status th_tier_source_done(th_tier* tier, uint64_t ticket, int* done) noexcept {
  return c_poll(tier, ticket, true, done);
}

[[nodiscard]] inline th_status c_complete(th_tier* tier, c_tier::way going, uint64_t ticket, bool keep, uint8_t* answers,
                                          std::size_t room, size_t* hits) noexcept {
  const c_batch b(tier, nullptr, nullptr, 0);
  std::size_t found = 0;
  th_status status = c_check_list(answers, room, "where answers go");
  if (status == th_ok) {
    status = b.tier == nullptr ? c_last_reason().status
                               : b.tier->complete(going, ticket, keep, c_answers(answers), room, found);
  }
  if (hits != nullptr) *hits = found;
  return status;
}
TOKENHEAP_C_SYMBOL th_status th_tier_complete_load(th_tier* tier, uint64_t ticket, uint8_t* answers, size_t room,
                                                   size_t* hits) noexcept {
  return c_complete(tier, c_tier::way::load, ticket, true, answers, room, hits);
}
TOKENHEAP_C_SYMBOL th_status th_tier_complete_store(th_tier* tier, uint64_t ticket, int keep, uint8_t* answers, size_t room,
                                                    size_t* hits) noexcept {
  return c_complete(tier, c_tier::way::store, ticket, keep != 0, answers, room, hits);
}

/// A whole batch, from its start to its answers.
[[nodiscard]] inline th_status c_run_batch(th_tier* tier, c_tier::way going, const th_block_name* names,
                                           const th_block_span* spans, size_t n, uint8_t* answers, size_t* hits) noexcept {
  if (hits != nullptr) *hits = 0;
  const c_batch b(tier, names, spans, n);
  if (b.tier == nullptr || c_check_list(answers, n, "where answers go") != th_ok) return c_last_reason().status;
  if (n == 0) return th_ok;
  std::uint64_t ticket = 0;
  if (const th_status no = b.tier->prepare(going, names, spans, n, ticket); no != th_ok) return no;
  for (bool done = false; !done;) {
    if (const th_status no = b.tier->poll(ticket, false, done); no != th_ok) return no;
    if (!done) ::sched_yield();
  }
  return c_complete(tier, going, ticket, true, answers, n, hits);
}
TOKENHEAP_C_SYMBOL th_status th_tier_load(th_tier* tier, const th_block_name* names, const th_block_span* to, size_t n,
                                          uint8_t* answers, size_t* hits) noexcept {
  return c_run_batch(tier, c_tier::way::load, names, to, n, answers, hits);
}
TOKENHEAP_C_SYMBOL th_status th_tier_store(th_tier* tier, const th_block_name* names, const th_block_span* from, size_t n,
                                           uint8_t* answers, size_t* hits) noexcept {
  return c_run_batch(tier, c_tier::way::store, names, from, n, answers, hits);
}
TOKENHEAP_C_SYMBOL th_status th_tier_remove(th_tier* tier, const th_block_name* names, size_t n, size_t* gone) noexcept {
  const c_batch b(tier, names, names, n);
  std::size_t found = 0;
  const th_status status = b.tier == nullptr ? c_last_reason().status : b.tier->remove(names, n, found);
  if (gone != nullptr) *gone = found;
  return status;
}
TOKENHEAP_C_SYMBOL th_status th_tier_stats_of(th_tier* tier, th_tier_stats* out) noexcept {
  c_tier* const t = c_find<c_tier>(tier);
  if (t == nullptr) return c_last_reason().status;
  const kv::tier_stats s = t->stats();
  const th_tier_stats all{.size = 0, .version = 0, .lookups = s.lookups, .hits = s.hits, .misses = s.misses,
                          .pending = s.pending, .retries = s.retries, .stores = s.stores, .stored = s.stored,
                          .present = s.present, .refused = s.refused, .storing = s.storing, .loads = s.loads,
                          .loaded = s.loaded, .load_failures = s.load_failures, .loading = s.loading,
                          .recovered = s.recovered, .blocks = s.blocks, .evicted = s.evicted, .removed = s.removed,
                          .lost = s.lost, .capacity = s.capacity};
  return c_write(all, out, "th_tier_stats");
}
TOKENHEAP_C_SYMBOL th_status th_tier_is_valid(th_tier* tier) noexcept {
  c_tier* const t = c_find<c_tier>(tier);
  if (t == nullptr) return c_last_reason().status;
  if (t->is_valid()) return th_ok;
  return c_refuse({.code = errc::corrupted, .pool = t->name(), .what = "books of a tier", .fix = "find who writes over them"});
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
