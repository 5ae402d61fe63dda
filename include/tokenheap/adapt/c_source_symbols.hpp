// The functions of c_source.h.
#pragma once

#include <tokenheap/adapt/c_sources.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// Makes the source that the options describe; null, and the refusal noted, where they make none.
[[nodiscard]] inline c_source* c_make_source(const th_source_options& with) noexcept {
  const auto refuse = [](const char* what, const char* fix) {
    return static_cast<void>(c_refuse({.code = errc::invalid_argument, .pool = "c", .what = what, .fix = fix})), nullptr;
  };
  c_source* below = nullptr;
  if (with.kind == th_source_arena || with.kind == th_source_slab) {
    below = c_find<c_source>(with.below);
    if (below == nullptr) return nullptr;
  }
  switch (with.kind) {
    case th_source_host: return new (std::nothrow) c_source_of<host_source, no_lock>(with, "host", nullptr);
    case th_source_pages: {
      if (with.huge_pages > th_huge_two_mib) return refuse("huge_pages of a source", "give a th_huge_pages");
      const page_options pages{.huge = static_cast<huge_pages>(with.huge_pages),
                               .node = with.bind_node != 0 ? static_cast<int>(with.node) : -1,
                               .touch_threads = with.touch_threads, .lock = with.lock_pages != 0,
                               .guards = with.guard_pages != 0};
      return new (std::nothrow) c_source_of<page_source, mutex_lock>(with, "pages", nullptr, pages);
    }
    case th_source_fixed: {
      if (with.memory == nullptr || with.memory_bytes == 0 || with.memory_bytes > max_allocation)
        return refuse("memory of a fixed source", "give memory and its bytes");
      const fixed_options buffer{.data = with.memory, .size = with.memory_bytes};
      return new (std::nothrow) c_source_of<fixed_source, mutex_lock>(with, "fixed", nullptr, buffer);
    }
    case th_source_callback:
      if (with.allocate == nullptr || with.deallocate == nullptr)
        return refuse("functions of a callback source", "give both allocate and deallocate");
      return new (std::nothrow) c_source_of<c_callbacks, no_lock>(with, "callback", nullptr, with);
    case th_source_arena:
      return new (std::nothrow) c_source_of<c_arena, mutex_lock>(with, "arena", below, c_below::options{below});
    case th_source_slab:
      return new (std::nothrow) c_source_of<c_slab, mutex_lock>(with, "slab", below, c_below::options{below});
    default: return refuse("kind of a source", "give a th_source_kind");
  }
}

TOKENHEAP_C_SYMBOL th_source* th_source_open(const th_source_options* options) noexcept {
  th_source_options with;
  if (c_read(options, with, "th_source_options") != th_ok) return nullptr;
  const std::uint64_t noted = c_noted();
  c_source* const made = c_make_source(with);
  if (made == nullptr && c_noted() != noted) return nullptr;
  return c_hand_out<th_source>(made);
}
TOKENHEAP_C_SYMBOL th_status th_source_close(th_source* source) noexcept {
  return c_close<c_source>(source, [](c_source& s, const char*& name) {
    name = s.name();
    // what stands on it holds pieces of it too, and is the better reason
    return s.users.load(std::memory_order_acquire) == 0 ? s.may_close() : th_ok;
  });
}
TOKENHEAP_C_SYMBOL th_status th_source_allocate(th_source* source, size_t bytes, size_t alignment, th_allocation* out) noexcept {
  if (out == nullptr) return c_refuse_null("where an allocation goes");
  *out = {nullptr, 0};
  c_source* const s = c_find<c_source>(source);
  if (s == nullptr) return c_last_reason().status;
  const allocation a = s->allocate(bytes, alignment == 0 ? default_alignment : alignment);
  *out = {a.data, a.size};
  return a ? th_ok : c_last_reason().status;
}
TOKENHEAP_C_SYMBOL th_status th_source_deallocate(th_source* source, th_allocation piece) noexcept {
  c_source* const s = c_find<c_source>(source);
  if (s == nullptr) return c_last_reason().status;
  return c_checked([&] { s->deallocate({piece.data, piece.bytes}); });
}
TOKENHEAP_C_SYMBOL th_status th_source_reset(th_source* source) noexcept {
  c_source* const s = c_find<c_source>(source);
  return s == nullptr ? c_last_reason().status : s->reset();
}
TOKENHEAP_C_SYMBOL th_status th_source_trim(th_source* source, size_t keep, size_t* given) noexcept {
  c_source* const s = c_find<c_source>(source);
  std::size_t bytes = 0;
  const th_status status = s == nullptr ? c_last_reason().status : s->trim(keep, bytes);
  if (given != nullptr) *given = bytes;
  return status;
}
TOKENHEAP_C_SYMBOL th_status th_source_stats_of(th_source* source, th_source_stats* out) noexcept {
  const c_source* const s = c_find<c_source>(source);
  return s == nullptr ? c_last_reason().status : c_write(s->stats(), out, "th_source_stats");
}
TOKENHEAP_C_SYMBOL th_status th_source_set_limit(th_source* source, uint64_t bytes) noexcept {
  c_source* const s = c_find<c_source>(source);
  if (s == nullptr) return c_last_reason().status;
  return s->set_limit(bytes), th_ok;
}
TOKENHEAP_C_SYMBOL th_status th_source_is_valid(th_source* source) noexcept {
  const c_source* const s = c_find<c_source>(source);
  if (s == nullptr) return c_last_reason().status;
  if (s->is_valid()) return th_ok;
  return c_refuse({.code = errc::corrupted, .pool = s->name(), .what = "books of a source", .fix = "find who writes over them"});
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
