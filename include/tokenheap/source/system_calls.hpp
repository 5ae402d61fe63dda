// What page_source asks of Linux, so that every refusal can be made to happen in a test.
#pragma once

#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdio>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace tokenheap {
inline namespace v0 {

/// The calls of the kernel that move pages; each returns 0 or the errno, and nothing else.
///
/// A type of the user's own with these functions can stand in for it: to count calls, or to make one fail.
struct linux_calls {
  /// At `at` exactly if it is not null, in 2 MiB pages if `huge`. Returns errno in `error`, null on refusal.
  static void* map(void* at, std::size_t bytes, bool huge, int& error) noexcept {
    constexpr int huge_2_mib = 21 << 26;  // MAP_HUGE_2MB, which older headers lack
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (at != nullptr ? MAP_FIXED : 0) |
                      (huge ? MAP_HUGETLB | huge_2_mib : 0);
    void* const got = ::mmap(at, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    error = got == MAP_FAILED ? errno : 0;
    return got == MAP_FAILED ? nullptr : got;
  }
  static int unmap(void* at, std::size_t bytes) noexcept { return ::munmap(at, bytes) == 0 ? 0 : errno; }
  static int close_off(void* at, std::size_t bytes) noexcept { return ::mprotect(at, bytes, PROT_NONE) == 0 ? 0 : errno; }
  static int advise_huge(void* at, std::size_t bytes) noexcept {
    return ::madvise(at, bytes, MADV_HUGEPAGE) == 0 ? 0 : errno;
  }
  static int lock(void* at, std::size_t bytes) noexcept { return ::mlock(at, bytes) == 0 ? 0 : errno; }

  /// Binds pages to one NUMA node, by the raw call: libnuma is one dependency more for one line.
  static int bind(void* at, std::size_t bytes, unsigned node) noexcept {
    constexpr unsigned most = 1024;
    constexpr unsigned bits = 8 * sizeof(unsigned long);
    constexpr long policy_bind = 2;
    if (node >= most) return EINVAL;
    unsigned long mask[most / bits] = {};
    mask[node / bits] = 1ul << (node % bits);
    return ::syscall(SYS_mbind, at, bytes, policy_bind, mask, static_cast<unsigned long>(most), 0ul) == 0 ? 0 : errno;
  }

  static std::size_t page_bytes() noexcept { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

  /// The limit of locked bytes, `ulimit -l`.
  static std::size_t lock_limit() noexcept {
    rlimit limit{};
    return ::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 ? static_cast<std::size_t>(limit.rlim_cur) : 0;
  }
  /// The limit of mappings of a process, vm.max_map_count; 0 if the kernel does not say.
  static std::size_t map_limit() noexcept {
    std::size_t limit = 0;
    if (std::FILE* const f = std::fopen("/proc/sys/vm/max_map_count", "r")) {
      if (std::fscanf(f, "%zu", &limit) != 1) limit = 0;
      std::fclose(f);
    }
    return limit;
  }
  /// How many mappings this process has.
  static std::size_t map_count() noexcept {
    std::size_t lines = 0;
    if (std::FILE* const f = std::fopen("/proc/self/maps", "r")) {
      for (int c = std::fgetc(f); c != EOF; c = std::fgetc(f)) lines += static_cast<std::size_t>(c == '\n');
      std::fclose(f);
    }
    return lines;
  }
};

template <class C>
concept maps_pages = requires(void* at, std::size_t n, int& error) {
  { C::map(at, n, true, error) } noexcept -> std::same_as<void*>;
  { C::unmap(at, n) } noexcept -> std::same_as<int>;
  { C::page_bytes() } noexcept -> std::same_as<std::size_t>;
};
template <class C>
concept places_pages = requires(void* at, std::size_t n, unsigned node) {
  { C::close_off(at, n) } noexcept -> std::same_as<int>;
  { C::advise_huge(at, n) } noexcept -> std::same_as<int>;
  { C::bind(at, n, node) } noexcept -> std::same_as<int>;
  { C::lock(at, n) } noexcept -> std::same_as<int>;
};
template <class C>
concept knows_its_limits = requires {
  { C::lock_limit() } noexcept -> std::same_as<std::size_t>;
  { C::map_limit() } noexcept -> std::same_as<std::size_t>;
  { C::map_count() } noexcept -> std::same_as<std::size_t>;
};

/// Stands for the kernel below a `page_source`.
template <class C>
concept system_calls = maps_pages<C> && places_pages<C> && knows_its_limits<C>;

static_assert(system_calls<linux_calls>);

}  // namespace v0
}  // namespace tokenheap
