// The functions of c_events.h.
#pragma once

#include <tokenheap/adapt/c_events.h>
#include <tokenheap/adapt/c_pools.hpp>
#include <tokenheap/kv/events_json.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// A reader of a pool's events for C.
///
/// Threads   one at a time
class c_feed : public c_object {
 public:
  static constexpr c_kind kind = c_kind::feed;
  static constexpr const char* what = "a feed of events";

  c_feed(c_pool& from, kv::event_feed&& made) noexcept : feed(static_cast<kv::event_feed&&>(made)), pool(from) {
    pool.users.fetch_add(1, std::memory_order_relaxed);
  }
  ~c_feed() override { pool.users.fetch_sub(1, std::memory_order_release); }

  kv::event_feed feed;
  kv::event_batch left;
  c_pool& pool;
};

TOKENHEAP_C_SYMBOL th_feed* th_feed_open(th_pool* pool, const th_feed_options* options) noexcept {
  c_pool* const p = c_find<c_pool>(pool);
  th_feed_options with;
  if (p == nullptr || c_read(options, with, "th_feed_options") != th_ok) return nullptr;
  if (!p->tells_events()) {
    static_cast<void>(c_refuse({.code = errc::unsupported, .pool = p->name(), .what = "events of a pool",
                                .fix = "open the pool with `events` set"}));
    return nullptr;
  }
  result<kv::event_feed> opened =
      kv::event_feed::open({.bytes = with.bytes == 0 ? 64 * KiB : static_cast<std::size_t>(with.bytes), .name = p->name()});
  if (!opened) return static_cast<void>(c_refuse(opened.why())), nullptr;
  if (with.resume != 0) opened->resume(with.resume_at);
  return c_hand_out<th_feed>(new (std::nothrow) c_feed(*p, static_cast<kv::event_feed&&>(*opened)));
}
TOKENHEAP_C_SYMBOL th_status th_feed_close(th_feed* feed) noexcept {
  return c_close<c_feed>(feed, [](c_feed& f, const char*& name) { return name = f.pool.name(), th_ok; });
}

/// An event of the library as C sees it.
[[nodiscard]] inline th_event c_event_of(const kv::event& e) noexcept {
  th_event out{};
  out.number = e.number;
  out.kind = static_cast<std::uint32_t>(e.kind) + th_event_stored;
  out.why = static_cast<std::uint32_t>(e.why);
  out.snapshot = e.snapshot;
  out.at_root = e.at_root;
  out.tenant = e.tenant;
  out.keyed = e.keyed;
  out.adapter = e.adapter;
  out.parent = {e.parent.low, e.parent.high};
  out.block_tokens = e.block_tokens;
  out.names = reinterpret_cast<const th_hash*>(e.names.data());
  out.name_count = e.names.size();
  out.tokens = e.tokens.data();
  out.token_count = e.tokens.size();
  return out;
}
static_assert(static_cast<int>(kv::event_kind::cleared) + th_event_stored == th_event_cleared);

/// Makes sure that what is new is in `left`.
[[nodiscard]] inline th_status c_look_for_events(c_feed& f) noexcept {
  if (!f.left.empty()) return th_ok;
  if (f.pool.poll(f.feed) == kv::feed_answer::failed) {
    return c_refuse({.code = errc::out_of_memory, .pool = f.pool.name(), .what = "a snapshot of a pool's blocks",
                     .fix = "free some memory, and ask again"});
  }
  return f.left = f.feed.batch(), th_ok;
}

TOKENHEAP_C_SYMBOL th_status th_feed_next(th_feed* feed, th_event* out) noexcept {
  c_feed* const f = c_find<c_feed>(feed);
  if (f == nullptr) return c_last_reason().status;
  // first, so that no event is lost to a struct of a wrong size
  if (const th_status no = c_write(th_event{}, out, "th_event"); no != th_ok) return no;
  if (const th_status no = c_look_for_events(*f); no != th_ok) return no;
  if (f->left.empty()) return th_ok;
  const th_event next = c_event_of(f->left.first());
  f->left.take_first();
  return c_write(next, out, "th_event");
}
TOKENHEAP_C_SYMBOL th_status th_feed_json(th_feed* feed, const th_feed_json_options* options, char* out, size_t room,
                                          size_t* length) noexcept {
  c_feed* const f = c_find<c_feed>(feed);
  th_feed_json_options with;
  if (f == nullptr || c_read(options, with, "th_feed_json_options") != th_ok) return c_last_reason().status;
  if (out == nullptr || room == 0 || length == nullptr) return c_refuse_null("room and length of a text");
  *out = '\0';
  *length = 0;
  if (const th_status no = c_look_for_events(*f); no != th_ok || f->left.empty()) return no;
  const bool ranked = with.rank_plus_one != 0 && with.rank_plus_one <= 1u << 30;
  const kv::events_json_options how{.microseconds = with.microseconds,
                                    .names = with.numbers != 0 ? kv::name_form::number : kv::name_form::hex,
                                    .rank = ranked ? static_cast<int>(with.rank_plus_one - 1) : -1,
                                    .spec_kind = with.spec_kind, .sliding_window = with.sliding_window};
  std::size_t written = 0;
  const errc code = kv::write_json(f->left, how, out, room, written);
  *length = written;
  return c_refuse({.code = code, .pool = f->pool.name(), .what = "room for one event", .limit = room, .fix = "give more room"});
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
