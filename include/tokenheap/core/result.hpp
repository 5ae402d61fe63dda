// Why a call said no: a code, the numbers behind it, and a value-or-reason type for the cold path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

#include <tokenheap/core/config.hpp>
#include <tokenheap/core/text.hpp>

namespace tokenheap {
inline namespace v0 {

/// The reasons for which a call of the library says no.
enum class errc : std::uint8_t {
  ok,
  out_of_memory,     ///< the source below has no more
  limit_reached,     ///< a limit of the user's own is in the way
  invalid_argument,  ///< the request makes no sense, whatever is free
  size_overflow,     ///< a product or a sum of sizes does not fit 64 bits
  too_large,         ///< could never fit, not even in an empty pool
  double_free,       ///< given back before
  foreign_pointer,   ///< never handed out here
  interior_pointer,  ///< points into a piece that is out, but not at its start
  wrong_size,        ///< given back with a size that it never had
  stale_handle,      ///< the handle's object was closed or reused
  not_open,          ///< moved from, closed, or never opened
  in_use,            ///< somebody still holds it
  corrupted,         ///< bytes beside an allocation, or freed bytes, were written
  leaked,            ///< still out when its allocator ended
  system_refused,    ///< the operating system said no
  unsupported,       ///< this machine cannot do it
  no_device,         ///< no driver, no device, or a driver that has shut down
  device_failed,     ///< the device refused a call for another reason than memory
  forked,            ///< a child process has no device of its parent's
};

[[nodiscard]] constexpr const char* to_text(errc code) noexcept {
  switch (code) {
    case errc::ok: return "ok";
    case errc::out_of_memory: return "out of memory";
    case errc::limit_reached: return "limit reached";
    case errc::invalid_argument: return "invalid argument";
    case errc::size_overflow: return "size overflow";
    case errc::too_large: return "too large";
    case errc::double_free: return "double free";
    case errc::foreign_pointer: return "foreign pointer";
    case errc::interior_pointer: return "interior pointer";
    case errc::wrong_size: return "wrong size";
    case errc::stale_handle: return "stale handle";
    case errc::not_open: return "not open";
    case errc::in_use: return "in use";
    case errc::corrupted: return "corrupted";
    case errc::leaked: return "leaked";
    case errc::system_refused: return "refused by the system";
    case errc::unsupported: return "unsupported";
    case errc::no_device: return "no device";
    case errc::device_failed: return "refused by the device";
    case errc::forked: return "in a forked child";
  }
  return "unknown";
}

/// A refusal in full: which pool, what was needed, what stood in the way, and what the caller can do.
///
/// The texts are literals or live as long as the pool. A number that says nothing here is 0. Units stand in `what`.
struct failure {
  errc code = errc::ok;
  const char* pool = "";
  const char* what = "";  ///< what was asked, and in which unit `need`, `free` and `limit` count
  std::size_t need = 0;
  std::size_t available = 0;
  std::size_t limit = 0;
  const void* address = nullptr;  ///< the pointer concerned, if one is
  const char* fix = "";
};

/// What is called with every misuse and every refusal that is reported; must not allocate from the pool that it names.
using failure_handler = void (*)(const failure&) noexcept;

inline failure_handler failure_handler_slot = nullptr;

/// Replaces the failure handler of the program and returns the one before; null restores the default, stderr.
///
/// Threads   safe
inline failure_handler set_failure_handler(failure_handler next) noexcept {
#if TOKENHEAP_GNU
  return __atomic_exchange_n(&failure_handler_slot, next, __ATOMIC_ACQ_REL);
#else
  // a volatile access is ordered where the compiler is Microsoft's; <atomic> would be seven times this floor
  volatile failure_handler& slot = failure_handler_slot;
  const failure_handler before = slot;
  slot = next;
  return before;
#endif
}

[[nodiscard]] inline failure_handler installed_failure_handler() noexcept {
#if TOKENHEAP_GNU
  return __atomic_load_n(&failure_handler_slot, __ATOMIC_ACQUIRE);
#else
  return static_cast<volatile failure_handler&>(failure_handler_slot);
#endif
}

/// Writes a failure as one line into `out` (always terminated) and returns its length without the terminator.
///
/// Example   pool 'kv': out of memory: blocks for a prompt; need 12, available 3, limit 64; fix: lower max_sequences
inline std::size_t describe(const failure& f, char* out, std::size_t capacity) noexcept {
  text_buffer line(out, capacity);
  line << "pool '" << f.pool << "': " << to_text(f.code);
  if (*f.what != '\0') line << ": " << f.what;
  if (f.need != 0 || f.available != 0 || f.limit != 0) line << "; need " << f.need << ", available " << f.available;
  if (f.limit != 0) line << ", limit " << f.limit;
  if (f.address != nullptr) (line << "; address ").hex(reinterpret_cast<std::uintptr_t>(f.address));
  if (*f.fix != '\0') line << "; fix: " << f.fix;
  return line.length();
}

/// A value, or the reason why there is none; what every call off the hot path returns.
///
/// Requires  a look at the result before the value is used: reading the value of a refusal stops the program
template <class T>
class [[nodiscard]] result {
 public:
  using value_type = T;

  result(T&& value) noexcept(std::is_nothrow_move_constructible_v<T>) : held_(true) {
    ::new (static_cast<void*>(&value_)) T(static_cast<T&&>(value));
  }
  result(const T& value)
    requires std::is_copy_constructible_v<T>
      : held_(true) {
    ::new (static_cast<void*>(&value_)) T(value);
  }
  result(const failure& reason) noexcept : reason_(reason), held_(false) {}
  result(result&& other) noexcept(std::is_nothrow_move_constructible_v<T>) : held_(other.held_) {
    if (held_) {
      ::new (static_cast<void*>(&value_)) T(static_cast<T&&>(other.value_));
    } else {
      ::new (static_cast<void*>(&reason_)) failure(other.reason_);
    }
  }
  result& operator=(result&&) = delete;
  ~result() {
    if (held_) value_.~T();
  }

  explicit operator bool() const noexcept { return held_; }
  [[nodiscard]] T& operator*() noexcept { return TOKENHEAP_ASSERT(held_), value_; }
  [[nodiscard]] const T& operator*() const noexcept { return TOKENHEAP_ASSERT(held_), value_; }
  [[nodiscard]] T* operator->() noexcept { return TOKENHEAP_ASSERT(held_), &value_; }
  [[nodiscard]] const T* operator->() const noexcept { return TOKENHEAP_ASSERT(held_), &value_; }

  [[nodiscard]] errc error() const noexcept { return held_ ? errc::ok : reason_.code; }
  [[nodiscard]] failure why() const noexcept { return held_ ? failure{} : reason_; }

 private:
  union {
    T value_;
    failure reason_;
  };
  bool held_;
};

}  // namespace v0
}  // namespace tokenheap
