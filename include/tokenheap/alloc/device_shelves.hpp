// Whose free device memory is whose: the streams that an allocator has met, and a shelf for each stream and kind of memory.
#pragma once

#include <cstdint>
#include <new>

#include <tokenheap/alloc/caching_options.hpp>
#include <tokenheap/alloc/range_table.hpp>
#include <tokenheap/alloc/size_lists.hpp>
#include <tokenheap/concepts/device.hpp>

namespace tokenheap {
inline namespace v0 {

/// A request that found nothing on any rung, and when: until something changes, none like it needs to look again.
struct shelf_refusal {
  std::uint64_t at = ~std::uint64_t{0};  ///< on the allocator's count of changes
  std::size_t size = 0;
  std::size_t alignment = 0;
  std::size_t allowance = 0;  ///< bytes that could still be reserved
};

/// The free memory of one stream for one kind of request.
///
/// `warm` is the piece that came back last, not yet merged: a request of exactly its size takes it without a search, and
/// any other use of the shelf puts it on its list first.
template <size_lists_shape Shape>
struct device_shelf {
  size_lists<Shape> lists;
  std::size_t listed = 0;     ///< bytes on the lists
  std::size_t warm_size = 0;  ///< of the warm piece; 0 if there is none
  std::uint32_t warm = 0;     ///< means nothing while there is none
  std::uint32_t number = 0;
  std::uint32_t stream = 0;
  std::uint32_t pool = 0;            ///< 0 is the pool of everybody
  std::uint32_t first_growable = 0;  ///< segments that grow for this shelf
  std::uint32_t next = 0;            ///< the next shelf of the same stream, outside the table
  memory_class of = memory_class::general;
  bool large = false;
  shelf_refusal refused;
  bool passed_over = false;  ///< its stream could not be waited for in this round

  [[nodiscard]] bool is_warm(std::uint32_t n) const noexcept { return warm_size != 0 && warm == n; }
  [[nodiscard]] std::size_t cached() const noexcept { return listed + warm_size; }
};

/// A stream that an allocator has met.
template <device Device, class Shelf>
struct met_stream {
  std::size_t offset = 0;  ///< the identity of the stream, under the name that the table looks for
  std::uint32_t before = 0;
  std::uint32_t after = 0;
  typename Device::stream stream{};
  typename Device::event last{};  ///< all work of a retired stream; kept for the next time if it comes back
  bool has_last = false;
  bool retired = false;
  bool lost = false;  ///< destroyed without notice: only a wait for the whole device makes its memory safe
  Shelf* shelves[2 * memory_classes] = {};
  std::uint32_t first_other = 0;  ///< shelves of pools
};

/// Finds the shelf of a stream; number 0 is none.
///
/// Threads   not safe
/// Cost      a comparison for the stream of the call before, a table look-up for another; about 9 KiB a shelf
template <device Device, size_lists_shape Shape, source Book>
class device_shelves {
 public:
  using stream = typename Device::stream;
  using shelf = device_shelf<Shape>;
  using entry = met_stream<Device, shelf>;

  explicit device_shelves(const Book& book) noexcept : streams_(book), table_(book), shelves_(book), book_(book) {}
  device_shelves(const device_shelves&) = delete;
  device_shelves& operator=(const device_shelves&) = delete;
  ~device_shelves() {
    for (std::uint32_t k = 1; k < shelf_count_; ++k) {
      shelves_[k]->~shelf();
      book_.deallocate({shelves_[k], sizeof(shelf)});
    }
  }

  /// The number of a stream that was met before, or 0.
  [[nodiscard]] std::uint32_t find(stream s) const noexcept { return table_.find(s.id, streams_.begin()); }
  /// The same, and meets it now if need be; 0 when the source of the bookkeeping has no more.
  [[nodiscard]] std::uint32_t meet(stream s) noexcept {
    const std::uint32_t n = find(s);
    return n != 0 ? n : enter(s);
  }
  [[nodiscard]] TOKENHEAP_COLD std::uint32_t enter(stream s) noexcept {
    if (!streams_.ensure(stream_count_ + 1) || !table_.ensure(stream_count_, streams_.begin())) return 0;
    const std::uint32_t n = stream_count_++;
    streams_[n] = entry{};
    streams_[n].offset = s.id;
    streams_[n].stream = s;
    table_.insert(n, streams_.begin());
    forget_recent();
    return n;
  }

  /// The shelf of a stream that asks or gives, opened if need be; null when the source of the bookkeeping has no more.
  ///
  /// A stream that was said to end and is named again goes on; somebody may wait for its event, which stays.
  [[nodiscard]] TOKENHEAP_INLINE shelf* at(stream s, std::uint32_t pool, memory_class of, bool large) noexcept {
    if (is_recent(s) && pool == 0) [[likely]]
      if (shelf* const found = recent_entry_->shelves[place(of, large)]; found != nullptr) [[likely]] return found;
    return look_up(s, pool, of, large);
  }
  /// True if a shelf is of a stream that was just looked up and goes on.
  [[nodiscard]] TOKENHEAP_INLINE bool is_of(const shelf& one, stream s) const noexcept {
    return is_recent(s) && one.stream == recent_;
  }
  /// Says that a stream ends: its next use is looked up again.
  void retire(std::uint32_t met) noexcept {
    streams_[met].retired = true;
    forget_recent();
  }

  /// The shelf of a stream, or 0. Requires a number of a stream that was met
  [[nodiscard]] std::uint32_t find(std::uint32_t met, std::uint32_t pool, memory_class of, bool large) const noexcept {
    const entry& e = streams_[met];
    if (pool == 0) return e.shelves[place(of, large)] != nullptr ? e.shelves[place(of, large)]->number : 0;
    std::uint32_t n = e.first_other;
    while (n != 0 && !(shelves_[n]->pool == pool && shelves_[n]->of == of && shelves_[n]->large == large))
      n = shelves_[n]->next;
    return n;
  }
  [[nodiscard]] std::uint32_t open(std::uint32_t met, std::uint32_t pool, memory_class of, bool large) noexcept {
    const std::uint32_t n = find(met, pool, of, large);
    return n != 0 ? n : make(met, pool, of, large);
  }

  [[nodiscard]] shelf& operator[](std::uint32_t n) noexcept { return *shelves_[n]; }
  [[nodiscard]] const shelf& operator[](std::uint32_t n) const noexcept { return *shelves_[n]; }
  /// One more than the highest number of a shelf.
  [[nodiscard]] std::uint32_t end() const noexcept { return shelf_count_; }
  [[nodiscard]] entry& of(std::uint32_t met) noexcept { return streams_[met]; }
  [[nodiscard]] const entry& of(std::uint32_t met) const noexcept { return streams_[met]; }
  [[nodiscard]] std::uint32_t streams_end() const noexcept { return stream_count_; }

 private:
  [[nodiscard]] TOKENHEAP_INLINE bool is_recent(stream s) const noexcept { return recent_ != 0 && recent_id_ == s.id; }
  void forget_recent() noexcept { recent_ = 0; }

  [[nodiscard]] TOKENHEAP_NOINLINE shelf* look_up(stream s, std::uint32_t pool, memory_class of, bool large) noexcept {
    const std::uint32_t met = meet(s);
    if (met == 0) return nullptr;
    recent_ = met;
    recent_id_ = s.id;
    recent_entry_ = &streams_[met];
    recent_entry_->retired = false;
    const std::uint32_t n = open(met, pool, of, large);
    return n != 0 ? shelves_[n] : nullptr;
  }
  [[nodiscard]] static constexpr std::size_t place(memory_class of, bool large) noexcept {
    return 2 * static_cast<std::size_t>(of) + static_cast<std::size_t>(large);
  }

  TOKENHEAP_COLD std::uint32_t make(std::uint32_t met, std::uint32_t pool, memory_class of, bool large) noexcept {
    if (!shelves_.ensure(shelf_count_ + 1)) return 0;
    const allocation room = book_.allocate(sizeof(shelf), alignof(shelf) < 64 ? 64 : alignof(shelf));
    if (!room) return 0;
    const std::uint32_t n = shelf_count_++;
    shelf* const made = ::new (room.data) shelf{};
    shelves_[n] = made;
    made->number = n;
    made->stream = met;
    made->pool = pool;
    made->of = of;
    made->large = large;
    entry& e = streams_[met];
    if (pool == 0) {
      e.shelves[place(of, large)] = made;
    } else {
      made->next = e.first_other;
      e.first_other = n;
    }
    return n;
  }

  grown_array<entry, Book> streams_;
  range_table<Book> table_;
  grown_array<shelf*, Book> shelves_;
  TOKENHEAP_NO_UNIQUE_ADDRESS Book book_;
  std::uint32_t stream_count_ = 1;
  std::uint32_t shelf_count_ = 1;
  // the stream of the call before; 0 is none
  std::uint32_t recent_ = 0;
  std::uint64_t recent_id_ = 0;
  entry* recent_entry_ = nullptr;
};

}  // namespace v0
}  // namespace tokenheap
