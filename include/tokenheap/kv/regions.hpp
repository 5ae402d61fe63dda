// The memory of a pool and its tiers as one list, to be registered once with what moves bytes between machines.
#pragma once

#include <tokenheap/concepts/source.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// One piece of memory as RDMA and NIXL want it: where, how long, and on which device.
struct memory_region {
  std::uintptr_t address = 0;
  std::size_t bytes = 0;
  int device = -1;  ///< ordinal; -1: host memory
  friend constexpr bool operator==(const memory_region&, const memory_region&) = default;
};

/// The pieces that hold blocks, in order of address; neighbours on one device become one piece.
///
/// For registering once what any later transfer touches: the piece under `block_pool::data`, `host_tier::region`
/// and staging. Moving bytes is then a question of `find(address)` and an offset.
///
/// Fails     add returns false for nothing, for what wraps or overlaps, and without memory, and changes nothing
/// Threads   not safe
class memory_regions {
 public:
  [[nodiscard]] bool add(const void* address, std::size_t bytes, int device = -1) noexcept {
    const std::uintptr_t first = address_of(address);
    if (address == nullptr || bytes == 0 || bytes > max_allocation || first > ~std::uintptr_t{0} - bytes) return false;
    std::size_t at = 0;
    while (at != size_ && regions_[at].address < first) ++at;
    const bool clear_below = at == 0 || regions_[at - 1].address + regions_[at - 1].bytes <= first;
    if (!clear_below || (at != size_ && first + bytes > regions_[at].address) || !regions_.grow(size_ + 1)) return false;
    for (std::size_t k = size_; k != at; --k) regions_[k] = regions_[k - 1];
    regions_[at] = {first, bytes, device};
    ++size_;
    if (at + 1 != size_) join(at);
    if (at != 0) join(at - 1);
    return true;
  }
  [[nodiscard]] bool add(const allocation& piece, int device = -1) noexcept { return add(piece.data, piece.size, device); }

  /// The number of the piece that holds all of these bytes, or `size()`.
  [[nodiscard]] std::size_t find(const void* address, std::size_t bytes) const noexcept {
    const std::uintptr_t first = address_of(address);
    for (std::size_t k = 0; k != size_; ++k) {
      const memory_region& r = regions_[k];
      if (first >= r.address && first - r.address <= r.bytes && bytes <= r.bytes - (first - r.address)) return k;
    }
    return size_;
  }
  [[nodiscard]] const memory_region& operator[](std::size_t k) const noexcept { return regions_[k]; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  void join(std::size_t at) noexcept {
    memory_region& low = regions_[at];
    const memory_region& high = regions_[at + 1];
    if (low.address + low.bytes != high.address || low.device != high.device) return;
    low.bytes += high.bytes;
    --size_;
    for (std::size_t k = at + 1; k != size_; ++k) regions_[k] = regions_[k + 1];
  }

  column<memory_region> regions_;
  std::size_t size_ = 0;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
