// What a file tier asks of Linux, so that every refusal can be made to happen in a test.
#pragma once

#include <cerrno>
#include <concepts>
#include <cstddef>
#include <cstdint>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <tokenheap/concepts/tier.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// What a read or a write moved, and errno if it was refused.
struct io_moved {
  std::size_t bytes = 0;
  int error = 0;
};

/// The calls of the kernel that a file tier makes. A type of the user's own can stand in for it, to make one fail.
///
/// `read` and `write` move two pieces one after the other, and may move less than asked, as the kernel may.
struct file_calls {
  /// Opens or makes a file; a negative number on refusal.
  [[nodiscard]] int open(const char* path, int& error) noexcept {
    const int fd = ::open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    error = fd < 0 ? errno : 0;
    return fd;
  }
  void close(int fd) noexcept { (void)::close(fd); }
  /// Takes the file for this process alone; false if somebody has it.
  [[nodiscard]] bool lock(int fd) noexcept { return ::flock(fd, LOCK_EX | LOCK_NB) == 0; }
  /// The size of a regular file; false for anything else.
  [[nodiscard]] bool size(int fd, std::uint64_t& out) noexcept {
    struct stat seen {};
    if (::fstat(fd, &seen) != 0 || !S_ISREG(seen.st_mode)) return false;
    out = static_cast<std::uint64_t>(seen.st_size);
    return true;
  }
  [[nodiscard]] bool truncate(int fd, std::uint64_t bytes) noexcept {
    return ::ftruncate(fd, static_cast<off_t>(bytes)) == 0;
  }
  [[nodiscard]] bool sync(int fd) noexcept { return ::fdatasync(fd) == 0; }
  [[nodiscard]] io_moved read(int fd, const iovec* parts, int n, std::uint64_t at) noexcept {
    const ssize_t got = ::preadv(fd, parts, n, static_cast<off_t>(at));
    return got < 0 ? io_moved{0, errno} : io_moved{static_cast<std::size_t>(got), 0};
  }
  [[nodiscard]] io_moved write(int fd, const iovec* parts, int n, std::uint64_t at) noexcept {
    const ssize_t got = ::pwritev(fd, parts, n, static_cast<off_t>(at));
    return got < 0 ? io_moved{0, errno} : io_moved{static_cast<std::size_t>(got), 0};
  }
};

template <class F>
concept opens_files = requires(F& f, const char* path, int& error, int fd, std::uint64_t& out) {
  { f.open(path, error) } noexcept -> std::same_as<int>;
  { f.close(fd) } noexcept -> std::same_as<void>;
  { f.lock(fd) } noexcept -> std::same_as<bool>;
  { f.size(fd, out) } noexcept -> std::same_as<bool>;
};
template <class F>
concept moves_file_bytes = requires(F& f, int fd, const iovec* parts, std::uint64_t at) {
  { f.truncate(fd, at) } noexcept -> std::same_as<bool>;
  { f.sync(fd) } noexcept -> std::same_as<bool>;
  { f.read(fd, parts, 1, at) } noexcept -> std::same_as<io_moved>;
  { f.write(fd, parts, 1, at) } noexcept -> std::same_as<io_moved>;
};

/// Stands for the kernel below a file tier.
template <class F>
concept file_io = std::movable<F> && opens_files<F> && moves_file_bytes<F>;

static_assert(file_io<file_calls>);

/// Moves both pieces whole, over as many calls as it takes; false at the end of the file and on any error.
template <bool Writes, file_io Calls>
[[nodiscard]] inline bool move_all(Calls& calls, int fd, tier_span first, tier_span second, std::uint64_t at) noexcept {
  std::size_t done = 0;
  const std::size_t all = first.bytes + second.bytes;
  for (int interrupted = 0; done != all;) {
    iovec parts[2];
    int n = 0;
    if (done < first.bytes) parts[n++] = {static_cast<unsigned char*>(first.address) + done, first.bytes - done};
    const std::size_t in_second = done > first.bytes ? done - first.bytes : 0;
    if (second.bytes != in_second)
      parts[n++] = {static_cast<unsigned char*>(second.address) + in_second, second.bytes - in_second};
    const io_moved moved = Writes ? calls.write(fd, parts, n, at + done) : calls.read(fd, parts, n, at + done);
    if (moved.error == EINTR && ++interrupted < 100) continue;
    if (moved.error != 0 || moved.bytes == 0 || moved.bytes > all - done) return false;
    done += moved.bytes;
  }
  return true;
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
