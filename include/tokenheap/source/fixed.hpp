// Memory that the user already has: a buffer, a tensor of an engine, a mapped file.
#pragma once

#include <concepts>

#include <tokenheap/concepts/source.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>

namespace tokenheap {
inline namespace v0 {

/// The buffer that a `fixed_source` gives out; it stays the user's own and must outlive the source.
struct fixed_options {
  void* data = nullptr;
  std::size_t size = 0;
  const char* name = "fixed";
};

/// Gives out pieces of one buffer of the user's own, front to back, without ever touching its bytes.
///
/// The floor for memory that somebody else allocated: an engine's tensor, a device buffer, a static array. Made for
/// few and long-lived pieces, such as the chunks of the layers above. A piece in the middle comes back into use when
/// all behind it are back, or when all are; for pieces that come and go in any order put `ranges<>` above it.
///
/// Requires  a buffer that outlives the source; `Space` says where it lives, host memory by default
/// Returns   exactly the bytes asked for
/// Fails     a null allocation, with the reason in `last_failure()`; a null or wrapping buffer is a buffer of 0 bytes
/// Threads   not safe; put `with<spin_lock>` above it
/// Cost      a few instructions; five words of state and no memory besides
template <space Space>
class basic_fixed_source {
 public:
  using space = Space;
  using options = fixed_options;

  constexpr basic_fixed_source() noexcept = default;
  explicit basic_fixed_source(const fixed_options& with) noexcept : name_(with.name) {
    std::size_t end = 0;
    if (with.data == nullptr || with.size > max_allocation) return;
    if (!checked_add(address_of(with.data), with.size, end)) return;
    first_ = with.data;
    size_ = with.size;
  }

  // two sources over one buffer would give the same bytes out twice
  basic_fixed_source(const basic_fixed_source&) = delete;
  basic_fixed_source& operator=(const basic_fixed_source&) = delete;

  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    if (!is_request(bytes, alignment)) return refuse(errc::invalid_argument, bytes, alignment);
    // the address is aligned, not the offset: the buffer itself may start anywhere
    std::size_t at = 0;
    if (!checked_align_up(address_of(first_) + used_, alignment, at)) return refuse(errc::too_large, bytes, alignment);
    at -= address_of(first_);
    if (at > size_ || bytes > size_ - at) {
      return refuse(bytes > size_ ? errc::too_large : errc::out_of_memory, bytes, alignment);
    }
    used_ = at + bytes;
    ++live_;
    return {offset(first_, at), bytes};
  }

  /// Takes a piece back. A pointer from elsewhere, or one too many, is reported through the failure handler and ignored.
  void deallocate(allocation a) noexcept {
    if (!a) return;
    if (const errc wrong = check(a); wrong != errc::ok) return report(wrong, a);
    const std::size_t at = address_of(a.data) - address_of(first_);
    if (--live_ == 0) {
      used_ = 0;
    } else if (at + a.size == used_) {
      used_ = at;
    }
  }

  /// Lets the last piece grow into the free rest of the buffer; any other piece stays as it is.
  [[nodiscard]] bool try_grow(allocation& a, std::size_t bytes) noexcept {
    if (!a || check(a) != errc::ok) return false;
    const std::size_t at = address_of(a.data) - address_of(first_);
    if (bytes <= a.size) return true;
    if (at + a.size != used_ || bytes > size_ - at) return false;
    used_ = at + bytes;
    a.size = bytes;
    return true;
  }

  void reset() noexcept { used_ = live_ = 0; }

  [[nodiscard]] bool owns(const void* p) const noexcept { return address_of(p) - address_of(first_) < size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return size_; }
  [[nodiscard]] std::size_t available() const noexcept { return size_ - used_; }
  [[nodiscard]] bool is_valid() const noexcept { return used_ <= size_ && (live_ != 0 || used_ == 0); }
  [[nodiscard]] const char* name() const noexcept { return name_; }

  /// Why the last refused call was refused; `errc::ok` if none was.
  [[nodiscard]] const failure& last_failure() const noexcept { return last_failure_; }

 private:
  // without a book of its own a source cannot tell every misuse; what it can tell it tells always
  [[nodiscard]] errc check(allocation a) const noexcept {
    if (!owns(a.data)) return errc::foreign_pointer;
    const std::size_t at = address_of(a.data) - address_of(first_);
    if (live_ == 0 || at >= used_) return errc::double_free;
    return a.size == 0 || a.size > used_ - at ? errc::wrong_size : errc::ok;
  }

  TOKENHEAP_COLD allocation refuse(errc code, std::size_t bytes, std::size_t alignment) noexcept {
    last_failure_ = {.code = code, .pool = name_, .what = "bytes of the user's buffer", .need = bytes,
                     .available = available(), .limit = size_, .fix = "give a larger buffer or ask for less"};
    if (code == errc::invalid_argument) {
      last_failure_.fix = is_alignment(alignment) ? "ask for 1 byte up to max_allocation"
                                                  : "use a power of two up to max_alignment as the alignment";
    }
    return {};
  }

  TOKENHEAP_COLD void report(errc code, allocation a) noexcept {
    last_failure_ = {.code = code, .pool = name_, .what = "bytes given back to the user's buffer", .need = a.size,
                     .available = available(), .limit = size_, .address = a.data,
                     .fix = "give back each piece once, to the source it came from"};
    if (const failure_handler tell = installed_failure_handler(); tell != nullptr) tell(last_failure_);
  }

  void* first_ = nullptr;
  std::size_t size_ = 0;
  std::size_t used_ = 0;
  std::size_t live_ = 0;
  const char* name_ = "fixed";
  failure last_failure_{};
};

/// Gives out pieces of one buffer in ordinary memory; see `basic_fixed_source` for buffers that live elsewhere.
using fixed_source = basic_fixed_source<host_space>;

static_assert(source<fixed_source> && owner<fixed_source> && resettable<fixed_source> && growable<fixed_source>);
static_assert(self_checking<fixed_source> && named<fixed_source>);
static_assert(device_accessible<basic_fixed_source<device_space>> && !cpu_accessible<basic_fixed_source<device_space>>);

}  // namespace v0
}  // namespace tokenheap
