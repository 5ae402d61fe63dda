// Memory of a CUDA device: one call for each piece, or in the order of a stream out of a pool of the driver.
#pragma once

#include <algorithm>

#include <tokenheap/concepts/source.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/device/cuda.hpp>
#include <tokenheap/policy/guard.hpp>
#include <tokenheap/policy/lock.hpp>
#include <tokenheap/source/device_failure.hpp>
#include <tokenheap/source/region_book.hpp>

namespace tokenheap {
inline namespace v0 {

/// The device that a `cuda_source` takes memory from.
struct cuda_options {
  int ordinal = 0;
  const char* name = "cuda";
};

/// Gives memory of a CUDA device by `cudaMalloc`, and takes it back by `cudaFree`, which waits for the device.
///
/// The floor below `ranges`, an `arena` or a caching allocator. Not good for many pieces: each one costs tens of
/// microseconds, and giving it back stops the device. What is still out at the end is given back then.
///
/// Returns   exactly the bytes asked for
/// Fails     a null allocation, and `last_failure()` says why
/// Threads   safe; no lock is held during a call of the device
class cuda_source {
 public:
  using space = device_space;
  using options = cuda_options;

  explicit cuda_source(const cuda_options& with = {}) noexcept : with_(with), device_(with.ordinal) {}
  cuda_source(const cuda_source&) = delete;
  cuda_source& operator=(const cuda_source&) = delete;
  ~cuda_source() {
    for (std::size_t k = 0; k != book_.size(); ++k) (void)device_.deallocate(book_[k].whole);
  }

  [[nodiscard]] allocation allocate(std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    if (!is_request(bytes, alignment))
      return refuse({.code = errc::invalid_argument, .what = "bytes of device memory", .need = bytes,
                     .limit = max_allocation, .fix = "ask for 1 byte up to max_allocation, at a power of two"});
    // room to move the start where the device aligns less than that
    const std::size_t whole = bytes + (alignment > cuda_device::alignment() ? alignment - 1 : 0);
    void* made = nullptr;
    if (const device_status answer = device_.allocate(whole, made); !answer)
      return refuse(refusal_by(answer, with_.name, "bytes of device memory", bytes));
    const piece p{align_up(address_of(made), alignment), bytes, made, false};
    {
      const locked hold(lock_);
      if (book_.reserve_one()) {
        book_.insert(p);
        return {reinterpret_cast<void*>(p.address), bytes};
      }
    }
    (void)device_.deallocate(made);
    return refuse({.code = errc::out_of_memory, .what = "bytes of bookkeeping", .need = sizeof(piece), .fix = "free memory"});
  }

  /// Takes a piece back, whole. A misuse is reported and frees nothing.
  void deallocate(allocation a) noexcept {
    if (!a) return;
    void* whole = nullptr;
    if (const errc wrong = begin_return(a, whole); wrong != errc::ok) return complain(wrong, a);
    const device_status answer = device_.deallocate(whole);
    const locked hold(lock_);
    const std::size_t k = book_.find(address_of(a.data));
    // a driver that has gone took its memory along
    if (answer || answer.error == device_error::gone) return book_.erase(k);
    book_[k].leaving = false;
    last_failure_ = refusal_by(answer, with_.name, "bytes to give back", a.size);
  }

  [[nodiscard]] bool owns(const void* p) const noexcept {
    const locked hold(lock_);
    return book_.find(address_of(p)) != book_.size();
  }
  /// Why the last refused or misused call was refused; `errc::ok` if none was.
  [[nodiscard]] failure last_failure() const noexcept {
    const locked hold(lock_);
    return last_failure_;
  }
  [[nodiscard]] bool is_valid() const noexcept {
    const locked hold(lock_);
    return book_.is_valid();
  }
  [[nodiscard]] const char* name() const noexcept { return with_.name; }

 private:
  struct piece {
    std::uintptr_t address;
    std::size_t size;
    void* whole;
    bool leaving;
  };

  [[nodiscard]] errc begin_return(allocation a, void*& whole) noexcept {
    const locked hold(lock_);
    const std::size_t k = book_.find(address_of(a.data));
    if (k == book_.size()) return errc::foreign_pointer;
    if (book_[k].address != address_of(a.data)) return errc::interior_pointer;
    if (book_[k].leaving) return errc::double_free;
    if (book_[k].size != a.size) return errc::wrong_size;
    book_[k].leaving = true;
    whole = book_[k].whole;
    return errc::ok;
  }
  TOKENHEAP_COLD allocation refuse(failure why) noexcept {
    const locked hold(lock_);
    why.pool = with_.name;
    last_failure_ = why;
    return {};
  }
  TOKENHEAP_COLD void complain(errc code, allocation a) noexcept {
    const failure f{.code = code, .pool = with_.name, .what = "bytes given back", .need = a.size, .address = a.data,
                    .fix = "give back each piece once, whole, to its own source"};
    (void)refuse(f);
    report(f);
  }

  cuda_options with_;
  cuda_device device_;
  mutable spin_lock lock_;
  region_book<piece> book_;
  failure last_failure_{};
};

/// The device of a `cuda_async_source`, and how much freed memory its pool keeps over a synchronisation.
struct cuda_async_options {
  int ordinal = 0;
  std::size_t keep = max_allocation;
  const char* name = "cuda async";
};

/// Gives device memory in the order of a stream, out of a memory pool of the driver that is its own.
///
/// `cudaMallocAsync` as a source: the peer that the library's caching allocator is measured against, and the simplest
/// one for programs of few streams. A piece is usable by work that the same stream is given later; for another stream,
/// record an event and wait for it. Freed in the order of a stream too. It keeps no book: misuse meets the driver.
///
/// Requires  that all pieces are back, and their streams done, before it ends
/// Returns   exactly the bytes asked for, at a multiple of 256
/// Fails     a null allocation, also for alignments above 256
/// Threads   safe
class cuda_async_source {
 public:
  using space = device_space;
  using stream = cuda_device::stream;
  using options = cuda_async_options;

  explicit cuda_async_source(const cuda_async_options& with = {}) noexcept : with_(with), device_(with.ordinal) {
    cudaMemPoolProps what{};
    what.allocType = cudaMemAllocationTypePinned;
    what.location.type = cudaMemLocationTypeDevice;
    what.location.id = with.ordinal;
    opened_ = device_.call([&] { return cudaMemPoolCreate(&pool_, &what); });
    std::uint64_t keep = with.keep;
    if (opened_) (void)device_.call([&] { return cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep); });
  }
  cuda_async_source(const cuda_async_source&) = delete;
  cuda_async_source& operator=(const cuda_async_source&) = delete;
  ~cuda_async_source() {
    if (opened_) (void)device_.call([&] { return cudaMemPoolDestroy(pool_); });
  }

  [[nodiscard]] allocation allocate(stream s, std::size_t bytes, std::size_t alignment = default_alignment) noexcept {
    if (!opened_) return note(opened_, bytes), allocation{};
    if (!is_request(bytes, alignment) || alignment > cuda_device::alignment())
      return note({device_error::invalid_value, 0}, bytes), allocation{};
    void* made = nullptr;
    const device_status answer = device_.call([&] { return cudaMallocFromPoolAsync(&made, bytes, pool_, s.handle); });
    if (!answer) return note(answer, bytes), allocation{};
    return {made, bytes};
  }
  void deallocate(stream s, allocation a) noexcept {
    if (!a) return;
    if (const device_status answer = device_.call([&] { return cudaFreeAsync(a.data, s.handle); }); !answer) note(answer, a.size);
  }

  /// Gives unused memory back to the device, until at most `keep` bytes stay in the pool; returns how many went.
  [[nodiscard]] std::size_t trim(std::size_t keep = 0) noexcept {
    if (!opened_) return 0;
    const std::size_t before = reserved();
    const device_status answer = device_.call([&] { return cudaMemPoolTrimTo(pool_, keep); });
    if (!answer) note(answer, keep);
    return before - std::min(before, reserved());
  }
  /// Bytes that the pool holds of the device.
  [[nodiscard]] std::size_t reserved() noexcept {
    std::uint64_t bytes = 0;
    if (opened_) (void)device_.call([&] { return cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &bytes); });
    return bytes;
  }
  /// Why the last refused call was refused; `errc::ok` if none was.
  [[nodiscard]] failure last_failure() const noexcept {
    const locked hold(lock_);
    return last_failure_;
  }
  [[nodiscard]] const char* name() const noexcept { return with_.name; }

 private:
  TOKENHEAP_COLD void note(device_status why, std::size_t need) noexcept {
    const locked hold(lock_);
    last_failure_ = refusal_by(why, with_.name, "bytes of device memory in stream order", need);
  }

  cuda_async_options with_;
  cuda_device device_;
  cudaMemPool_t pool_ = nullptr;
  device_status opened_;
  mutable spin_lock lock_;
  failure last_failure_{};
};

static_assert(source<cuda_source> && owner<cuda_source> && self_checking<cuda_source>);
static_assert(stream_source<cuda_async_source> && trimmable<cuda_async_source>);

}  // namespace v0
}  // namespace tokenheap
