// Who holds how much device memory, and how much each may hold.
#pragma once

#include <cstdint>

#include <tokenheap/alloc/caching_options.hpp>
#include <tokenheap/alloc/range_table.hpp>
#include <tokenheap/core/result.hpp>

namespace tokenheap {
inline namespace v0 {

/// What an owner of device memory may hold, and whom to tell when it holds more than a soft limit.
struct owner_options {
  const char* name = "";  ///< lives as long as the allocator
  std::size_t hard = ~std::size_t{0};
  std::size_t soft = ~std::size_t{0};
  pressure_callback on_soft{};  ///< called outside every lock, once each time that the soft limit is passed
};

/// What an owner holds.
struct owner_stats {
  const char* name = "";
  std::size_t current = 0;
  std::size_t peak = 0;
  std::size_t pieces = 0;
};

/// Counts bytes by owner and refuses what an owner may not have; the first owners are the memory classes.
///
/// Threads   not safe; the allocator calls it under its lock
/// Cost      O(1)
template <source Book>
class device_owners {
 public:
  explicit device_owners(const Book& book) noexcept : owners_(book) {}

  /// Adds an owner; the number goes into requests.
  [[nodiscard]] result<std::uint16_t> add(const owner_options& with) noexcept {
    if (!prepare() || count_ == 0xFFFF || !owners_.ensure(count_ + 1)) {
      return failure{.code = errc::out_of_memory, .pool = with.name, .what = "owners", .need = 1, .available = 0,
                     .limit = 0xFFFF, .fix = "end programs that take the host's memory, or use fewer owners"};
    }
    owners_[count_] = {.with = with, .held = {.name = with.name}};
    return static_cast<std::uint16_t>(count_++);
  }
  /// Changes the limits of an owner; false if there is none of that number.
  [[nodiscard]] bool set_limits(std::uint16_t owner, std::size_t hard, std::size_t soft,
                                pressure_callback on_soft = {}) noexcept {
    if (!prepare() || owner >= count_) return false;
    owners_[owner].with.hard = hard;
    owners_[owner].with.soft = soft;
    owners_[owner].with.on_soft = on_soft;
    return true;
  }

  [[nodiscard]] bool prepare() noexcept {
    if (count_ != 0) [[likely]] return true;
    if (!owners_.ensure(memory_classes)) return false;
    for (; count_ != memory_classes; ++count_) {
      const char* const name = to_text(static_cast<memory_class>(count_));
      owners_[count_] = {.with = {.name = name}, .held = {.name = name}};
    }
    return true;
  }

  [[nodiscard]] bool knows(std::uint16_t owner) const noexcept { return owner < count_; }
  [[nodiscard]] std::size_t room(std::uint16_t owner) const noexcept {
    const entry& e = owners_[owner];
    return e.held.current < e.with.hard ? e.with.hard - e.held.current : 0;
  }
  /// Counts bytes; true if the soft limit was passed by them. Requires room
  [[nodiscard]] TOKENHEAP_INLINE bool take(std::uint16_t owner, std::size_t bytes) noexcept {
    entry& e = owners_[owner];
    const std::size_t before = e.held.current;
    const std::size_t now = before + bytes;
    e.held.current = now;
    ++e.held.pieces;
    if (now > e.held.peak) e.held.peak = now;
    return now > e.with.soft && before <= e.with.soft;
  }
  void give(std::uint16_t owner, std::size_t bytes) noexcept {
    owners_[owner].held.current -= bytes;
    --owners_[owner].held.pieces;
  }

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  /// Bytes that all owners hold together. Cost: O(owners)
  [[nodiscard]] std::size_t total() const noexcept {
    std::size_t sum = 0;
    for (std::size_t k = 0; k != count_; ++k) sum += owners_[k].held.current;
    return sum;
  }
  [[nodiscard]] const owner_stats& held(std::size_t owner) const noexcept { return owners_[owner].held; }
  [[nodiscard]] const owner_options& limits(std::size_t owner) const noexcept { return owners_[owner].with; }

 private:
  struct entry {
    owner_options with;
    owner_stats held;
  };

  grown_array<entry, Book> owners_;
  std::size_t count_ = 0;
};

}  // namespace v0
}  // namespace tokenheap
