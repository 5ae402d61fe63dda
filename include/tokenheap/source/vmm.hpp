// Device memory that grows where it lies: addresses first, pages behind them when they are needed.
#pragma once

#include <tokenheap/concepts/device.hpp>
#include <tokenheap/concepts/source.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/policy/guard.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/source/device_failure.hpp>
#include <tokenheap/source/region_book.hpp>

namespace tokenheap {
inline namespace v0 {

/// How much address space a `vmm_source` reserves for a piece, and in what steps memory comes.
template <virtual_device Device>
struct vmm_options {
  Device device{};
  std::size_t room = 0;         ///< addresses reserved for each piece, so that it can grow; 0: only what it starts with
  std::size_t step = 64 * MiB;  ///< the largest handle of pages; whole handles are given back
  const char* name = "vmm";
};

/// Gives device memory that can grow and shrink in place: reserved addresses, with pages mapped behind them.
///
/// For a few large pieces whose end is not known: a KV cache, growing scratch, a segment of another allocator. A piece
/// grows by `try_grow` within `room` bytes of addresses, which cost no memory, and gives whole handles of pages back by
/// `trim(piece, keep)`. What it maps is not zeroed. Not good for many small pieces: a page is 2 MiB on most devices.
///
/// Requires  a device that can map pages, see `can_map`
/// Returns   the size rounded up to pages
/// Fails     a null allocation or false, everything undone, and `last_failure()` says why
/// Threads   safe, but for calls on one piece; no lock is held during a call of the device
/// Streams   pages go back after the device is idle: `deallocate` and `trim` wait for it
/// Cost      about 0.1 ms a handle of pages: create, map, set access
template <virtual_device Device>
class vmm_source {
 public:
  using space = device_space;
  using options = vmm_options<Device>;

  explicit vmm_source(const options& with = {}) noexcept : with_(with) {}
  vmm_source(const vmm_source&) = delete;
  vmm_source& operator=(const vmm_source&) = delete;
  ~vmm_source() {
    if (book_.size() != 0) (void)with_.device.synchronize();
    for (std::size_t k = 0; k != book_.size(); ++k) (void)take_down(book_[k], 0), std::free(book_[k].handles);
  }

  /// True if the device can map pages at all.
  [[nodiscard]] bool can_map() noexcept { return with_.device.page_bytes() != 0; }

  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    if (!is_request(bytes, alignment)) return refuse_request(bytes, alignment), allocation{};
    const std::size_t page = with_.device.page_bytes();
    if (page == 0) return refuse_device({device_error::unsupported, 0}, "pages to map", bytes), allocation{};
    piece p{};
    p.requested = bytes;
    p.reserved = align_up(larger(bytes, smaller(with_.room, max_allocation)), page);
    void* first = nullptr;
    const device_status answer = with_.device.reserve(p.reserved, alignment > page ? alignment : 0, first);
    if (!answer) return refuse_device(answer, "bytes of addresses", p.reserved), allocation{};
    p.address = address_of(first);
    if (!extend(p, align_up(bytes, page)) || !insert(p)) {
      (void)take_down(p, 0);
      std::free(p.handles);
      return {};
    }
    return {first, p.size};
  }

  /// Takes a piece back with its pages and its addresses. A misuse is reported and unmaps nothing.
  void deallocate(allocation a) noexcept {
    if (!a) return;
    piece p{};
    if (const errc wrong = begin(a, p); wrong != errc::ok) return complain(wrong, a);
    const device_status idle = with_.device.synchronize();
    const device_status answer = idle ? take_down(p, 0) : idle;
    const bool ended = answer || answer.error == device_error::gone;
    if (!ended) refuse_device(answer, "bytes to unmap", p.size);
    end(p, ended);
    if (ended) std::free(p.handles);
  }

  /// Maps pages behind a piece until it holds `bytes`; false, and nothing has changed, if it has no room or memory.
  [[nodiscard]] bool try_grow(allocation& a, std::size_t bytes) noexcept {
    if (!a || bytes > max_allocation) return false;
    if (bytes <= a.size) return true;
    piece p{};
    if (const errc wrong = begin(a, p); wrong != errc::ok) return complain(wrong, a), false;
    const std::size_t wanted = align_up(bytes, with_.device.page_bytes());
    bool grown = wanted <= p.reserved;
    if (!grown) refuse({.code = errc::too_large, .what = "bytes in one piece", .need = bytes, .limit = p.reserved,
                        .fix = "reserve more addresses: vmm_options::room"});
    grown = grown && extend(p, wanted);
    if (grown) {
      p.requested = bytes;
      a.size = p.size;
    }
    end(p, false);
    return grown;
  }

  /// Gives whole handles of pages behind the first `keep` bytes down; returns how many bytes, and updates the piece.
  [[nodiscard]] std::size_t trim(allocation& a, std::size_t keep) noexcept {
    piece p{};
    if (!a || keep >= a.size) return 0;
    if (const errc wrong = begin(a, p); wrong != errc::ok) return complain(wrong, a), 0;
    const std::size_t before = p.size;
    const device_status idle = with_.device.synchronize();
    // one handle always stays: a piece has a start
    const device_status answer = idle ? take_down(p, larger(keep, 1)) : idle;
    if (!answer) refuse_device(answer, "bytes to unmap", before - keep);
    p.requested = smaller(p.requested, p.size);
    a.size = p.size;
    end(p, false);
    return before - p.size;
  }

  [[nodiscard]] bool owns(const void* p) const noexcept {
    const locked hold(lock_);
    return book_.find(address_of(p)) != book_.size();
  }
  /// Bytes with memory behind them.
  [[nodiscard]] std::size_t mapped() const noexcept {
    const locked hold(lock_);
    std::size_t sum = 0;
    for (std::size_t k = 0; k != book_.size(); ++k) sum += book_[k].size;
    return sum;
  }
  /// Why the last refused or misused call was refused; `errc::ok` if none was.
  [[nodiscard]] failure last_failure() const noexcept {
    const locked hold(lock_);
    return last_failure_;
  }
  [[nodiscard]] bool is_valid() const noexcept {
    const locked hold(lock_);
    for (std::size_t k = 0; k != book_.size(); ++k) {
      const piece& p = book_[k];
      std::size_t bytes = 0;
      for (std::size_t h = 0; h != p.count; ++h) bytes += p.handles[h].bytes;
      if (bytes != p.size || p.size > p.reserved || p.requested > p.size) return false;
    }
    return book_.is_valid();
  }
  [[nodiscard]] const char* name() const noexcept { return with_.name; }

 private:
  struct handle {
    typename Device::pages pages;
    std::size_t bytes;
  };
  struct piece {
    std::uintptr_t address;
    std::size_t size;  // mapped
    std::size_t requested;
    std::size_t reserved;
    handle* handles;
    std::size_t count;
    std::size_t capacity;
    bool busy;
  };

  [[nodiscard]] static void* at(std::uintptr_t address) noexcept { return reinterpret_cast<void*>(address); }

  /// Maps pages until the piece has `size` bytes; on a refusal all of it is undone.
  [[nodiscard]] bool extend(piece& p, std::size_t size) noexcept {
    const std::size_t before = p.size;
    const std::size_t page = with_.device.page_bytes();
    const std::size_t step = larger(align_down(with_.step, page), page);
    device_status answer;
    while (answer && p.size != size) {
      if (!room_for_handle(p)) return undo(p, before);
      handle h{{}, smaller(step, size - p.size)};
      answer = with_.device.create_pages(h.bytes, h.pages);
      if (!answer) break;
      answer = with_.device.map(at(p.address + p.size), h.bytes, h.pages);
      if (!answer) {
        (void)with_.device.release_pages(h.pages);
        break;
      }
      p.handles[p.count++] = h;
      p.size += h.bytes;
    }
    // one call for all of the new pages: it is the dearest of them
    if (answer) answer = with_.device.set_access(at(p.address + before), size - before);
    if (answer) return true;
    refuse_device(answer, "bytes of pages", size - before);
    return undo(p, before);
  }

  bool undo(piece& p, std::size_t size) noexcept {
    while (p.size > size) {
      const handle& h = p.handles[p.count - 1];
      (void)with_.device.unmap(at(p.address + p.size - h.bytes), h.bytes);
      (void)with_.device.release_pages(h.pages);
      p.size -= h.bytes;
      --p.count;
    }
    return false;
  }

  /// Unmaps whole handles beyond `keep` bytes, and with 0 the addresses too; stops at the first refusal.
  [[nodiscard]] device_status take_down(piece& p, std::size_t keep) noexcept {
    while (p.count != 0 && p.size - p.handles[p.count - 1].bytes >= keep) {
      const handle& h = p.handles[p.count - 1];
      if (const device_status answer = with_.device.unmap(at(p.address + p.size - h.bytes), h.bytes); !answer) return answer;
      p.size -= h.bytes;
      --p.count;
      if (const device_status answer = with_.device.release_pages(h.pages); !answer) return answer;
    }
    return keep == 0 ? with_.device.unreserve(at(p.address), p.reserved) : device_status{};
  }

  [[nodiscard]] bool room_for_handle(piece& p) noexcept {
    if (p.count != p.capacity) return true;
    const std::size_t wanted = p.capacity == 0 ? 4 : p.capacity * 2;
    auto* const grown = static_cast<handle*>(std::realloc(p.handles, wanted * sizeof(handle)));
    if (grown == nullptr) return refuse_bookkeeping();
    p.handles = grown;
    p.capacity = wanted;
    return true;
  }

  [[nodiscard]] bool insert(const piece& p) noexcept {
    {
      const locked hold(lock_);
      if (book_.reserve_one()) return book_.insert(p), true;
    }
    return refuse_bookkeeping();
  }
  /// Takes a piece out of the hands of others while the device is asked.
  [[nodiscard]] errc begin(allocation a, piece& out) noexcept {
    const locked hold(lock_);
    const std::size_t k = book_.find(address_of(a.data));
    if (k == book_.size()) return errc::foreign_pointer;
    if (book_[k].address != address_of(a.data)) return errc::interior_pointer;
    if (book_[k].busy) return errc::in_use;
    if (a.size != book_[k].size && a.size != book_[k].requested) return errc::wrong_size;
    book_[k].busy = true;
    out = book_[k];
    return errc::ok;
  }
  void end(piece p, bool gone) noexcept {
    const locked hold(lock_);
    const std::size_t k = book_.find(p.address);
    p.busy = false;
    if (gone) {
      book_.erase(k);
    } else {
      book_[k] = p;
    }
  }

  TOKENHEAP_COLD bool refuse(failure why) noexcept {
    const locked hold(lock_);
    why.pool = with_.name;
    last_failure_ = why;
    return false;
  }
  TOKENHEAP_COLD bool refuse_device(device_status status, const char* what, std::size_t need) noexcept {
    return refuse(refusal_by(status, with_.name, what, need));
  }
  TOKENHEAP_COLD bool refuse_bookkeeping() noexcept {
    return refuse({.code = errc::out_of_memory, .what = "bytes of bookkeeping", .need = sizeof(piece), .fix = "free memory"});
  }
  TOKENHEAP_COLD void refuse_request(std::size_t bytes, std::size_t alignment) noexcept {
    refuse({.code = errc::invalid_argument, .what = "bytes in whole pages", .need = bytes, .limit = max_allocation,
            .fix = is_alignment(alignment) ? "ask for 1 byte up to max_allocation"
                                           : "use a power of two up to max_alignment as the alignment"});
  }
  TOKENHEAP_COLD void complain(errc code, allocation a) noexcept {
    const failure f{.code = code, .pool = with_.name, .what = "bytes given back", .need = a.size, .address = a.data,
                    .fix = "name a piece of this source by its start and its size, from one thread at a time"};
    refuse(f);
    report(f);
  }

  options with_;
  mutable spin_lock lock_;
  region_book<piece> book_;
  failure last_failure_{};
};

}  // namespace v0
}  // namespace tokenheap
