// The memory that a simulated machine knows: pieces of its devices, pinned pieces, and mapped pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <tokenheap/device/sim_clock.hpp>

namespace tokenheap {
inline namespace v0 {

/// What a piece of memory is to a simulated machine.
enum class sim_memory_kind : std::uint8_t { device, pinned, registered };

/// A live piece: of a device by `allocate`, or of the host.
struct sim_block {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;     ///< that the program may touch
  std::size_t taken = 0;     ///< that count against the capacity
  sim_memory_kind kind = sim_memory_kind::device;
  int device = 0;
};

/// Addresses of a device that were taken without memory.
struct sim_reservation {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
  int device = 0;
};

/// Pages that stand behind some addresses of a reservation.
struct sim_mapping {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
  std::uint32_t pages = 0;
  int device = 0;
  bool open = false;  ///< `set_access` was called
  sim_clock used;     ///< the last accesses through this mapping
};

/// Things with a `begin` and `bytes` that do not overlap, found by an address in them.
///
/// Threads   not safe
/// Cost      O(log n) to find; adding and removing moves what lies behind
template <class Thing>
class sim_ranges {
 public:
  /// Returns   the thing that contains the address, or null
  [[nodiscard]] Thing* over(std::uintptr_t at) noexcept {
    auto it = first_behind(at);
    if (it == all_.begin()) return nullptr;
    --it;
    return at - it->begin < it->bytes ? &*it : nullptr;
  }
  /// Returns   the thing that starts there, or null
  [[nodiscard]] Thing* at(std::uintptr_t begin) noexcept {
    Thing* const found = over(begin);
    return found != nullptr && found->begin == begin ? found : nullptr;
  }
  /// True if nothing here has a byte of the range.
  [[nodiscard]] bool is_free(std::uintptr_t begin, std::size_t bytes) noexcept {
    const auto it = first_behind(begin + bytes - 1);
    return it == all_.begin() || (it - 1)->begin + (it - 1)->bytes <= begin;
  }
  void add(Thing thing) {
    const auto it = first_behind(thing.begin);
    all_.insert(it, std::move(thing));
  }
  void remove(const Thing* thing) { all_.erase(all_.begin() + (thing - all_.data())); }

  [[nodiscard]] std::vector<Thing>& all() noexcept { return all_; }
  [[nodiscard]] const std::vector<Thing>& all() const noexcept { return all_; }

 private:
  typename std::vector<Thing>::iterator first_behind(std::uintptr_t at) noexcept {
    std::size_t from = 0;
    for (std::size_t to = all_.size(); from != to;) {
      const std::size_t middle = from + (to - from) / 2;
      if (all_[middle].begin <= at) {
        from = middle + 1;
      } else {
        to = middle;
      }
    }
    return all_.begin() + static_cast<std::ptrdiff_t>(from);
  }

  std::vector<Thing> all_;
};

}  // namespace v0
}  // namespace tokenheap
