// NCCL's registrations: the segments of an allocator or a KV pool on a communicator, few and large.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/alloc/caching.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/policy/guard.hpp>

#if __has_include(<nccl.h>)
#include <nccl.h>
#include <sched.h>
#endif

namespace tokenheap {
inline namespace v0 {
namespace adapt {

#if defined(NCCL_VERSION_CODE)
/// The functions of the program's own NCCL, 2.19 or later; windows from 2.27 on.
///
/// A program that loads NCCL late, or counts its calls, writes a struct with these names in its place.
struct nccl_calls {
  using comm = ncclComm_t;
  static int allocate(void** out, std::size_t bytes) noexcept { return ncclMemAlloc(out, bytes); }
  static int deallocate(void* p) noexcept { return ncclMemFree(p); }
  static int register_buffer(comm on, void* p, std::size_t bytes, void** out) noexcept {
    return settle(on, ncclCommRegister(on, p, bytes, out));
  }
  static int deregister_buffer(comm on, void* handle) noexcept { return settle(on, ncclCommDeregister(on, handle)); }
#if NCCL_VERSION_CODE >= 22700
  using window = ncclWindow_t;
  static int register_window(comm on, void* p, std::size_t bytes, window* out, int flags) noexcept {
    return settle(on, ncclCommWindowRegister(on, p, bytes, out, flags));
  }
  static int deregister_window(comm on, window w) noexcept { return settle(on, ncclCommWindowDeregister(on, w)); }
#endif

 private:
  /// A communicator that does not block answers "in progress" first.
  static int settle(comm on, ncclResult_t answer) noexcept {
    while (answer == ncclInProgress) {
      static_cast<void>(::sched_yield());
      if (const ncclResult_t asked = ncclCommGetAsyncError(on, &answer); asked != ncclSuccess) return asked;
    }
    return answer;
  }
};
#endif

/// True if these functions know windows: memory that all ranks of a communicator see at once.
template <class Calls>
concept knows_nccl_windows = requires { typename Calls::window; };

namespace detail {
template <class Calls>
struct nccl_window {
  using type = void*;
};
template <knows_nccl_windows Calls>
struct nccl_window<Calls> {
  using type = typename Calls::window;
};
}  // namespace detail

/// One stretch of memory that a communicator knows: by `handle`, or by `window` where windows were asked for.
template <class Calls>
struct nccl_registration {
  void* address = nullptr;
  std::size_t bytes = 0;
  void* handle = nullptr;
  typename detail::nccl_window<Calls>::type window{};
};

/// On which communicator memory is registered, and how.
template <class Calls>
struct nccl_options {
  typename Calls::comm comm{};
  bool windows = false;  ///< windows instead of buffers: every rank then registers the same sizes in the same order
  int flags = 1;         ///< of windows; NCCL_WIN_COLL_SYMMETRIC
  const char* name = "nccl";
};

/// Keeps what a communicator has registered, and deregisters it in reverse.
///
/// For collectives straight out of the memory of an allocator: its segments are registered once, and every tensor in them
/// is registered with them. Not for single tensors: NCCL pins, maps and looks up each registration. Memory that is
/// registered must stay: do not `trim` its class before `reset`, or take it from a pool that has users.
///
/// Requires  a communicator that lives until `reset`, memory that NCCL can share (adapt/nccl_memory.hpp) where windows are
///           asked for, and no collective in flight on what goes
/// Fails     a `failure`; what was registered before stays, and nothing more is
/// Threads   not safe, as the communicator is not
/// Streams   none
/// Cost      NCCL's: milliseconds a registration
template <class Calls>
class nccl_registrations {
 public:
  using registration = nccl_registration<Calls>;
  static constexpr std::size_t window_alignment = 4096;

  explicit nccl_registrations(const nccl_options<Calls>& with) noexcept : with_(with) {}
  nccl_registrations(const nccl_registrations&) = delete;
  nccl_registrations& operator=(const nccl_registrations&) = delete;
  ~nccl_registrations() {
    if (const failure why = drop_to(0); why.code != errc::ok) report(why);
  }

  /// Registers each piece, or none; what lies in a registration already is passed over. Returns how many are new.
  [[nodiscard]] result<std::size_t> add(const allocation* pieces, std::size_t count) noexcept {
    const std::size_t before = size_;
    for (std::size_t k = 0; k != count; ++k) {
      const failure why = add_one(pieces[k]);
      if (why.code == errc::ok) continue;
      static_cast<void>(drop_to(before));
      return why;
    }
    return size_ - before;
  }
  [[nodiscard]] result<std::size_t> add(const allocation& piece) noexcept { return add(&piece, 1); }

  /// Registers what a caching allocator has of one class, one registration a segment; again after it has grown.
  ///
  /// A fixed segment is one allocation of the driver, which every NCCL takes. A growable one is many: each stretch with
  /// memory is a registration, and what has grown since must be removed first.
  template <class Allocator>
  [[nodiscard]] result<std::size_t> add_segments(Allocator& gpu, memory_class of = memory_class::communication) noexcept {
    kv::column<allocation> found;
    std::size_t count = 0;
    std::size_t segment = 0;
    bool complete = true;
    // no call of NCCL under the allocator's lock
    gpu.for_each_piece([&](const device_segment& g, std::size_t at, std::size_t bytes, piece_state state) {
      if (g.of != of || g.asleep || state == piece_state::unmapped || !complete) return;
      if (count != 0 && segment == g.address && address_of(found[count - 1].data) + found[count - 1].size == at) {
        found[count - 1].size += bytes;
        return;
      }
      complete = found.grow(count + 1);
      if (!complete) return;
      segment = g.address;
      found[count++] = {reinterpret_cast<void*>(at), bytes};
    });
    if (!complete) return no_bookkeeping();
    return add(found.first(), count);
  }

  /// Ends the registration that starts there.
  [[nodiscard]] result<std::size_t> remove(const void* first) noexcept {
    for (std::size_t k = 0; k != size_; ++k) {
      if (all_[k].address != first) continue;
      const std::size_t bytes = all_[k].bytes;
      if (const failure why = drop(k); why.code != errc::ok) return why;
      return std::size_t{bytes};
    }
    return refuse(errc::foreign_pointer, first, 0, "name a registration by its start");
  }
  /// Ends all registrations, the last first; what NCCL refuses to let go stays in the list.
  [[nodiscard]] result<std::size_t> reset() noexcept {
    const std::size_t before = size_;
    if (const failure why = drop_to(0); why.code != errc::ok) return why;
    return std::size_t{before};
  }

  /// The registration that all of these bytes lie in, or null: a tensor is an offset into it.
  [[nodiscard]] const registration* find(const void* p, std::size_t bytes) const noexcept {
    for (std::size_t k = 0; k != size_; ++k) {
      const std::size_t skip = address_of(p) - address_of(all_[k].address);
      if (skip <= all_[k].bytes && bytes <= all_[k].bytes - skip) return &all_[k];
    }
    return nullptr;
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] const registration& operator[](std::size_t k) const noexcept { return all_[k]; }

 private:
  [[nodiscard]] failure add_one(const allocation& piece) noexcept {
    const std::uintptr_t first = address_of(piece.data);
    if (!piece || piece.size == 0 || piece.size > ~first)
      return refuse(errc::invalid_argument, piece.data, piece.size, "register memory that is there");
    if (with_.windows && first % window_alignment != 0)
      return refuse(errc::invalid_argument, piece.data, piece.size, "windows start at multiples of 4096 bytes");
    if (find(piece.data, piece.size) != nullptr) return {};
    for (std::size_t k = 0; k != size_; ++k) {
      const std::uintptr_t other = address_of(all_[k].address);
      if (first < other + all_[k].bytes && other < first + piece.size)
        return refuse(errc::in_use, piece.data, piece.size, "remove the registration of a part of it first");
    }
    if (!all_.grow(size_ + 1)) return no_bookkeeping();
    registration made{piece.data, piece.size, nullptr, {}};
    int answer = 0;
    if (!with_.windows) {
      answer = Calls::register_buffer(with_.comm, made.address, made.bytes, &made.handle);
    } else if constexpr (knows_nccl_windows<Calls>) {
      answer = Calls::register_window(with_.comm, made.address, made.bytes, &made.window, with_.flags);
    } else {
      return refuse(errc::unsupported, piece.data, piece.size, "windows need NCCL 2.27");
    }
    if (answer != 0) return refuse_by(answer, made);
    all_[size_++] = made;
    return {};
  }

  /// Deregisters one; it stays where NCCL refuses.
  [[nodiscard]] failure drop(std::size_t at) noexcept {
    const registration& old = all_[at];
    int answer = 0;
    if constexpr (knows_nccl_windows<Calls>) {
      if (with_.windows) answer = Calls::deregister_window(with_.comm, old.window);
    }
    if (!with_.windows) answer = Calls::deregister_buffer(with_.comm, old.handle);
    if (answer != 0) return refuse_by(answer, old);
    for (--size_; at != size_; ++at) all_[at] = all_[at + 1];
    return {};
  }
  /// All but the first ones, in reverse; returns the first refusal, and goes on after it.
  [[nodiscard]] failure drop_to(std::size_t keep) noexcept {
    failure first{};
    for (std::size_t k = size_; k != keep; --k) {
      const failure why = drop(k - 1);
      if (first.code == errc::ok) first = why;
    }
    return first;
  }

  [[nodiscard]] failure refuse(errc code, const void* p, std::size_t bytes, const char* fix) const noexcept {
    return {.code = code, .pool = with_.name, .what = "bytes registered with NCCL", .need = bytes, .address = p, .fix = fix};
  }
  [[nodiscard]] failure refuse_by(int answer, const registration& r) const noexcept {
    switch (answer) {
      case 2: return refuse(errc::system_refused, r.address, r.bytes, "raise what the system lets a process pin or open");
      case 4: return refuse(errc::invalid_argument, r.address, r.bytes, "register whole allocations that NCCL can share");
      case 5: return refuse(errc::unsupported, r.address, r.bytes, "see NCCL_DEBUG=WARN: this use of NCCL is not allowed");
      default: return refuse(errc::device_failed, r.address, r.bytes, "see NCCL_DEBUG=WARN, and CUDA's own error");
    }
  }
  [[nodiscard]] failure no_bookkeeping() const noexcept { return refuse(errc::out_of_memory, nullptr, 1, "free host memory"); }

  nccl_options<Calls> with_;
  kv::column<registration> all_;
  std::size_t size_ = 0;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
