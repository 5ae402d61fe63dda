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

/// One piece of work on a file: two spans that are read or written one after the other, or a sync of what was written.
///
/// It stays where it is, and so do its bytes, from `waiting` until it is `done` or `failed`.
struct file_move {
  /// What is done with the file.
  enum class way : unsigned char { read, write, sync };
  /// How far it is.
  enum class state : unsigned char { idle, waiting, running, done, failed };

  tier_span first{};
  tier_span second{};
  std::uint64_t at = 0;  ///< place in the file
  std::size_t moved = 0;
  way going = way::read;
  state is = state::waiting;
  unsigned char interrupted = 0;
  iovec parts[2] = {};  ///< what `left` found: a queue of the kernel reads it later

  [[nodiscard]] std::size_t bytes() const noexcept { return first.bytes + second.bytes; }
  [[nodiscard]] bool is_over() const noexcept { return is != state::waiting && is != state::running; }

  /// Sets `parts` to what is left to move, in one piece or two; returns how many.
  [[nodiscard]] int left() noexcept {
    int n = 0;
    if (moved < first.bytes) parts[n++] = {static_cast<unsigned char*>(first.address) + moved, first.bytes - moved};
    const std::size_t in_second = moved > first.bytes ? moved - first.bytes : 0;
    if (second.bytes != in_second)
      parts[n++] = {static_cast<unsigned char*>(second.address) + in_second, second.bytes - in_second};
    return n;
  }
  /// Takes in what one call did; false when it ended with that, and then `is` says how.
  bool take(io_moved made) noexcept {
    if (made.error == EINTR && ++interrupted < 100) return true;
    const bool good = made.error == 0 && (going == way::sync || (made.bytes != 0 && made.bytes <= bytes() - moved));
    if (good) moved += made.bytes;
    if (good && going != way::sync && moved != bytes()) return true;
    is = good ? state::done : state::failed;
    return false;
  }
};

/// Works on files beside its caller: `start` takes a move, or has no room for it now; moves end within `reap`, and there
/// alone. For a file tier whose batches are on their way when prepare returns.
template <class F>
concept queues_file_moves = requires(F& f, int fd, file_move& move) {
  { f.start(fd, move) } noexcept -> std::same_as<bool>;
  { f.reap(fd) } noexcept -> std::same_as<void>;
};

/// Brings a move to its end in the calling thread, over as many calls as it takes.
template <file_io Calls>
inline void finish_move(Calls& calls, int fd, file_move& move) noexcept {
  if (move.going == file_move::way::sync) {
    move.is = calls.sync(fd) ? file_move::state::done : file_move::state::failed;
    return;
  }
  if (move.moved == move.bytes()) move.is = file_move::state::done;
  for (bool more = !move.is_over(); more;) {
    const int n = move.left();
    const std::uint64_t at = move.at + move.moved;
    const bool writes = move.going == file_move::way::write;
    more = move.take(writes ? calls.write(fd, move.parts, n, at) : calls.read(fd, move.parts, n, at));
  }
}

/// Moves both spans whole; false at the end of the file and on any error.
template <bool Writes, file_io Calls>
[[nodiscard]] inline bool move_all(Calls& calls, int fd, tier_span first, tier_span second, std::uint64_t at) noexcept {
  file_move move{.first = first, .second = second, .at = at, .going = Writes ? file_move::way::write : file_move::way::read};
  finish_move(calls, fd, move);
  return move.is == file_move::state::done;
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
