// The functions of c_kv.h that are about sequences.
#pragma once

#include <tokenheap/adapt/c_requests.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// Runs a call of a sequence that answers with an `errc`, about `n` tokens.
template <class Call>
[[nodiscard]] th_status c_on_sequence(const th_sequence* sequence, std::size_t n, Call&& call) noexcept {
  c_sequence* const s = c_find<c_sequence>(sequence);
  if (s == nullptr) return c_last_reason().status;
  const std::uint64_t noted = c_noted();
  return c_answer_growth(*s, call(*s), noted, n);
}

TOKENHEAP_C_SYMBOL th_sequence* th_sequence_open(th_pool* pool, const uint32_t* prompt, size_t n,
                                                 const th_sequence_options* options) noexcept {
  const c_question asked(pool, prompt, n, options);
  if (asked.pool == nullptr) return nullptr;
  failure why{};
  c_sequence* const made = asked.pool->open_sequence(asked.prompt, asked.with, why);
  return made != nullptr ? c_hand_out<th_sequence>(made) : (static_cast<void>(c_refuse(why)), nullptr);
}
TOKENHEAP_C_SYMBOL th_sequence* th_pool_pin(th_pool* pool, const uint32_t* prompt, size_t n,
                                            const th_sequence_options* options) noexcept {
  c_question asked(pool, prompt, n, options);
  if (asked.pool == nullptr) return nullptr;
  asked.with.recompute_last = false;
  asked.with.read_cache = true;
  asked.with.partial = false;
  asked.with.lookahead = asked.with.expected_tokens = 0;
  asked.with.fit = kv::admit::prompt;
  const bool alone = asked.with.share == kv::share_scope::request;
  // others may evict between the two looks: then what is left is held
  constexpr int most_looks = 8;
  for (int looks = 1;; ++looks) {
    const std::size_t found = alone ? 0 : asked.pool->match(asked.prompt, asked.with.shared_key(0));
    failure why{.code = errc::invalid_argument, .pool = asked.pool->name(), .what = "published tokens of a prompt", .need = n,
                .fix = "pin what was published: one whole block at least"};
    c_sequence* const made = found == 0 ? nullptr : asked.pool->open_sequence(asked.prompt.first(found), asked.with, why);
    if (made == nullptr && found != 0 && why.code == errc::out_of_memory && looks != most_looks) continue;
    if (made == nullptr) return static_cast<void>(c_refuse(why)), nullptr;
    if (made->stats().cached_tokens == found) return c_hand_out<th_sequence>(made);
    delete made;
  }
}
TOKENHEAP_C_SYMBOL th_status th_sequence_close(th_sequence* sequence) noexcept {
  return c_close<c_sequence>(sequence, [](c_sequence& s, const char*& name) { return name = s.pool.name(), th_ok; });
}
TOKENHEAP_C_SYMBOL th_status th_pool_unpin(th_sequence* pin) noexcept { return th_sequence_close(pin); }
TOKENHEAP_C_SYMBOL th_status th_sequence_grow(th_sequence* sequence, size_t n) noexcept {
  return c_on_sequence(sequence, n, [&](c_sequence& s) { return s.grow(n); });
}
TOKENHEAP_C_SYMBOL th_status th_sequence_append(th_sequence* sequence, const uint32_t* tokens, size_t n) noexcept {
  if (const th_status no = c_check_list(tokens, n, "tokens to be added"); no != th_ok) return no;
  return c_on_sequence(sequence, n, [&](c_sequence& s) { return s.append({tokens, n}); });
}
TOKENHEAP_C_SYMBOL th_status th_sequence_publish(th_sequence* sequence, size_t written) noexcept {
  return c_on_sequence(sequence, written, [&](c_sequence& s) { return s.publish(written); });
}
TOKENHEAP_C_SYMBOL th_status th_sequence_rewind(th_sequence* sequence, size_t n) noexcept {
  return c_on_sequence(sequence, n, [&](c_sequence& s) { return s.rewind(n); });
}
TOKENHEAP_C_SYMBOL th_sequence* th_sequence_fork(th_sequence* sequence) noexcept {
  c_sequence* const s = c_find<c_sequence>(sequence);
  if (s == nullptr) return nullptr;
  failure why{};
  c_sequence* const made = s->fork(why);
  return made != nullptr ? c_hand_out<th_sequence>(made) : (static_cast<void>(c_refuse(why)), nullptr);
}
TOKENHEAP_C_SYMBOL th_status th_sequence_blocks(th_sequence* sequence, size_t first, uint32_t* out, size_t room,
                                                size_t* count) noexcept {
  const c_sequence* const s = c_find<c_sequence>(sequence);
  if (s == nullptr) return c_last_reason().status;
  const std::span<const kv::block_id> all = s->blocks();
  if (count != nullptr) *count = all.size();
  if (room == 0) return count != nullptr ? th_ok : c_refuse_null("where a count goes");
  if (out == nullptr) return c_refuse_null("room for ids of blocks");
  const std::size_t wanted = first < all.size() ? all.size() - first : 0;
  if (wanted > room) {
    return c_refuse({.code = errc::too_large, .pool = s->pool.name(), .what = "ids of a sequence's blocks", .need = wanted,
                     .limit = room, .fix = "give more room: the count says how many there are"});
  }
  for (std::size_t at = 0; at != wanted; ++at) out[at] = all[first + at];
  return th_ok;
}
TOKENHEAP_C_SYMBOL th_status th_sequence_stats_of(th_sequence* sequence, th_sequence_stats* out) noexcept {
  const c_sequence* const s = c_find<c_sequence>(sequence);
  return s == nullptr ? c_last_reason().status : c_write(s->stats(), out, "th_sequence_stats");
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
