// Real memory behind a simulated device, so that its copies and fills move bytes and two mappings of pages show the same.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tokenheap/core/allocation.hpp>

namespace tokenheap {
inline namespace v0 {

/// Maps real memory at the addresses of a simulated device.
///
/// Requires  sizes and addresses that are multiples of the system's page
/// Fails     false or null where the system refuses
/// Threads   not safe
class sim_backing {
 public:
  sim_backing() noexcept = default;
  ~sim_backing() {
    if (file_ >= 0) ::close(file_);
  }
  sim_backing(const sim_backing&) = delete;
  sim_backing& operator=(const sim_backing&) = delete;

  /// Takes addresses that nothing may touch yet, at `wish` if they are free there.
  [[nodiscard]] static void* reserve(std::uintptr_t wish, std::size_t bytes) noexcept {
    void* const at = ::mmap(reinterpret_cast<void*>(wish), bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? nullptr : at;
  }
  static void unreserve(std::uintptr_t at, std::size_t bytes) noexcept { ::munmap(reinterpret_cast<void*>(at), bytes); }

  /// Puts fresh memory behind reserved addresses.
  [[nodiscard]] static bool commit(std::uintptr_t at, std::size_t bytes) noexcept {
    constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    return ::mmap(reinterpret_cast<void*>(at), bytes, PROT_READ | PROT_WRITE, flags, -1, 0) != MAP_FAILED;
  }
  /// Takes the memory behind addresses away; they stay reserved.
  static void close_off(std::uintptr_t at, std::size_t bytes) noexcept {
    constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    (void)::mmap(reinterpret_cast<void*>(at), bytes, PROT_NONE, flags, -1, 0);
  }

  /// Maps bytes of the one file that stands for all pages; without access until `open_up`.
  [[nodiscard]] bool map(std::uintptr_t at, std::size_t bytes, std::size_t place) noexcept {
    if (file_ < 0) file_ = static_cast<int>(::memfd_create("pages of a simulated device", MFD_CLOEXEC));
    if (file_ < 0) return false;
    if (place + bytes > length_) {
      if (::ftruncate(file_, static_cast<off_t>(place + bytes)) != 0) return false;
      length_ = place + bytes;
    }
    return ::mmap(reinterpret_cast<void*>(at), bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, file_,
                  static_cast<off_t>(place)) != MAP_FAILED;
  }
  static bool open_up(std::uintptr_t at, std::size_t bytes) noexcept {
    return ::mprotect(reinterpret_cast<void*>(at), bytes, PROT_READ | PROT_WRITE) == 0;
  }
  /// Gives the memory behind a part of the file back.
  void punch(std::size_t place, std::size_t bytes) noexcept {
    if (file_ < 0 || place >= length_) return;
    (void)::fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(place), static_cast<off_t>(bytes));
  }

 private:
  int file_ = -1;
  std::size_t length_ = 0;
};

/// Pinned memory of a simulated device: host memory full of zeroes. Large pieces cost nothing until they are touched.
struct sim_pinned_memory {
  static constexpr std::size_t alignment = 512;
  static constexpr std::size_t large = 128 * KiB;

  [[nodiscard]] static void* take(std::size_t bytes) noexcept {
    if (bytes >= large) {
      constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
      void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
      return at == MAP_FAILED ? nullptr : at;
    }
    const std::size_t whole = align_up(bytes, alignment);
    void* const at = std::aligned_alloc(alignment, whole);
    return at == nullptr ? nullptr : std::memset(at, 0, whole);
  }
  static void give_back(void* at, std::size_t bytes) noexcept {
    if (bytes >= large) {
      ::munmap(at, bytes);
    } else {
      std::free(at);
    }
  }
};

}  // namespace v0
}  // namespace tokenheap
