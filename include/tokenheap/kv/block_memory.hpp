// Where the keys and values of a pool lie, and who copies and wipes them.
#pragma once

#include <cstddef>
#include <cstring>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/kv/layout.hpp>
#include <tokenheap/kv/pool_options.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Finds, copies and wipes the memory of one pool's blocks: by the CPU, or by the callbacks of the pool's options.
///
/// Threads   not safe; a copy touches nothing of this but the two blocks
class block_memory {
 public:
  void open(const pool_options& with) noexcept { copy_ = with.copy, wipe_ = with.wipe; }

  [[nodiscard]] pool_memory& place() noexcept { return place_; }
  [[nodiscard]] const layout& shape() const noexcept { return place_.shape; }
  [[nodiscard]] void* address(block_id id) const noexcept {
    return place_.data == nullptr ? nullptr : offset(place_.data, id * place_.shape.block_stride());
  }

  [[nodiscard]] bool can_copy() const noexcept { return copy_.run != nullptr || cpu_reaches(); }
  [[nodiscard]] bool can_wipe() const noexcept { return wipe_.run != nullptr || cpu_reaches(); }

  /// Requires can_copy()
  void copy(block_id from, block_id to) const noexcept {
    if (copy_.run != nullptr) return copy_.run(copy_.user, from, to);
    std::memcpy(address(to), address(from), place_.shape.block_bytes());
  }
  /// Requires can_wipe()
  void wipe(const block_id* ids, std::size_t n) const noexcept {
    if (wipe_.run != nullptr) return wipe_.run(wipe_.user, ids, n);
    for (std::size_t at = 0; at < n; ++at) std::memset(address(ids[at]), 0, place_.shape.block_bytes());
  }

 private:
  [[nodiscard]] bool cpu_reaches() const noexcept { return place_.data != nullptr && place_.cpu_accessible; }

  pool_memory place_{};
  block_copy copy_{};
  block_fill wipe_{};
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
