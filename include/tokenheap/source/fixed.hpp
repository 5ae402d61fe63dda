// Memory that the user already has: a buffer, a tensor of an engine, a mapped file.
#pragma once

#include <concepts>

#include <tokenheap/concepts/source.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/policy/guard.hpp>
#include <tokenheap/source/region_book.hpp>

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
/// The floor for memory that somebody else allocated: an engine's tensor, a device buffer, a static array. Made for few
/// and long-lived pieces, such as the chunks of the layers above; holes are looked for only when the end is full. For
/// many pieces that come and go put `ranges<>` above it.
///
/// Requires  a buffer that outlives the source; `Space` says where it lives
/// Returns   exactly the bytes asked for
/// Fails     a null allocation, with the reason in `last_failure()`; a null or wrapping buffer is a buffer of 0 bytes
/// Threads   not safe; put `with<spin_lock>` above it
/// Cost      O(1) at the end of the buffer, else O(pieces); 16 bytes on the heap for each piece, out or gone, whose
///           bytes have not been given out again
template <space Space>
class basic_fixed_source {
 public:
  using space = Space;
  using options = fixed_options;

  basic_fixed_source() noexcept = default;
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
    if (!book_.reserve_one()) return refuse(errc::out_of_memory, bytes, alignment);
    std::uintptr_t at = 0;
    bool fits = fit(used_end(), buffer_end(), bytes, alignment, at);
    std::uintptr_t from = address_of(first_);
    for (std::size_t k = 0; !fits && k != book_.size(); from = book_[k].address + book_[k].size, ++k)
      fits = fit(from, book_[k].address, bytes, alignment, at);
    if (!fits) return refuse(bytes > size_ ? errc::too_large : errc::out_of_memory, bytes, alignment);
    book_.insert({at, bytes});
    cover(at, bytes);
    return {offset(first_, at - address_of(first_)), bytes};
  }

  /// Takes a piece back. A misuse is reported through the failure handler and changes nothing.
  void deallocate(allocation a) noexcept {
    if (!a) return;
    const errc wrong = check(a);
    if (wrong != errc::ok) return complain(wrong, a);
    book_.erase(book_.find(address_of(a.data)));
    remember({address_of(a.data), a.size});
  }

  /// Lets a piece grow into the free bytes behind it; false, and nothing has changed, if they are too few.
  [[nodiscard]] bool try_grow(allocation& a, std::size_t bytes) noexcept {
    if (!a || check(a) != errc::ok) return false;
    if (bytes <= a.size) return true;
    const std::size_t k = book_.find(address_of(a.data));
    const std::uintptr_t end = k + 1 == book_.size() ? buffer_end() : book_[k + 1].address;
    if (bytes > end - address_of(a.data)) return false;
    book_[k].size = a.size = bytes;
    cover(address_of(a.data), bytes);
    return true;
  }

  void reset() noexcept {
    for (std::size_t k = 0; k != book_.size(); ++k) remember(book_[k]);
    book_.clear();
  }

  [[nodiscard]] bool owns(const void* p) const noexcept { return address_of(p) - address_of(first_) < size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return size_; }

  /// Bytes behind the last piece: what one request at this alignment can have.
  [[nodiscard]] std::size_t available(std::size_t alignment = 1) const noexcept {
    std::uintptr_t at = 0;
    if (!checked_align_up(used_end(), alignment, at) || at > buffer_end()) return 0;
    return buffer_end() - at;
  }

  [[nodiscard]] bool is_valid() const noexcept {
    return book_.is_valid() && gone_.is_valid() && (book_.size() == 0 || (owns(first_) && book_[0].address >= address_of(first_) &&
                                                      used_end() <= buffer_end()));
  }
  [[nodiscard]] const char* name() const noexcept { return name_; }

  /// Why the last refused or misused call was refused; `errc::ok` if none was.
  [[nodiscard]] const failure& last_failure() const noexcept { return last_failure_; }

 private:
  struct piece {
    std::uintptr_t address;
    std::size_t size;
  };

  [[nodiscard]] std::uintptr_t buffer_end() const noexcept { return address_of(first_) + size_; }
  [[nodiscard]] std::uintptr_t used_end() const noexcept {
    if (book_.size() == 0) return address_of(first_);
    const piece& last = book_[book_.size() - 1];
    return last.address + last.size;
  }

  // the address is aligned, not the offset: the buffer itself may start anywhere
  [[nodiscard]] static bool fit(std::uintptr_t from, std::uintptr_t end, std::size_t bytes, std::size_t alignment,
                                std::uintptr_t& at) noexcept {
    return checked_align_up(from, alignment, at) && at <= end && bytes <= end - at;
  }

  // what was given back stays known until its bytes go out again; where the heap has no room for it, it is a stranger
  void remember(const piece& p) noexcept {
    if (gone_.reserve_one()) gone_.insert(p);
  }

  void cover(std::uintptr_t at, std::size_t bytes) noexcept {
    const std::size_t inside = gone_.find(at);
    const std::size_t from = inside != gone_.size() ? inside : gone_.behind(at);
    gone_.erase(from, gone_.behind(at + bytes - 1) - from);
  }

  [[nodiscard]] errc check(allocation a) const noexcept {
    if (!owns(a.data)) return errc::foreign_pointer;
    const std::size_t k = book_.find(address_of(a.data));
    if (k == book_.size()) {
      const std::size_t before = gone_.find(address_of(a.data));
      const bool was_out = before != gone_.size() && gone_[before].address == address_of(a.data);
      return was_out ? errc::double_free : errc::foreign_pointer;
    }
    if (book_[k].address != address_of(a.data)) return errc::interior_pointer;
    return book_[k].size == a.size ? errc::ok : errc::wrong_size;
  }

  TOKENHEAP_COLD allocation refuse(errc code, std::size_t bytes, std::size_t alignment) noexcept {
    const char* fix = "give a larger buffer or ask for less";
    if (code == errc::invalid_argument) {
      fix = is_alignment(alignment) ? "ask for 1 byte up to max_allocation"
                                    : "use a power of two up to max_alignment as the alignment";
    }
    last_failure_ = {.code = code, .pool = name_, .what = "bytes of the user's buffer", .need = bytes,
                     .available = available(), .limit = size_, .fix = fix};
    return {};
  }

  TOKENHEAP_COLD void complain(errc code, allocation a) noexcept {
    last_failure_ = {.code = code, .pool = name_, .what = "bytes given back to the user's buffer", .need = a.size,
                     .available = available(), .limit = size_, .address = a.data,
                     .fix = "give back each piece once, whole, to the source it came from"};
    report(last_failure_);
  }

  void* first_ = nullptr;
  std::size_t size_ = 0;
  const char* name_ = "fixed";
  region_book<piece> book_;
  region_book<piece> gone_;
  failure last_failure_{};
};

/// Gives out pieces of one buffer in ordinary memory; see `basic_fixed_source` for buffers that live elsewhere.
using fixed_source = basic_fixed_source<host_space>;

static_assert(source<fixed_source> && owner<fixed_source> && resettable<fixed_source> && growable<fixed_source>);
static_assert(self_checking<fixed_source> && named<fixed_source>);
static_assert(device_accessible<basic_fixed_source<device_space>> && !cpu_accessible<basic_fixed_source<device_space>>);

}  // namespace v0
}  // namespace tokenheap
