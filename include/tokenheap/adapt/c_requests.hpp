// What C says of a request, and how it is told no.
#pragma once

#include <cstddef>

#include <tokenheap/adapt/c_pools.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

static_assert(sizeof(th_hash) == sizeof(kv::hash128) && offsetof(th_hash, high) == offsetof(kv::hash128, high));
static_assert(th_share_process == 1 && static_cast<int>(kv::share_scope::request) == th_share_request);
static_assert(static_cast<int>(kv::admit::reserved) == th_admit_reserved);

/// What a C caller says of a request, in the words of the library; refused and noted where it makes no sense.
[[nodiscard]] inline th_status c_read_sequence(const th_sequence_options* given, kv::sequence_options& out) noexcept {
  th_sequence_options with;
  if (const th_status no = c_read(given, with, "th_sequence_options"); no != th_ok) return no;
  constexpr kv::share_scope shares[] = {kv::share_scope::tenant, kv::share_scope::process, kv::share_scope::request};
  if (with.share > th_share_request || with.admit > th_admit_reserved) {
    return c_refuse({.code = errc::invalid_argument, .pool = "c", .what = "share or admit of a sequence",
                     .fix = "give a th_share and a th_admit"});
  }
  out.key = {.salt = with.salt, .salt_bytes = with.salt_bytes, .adapter = with.adapter, .tenant = with.tenant};
  out.share = shares[with.share];
  out.read_cache = with.no_read_cache == 0;
  out.recompute_last = with.reuse_last == 0;
  out.partial = with.partial != 0;
  out.fit = static_cast<kv::admit>(with.admit);
  out.lookahead = with.lookahead;
  out.expected_tokens = with.expected_tokens;
  return th_ok;
}

/// A prompt and what is said of it; `pool` is null, and the refusal noted, where the call makes no sense.
struct c_question {
  c_pool* pool = nullptr;
  std::span<const kv::token> prompt{};
  kv::sequence_options with{};

  c_question(const th_pool* asked, const uint32_t* tokens, std::size_t n, const th_sequence_options* options) noexcept {
    c_pool* const found = c_find<c_pool>(asked);
    if (found == nullptr || c_check_list(tokens, n, "tokens of a prompt") != th_ok) return;
    if (c_read_sequence(options, with) != th_ok) return;
    prompt = {tokens, n};
    const char* const fix = with.why_not();
    if (fix == nullptr) {
      pool = found;
    } else {
      static_cast<void>(c_refuse({.code = errc::invalid_argument, .pool = found->name(), .what = "options of a sequence",
                                  .fix = fix}));
    }
  }
};

/// Says no to growth: with what the pool told the last request that was refused for the same reason, if it did.
[[nodiscard]] inline th_status c_answer_growth(const c_sequence& of, errc code, std::uint64_t noted, std::size_t n) noexcept {
  if (code == errc::ok) return th_ok;
  const kv::admission last = of.pool.last_refusal();
  failure why{.pool = of.pool.name(), .what = "tokens of a sequence", .need = n,
              .fix = "ask for no more than the sequence and its pool have"};
  // these two are told apart before the pool is asked
  const bool asked = code != errc::too_large && code != errc::invalid_argument;
  if (asked && last.code == code) why = last.why("blocks for a sequence that grows");
  return c_answer(code, noted, why);
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
