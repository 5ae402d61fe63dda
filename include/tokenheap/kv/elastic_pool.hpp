// A block pool whose blocks have memory only while somebody needs them.
#pragma once

#include <cstddef>
#include <span>

#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/kv/elastic_memory.hpp>
#include <tokenheap/policy/limit.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// How hard `elastic_pool::trim` tries.
struct trim_options {
  bool evict = false;  ///< while free blocks are not enough, cached ones leave, in the order of the pool's policy
  bool wait = true;    ///< for the device; false: the caller knows that no work of it touches free blocks
};

/// What an elastic pool has behind its addresses.
struct elastic_stats {
  std::size_t usable = 0;     ///< blocks that the pool can hand out, or has
  std::size_t parked = 0;     ///< blocks without memory; the pool counts them as live
  std::size_t mapped = 0;     ///< bytes
  std::size_t addresses = 0;  ///< bytes
  std::size_t stuck = 0;      ///< bytes that the device did not take back; the next trim asks again
};

/// Holds a block pool over reserved addresses, and maps memory behind its blocks when they are needed.
///
/// Open it for as many blocks as the device could ever hold: addresses cost nothing, and cached blocks keep their ids and
/// their place when the pool grows or shrinks. A block without memory is parked: taken out of the pool, which counts it
/// as live. Before a request, `try_grow_to`, or it evicts first; when one is refused, `try_grow` and ask again; when the
/// pool is idle, or somebody else needs the memory, `trim`, or give `callback()` to an allocator's `on_pressure`. Live
/// blocks never lose their memory, cached ones only when they are evicted. Not for a policy that scrubs: fresh memory is
/// not wiped. `pool().reset()` is refused while blocks are parked; `pool().evict` does as well.
///
/// Requires  a layout without a second region; that it moves nowhere once `callback()` was given
/// Fails     try_grow: the pool, the need and the device's reason; all is undone. trim: gives less
/// Threads   not safe: of the thread that opens sequences; the callback too
/// Streams   trim waits for the device, unless the caller has waited for all work on blocks that it gave back. With a
///           fence that holds blocks back, call both between steps: free blocks leave the pool for a moment
/// Cost      the calls of the device, and O(free + parked blocks)
/// Example   examples/groups.cpp
template <class Pool, virtual_device Device>
class elastic_pool {
  static_assert(!Pool::policy::scrub::enabled, "an elastic pool does not wipe the memory that it maps: use no_scrub");

 public:
  [[nodiscard]] static result<elastic_pool> open(const Device& device, const pool_options& with, const layout& shape,
                                                 const elastic_options& pages = {}) noexcept {
    std::size_t bytes = 0;
    if (const failure wrong = why_not(with, shape, bytes); wrong.code != errc::ok) return wrong;
    const std::size_t blocks = with.blocks + (with.null_block ? 1 : 0);
    auto memory = elastic_memory<Device>::open(device, blocks, shape.block_stride(), pages);
    if (!memory) return named(memory.why(), with.name);
    auto pool = Pool::open(with, tensor{memory->data(), bytes, shape, pages.cpu_accessible});
    if (!pool) return pool.why();
    elastic_pool made(static_cast<Pool&&>(*pool), static_cast<elastic_memory<Device>&&>(*memory));
    if (!made.parked_.open(with.blocks) || !made.taken_.open(with.blocks)) {
      return detail::refuse(errc::out_of_memory, with, "lists of blocks", with.blocks, max_blocks, "use fewer blocks");
    }
    const block_id first = with.null_block ? 1 : 0;
    if (with.null_block) {  // kernels read it: it always has memory
      const device_status answer = made.memory_.map(0);
      if (!answer) return refusal_by(answer, with.name, "bytes of pages for the null block", shape.block_bytes());
      made.memory_.keep();
      made.memory_.enter(0);
    }
    for (std::size_t n = 0; n < with.blocks; ++n) made.memory_.enter(first + static_cast<block_id>(n));
    made.take_free();
    if (made.takes_ != with.blocks) {
      return detail::refuse(errc::unsupported, with, "blocks to park", with.blocks, made.takes_,
                            "take a fence that lets blocks go out before any step");
    }
    made.sort_out();
    return result<elastic_pool>(static_cast<elastic_pool&&>(made));
  }

  elastic_pool(elastic_pool&& other) noexcept
      : memory_(static_cast<elastic_memory<Device>&&>(other.memory_)),
        pool_(static_cast<Pool&&>(other.pool_)),
        parked_(static_cast<column<block_id>&&>(other.parked_)),
        taken_(static_cast<column<block_id>&&>(other.taken_)),
        parks_(other.parks_),
        takes_(other.takes_) {
    other.parks_ = other.takes_ = 0;
  }
  elastic_pool& operator=(elastic_pool&&) = delete;
  ~elastic_pool() { static_cast<void>(pool_.deallocate({parked_.first(), parks_})); }

  [[nodiscard]] Pool& pool() noexcept { return pool_; }
  [[nodiscard]] const Pool& pool() const noexcept { return pool_; }

  /// Maps memory for at least `n` more blocks, those of the lowest addresses; all of it, or nothing.
  [[nodiscard]] failure try_grow(std::size_t n) noexcept {
    if (n > parks_) {
      return {.code = errc::too_large, .pool = pool_.name(), .what = "blocks to map memory for", .need = n,
              .available = parks_, .limit = parked_.size(), .fix = "evict, or open the pool for more blocks"};
    }
    device_status answer{};
    std::size_t ready = 0;
    for (std::size_t at = 0; at < parks_ && ready < n; ++at) {
      if (const device_status one = memory_.map(parked_[at]); one) {
        ++ready;
      } else {
        answer = one;
        if (!memory_.is_stuck(parked_[at])) break;
      }
    }
    if (ready < n) {
      memory_.undo();
      return refusal_by(answer, pool_.name(), "bytes of pages for blocks", n * pool_.shape().block_bytes());
    }
    memory_.keep();
    // what else lies on the new granules comes along
    for (std::size_t at = 0; at < parks_; ++at) taken_[at] = parked_[at];
    takes_ = parks_;
    parks_ = 0;
    sort_out();
    return {};
  }

  /// Maps memory until `n` blocks are free: before a request of `n` blocks, so that it evicts nothing.
  [[nodiscard]] failure try_grow_to(std::size_t n) noexcept {
    const std::size_t now = pool_.stats().free;
    return n > now ? try_grow(n - now) : failure{};
  }

  /// Unmaps at least `bytes` of memory that only free blocks lie on, if there is that much; returns the bytes.
  std::size_t trim(std::size_t bytes = ~std::size_t{0}, const trim_options& how = {}) noexcept {
    std::size_t given = 0, step = 1;
    bool may = !how.wait;
    do {
      take_free();
      if (!may && memory_.has_unused() && !(may = static_cast<bool>(memory_.wait()))) {
        sort_out();
        return given;
      }
      if (may) given += memory_.unmap_unused(bytes - given);
      sort_out();
      step = step > max_blocks / 2 ? step : step * 2;
    } while (given < bytes && how.evict && pool_.evict(step) != 0);
    return given;
  }

  /// For the `on_pressure` of what shares the device: free blocks give their memory, then cached ones.
  [[nodiscard]] pressure_callback callback() noexcept { return {&call, this}; }

  [[nodiscard]] elastic_stats stats() const noexcept {
    return {.usable = parked_.size() - parks_, .parked = parks_, .mapped = memory_.mapped(),
            .addresses = memory_.addresses(), .stuck = memory_.stuck()};
  }

  /// True if parked blocks, and no others, lack memory, and the pool is valid.
  [[nodiscard]] bool is_valid() const noexcept {
    for (std::size_t at = 0; at < parks_; ++at) {
      const block_id id = parked_[at];
      if (memory_.is_mapped(id) || pool_.references(id) != 1 || (at != 0 && parked_[at - 1] >= id)) return false;
    }
    const block_id first = static_cast<block_id>(memory_.blocks() - parked_.size());
    std::size_t ready = 0, uses = first == 0 ? 0 : memory_.granules_of(0).end;
    for (block_id id = first; id < memory_.blocks(); ++id) {
      const granule_range on = memory_.granules_of(id);
      if (memory_.is_mapped(id)) ++ready, uses += on.end - on.first;
    }
    return ready + parks_ == parked_.size() && uses == memory_.uses() && memory_.is_valid() && pool_.is_valid();
  }

 private:
  elastic_pool(Pool&& pool, elastic_memory<Device>&& memory) noexcept
      : memory_(static_cast<elastic_memory<Device>&&>(memory)), pool_(static_cast<Pool&&>(pool)) {}

  [[nodiscard]] static failure named(failure why, const char* pool) noexcept { return why.pool = pool, why; }
  static bool call(void* self, std::size_t bytes) noexcept {
    return static_cast<elastic_pool*>(self)->trim(bytes, {.evict = true}) != 0;
  }

  /// Takes all free blocks out of the pool, but for what it has promised.
  void take_free() noexcept {
    const pool_stats now = pool_.stats();
    const std::size_t room = now.free + now.cached > now.reserved ? now.free + now.cached - now.reserved : 0;
    takes_ = now.free < room ? now.free : room;
    if (pool_.allocate(std::span<block_id>{taken_.first(), takes_}) != errc::ok) takes_ = 0;
    for (std::size_t at = 0; at < takes_; ++at) memory_.leave(taken_[at]);
  }

  /// Gives the taken blocks that have memory to the pool, those beside blocks in use to go out first; parks the others.
  void sort_out() noexcept {
    std::size_t ready = 0;
    for (std::size_t at = 0; at < takes_; ++at) {
      const block_id id = taken_[at];
      (memory_.is_mapped(id) ? taken_[ready++] : parked_[parks_++]) = id;
    }
    sort(parked_.first(), parks_, [](block_id a, block_id b) { return a < b; });
    sort(taken_.first(), ready, [&](block_id a, block_id b) {
      const std::size_t users_a = users(a), users_b = users(b);
      return users_a != users_b ? users_a > users_b : a < b;
    });
    for (std::size_t at = 0; at < ready; ++at) memory_.enter(taken_[at]);
    static_cast<void>(pool_.deallocate({taken_.first(), ready}));
    takes_ = 0;
  }
  /// Sorts by heap, in place: `<algorithm>` would be a fifth of all lines that this header brings.
  template <class Before>
  static void sort(block_id* ids, std::size_t n, Before&& before) noexcept {
    std::size_t sorted = 1;
    while (sorted < n && !before(ids[sorted], ids[sorted - 1])) ++sorted;
    if (sorted >= n) return;
    const auto sift = [&](std::size_t at, std::size_t end) {
      const block_id moved = ids[at];
      for (std::size_t child = 2 * at + 1; child < end; child = 2 * at + 1) {
        if (child + 1 < end && before(ids[child], ids[child + 1])) ++child;
        if (!before(moved, ids[child])) break;
        ids[at] = ids[child];
        at = child;
      }
      ids[at] = moved;
    };
    for (std::size_t at = n / 2; at-- > 0;) sift(at, n);
    for (std::size_t end = n - 1; end > 0; --end) {
      const block_id last = ids[end];
      ids[end] = ids[0];
      ids[0] = last;
      sift(0, end);
    }
  }
  [[nodiscard]] std::size_t users(block_id id) const noexcept { return memory_.users(memory_.granules_of(id).first); }

  elastic_memory<Device> memory_;  // outlives the pool
  Pool pool_;
  column<block_id> parked_;  // by id
  column<block_id> taken_;   // out of the pool for the time of a call
  std::size_t parks_ = 0, takes_ = 0;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
