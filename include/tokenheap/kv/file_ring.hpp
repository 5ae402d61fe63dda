// Reads and writes of a file tier that run beside its caller, in an io_uring; in the calling thread where there is none.
#pragma once

#if !__has_include(<liburing.h>)
#error "tokenheap/kv/file_ring.hpp needs liburing (Debian: liburing-dev, and -luring); kv/tier_file.hpp works without it"
#endif

#include <new>

#include <liburing.h>

#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/file_io.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// How many reads and writes of a file tier are in flight at most; more wait for room.
struct file_ring_options {
  unsigned entries = 64;  ///< up to 4096; 0: no ring, everything in the calling thread
};

/// Lets the batches of a `file_tier` be in flight when prepare returns: `file_tier<file_ring>`.
///
/// For an engine that has other work while blocks move; one that would only wait is as well off with `file_calls`.
/// Kernels, containers and users may be without io_uring. Then, and when a ring stops working, all is done by pread and
/// pwrite in the calling thread, and the bytes in the file are the same: `has_ring` and `refusal` tell.
///
/// Requires  link with liburing; one file for each ring
/// Fails     never: a move fails as its read or write does
/// Threads   not safe; the kernel moves bytes in workers of its own. A thread that ends takes what it started with it
/// Cost      one call of the kernel a batch, and one for each poll that finds it working
class file_ring : public file_calls {
 public:
  using options = file_ring_options;

  explicit file_ring(const options& with = {}) noexcept {
    room_ = with.entries < most ? with.entries : most;
    if (room_ == 0) return;
    refusal_ = ENOMEM;
    ring_ = new (std::nothrow) io_uring{};
    if (ring_ == nullptr) return;
    // completions that interrupt nobody, where the kernel knows that (5.19)
    int error = queued_.open(room_) ? ::io_uring_queue_init(room_, ring_, polite) : -ENOMEM;
    if (error == -EINVAL) error = ::io_uring_queue_init(room_, ring_, 0);
    refusal_ = -error;
    if (error != 0) forget_ring();
  }
  file_ring(file_ring&& other) noexcept
      : ring_(other.ring_), queued_(static_cast<column<file_move*>&&>(other.queued_)), room_(other.room_),
        waiting_(other.waiting_), running_(other.running_), refusals_(other.refusals_), refusal_(other.refusal_),
        broken_(other.broken_) {
    other.ring_ = nullptr;
    other.waiting_ = other.running_ = 0;
  }
  file_ring& operator=(file_ring&& other) noexcept {
    if (this == &other) return *this;
    this->~file_ring();
    return *new (this) file_ring(static_cast<file_ring&&>(other));
  }
  ~file_ring() {
    if (ring_ == nullptr) return;
    io_uring_cqe* seen = nullptr;
    // the kernel must not write to memory that is somebody else's by then
    for (int error = 0; running_ != 0 && (error == 0 || error == -EINTR); collect()) error = ::io_uring_wait_cqe(ring_, &seen);
    ::io_uring_queue_exit(ring_);
    forget_ring();
  }

  /// False if everything is done in the calling thread; `refusal()` is the errno for which, or 0 if none was asked for.
  [[nodiscard]] bool has_ring() const noexcept { return ring_ != nullptr; }
  [[nodiscard]] int refusal() const noexcept { return refusal_; }
  /// Moves that were started and are not over.
  [[nodiscard]] std::size_t in_flight() const noexcept { return running_ + waiting_; }

  /// Takes a move, which is handed to the kernel by the next `reap`; false if there is no room before something ends.
  [[nodiscard]] bool start(int fd, file_move& move) noexcept {
    const bool is_empty = move.going != file_move::way::sync && move.moved == move.bytes();
    if (ring_ == nullptr || is_empty) return finish_move<file_calls>(*this, fd, move), true;
    if (broken_ || in_flight() == room_) return false;
    io_uring_sqe* const entry = ::io_uring_get_sqe(ring_);
    if (entry == nullptr) return false;
    const unsigned n = static_cast<unsigned>(move.left());
    switch (move.going) {
      case file_move::way::read: ::io_uring_prep_readv(entry, fd, move.parts, n, move.at + move.moved); break;
      case file_move::way::write: ::io_uring_prep_writev(entry, fd, move.parts, n, move.at + move.moved); break;
      case file_move::way::sync: ::io_uring_prep_fsync(entry, fd, IORING_FSYNC_DATASYNC);
    }
    ::io_uring_sqe_set_data(entry, &move);
    move.is = file_move::state::running;
    queued_[waiting_++] = &move;
    return true;
  }

  /// Hands what was started to the kernel, and takes what the kernel has finished.
  void reap(int fd) noexcept {
    if (ring_ == nullptr) return;
    submit();
    collect();
    if (broken_ && running_ == 0) give_up(fd);
  }

 private:
  static constexpr unsigned most = 4096;
  static constexpr unsigned polite = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  static constexpr unsigned patience = 1000;

  void submit() noexcept {
    while (waiting_ != 0 && !broken_) {
      const int n = ::io_uring_submit(ring_);
      if (n <= 0) {
        const bool may_pass = n == 0 || n == -EINTR || n == -EAGAIN || n == -EBUSY;
        broken_ = !may_pass || ++refusals_ == patience;
        if (broken_) refusal_ = -n;
        return;
      }
      refusals_ = 0;
      running_ += static_cast<unsigned>(n);
      waiting_ -= static_cast<unsigned>(n);
      for (std::size_t k = 0; k != waiting_; ++k) queued_[k] = queued_[k + static_cast<unsigned>(n)];
    }
  }
  void collect() noexcept {
    io_uring_cqe* seen = nullptr;
    while (running_ != 0 && ::io_uring_peek_cqe(ring_, &seen) == 0) {
      file_move& move = *static_cast<file_move*>(::io_uring_cqe_get_data(seen));
      const int result = seen->res;
      ::io_uring_cqe_seen(ring_, seen);
      --running_;
      const int error = result == -EAGAIN ? EINTR : -result;
      // one that stopped short waits, and the tier starts it again
      if (move.take(result < 0 ? io_moved{0, error} : io_moved{static_cast<std::size_t>(result), 0}))
        move.is = file_move::state::waiting;
    }
  }
  // the kernel has none of ours any more and takes no more: what waits is done here, and so is all that comes
  void give_up(int fd) noexcept {
    ::io_uring_queue_exit(ring_);
    forget_ring();
    for (; waiting_ != 0; --waiting_) finish_move<file_calls>(*this, fd, *queued_[waiting_ - 1]);
  }
  void forget_ring() noexcept {
    delete ring_;
    ring_ = nullptr;
  }

  io_uring* ring_ = nullptr;
  column<file_move*> queued_;  // started, and not yet handed to the kernel
  unsigned room_ = 0;
  unsigned waiting_ = 0;
  unsigned running_ = 0;
  unsigned refusals_ = 0;
  int refusal_ = 0;
  bool broken_ = false;
};

static_assert(file_io<file_ring> && queues_file_moves<file_ring>);

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
