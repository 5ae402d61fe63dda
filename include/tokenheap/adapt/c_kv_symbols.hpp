// The functions of c_kv.h.
#pragma once

#include <tokenheap/adapt/c_requests.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

[[nodiscard]] inline failure c_open_pool(const th_pool_options& with, c_pool*& out) noexcept {
  const std::size_t tokens = with.block_tokens == 0 ? 16 : with.block_tokens;
  failure wrong{.code = errc::invalid_argument, .pool = with.name != nullptr ? with.name : "kv", .what = "options of a pool"};
  const bool has_memory = with.source != nullptr || with.memory != nullptr;
  if (with.source != nullptr && with.memory != nullptr) return wrong.fix = "give a source or memory, not both", wrong;
  if (has_memory != (with.block_bytes != 0)) return wrong.fix = "give block_bytes, and a source or memory, or neither", wrong;
  if (with.block_bytes % tokens != 0) {
    wrong.need = with.block_bytes, wrong.limit = tokens, wrong.what = "bytes of a block (limit: its tokens)";
    return wrong.fix = "give block_bytes as a multiple of block_tokens", wrong;
  }
  if (with.memory_is_device != 0 && with.copy == nullptr) return wrong.fix = "give `copy` for memory of a device", wrong;
  if (with.index > th_index_hash_chain) return wrong.fix = "give a th_index_kind as index", wrong;
  c_source* source = nullptr;
  if (with.source != nullptr && (source = c_find<c_source>(with.source)) == nullptr) return {.code = errc::stale_handle};
  const bool told = with.events != 0;
  if (with.index == th_index_hash_chain) {
    out = told ? static_cast<c_pool*>(new (std::nothrow) c_pool_of<true, true>(with, source))
               : new (std::nothrow) c_pool_of<true, false>(with, source);
  } else {
    out = told ? static_cast<c_pool*>(new (std::nothrow) c_pool_of<false, true>(with, source))
               : new (std::nothrow) c_pool_of<false, false>(with, source);
  }
  if (out != nullptr) return out->open(with);
  return {.code = errc::out_of_memory, .pool = "c", .what = c_pool::what, .fix = "free some memory"};
}

TOKENHEAP_C_SYMBOL th_pool* th_pool_open(const th_pool_options* options) noexcept {
  th_pool_options with;
  if (c_read(options, with, "th_pool_options") != th_ok) return nullptr;
  const std::uint64_t noted = c_noted();
  c_pool* made = nullptr;
  const failure why = c_open_pool(with, made);
  if (why.code == errc::ok) return c_hand_out<th_pool>(made);
  // a source that refused has named itself; so has a handle that is none
  if (c_noted() == noted) static_cast<void>(c_refuse(why));
  delete made;
  return nullptr;
}
TOKENHEAP_C_SYMBOL th_status th_pool_close(th_pool* pool) noexcept {
  return c_close<c_pool>(pool, [](c_pool& p, const char*& name) {
    name = p.name();
    const kv::pool_stats now = p.stats();
    if (p.users.load(std::memory_order_acquire) != 0 || now.live + now.in_flight == 0) return th_ok;
    return c_refuse({.code = errc::in_use, .pool = name, .what = "blocks that are out of a pool to be closed",
                     .need = now.live + now.in_flight, .limit = now.total,
                     .fix = "give back every block, and settle every step"});
  });
}
TOKENHEAP_C_SYMBOL th_status th_pool_allocate(th_pool* pool, uint32_t* out, size_t n) noexcept {
  c_pool* const p = c_find<c_pool>(pool);
  if (p == nullptr) return c_last_reason().status;
  if (const th_status no = c_check_list(out, n, "where ids of blocks go"); no != th_ok) return no;
  const std::uint64_t noted = c_noted();
  const errc code = p->allocate({out, n});
  if (code == errc::ok) return th_ok;
  const kv::pool_stats now = p->stats();
  return c_answer(code, noted, {.pool = p->name(), .what = "blocks", .need = n, .available = now.available(),
                                .limit = now.total, .fix = "give blocks back, or close sequences"});
}
TOKENHEAP_C_SYMBOL th_status th_pool_deallocate(th_pool* pool, const uint32_t* ids, size_t n) noexcept {
  c_pool* const p = c_find<c_pool>(pool);
  if (p == nullptr) return c_last_reason().status;
  if (const th_status no = c_check_list(ids, n, "ids of blocks"); no != th_ok) return no;
  const std::uint64_t noted = c_noted();
  const errc code = p->deallocate({ids, n});
  return c_answer(code, noted, {.pool = p->name(), .what = "blocks given back", .need = n, .fix = "give back each once"});
}
TOKENHEAP_C_SYMBOL th_status th_pool_address(th_pool* pool, uint32_t id, void** out) noexcept {
  const c_pool* const p = c_find<c_pool>(pool);
  if (p == nullptr) return c_last_reason().status;
  if (out == nullptr) return c_refuse_null("where an address goes");
  *out = p->data(id);
  if (id < p->ids()) return th_ok;
  return c_refuse({.code = errc::invalid_argument, .pool = p->name(), .what = "a block by its id", .need = id,
                   .limit = p->ids() - 1, .fix = "give an id that the pool handed out"});
}
TOKENHEAP_C_SYMBOL th_status th_pool_match(th_pool* pool, const uint32_t* prompt, size_t n, const th_sequence_options* options,
                                           size_t* tokens) noexcept {
  if (tokens == nullptr) return c_refuse_null("where a number of tokens goes");
  const c_question asked(pool, prompt, n, options);
  if (asked.pool == nullptr) return c_last_reason().status;
  // what is for one request alone nobody else can find
  *tokens = asked.with.share == kv::share_scope::request ? 0 : asked.pool->match(asked.prompt, asked.with.shared_key(0));
  return th_ok;
}
TOKENHEAP_C_SYMBOL th_status th_pool_would_fit(th_pool* pool, const uint32_t* prompt, size_t n,
                                               const th_sequence_options* options, th_admission* out) noexcept {
  const c_question asked(pool, prompt, n, options);
  if (asked.pool == nullptr) return c_last_reason().status;
  const kv::admission a = asked.pool->would_fit(asked.prompt, asked.with);
  th_admission answer{};
  answer.status = c_status_of(a.code);
  answer.need = a.need;
  answer.found = a.found;
  answer.room = a.room;
  answer.longest_tokens = a.longest;
  return c_write(answer, out, "th_admission");
}
TOKENHEAP_C_SYMBOL th_status th_pool_names(th_pool* pool, const uint32_t* prompt, size_t n, const th_sequence_options* options,
                                           uint32_t group, th_block_name* out, size_t room, size_t* count) noexcept {
  const c_question asked(pool, prompt, n, options);
  if (asked.pool == nullptr) return c_last_reason().status;
  failure wrong{.code = errc::invalid_argument, .pool = asked.pool->name(), .what = "names of blocks"};
  if (asked.with.share == kv::share_scope::request) return wrong.fix = "share with a tenant or with the process", c_refuse(wrong);
  const std::size_t tokens = asked.pool->block_tokens();
  const std::size_t blocks = n / tokens;
  if (count != nullptr) *count = blocks;
  if (room == 0) return count != nullptr ? th_ok : c_refuse_null("where a count goes");
  if (out == nullptr) return c_refuse_null("room for names");
  wrong.code = errc::too_large, wrong.need = blocks, wrong.limit = room;
  if (blocks > room) return wrong.fix = "give more room: the count says how much", c_refuse(wrong);
  const kv::sip128 hash = asked.pool->naming();
  kv::hash128 name = kv::name_of_root(hash, asked.with.shared_key(0));
  for (std::size_t at = 0; at != blocks; ++at) {
    name = hash(name, prompt + at * tokens, tokens);
    out[at] = {.hash = {name.low, name.high}, .group = group, .reserved = 0};
  }
  return th_ok;
}
TOKENHEAP_C_SYMBOL th_status th_pool_evict(th_pool* pool, size_t n, size_t* evicted) noexcept {
  c_pool* const p = c_find<c_pool>(pool);
  if (p == nullptr) return c_last_reason().status;
  const std::size_t gone = p->evict(n);
  if (evicted != nullptr) *evicted = gone;
  return th_ok;
}
TOKENHEAP_C_SYMBOL th_status th_pool_reset(th_pool* pool) noexcept {
  c_pool* const p = c_find<c_pool>(pool);
  if (p == nullptr) return c_last_reason().status;
  const std::uint64_t noted = c_noted();
  const errc code = p->reset();
  return c_answer(code, noted, {.pool = p->name(), .what = "live blocks of a pool to be reset", .need = p->stats().live,
                                .fix = "close all sequences first"});
}
TOKENHEAP_C_SYMBOL th_status th_pool_begin_step(th_pool* pool, uint64_t* step) noexcept {
  c_pool* const p = c_find<c_pool>(pool);
  if (p == nullptr) return c_last_reason().status;
  if (step == nullptr) return c_refuse_null("where the number of a step goes");
  return *step = p->begin_step(), th_ok;
}
TOKENHEAP_C_SYMBOL th_status th_pool_settle(th_pool* pool, uint64_t step) noexcept {
  c_pool* const p = c_find<c_pool>(pool);
  if (p == nullptr) return c_last_reason().status;
  const std::uint64_t noted = c_noted();
  const errc code = p->settle(step);
  return c_answer(code, noted, {.pool = p->name(), .what = "a step by its number", .need = step,
                                .fix = "settle steps that were begun, in their order"});
}
TOKENHEAP_C_SYMBOL th_status th_pool_stats_of(th_pool* pool, th_pool_stats* out) noexcept {
  const c_pool* const p = c_find<c_pool>(pool);
  if (p == nullptr) return c_last_reason().status;
  const kv::pool_stats now = p->stats();
  th_pool_stats all{};
  all.total_blocks = now.total;
  all.free_blocks = now.free;
  all.cached_blocks = now.cached;
  all.live_blocks = now.live;
  all.in_flight_blocks = now.in_flight;
  all.reserved_blocks = now.reserved;
  all.published_blocks = now.published;
  all.peak_live_blocks = now.peak_live;
  all.evictions = now.evictions;
  all.asked_tokens = now.asked_tokens;
  all.reused_tokens = now.reused_tokens;
  all.bookkeeping_bytes = now.bookkeeping_bytes;
  return c_write(all, out, "th_pool_stats");
}
TOKENHEAP_C_SYMBOL th_status th_pool_dump(th_pool* pool, char* out, size_t room, size_t* length) noexcept {
  const c_pool* const p = c_find<c_pool>(pool);
  if (p == nullptr) return c_last_reason().status;
  char line[1024];
  const std::size_t bytes = p->dump(line, sizeof line);
  return c_write_text(line, bytes, out, room, length);
}
TOKENHEAP_C_SYMBOL th_status th_pool_is_valid(th_pool* pool) noexcept {
  const c_pool* const p = c_find<c_pool>(pool);
  if (p == nullptr) return c_last_reason().status;
  if (p->is_valid()) return th_ok;
  return c_refuse({.code = errc::corrupted, .pool = p->name(), .what = "books of a pool", .fix = "find who writes over them"});
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
