// The functions of c_tier.h that run batches.
#pragma once

#include <sched.h>

#include <tokenheap/adapt/c_tier_open_symbols.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

static_assert(static_cast<int>(kv::tier_answer::retry) == th_tier_retry && sizeof(kv::tier_answer) == 1);

TOKENHEAP_C_SYMBOL th_status th_tier_close(th_tier* tier) noexcept {
  return c_close<c_tier>(tier, [](c_tier& t, const char*& name) {
    name = t.name();
    const std::size_t left = t.in_flight();
    if (left == 0) return th_ok;
    return c_refuse({.code = errc::in_use, .pool = name, .what = "batches in flight of a tier to be closed", .need = left,
                     .fix = "complete them first"});
  });
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
