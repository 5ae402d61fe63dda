// Any tier behind one small handle, so that a chain need not know what it is made of.
#pragma once

#include <tokenheap/concepts/tier.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Shows which blocks leave next, and keeps them until they are saved: a tier in memory can, and a chain uses it.
template <class T>
concept shows_leavers = requires(T& t, const T& seen, tier_key* keys, tier_span* where, const tier_key& key, std::size_t n) {
  { t.hold_leavers(keys, where, n) } noexcept -> std::same_as<std::size_t>;
  { t.spilled(key, true) } noexcept -> std::same_as<void>;
  { seen.spare() } noexcept -> std::same_as<std::size_t>;
};

/// Refers to a tier of any type; two words that are copied freely.
///
/// Requires  a tier that outlives it
/// Threads   as the tier
/// Cost      one indirect call for a batch
class tier_ref {
 public:
  tier_ref() noexcept = default;
  template <tier T>
    requires(!std::same_as<T, tier_ref>)
  tier_ref(T& to) noexcept : to_(&to), calls_(&table_of<T>) {}

  explicit operator bool() const noexcept { return to_ != nullptr; }
  std::size_t lookup(const tier_key* keys, std::size_t n, tier_answer* out) noexcept {
    return calls_->lookup(to_, keys, n, out);
  }
  [[nodiscard]] tier_ticket prepare_load(const tier_key* keys, const tier_span* to, std::size_t n) noexcept {
    return calls_->prepare_load(to_, keys, to, n);
  }
  std::size_t complete_load(tier_ticket which, tier_answer* out) noexcept { return calls_->complete_load(to_, which, out); }
  [[nodiscard]] tier_ticket prepare_store(const tier_key* keys, const tier_span* from, std::size_t n) noexcept {
    return calls_->prepare_store(to_, keys, from, n);
  }
  std::size_t complete_store(tier_ticket which, bool keep, tier_answer* out) noexcept {
    return calls_->complete_store(to_, which, keep, out);
  }
  [[nodiscard]] bool poll(tier_ticket which) noexcept { return calls_->poll(to_, which); }
  std::size_t remove(const tier_key* keys, std::size_t n) noexcept { return calls_->remove(to_, keys, n); }
  [[nodiscard]] std::size_t block_bytes() const noexcept { return calls_->block_bytes(to_); }
  [[nodiscard]] tier_stats stats() const noexcept { return calls_->stats(to_); }
  [[nodiscard]] const char* name() const noexcept { return calls_->name(to_); }
  [[nodiscard]] bool is_valid() const noexcept { return calls_->is_valid(to_); }

  /// 0, and `spare` without end, for a tier that does not show who leaves.
  std::size_t hold_leavers(tier_key* keys, tier_span* where, std::size_t n) noexcept {
    return calls_->hold_leavers(to_, keys, where, n);
  }
  void spilled(const tier_key& key, bool saved) noexcept { calls_->spilled(to_, key, saved); }
  [[nodiscard]] std::size_t spare() const noexcept { return calls_->spare(to_); }

 private:
  struct table {
    std::size_t (*lookup)(void*, const tier_key*, std::size_t, tier_answer*) noexcept;
    tier_ticket (*prepare_load)(void*, const tier_key*, const tier_span*, std::size_t) noexcept;
    std::size_t (*complete_load)(void*, tier_ticket, tier_answer*) noexcept;
    tier_ticket (*prepare_store)(void*, const tier_key*, const tier_span*, std::size_t) noexcept;
    std::size_t (*complete_store)(void*, tier_ticket, bool, tier_answer*) noexcept;
    bool (*poll)(void*, tier_ticket) noexcept;
    std::size_t (*remove)(void*, const tier_key*, std::size_t) noexcept;
    std::size_t (*block_bytes)(void*) noexcept;
    tier_stats (*stats)(void*) noexcept;
    const char* (*name)(void*) noexcept;
    bool (*is_valid)(void*) noexcept;
    std::size_t (*hold_leavers)(void*, tier_key*, tier_span*, std::size_t) noexcept;
    void (*spilled)(void*, const tier_key&, bool) noexcept;
    std::size_t (*spare)(void*) noexcept;
  };
  template <class T>
  [[nodiscard]] static T& as(void* t) noexcept {
    return *static_cast<T*>(t);
  }
  template <class T>
  static std::size_t leavers(void* t, tier_key* keys, tier_span* where, std::size_t n) noexcept {
    if constexpr (shows_leavers<T>) return as<T>(t).hold_leavers(keys, where, n);
    return (void)t, (void)keys, (void)where, (void)n, 0;
  }
  template <class T>
  static void note_spilled(void* t, const tier_key& key, bool saved) noexcept {
    if constexpr (shows_leavers<T>) as<T>(t).spilled(key, saved);
    (void)t, (void)key, (void)saved;
  }
  template <class T>
  static std::size_t spare_of(void* t) noexcept {
    if constexpr (shows_leavers<T>) return as<T>(t).spare();
    return (void)t, ~std::size_t{0};
  }
  template <class T>
  static constexpr table table_of{
      [](void* t, const tier_key* k, std::size_t n, tier_answer* o) noexcept { return as<T>(t).lookup(k, n, o); },
      [](void* t, const tier_key* k, const tier_span* s, std::size_t n) noexcept { return as<T>(t).prepare_load(k, s, n); },
      [](void* t, tier_ticket w, tier_answer* o) noexcept { return as<T>(t).complete_load(w, o); },
      [](void* t, const tier_key* k, const tier_span* s, std::size_t n) noexcept { return as<T>(t).prepare_store(k, s, n); },
      [](void* t, tier_ticket w, bool keep, tier_answer* o) noexcept { return as<T>(t).complete_store(w, keep, o); },
      [](void* t, tier_ticket w) noexcept { return as<T>(t).poll(w); },
      [](void* t, const tier_key* k, std::size_t n) noexcept { return as<T>(t).remove(k, n); },
      [](void* t) noexcept { return as<T>(t).block_bytes(); },
      [](void* t) noexcept { return as<T>(t).stats(); },
      [](void* t) noexcept -> const char* { return as<T>(t).name(); },
      [](void* t) noexcept { return as<T>(t).is_valid(); },
      &leavers<T>,
      &note_spilled<T>,
      &spare_of<T>,
  };

  void* to_ = nullptr;
  const table* calls_ = nullptr;
};

static_assert(tier<tier_ref>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
