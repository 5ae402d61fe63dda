// Memory of cached blocks goes back before a request for device memory is refused.
#pragma once

#include <cstddef>
#include <span>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/policy/limit.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Takes blocks that nobody uses out of a pool when memory is short: free ones first, then cached ones as they leave.
///
/// For a pool whose blocks have memory one by one, out of the allocator that is short: give `callback()` to its
/// `on_pressure`. `give_back(id)` returns the memory of a block and says how many bytes that was. The block stays out
/// of the pool until the caller has memory for it again and calls `deallocate(id)`. Live blocks are never taken. Not
/// for a pool over one region: there a block that leaves makes room for other blocks alone.
///
/// Requires  the pool and this outlive the allocator's use of the callback; it moves nowhere meanwhile
/// Threads   as the pool: with a lock in its policy where another thread may run out of memory
/// Cost      O(1) per block
/// Example   tests/kv/reclaim.cpp
template <class Pool, class GiveBack>
class cache_reclaim {
 public:
  cache_reclaim(Pool& pool, GiveBack give_back) noexcept
      : pool_(pool), give_back_(static_cast<GiveBack&&>(give_back)) {}
  cache_reclaim(const cache_reclaim&) = delete;
  cache_reclaim& operator=(const cache_reclaim&) = delete;

  [[nodiscard]] pressure_callback callback() noexcept { return {&call, this}; }

  /// Gives back the memory of as many idle blocks as `bytes` take, or of all that are idle; returns the bytes.
  std::size_t run(std::size_t bytes) noexcept {
    std::size_t given = 0;
    block_id id = no_block;
    while (given < bytes && pool_.allocate(std::span<block_id>{&id, 1}) == errc::ok) given += give_back_(id);
    return given;
  }

 private:
  static bool call(void* self, std::size_t bytes) noexcept { return static_cast<cache_reclaim*>(self)->run(bytes) != 0; }

  Pool& pool_;
  GiveBack give_back_;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
