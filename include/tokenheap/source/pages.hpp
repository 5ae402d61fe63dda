// Memory in whole pages from the kernel: huge, bound to a node, touched ahead, locked, fenced.
#pragma once

#include <pthread.h>

#include <tokenheap/concepts/source.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/policy/guard.hpp>
#include <tokenheap/source/region_book.hpp>
#include <tokenheap/source/system_calls.hpp>

namespace tokenheap {
inline namespace v0 {

/// How large the pages of a `page_source` are to be.
enum class huge_pages : unsigned char {
  none,         ///< whatever the system does by itself
  transparent,  ///< asks for them by madvise; regions from 2 MiB on start at a multiple of 2 MiB
  two_mib,      ///< takes 2 MiB pages that the system set aside; where there are none, as `transparent`
};

/// What a `page_source` does with every region that it takes.
struct page_options {
  huge_pages huge = huge_pages::none;
  int node = -1;               ///< NUMA node that all pages must come from; -1: any
  unsigned touch_threads = 0;  ///< threads that touch every page before allocate returns; 0: pages come when used
  bool lock = false;           ///< pages are locked into memory, within `ulimit -l`
  bool guards = false;         ///< a page without access before and behind every region
  const char* name = "pages";
};

/// Takes whole pages from the kernel, at any alignment, one mapping for each allocation.
///
/// The floor for large memory: chunks of gigabytes, huge pages, one NUMA node. Each call is a system call and each
/// region a mapping of its own, of which a process may have about 65,000 (neighbours without guard pages share one
/// until one of them goes); cut it up with a layer above. Give back what was given: a misuse is reported and nothing
/// is unmapped that was not mapped here.
///
/// Returns   the size rounded up to pages, to 2 MiB with `huge_pages::two_mib`; zeroed by the kernel
/// Fails     a null allocation, nothing stays mapped, and `last_failure()` names the need, the limit and the fix
/// Threads   not safe; threads that touch pages are joined before allocate returns
/// Cost      2 to 8 system calls, and with `touch_threads` about 0.1 to 0.25 s a GiB and thread
template <system_calls Calls>
class basic_page_source {
 public:
  using space = host_space;
  using options = page_options;

  explicit basic_page_source(const page_options& with = {}) noexcept : with_(with), page_(Calls::page_bytes()) {}
  basic_page_source(const basic_page_source&) = delete;
  basic_page_source& operator=(const basic_page_source&) = delete;
  ~basic_page_source() {
    for (std::size_t k = 0; k != book_.size(); ++k) unmap(book_[k]);
  }

  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    if (!is_request(bytes, alignment)) return refuse_request(bytes, alignment);
    if (!book_.reserve_one()) return refuse(errc::out_of_memory, "bytes of bookkeeping", sizeof(region), 0, "free memory");
    region r{};
    r.size = align_up(bytes, with_.huge == huge_pages::two_mib ? two_mib : page_);
    r.requested = bytes;
    if (!map(r, alignment)) return {};
    if (!place(r)) {
      if (r.address != 0) unmap(r);
      return {};
    }
    touch(r);
    book_.insert(r);
    return {reinterpret_cast<void*>(r.address), r.size};
  }

  /// Unmaps a region, given back whole with the size asked or granted; a misuse is reported and unmaps nothing.
  void deallocate(allocation a) noexcept {
    if (!a) return;
    const std::size_t k = book_.find(address_of(a.data));
    if (k == book_.size()) return complain(errc::foreign_pointer, a);
    if (book_[k].address != address_of(a.data)) return complain(errc::interior_pointer, a);
    if (a.size != book_[k].size && a.size != book_[k].requested) return complain(errc::wrong_size, a);
    if (unmap(book_[k]) != 0) return complain(errc::system_refused, a);
    book_.erase(k);
  }

  [[nodiscard]] bool owns(const void* p) const noexcept { return book_.find(address_of(p)) != book_.size(); }

  /// What a region got, where huge pages were asked for: less than that if the system had none.
  [[nodiscard]] huge_pages pages_of(const void* p) const noexcept {
    const std::size_t k = book_.find(address_of(p));
    return k == book_.size() ? huge_pages::none : book_[k].got;
  }

  [[nodiscard]] std::size_t mapped() const noexcept {
    std::size_t sum = 0;
    for (std::size_t k = 0; k != book_.size(); ++k) sum += book_[k].size;
    return sum;
  }
  [[nodiscard]] std::size_t regions() const noexcept { return book_.size(); }

  /// Why the last refused or misused call was refused; `errc::ok` if none was.
  [[nodiscard]] const failure& last_failure() const noexcept { return last_failure_; }
  [[nodiscard]] bool is_valid() const noexcept {
    for (std::size_t k = 0; k != book_.size(); ++k)
      if ((book_[k].address | book_[k].size) % page_ != 0 || book_[k].requested > book_[k].size) return false;
    return book_.is_valid();
  }
  [[nodiscard]] const char* name() const noexcept { return with_.name; }

 private:
  static constexpr std::size_t two_mib = 2 * MiB;
  struct region {
    std::uintptr_t address;
    std::size_t size;
    std::size_t requested;
    huge_pages got;
  };

  [[nodiscard]] std::size_t fence() const noexcept { return with_.guards ? page_ : 0; }
  [[nodiscard]] static void* at(std::uintptr_t address) noexcept { return reinterpret_cast<void*>(address); }

  /// Maps a region between its fences at its alignment, and nothing around it.
  [[nodiscard]] bool map(region& r, std::size_t alignment) noexcept {
    const bool in_huge = with_.huge != huge_pages::none && r.size >= two_mib;
    const std::size_t step = larger(alignment, in_huge ? larger(two_mib, page_) : page_);
    // room to move the start up to the alignment; what is left over on both sides goes back at once
    const std::size_t total = r.size + 2 * fence() + (step - page_);
    int error = 0;
    void* const raw = Calls::map(nullptr, total, false, error);
    if (raw == nullptr) return refuse_map(r.size, error);
    const std::uintptr_t first = address_of(raw);
    r.address = align_up(first + fence(), step);
    const std::uintptr_t low = r.address - fence();
    const std::uintptr_t high = r.address + r.size + fence();
    error = low == first ? 0 : Calls::unmap(raw, low - first);
    if (error != 0) {
      (void)Calls::unmap(raw, total);
      return refuse_map(r.size, error);
    }
    if (high != first + total) error = Calls::unmap(at(high), first + total - high);
    if (error != 0) {
      (void)Calls::unmap(at(low), first + total - low);
      return refuse_map(r.size, error);
    }
    return true;
  }

  [[nodiscard]] bool place(region& r) noexcept {
    int error = 0;
    if (with_.guards) {
      error = Calls::close_off(at(r.address - fence()), fence());
      if (error == 0) error = Calls::close_off(at(r.address + r.size), fence());
      if (error != 0) return refuse_map(r.size, error);
    }
    if (with_.huge == huge_pages::two_mib) {
      const bool huge = has_huge(r.size, error);
      if (error != 0) return refuse_map(r.size, error);
      if (huge) {
        if (Calls::map(at(r.address), r.size, true, error) == nullptr) return lose(r, error);
        r.got = huge_pages::two_mib;
      }
    }
    if (with_.huge != huge_pages::none && r.got == huge_pages::none && Calls::advise_huge(at(r.address), r.size) == 0)
      r.got = huge_pages::transparent;
    if (with_.node >= 0) {
      error = Calls::bind(at(r.address), r.size, static_cast<unsigned>(with_.node));
      if (error != 0) return refuse_node(error);
    }
    if (with_.lock) {
      error = Calls::lock(at(r.address), r.size);
      if (error != 0) return refuse_lock(r.size, error);
    }
    return true;
  }

  /// Whether the system has 2 MiB pages left: asked for elsewhere, since a refused mapping over a region takes it away, and
  /// another thread's mapping may come into the hole.
  [[nodiscard]] static bool has_huge(std::size_t bytes, int& error) noexcept {
    void* const trial = Calls::map(nullptr, bytes, true, error);
    error = trial == nullptr ? 0 : Calls::unmap(trial, bytes);
    if (error != 0) (void)Calls::unmap(trial, bytes);  // once more: no book has it
    return trial != nullptr;
  }
  /// The last huge page went to somebody else meanwhile: what lies between the fences now may be another thread's.
  [[nodiscard]] bool lose(region& r, int error) noexcept {
    if (with_.guards) {
      (void)Calls::unmap(at(r.address - fence()), fence());
      (void)Calls::unmap(at(r.address + r.size), fence());
    }
    r.address = 0;
    return refuse_map(r.size, error);
  }

  int unmap(const region& r) noexcept { return Calls::unmap(at(r.address - fence()), r.size + 2 * fence()); }

  struct share {
    std::uintptr_t first;
    std::uintptr_t end;
    std::size_t step;
  };
  static void* touch_share(void* given) noexcept {
    const share& s = *static_cast<const share*>(given);
    for (std::uintptr_t p = s.first; p < s.end; p += s.step) *static_cast<volatile unsigned char*>(at(p)) = 0;
    return nullptr;
  }

  void touch(const region& r) noexcept {
    constexpr std::size_t most = 64;
    const std::size_t pages = r.size / page_;
    const std::size_t threads = smaller(smaller(with_.touch_threads, most), pages);
    share shares[most] = {};
    pthread_t running[most] = {};
    bool started[most] = {};
    for (std::size_t t = 0; t != threads; ++t) {
      shares[t] = {r.address + pages * t / threads * page_, r.address + pages * (t + 1) / threads * page_, page_};
      // the caller takes the last share, and each that the system gives no thread for
      if (t + 1 != threads) started[t] = ::pthread_create(&running[t], nullptr, touch_share, &shares[t]) == 0;
      if (!started[t]) touch_share(&shares[t]);
    }
    for (std::size_t t = 0; t != threads; ++t)
      if (started[t]) ::pthread_join(running[t], nullptr);
  }

  TOKENHEAP_COLD allocation refuse_request(std::size_t bytes, std::size_t alignment) noexcept {
    return refuse(errc::invalid_argument, "bytes in whole pages", bytes, max_allocation,
                  is_alignment(alignment) ? "ask for 1 byte up to max_allocation"
                                          : "use a power of two up to max_alignment as the alignment");
  }
  TOKENHEAP_COLD bool refuse_map(std::size_t bytes, int error) noexcept {
    const std::size_t limit = Calls::map_limit();
    const std::size_t count = error == ENOMEM && limit != 0 ? Calls::map_count() : 0;
    // the fences and both cut-off ends count as well
    if (count != 0 && count + 4 >= limit) {
      refuse(errc::limit_reached, "mappings of this process", 1, limit, "raise vm.max_map_count, or take larger chunks");
      last_failure_.available = limit > count ? limit - count : 0;
      return false;
    }
    refuse(error == ENOMEM ? errc::out_of_memory : errc::system_refused, "bytes in whole pages", bytes, 0,
           "ask for less, free memory, or raise ulimit -v and vm.overcommit_memory");
    return false;
  }
  TOKENHEAP_COLD bool refuse_lock(std::size_t bytes, int error) noexcept {
    const bool by_limit = error == ENOMEM || error == EPERM || error == EAGAIN;
    refuse(by_limit ? errc::limit_reached : errc::system_refused, "bytes locked into memory", bytes, Calls::lock_limit(),
           "raise ulimit -l (RLIMIT_MEMLOCK), or construct it without page_options::lock");
    return false;
  }
  TOKENHEAP_COLD bool refuse_node(int error) noexcept {
    const bool absent = error == EINVAL;
    refuse(absent ? errc::invalid_argument : errc::unsupported, "NUMA node by number",
           static_cast<std::size_t>(with_.node), 0,
           absent ? "name a node that has memory, see /sys/devices/system/node/online"
                  : "allow mbind (container profiles may forbid it), or leave page_options::node at -1");
    return false;
  }
  TOKENHEAP_COLD allocation refuse(errc code, const char* what, std::size_t need, std::size_t limit,
                                   const char* fix) noexcept {
    last_failure_ = {.code = code, .pool = with_.name, .what = what, .need = need, .limit = limit, .fix = fix};
    return {};
  }
  TOKENHEAP_COLD void complain(errc code, allocation a) noexcept {
    last_failure_ = {.code = code, .pool = with_.name, .what = "bytes given back", .need = a.size, .address = a.data,
                     .fix = code == errc::system_refused ? "the region stays mapped; raise vm.max_map_count"
                                                         : "give back each region once, whole, to its own source"};
    report(last_failure_);
  }

  page_options with_;
  std::size_t page_;
  region_book<region> book_;
  failure last_failure_{};
};

/// Takes whole pages from Linux; see `basic_page_source`.
using page_source = basic_page_source<linux_calls>;

static_assert(source<page_source> && owner<page_source> && self_checking<page_source> && named<page_source>);

}  // namespace v0
}  // namespace tokenheap
