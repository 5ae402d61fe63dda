// Host memory that a device reads and writes at full speed, one piece for each allocation.
#pragma once

#include <tokenheap/concepts/source.hpp>
#include <tokenheap/device/host.hpp>
#include <tokenheap/policy/guard.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/source/device_failure.hpp>
#include <tokenheap/source/pages.hpp>
#include <tokenheap/source/region_book.hpp>

namespace tokenheap {
inline namespace v0 {

/// Who makes the pages of pinned memory.
enum class pinned_by : unsigned char {
  device,  ///< the driver, which also pins them: one call, and nothing to choose
  pages,   ///< a `page_source`, touched ahead by several threads, then registered with the device
};

/// Where pinned memory comes from. A node or huge pages ask for `pinned_by::pages`.
template <device Device>
struct pinned_options {
  Device device{};
  pinned_by by = pinned_by::device;
  huge_pages huge = huge_pages::none;
  int node = -1;               ///< NUMA node that all pages must come from; -1: any
  unsigned touch_threads = 1;  ///< threads that touch the pages before they are registered
  const char* name = "pinned";
};

/// A device without a driver: pinned pages are locked by `mlock` instead of registered.
template <class D>
concept pins_by_locking = requires { requires D::pins_by_locking; };

/// Gives pinned host memory, each piece by a call of the device or as pages that are then registered with it.
///
/// The floor below a `pinned_pool`, or of a column of layers for staging buffers. Pinning is slow, about 0.1 ms and more
/// a MiB, so take large pieces and cut them up. With `host_device` the pages are locked within `ulimit -l`, so that the
/// same code runs where there is no device. What is still out at the end is given back then.
///
/// Returns   the size asked for, in whole pages with `pinned_by::pages`
/// Fails     a null allocation, nothing kept, and `last_failure()` says why
/// Threads   safe; no lock is held during a call of the device
/// Cost      one or two calls of the device
/// Example   pinned_source<host_device> staging({.touch_threads = 4});
template <device Device = host_device>
class pinned_source {
 public:
  using space = pinned_space;
  using options = pinned_options<Device>;

  explicit pinned_source(const options& with = {}) noexcept : with_(with), pages_(page_options_of(with)) {}
  pinned_source(const pinned_source&) = delete;
  pinned_source& operator=(const pinned_source&) = delete;
  ~pinned_source() {
    for (std::size_t k = 0; k != book_.size(); ++k) (void)unpin(book_[k]);
  }

  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    if (!is_request(bytes, alignment)) return refuse_request(bytes, alignment);
    piece p{};
    if (!(by_pages() ? pin_pages(p, bytes, alignment) : pin_by_device(p, bytes, alignment))) return {};
    {
      const locked hold(lock_);
      if (book_.reserve_one()) {
        book_.insert(p);
        pinned_ += p.size;
        return {reinterpret_cast<void*>(p.address), p.size};
      }
    }
    (void)unpin(p);
    refuse({.code = errc::out_of_memory, .what = "bytes of bookkeeping", .need = sizeof(piece), .fix = "free memory"});
    return {};
  }

  /// Takes a piece back, whole, with the size asked or granted; a misuse is reported and unpins nothing.
  ///
  /// Requires  that no stream still uses it
  void deallocate(allocation a) noexcept {
    if (!a) return;
    piece p{};
    if (const errc wrong = begin_return(a, p); wrong != errc::ok) return complain(wrong, a);
    const device_status answer = unpin(p);
    const locked hold(lock_);
    const std::size_t k = book_.find(p.address);
    // a driver that has gone took its memory along
    if (answer || answer.error == device_error::gone) {
      book_.erase(k);
      pinned_ -= p.size;
    } else {
      book_[k].leaving = false;
      last_failure_ = refusal_by(answer, with_.name, "bytes to unpin", p.size);
    }
  }

  [[nodiscard]] bool owns(const void* p) const noexcept {
    const locked hold(lock_);
    return book_.find(address_of(p)) != book_.size();
  }
  /// Bytes that are pinned now.
  [[nodiscard]] std::size_t pinned() const noexcept {
    const locked hold(lock_);
    return pinned_;
  }
  /// Why the last refused or misused call was refused; `errc::ok` if none was.
  [[nodiscard]] failure last_failure() const noexcept {
    const locked hold(lock_);
    return last_failure_;
  }
  [[nodiscard]] bool is_valid() const noexcept {
    const locked hold(lock_);
    std::size_t bytes = 0;
    for (std::size_t k = 0; k != book_.size(); ++k) {
      bytes += book_[k].size;
      if (book_[k].requested > book_[k].size) return false;
    }
    return book_.is_valid() && bytes == pinned_;
  }
  [[nodiscard]] const char* name() const noexcept { return with_.name; }
  [[nodiscard]] const Device& device() const noexcept { return with_.device; }

 private:
  struct piece {
    std::uintptr_t address;
    std::size_t size;
    std::size_t requested;
    void* whole;  // what the device gave, which may start before an aligned address
    bool leaving;
  };

  [[nodiscard]] static page_options page_options_of(const options& with) noexcept {
    return {.huge = with.huge, .node = with.node, .touch_threads = with.touch_threads,
            .lock = pins_by_locking<Device>, .name = with.name};
  }
  [[nodiscard]] bool by_pages() const noexcept {
    return with_.by == pinned_by::pages || with_.node >= 0 || with_.huge != huge_pages::none;
  }

  [[nodiscard]] bool pin_by_device(piece& p, std::size_t bytes, std::size_t alignment) noexcept {
    void* made = nullptr;
    std::size_t whole = bytes;
    device_status answer = with_.device.allocate_pinned(whole, made);
    if (answer && address_of(made) % alignment != 0) {
      // the device aligns less than that: once more, with room to move the start
      (void)with_.device.deallocate_pinned(made);
      whole = bytes + alignment - 1;
      answer = with_.device.allocate_pinned(whole, made);
    }
    if (!answer) return refuse(refusal_by(answer, with_.name, "bytes of pinned memory", bytes));
    p = {align_up(address_of(made), alignment), bytes, bytes, made, false};
    return true;
  }

  [[nodiscard]] bool pin_pages(piece& p, std::size_t bytes, std::size_t alignment) noexcept {
    allocation got;
    {
      const locked hold(pages_lock_);
      got = pages_.allocate(bytes, alignment);
      if (!got) return refuse(pages_.last_failure());
    }
    p = {address_of(got.data), got.size, bytes, got.data, false};
    if constexpr (!pins_by_locking<Device>) {
      const device_status answer = with_.device.register_host(got.data, got.size);
      if (!answer) {
        const locked hold(pages_lock_);
        pages_.deallocate(got);
        return refuse(refusal_by(answer, with_.name, "bytes to register with the device", got.size));
      }
    }
    return true;
  }

  [[nodiscard]] device_status unpin(const piece& p) noexcept {
    if (!by_pages()) return with_.device.deallocate_pinned(p.whole);
    device_status answer;
    if constexpr (!pins_by_locking<Device>) answer = with_.device.unregister_host(p.whole);
    if (answer || answer.error == device_error::gone) {
      // named: nvcc loses its way in braces here
      const allocation whole = {p.whole, p.size};
      const locked hold(pages_lock_);
      pages_.deallocate(whole);
    }
    return answer;
  }

  [[nodiscard]] errc begin_return(allocation a, piece& out) noexcept {
    const locked hold(lock_);
    const std::size_t k = book_.find(address_of(a.data));
    if (k == book_.size()) return errc::foreign_pointer;
    if (book_[k].address != address_of(a.data)) return errc::interior_pointer;
    if (book_[k].leaving) return errc::double_free;
    if (a.size != book_[k].size && a.size != book_[k].requested) return errc::wrong_size;
    book_[k].leaving = true;
    out = book_[k];
    return errc::ok;
  }

  TOKENHEAP_COLD bool refuse(failure why) noexcept {
    const locked hold(lock_);
    why.pool = with_.name;
    last_failure_ = why;
    return false;
  }
  TOKENHEAP_COLD allocation refuse_request(std::size_t bytes, std::size_t alignment) noexcept {
    refuse({.code = errc::invalid_argument, .what = "bytes of pinned memory", .need = bytes, .limit = max_allocation,
            .fix = is_alignment(alignment) ? "ask for 1 byte up to max_allocation"
                                           : "use a power of two up to max_alignment as the alignment"});
    return {};
  }
  TOKENHEAP_COLD void complain(errc code, allocation a) noexcept {
    const failure f{.code = code, .pool = with_.name, .what = "bytes given back", .need = a.size, .address = a.data,
                    .fix = "give back each piece once, whole, to its own source"};
    refuse(f);
    report(f);
  }

  options with_;
  mutable spin_lock lock_;
  region_book<piece> book_;
  std::size_t pinned_ = 0;
  failure last_failure_{};
  mutex_lock pages_lock_;
  page_source pages_;
};

static_assert(source<pinned_source<>> && owner<pinned_source<>> && device_accessible<pinned_source<>>);

}  // namespace v0
}  // namespace tokenheap
