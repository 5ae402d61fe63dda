// Whether the bytes of one owner are wiped before the next one gets the block.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Wipes the memory of blocks, such as a fill on the stream that writes them next; it must not call the pool.
struct block_fill {
  void (*run)(void* user, const block_id* ids, std::size_t n) noexcept = nullptr;
  void* user = nullptr;
};

/// When a scrubbing pool wipes a block.
enum class scrub_when : std::uint8_t {
  tenant_change,  ///< before a tenant gets a block that another one had
  free,           ///< as soon as nobody holds a block and nobody can find it
  take,           ///< before every use
};

/// Wipes nothing: for one tenant, or where kernels never read a slot that they did not write.
struct no_scrub {
  static constexpr bool enabled = false;
  [[nodiscard]] constexpr bool open(std::size_t) noexcept { return true; }
  [[nodiscard]] constexpr std::size_t bytes() const noexcept { return 0; }
  [[nodiscard]] constexpr std::size_t count() const noexcept { return 0; }
};

/// Wipes blocks as `When` says, in batches, and counts them.
///
/// Name it as `scrub` in a pool's policy where requests of several tenants share a pool: a kernel that reads past what
/// it wrote then reads zeros, never a stranger's keys. What the memory held before the pool had it is wiped too, except
/// `tenant_change` for tenant 0.
///
/// Requires  ids below the count it was opened with
/// Threads   not safe; the pool's lock covers it
/// Streams   the fill is enqueued before the block is handed out: run it on the stream that writes the block next, or
///           make that stream wait for it
/// Cost      one comparison per block; a call of the fill per 64 blocks; 4 bytes per block
template <scrub_when When = scrub_when::tenant_change>
class scrub {
 public:
  static constexpr bool enabled = true;

  [[nodiscard]] bool open(std::size_t blocks) noexcept { return last_.open(blocks); }

  /// Called with blocks that `to` is about to get; `fill(ids, n)` wipes.
  template <class Fill>
  void on_take(const block_id* ids, std::size_t n, tenant_id to, Fill&& fill) noexcept {
    batch found;
    for (std::size_t at = 0; at < n; ++at) {
      tenant_id& last = last_[ids[at]];
      // what the memory held before the pool had it counts as tenant 0's
      const bool dirty = When == scrub_when::take || (When == scrub_when::free ? last != clean : last != to);
      last = When == scrub_when::free ? 0 : to;
      if (dirty) add(found, ids[at], fill);
    }
    flush(found, fill);
  }

  /// Called with blocks that hold nothing that anybody may read any more.
  template <class Fill>
  void on_free(const block_id* ids, std::size_t n, Fill&& fill) noexcept {
    if constexpr (When == scrub_when::free) {
      batch found;
      for (std::size_t at = 0; at < n; ++at) {
        if (last_[ids[at]] == clean) continue;
        last_[ids[at]] = clean;
        add(found, ids[at], fill);
      }
      flush(found, fill);
    }
  }

  /// How many blocks were wiped.
  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return last_.bytes(); }

 private:
  static constexpr tenant_id clean = 1;
  static constexpr std::size_t batch_size = 64;

  struct batch {
    block_id ids[batch_size];
    std::size_t size = 0;
  };

  template <class Fill>
  void add(batch& found, block_id id, Fill& fill) noexcept {
    found.ids[found.size++] = id;
    if (found.size == batch_size) flush(found, fill);
  }

  template <class Fill>
  void flush(batch& found, Fill& fill) noexcept {
    if (found.size == 0) return;
    count_ += found.size;
    fill(static_cast<const block_id*>(found.ids), found.size);
    found.size = 0;
  }

  column<tenant_id> last_;
  std::size_t count_ = 0;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
