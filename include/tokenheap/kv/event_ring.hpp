// The last events of a stream, in a fixed piece of memory: the newest take the place of the oldest.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/event.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Numbers events and keeps the newest of them, as many as fit.
///
/// Part of `event_stream`, which says what the events are. Every event has the number after that of the one before it;
/// one that is larger than the whole ring has a number too, and is lost at once. A reader asks by number: what is gone
/// is seen, never skipped.
///
/// Fails     open returns false; add returns null for an event that is larger than the ring
/// Threads   not safe; the pool's lock covers it
/// Cost      O(1) per event and per event that it pushes out; 4 bytes per 64 of the ring to find a number
class event_ring {
 public:
  [[nodiscard]] bool open(std::size_t bytes) noexcept {
    bytes = bytes / unit * unit;
    if (bytes < sizeof(detail::event_record) || bytes > detail::event_record::max_bytes) return false;
    if (!bytes_.open(bytes) || !places_.open(std::bit_ceil(bytes / sizeof(detail::event_record)))) return false;
    head_ = tail_ = end_ = 0;
    wrapped_ = false;
    oldest_ = next_ = 0;
    return true;
  }

  /// The number of the oldest event that is kept; next() if there is none.
  [[nodiscard]] std::uint64_t oldest() const noexcept { return oldest_; }
  /// The number that the next event will have.
  [[nodiscard]] std::uint64_t next() const noexcept { return next_; }

  /// Adds an event and returns its record, with room for names and tokens behind it; or null.
  ///
  /// What the record does not say of itself, the caller writes in place: a copy would wait for its own stores.
  [[nodiscard]] detail::event_record* add(std::size_t names, std::size_t tokens) noexcept {
    const std::size_t size = detail::event_record::size(names, tokens);
    const std::uint64_t number = next_++;
    if (size > bytes_.size()) {
      oldest_ = next_;
      head_ = tail_ = 0;
      wrapped_ = false;
      return nullptr;
    }
    while (!fits(size, number)) drop_oldest();
    auto* const record = ::new (bytes_.first() + head_) detail::event_record;
    record->number = number;
    record->bytes = static_cast<std::uint32_t>(size / unit);
    record->names = static_cast<std::uint32_t>(names);
    record->tokens = static_cast<std::uint32_t>(tokens);
    places_[number & (places_.size() - 1)] = static_cast<std::uint32_t>(head_ / unit);
    head_ += size;
    return record;
  }

  /// True if nothing from this number on is lost.
  [[nodiscard]] bool keeps(std::uint64_t number) const noexcept { return number >= oldest_ && number <= next_; }

  /// Copies whole events from `number` on into `out` and moves `number` behind them. Requires keeps(number).
  ///
  /// Returns   the bytes copied; where not even one event fits, 0 and in `need` its size
  [[nodiscard]] std::size_t read(std::uint64_t& number, unsigned char* out, std::size_t capacity,
                                 std::size_t& need) const noexcept {
    std::size_t copied = 0;
    for (need = 0; number != next_; ++number) {
      const unsigned char* const record = find(number);
      const std::size_t size = detail::bytes_of(record);
      if (size > capacity - copied) {
        need = copied == 0 ? size : 0;
        break;
      }
      std::memcpy(out + copied, record, size);
      copied += size;
    }
    return copied;
  }

  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_.bytes() + places_.bytes(); }

  /// Walks from the oldest to the newest: each stands where its number says, and their sizes add up.
  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t at = tail_;
    bool behind = wrapped_;
    for (std::uint64_t number = oldest_; number != next_; ++number) {
      if (behind && at == end_) at = 0, behind = false;
      const std::size_t size = detail::bytes_of(bytes_.first() + at);
      if (find(number) != bytes_.first() + at || detail::read_event(find(number)).number != number) return false;
      if (size < sizeof(detail::event_record) || size > (behind ? end_ : bytes_.size()) - at) return false;
      at += size;
    }
    return oldest_ == next_ || (!behind && at == head_);
  }

 private:
  static constexpr std::size_t unit = 8;

  [[nodiscard]] const unsigned char* find(std::uint64_t number) const noexcept {
    return bytes_.first() + std::size_t{places_[number & (places_.size() - 1)]} * unit;
  }

  // true if `size` bytes are free at the head, which may move to the start for it
  [[nodiscard]] bool fits(std::size_t size, std::uint64_t number) noexcept {
    if (oldest_ == number) {
      head_ = tail_ = 0;
      wrapped_ = false;
      return true;
    }
    if (wrapped_) return tail_ - head_ >= size;
    if (bytes_.size() - head_ >= size) return true;
    if (tail_ < size) return false;
    end_ = head_;
    head_ = 0;
    wrapped_ = true;
    return true;
  }

  void drop_oldest() noexcept {
    tail_ += detail::bytes_of(bytes_.first() + tail_);
    ++oldest_;
    if (!wrapped_ || tail_ != end_) return;
    tail_ = 0;
    wrapped_ = false;
  }

  column<unsigned char> bytes_;
  column<std::uint32_t> places_;  // by number: where it lies, in units
  std::size_t head_ = 0, tail_ = 0;
  std::size_t end_ = 0;  // of the older part, while the newer part starts anew
  bool wrapped_ = false;
  std::uint64_t oldest_ = 0, next_ = 0;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
