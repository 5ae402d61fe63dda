// Handles that cannot be mistaken: a number that is checked, and not the address of what it stands for.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

#include <tokenheap/adapt/c_structs.hpp>
#include <tokenheap/policy/lock.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// What a handle stands for.
enum class c_kind : std::uint8_t { none, source, pool, sequence, feed, gpu, tier, plan };

/// Something that C holds by a handle.
///
/// Threads   `users` is safe; the rest as the object says
class c_object {
 public:
  c_object() noexcept = default;
  c_object(const c_object&) = delete;
  c_object& operator=(const c_object&) = delete;
  virtual ~c_object() = default;

  /// Others that stand on this one: it cannot be closed before they are.
  std::atomic<std::size_t> users{0};
};

/// As long as it lives its object cannot be closed: while a function of the user's own runs for it.
class c_stay {
 public:
  explicit c_stay(c_object& object) noexcept : users_(object.users) { users_.fetch_add(1, std::memory_order_relaxed); }
  c_stay(const c_stay&) = delete;
  c_stay& operator=(const c_stay&) = delete;
  ~c_stay() { users_.fetch_sub(1, std::memory_order_release); }

 private:
  std::atomic<std::size_t>& users_;
};

/// All handles of the process: which are open, and what they stand for. A handle that was closed is never valid again.
///
/// Its lower 24 bits are a place, the next 8 the kind, the upper 32 the time of the place's life.
/// Threads   safe; `find` takes no lock
/// Cost      three loads
class c_handles {
 public:
  [[nodiscard]] static c_handles& here() noexcept {
    static c_handles table;
    return table;
  }

  /// A new handle; 0 if there is no memory for it, or if 16 million are open.
  [[nodiscard]] std::uint64_t open(c_object* object, c_kind kind) noexcept {
    const locked hold(lock_);
    std::uint32_t at = first_free_;
    if (at == none) {
      if (used_ == most) return 0;
      if (used_ % per_chunk == 0) {
        auto* const fresh = static_cast<slot*>(std::calloc(per_chunk, sizeof(slot)));
        if (fresh == nullptr) return 0;
        for (std::uint32_t k = 0; k != per_chunk; ++k) ::new (static_cast<void*>(fresh + k)) slot;
        chunks_[used_ / per_chunk].store(fresh, std::memory_order_release);
      }
      at = used_++;
    } else {
      first_free_ = slot_at(at)->next_free;
    }
    slot& s = *slot_at(at);
    const std::uint64_t handle = std::uint64_t{++s.life} << 32 | std::uint64_t{static_cast<std::uint8_t>(kind)} << 24 | at;
    s.object.store(object, std::memory_order_relaxed);
    s.handle.store(handle, std::memory_order_release);
    return handle;
  }

  /// The object of an open handle of this kind; else null and why.
  [[nodiscard]] c_object* find(std::uint64_t handle, c_kind kind, errc& why) const noexcept {
    const slot* const s = slot_of(handle);
    why = errc::ok;
    if (s != nullptr && s->handle.load(std::memory_order_acquire) == handle && kind_of(handle) == kind)
      return s->object.load(std::memory_order_relaxed);
    why = errc::foreign_pointer;
    const bool was_open = s != nullptr && handle >> 32 != 0 && handle >> 32 <= s->life_seen();
    if (was_open && kind_of(handle) == kind && s->handle.load(std::memory_order_relaxed) != handle) why = errc::stale_handle;
    return nullptr;
  }

  /// Held while a handle is closed: so long its object stays. No function of the user's own runs under it.
  mutex_lock closing;

  /// Ends a handle; false if somebody else has ended it, and only then.
  [[nodiscard]] bool close(std::uint64_t handle) noexcept {
    slot* const s = slot_of(handle);
    if (s == nullptr || !s->handle.compare_exchange_strong(handle, 0, std::memory_order_acq_rel)) return false;
    const locked hold(lock_);
    // a place whose lives are counted out is not used again
    if (s->life != ~std::uint32_t{0}) {
      s->next_free = first_free_;
      first_free_ = static_cast<std::uint32_t>(handle & (most - 1));
    }
    return true;
  }

 private:
  static constexpr std::uint32_t per_chunk = 1024;
  static constexpr std::uint32_t most = 1u << 24;
  static constexpr std::uint32_t none = ~0u;
  struct slot {
    std::atomic<std::uint64_t> handle{0};
    std::atomic<c_object*> object{nullptr};
    std::atomic<std::uint32_t> life{0};
    std::uint32_t next_free = none;

    [[nodiscard]] std::uint64_t life_seen() const noexcept { return life.load(std::memory_order_relaxed); }
  };

  [[nodiscard]] static constexpr c_kind kind_of(std::uint64_t handle) noexcept {
    return static_cast<c_kind>(handle >> 24 & 0xff);
  }
  [[nodiscard]] slot* slot_at(std::uint64_t at) const noexcept {
    slot* const chunk = chunks_[at / per_chunk].load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr : chunk + at % per_chunk;
  }
  [[nodiscard]] slot* slot_of(std::uint64_t handle) const noexcept { return slot_at(handle & (most - 1)); }

  spin_lock lock_;
  std::uint32_t used_ = 0;
  std::uint32_t first_free_ = none;
  // never given back: whoever still calls at the end of the process gets an answer
  std::atomic<slot*> chunks_[most / per_chunk] = {};
};

/// Hands an object over to C; null, and the object ends, where there is no handle for it.
template <class Handle, class Object>
[[nodiscard]] Handle* c_hand_out(Object* made) noexcept {
  static_assert(sizeof(Handle*) == sizeof(std::uint64_t));
  const std::uint64_t handle = made == nullptr ? 0 : c_handles::here().open(made, Object::kind);
  if (handle != 0) return reinterpret_cast<Handle*>(static_cast<std::uintptr_t>(handle));
  delete made;
  static_cast<void>(c_refuse({.code = errc::out_of_memory, .pool = "c", .what = Object::what, .need = 1,
                              .fix = "free some memory, or close handles"}));
  return nullptr;
}

/// The object of a handle, or null and the refusal noted: a null, stale or foreign handle is never followed.
template <class Object, class Handle>
[[nodiscard]] Object* c_find(const Handle* handle) noexcept {
  errc why = errc::invalid_argument;
  const auto number = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(handle));
  if (handle != nullptr) {
    c_object* const found = c_handles::here().find(number, Object::kind, why);
    if (found != nullptr) [[likely]] return static_cast<Object*>(found);
  }
  static_cast<void>(c_refuse({.code = why, .pool = "c", .what = Object::what, .address = handle,
                              .fix = why == errc::stale_handle ? "use a handle no more once it is closed"
                                                               : "give a handle that the open call of its kind returned"}));
  return nullptr;
}

/// Ends a handle and its object; `in_use`, and nothing changes, while others stand on it.
///
/// `look(object, name)` says what the object is called, and refuses where it cannot end yet. Of several threads that close
/// one handle a single one comes so far: the others are told that it is over, and touch nothing of the object.
template <class Object, class Handle, class Look>
  requires requires(Look look, Object& o, const char* name) { th_status{look(o, name)}; }
[[nodiscard]] th_status c_close(Handle* handle, Look&& look) noexcept {
  Object* object = nullptr;
  {
    const locked hold(c_handles::here().closing);
    object = c_find<Object>(handle);
    if (object == nullptr) return c_last_reason().status;
    const char* name = Object::what;
    if (const th_status no = look(*object, name); no != th_ok) return no;
    if (const std::size_t users = object->users.load(std::memory_order_acquire); users != 0) {
      return c_refuse({.code = errc::in_use, .pool = name, .what = "handles and calls that stand on the one to be closed",
                       .need = users, .fix = "close what was opened over it first, and not from a function that it calls"});
    }
    static_cast<void>(c_handles::here().close(static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(handle))));
  }
  delete object;
  return th_ok;
}
template <class Object, class Handle>
[[nodiscard]] th_status c_close(Handle* handle, const char* name) noexcept {
  return c_close<Object>(handle, [&](Object&, const char*& called) { return called = name, th_ok; });
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
