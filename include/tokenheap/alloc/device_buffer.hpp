// Device memory that gives itself back in the order of a stream: one piece, and an array of values.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

#include <tokenheap/alloc/shortage.hpp>
#include <tokenheap/concepts/source.hpp>

namespace tokenheap {
inline namespace v0 {

template <class A>
concept tells_why_not = requires(A& a, typename A::stream s, const device_request& with, shortage* why) {
  { a.allocate(s, with, why) } noexcept -> std::same_as<allocation>;
};

template <class A>
concept names_its_device = requires(const A& a) {
  typename A::device_type;
  { a.device() } noexcept -> std::convertible_to<typename A::device_type>;
} && device<typename A::device_type>;

/// Gives memory of a device in the order of streams, and says why not: what a `caching_allocator` does.
template <class A>
concept device_allocator = stream_source<A> && names_its_device<A> && tells_why_not<A>;

/// The refusal of a request as a failure; `need` and the rest count bytes.
[[nodiscard]] inline failure to_failure(const shortage& s) noexcept {
  return {.code = s.code, .pool = s.pool, .what = "bytes of device memory", .need = s.need,
          .available = s.largest_free, .limit = s.limit, .address = nullptr, .fix = s.fix};
}

/// Owns one piece of device memory, and gives it back on its stream when it ends.
///
/// For members and locals that hold device memory. Not for what an engine frees in bulk by hand.
///
/// Requires  the allocator and the stream to outlive it; all uses are ordered before what its stream gets next, apart
///           from those told by `record_stream`
/// Threads   one at a time
/// Streams   the memory belongs to the stream; nothing waits
/// Example   examples/gpu_cache.cpp
template <device_allocator Allocator>
class unique_device {
 public:
  using stream_type = typename Allocator::stream;

  unique_device() noexcept = default;
  /// Takes over a piece that the allocator handed out.
  unique_device(Allocator& from, stream_type on, allocation piece) noexcept : from_(&from), stream_(on), piece_(piece) {}
  unique_device(unique_device&& other) noexcept
      : from_(other.from_), stream_(other.stream_), piece_(std::exchange(other.piece_, allocation{})) {}
  unique_device& operator=(unique_device&& other) noexcept {
    if (this == &other) return *this;
    reset();
    from_ = other.from_;
    stream_ = other.stream_;
    piece_ = std::exchange(other.piece_, allocation{});
    return *this;
  }
  ~unique_device() { reset(); }

  /// Asks an allocator for a piece.
  [[nodiscard]] static result<unique_device> make(Allocator& from, stream_type on, const device_request& with) noexcept {
    shortage why{};
    const allocation piece = from.allocate(on, with, &why);
    if (!piece) return to_failure(why);
    return unique_device(from, on, piece);
  }

  [[nodiscard]] void* data() const noexcept { return piece_.data; }
  /// Bytes that were granted, at least those that were asked for.
  [[nodiscard]] std::size_t size() const noexcept { return piece_.size; }
  [[nodiscard]] allocation get() const noexcept { return piece_; }
  [[nodiscard]] stream_type stream() const noexcept { return stream_; }
  explicit operator bool() const noexcept { return static_cast<bool>(piece_); }

  /// From now on the memory belongs to another stream. Requires that this stream waits for all uses so far.
  void set_stream(stream_type next) noexcept { stream_ = next; }
  /// Hands the piece to the caller, who gives it back.
  [[nodiscard]] allocation release() noexcept { return std::exchange(piece_, allocation{}); }
  /// Gives the piece back now, on its stream.
  void reset() noexcept {
    if (piece_) from_->deallocate(stream_, std::exchange(piece_, allocation{}));
  }

 private:
  Allocator* from_ = nullptr;
  stream_type stream_{};
  allocation piece_{};
};

/// An array of values in device memory that grows in the order of its stream; new values are not initialised.
///
/// For activations, workspaces and tables whose length changes. The CPU cannot touch the values: `data` is for kernels
/// and copies. Not for what grows by one value at a time: each growth copies, and `reserve` comes first.
///
/// Requires  as `unique_device`
/// Fails     an errc, or `result` in `make`; a failed call changes nothing
/// Threads   one at a time
/// Streams   growing copies on its stream; the old memory is that stream's again at once; nothing waits
/// Cost      growing within the capacity: none; beyond: one request and one copy
template <class T, device_allocator Allocator>
class device_vector {
  static_assert(std::is_trivially_copyable_v<T>, "device_vector: values are copied by the device, byte by byte");
  using piece = unique_device<Allocator>;

 public:
  using value_type = T;
  using stream_type = typename Allocator::stream;

  /// An empty array for a stream; what `with` says of class and owner holds for all its memory.
  device_vector(Allocator& from, stream_type on, const device_request& with = {}) noexcept
      : from_(&from), with_(with), piece_(from, on, {}) {
    if (with_.alignment < alignof(T)) with_.alignment = alignof(T);
  }
  device_vector(device_vector&& other) noexcept
      : from_(other.from_), with_(other.with_), piece_(std::move(other.piece_)), size_(std::exchange(other.size_, 0)) {}
  device_vector& operator=(device_vector&& other) noexcept {
    if (this == &other) return *this;
    from_ = other.from_;
    with_ = other.with_;
    piece_ = std::move(other.piece_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  [[nodiscard]] static result<device_vector> make(Allocator& from, stream_type on, std::size_t count,
                                                  const device_request& with = {}) noexcept {
    device_vector made(from, on, with);
    shortage why{};
    if (made.resize(count, &why) != errc::ok) return to_failure(why);
    return made;
  }

  [[nodiscard]] T* data() const noexcept { return static_cast<T*>(piece_.data()); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t size_bytes() const noexcept { return size_ * sizeof(T); }
  [[nodiscard]] std::size_t capacity() const noexcept { return piece_.size() / sizeof(T); }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] stream_type stream() const noexcept { return piece_.stream(); }
  /// From now on the array belongs to another stream. Requires that this stream waits for all uses so far.
  void set_stream(stream_type next) noexcept { piece_.set_stream(next); }

  /// Changes the length; values up to the shorter length stay. `why` is filled when the answer is no.
  [[nodiscard]] errc resize(std::size_t count, shortage* why = nullptr) noexcept {
    if (const errc no = reserve(count, why); no != errc::ok) return no;
    size_ = count;
    return errc::ok;
  }
  /// Makes room for `count` values without changing the length.
  [[nodiscard]] errc reserve(std::size_t count, shortage* why = nullptr) noexcept {
    return count <= capacity() ? errc::ok : move_to(count, why);
  }
  /// Lets go of the room above the length, if that is worth a smaller piece.
  [[nodiscard]] errc shrink_to_fit(shortage* why = nullptr) noexcept {
    if (size_ == 0) return piece_.reset(), errc::ok;
    // a piece of the same size gains nothing
    return capacity() - size_ < capacity() / 8 ? errc::ok : move_to(size_, why);
  }
  void clear() noexcept { size_ = 0; }

 private:
  errc move_to(std::size_t count, shortage* why) noexcept {
    device_request with = with_;
    if (!checked_mul(count, sizeof(T), with.bytes)) return refuse(errc::size_overflow, {}, count, "ask for fewer values", why);
    shortage told{};
    piece next(*from_, stream(), from_->allocate(stream(), with, &told));
    if (!next) {
      if (why != nullptr) *why = told;
      return told.code;
    }
    if (size_ != 0) {
      typename Allocator::device_type on = from_->device();
      const device_status status = on.copy(next.data(), data(), size_bytes(), stream());
      if (!status) return refuse(errc::device_failed, status, with.bytes, "look at the device's own error, and try again", why);
    }
    // the old piece goes back behind the copy that reads it
    piece_ = std::move(next);
    return errc::ok;
  }

  static errc refuse(errc code, device_status status, std::size_t need, const char* fix, shortage* why) noexcept {
    if (why == nullptr) return code;
    shortage told{};
    told.code = code;
    told.device = status;
    told.pool = "device_vector";
    told.need = need;
    told.limit = max_allocation;
    told.fix = fix;
    *why = told;
    return code;
  }

  Allocator* from_;
  device_request with_;
  piece piece_;
  std::size_t size_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
