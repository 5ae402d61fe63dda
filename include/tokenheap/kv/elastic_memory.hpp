// Addresses for many blocks, with memory behind those that are needed.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/device.hpp>
#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/source/device_failure.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// How memory comes and goes behind the addresses of blocks.
struct elastic_options {
  std::size_t granule = 0;      ///< bytes mapped and unmapped at once, rounded up to pages; 0: one page
  bool cpu_accessible = false;  ///< the CPU can touch what the device maps
};

/// The granules [first, end) that a block lies in.
struct granule_range {
  std::size_t first = 0;
  std::size_t end = 0;
};

/// Reserves addresses for a row of blocks, and keeps memory behind the granules that somebody needs.
///
/// It counts for each granule how many blocks on it are in use, and unmaps those that none is on; a block may lie
/// across granules, and a granule under many blocks. Made for `elastic_pool`; for a piece that only grows, take `vmm_source`.
///
/// Requires  no work of the device on what it unmaps, see `unmap_unused`
/// Fails     map: the device's answer, and `undo()` takes back what was mapped since `keep()`
/// Threads   not safe
/// Cost      16 bytes per granule, touched only when used; map: three calls of the device for each granule
template <virtual_device Device>
class elastic_memory {
 public:
  /// Addresses for `blocks` blocks of `block_bytes` bytes, and no memory.
  [[nodiscard]] static result<elastic_memory> open(const Device& device, std::size_t blocks, std::size_t block_bytes,
                                                   const elastic_options& with = {}) noexcept {
    elastic_memory made(device);
    const std::size_t page = made.device_.page_bytes();
    std::size_t bytes = 0;
    if (page == 0) return refusal_by({device_error::unsupported, 0}, "elastic", "pages to map", blocks);
    if (blocks == 0 || block_bytes == 0 || !checked_mul(blocks, block_bytes, bytes) ||
        bytes > max_allocation / 2 || with.granule > max_allocation / 4) {
      return failure{.code = errc::size_overflow, .pool = "elastic", .what = "bytes of all blocks, in blocks",
                     .need = blocks, .limit = max_allocation / 2, .fix = "use fewer or smaller blocks or granules"};
    }
    made.blocks_ = blocks;
    made.block_bytes_ = block_bytes;
    made.granule_ = divide_up(with.granule != 0 ? with.granule : page, page) * page;
    made.bytes_ = divide_up(bytes, made.granule_) * made.granule_;
    if (!made.rows_.open(made.bytes_ / made.granule_)) {
      return failure{.code = errc::out_of_memory, .pool = "elastic", .what = "rows of granules", .need = made.bytes_,
                     .fix = "use larger granules"};
    }
    const device_status answer = made.device_.reserve(made.bytes_, 0, made.data_);
    if (!answer) return refusal_by(answer, "elastic", "bytes of addresses", made.bytes_);
    return result<elastic_memory>(static_cast<elastic_memory&&>(made));
  }

  elastic_memory(elastic_memory&& other) noexcept
      : device_(other.device_),
        rows_(static_cast<column<row>&&>(other.rows_)),
        data_(other.data_),
        bytes_(other.bytes_),
        blocks_(other.blocks_),
        block_bytes_(other.block_bytes_),
        granule_(other.granule_),
        mapped_(other.mapped_) {
    other.data_ = nullptr;
  }
  elastic_memory& operator=(elastic_memory&&) = delete;
  /// Waits for the device, and gives memory and addresses back.
  ~elastic_memory() {
    if (data_ == nullptr) return;
    if (mapped_ != 0) static_cast<void>(device_.synchronize());
    for (std::size_t k = 0; k < granules(); ++k) {
      if (has_memory(rows_[k])) static_cast<void>(unmap_one(k));
      release(rows_[k]);
    }
    static_cast<void>(device_.unreserve(data_, bytes_));
  }

  [[nodiscard]] void* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t addresses() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t mapped() const noexcept { return mapped_; }
  [[nodiscard]] std::size_t blocks() const noexcept { return blocks_; }
  [[nodiscard]] std::size_t granule_bytes() const noexcept { return granule_; }
  [[nodiscard]] std::size_t granules() const noexcept { return bytes_ / granule_; }
  [[nodiscard]] granule_range granules_of(block_id id) const noexcept {
    return {id * block_bytes_ / granule_, ((id + std::size_t{1}) * block_bytes_ - 1) / granule_ + 1};
  }
  /// True if all of a block has memory.
  [[nodiscard]] bool is_mapped(block_id id) const noexcept {
    const granule_range on = granules_of(id);
    for (std::size_t k = on.first; k < on.end; ++k) {
      if (!is_ready(rows_[k])) return false;
    }
    return true;
  }
  /// True if some of a block lies where the device did not take its memory back.
  [[nodiscard]] bool is_stuck(block_id id) const noexcept {
    const granule_range on = granules_of(id);
    for (std::size_t k = on.first; k < on.end; ++k) {
      if (rows_[k].at == state::stuck) return true;
    }
    return false;
  }
  /// How many blocks in use lie on a granule.
  [[nodiscard]] std::size_t users(std::size_t granule) const noexcept { return rows_[granule].users; }

  [[nodiscard]] std::size_t uses() const noexcept {
    std::size_t sum = 0;
    for (std::size_t k = 0; k < granules(); ++k) sum += rows_[k].users;
    return sum;
  }

  /// A block is in use from now on, or no longer.
  void enter(block_id id) noexcept {
    const granule_range on = granules_of(id);
    for (std::size_t k = on.first; k < on.end; ++k) ++rows_[k].users;
  }
  void leave(block_id id) noexcept {
    const granule_range on = granules_of(id);
    for (std::size_t k = on.first; k < on.end; ++k) --rows_[k].users;
  }

  /// Puts memory behind all of a block.
  [[nodiscard]] device_status map(block_id id) noexcept {
    const granule_range on = granules_of(id);
    device_status answer{};
    for (std::size_t k = on.first; k < on.end && answer; ++k) {
      if (!is_ready(rows_[k])) answer = map_one(k);
    }
    return answer;
  }
  /// What was mapped since the last call of either stays, or goes.
  void keep() noexcept {
    for (std::size_t k = 0; k < granules(); ++k) {
      if (rows_[k].at == state::fresh) rows_[k].at = state::mapped;
    }
  }
  void undo() noexcept {
    for (std::size_t k = 0; k < granules(); ++k) {
      if (rows_[k].at == state::fresh) static_cast<void>(unmap_one(k));
    }
  }

  /// True if some granule has memory and no block in use.
  [[nodiscard]] bool has_unused() const noexcept {
    for (std::size_t k = 0; k < granules(); ++k) {
      if (rows_[k].users == 0 && has_memory(rows_[k])) return true;
    }
    return false;
  }
  /// Waits for all work of the device.
  [[nodiscard]] device_status wait() noexcept { return device_.synchronize(); }

  /// Unmaps granules without a block in use, the last first, until `bytes` are given back; returns how many were.
  ///
  /// A granule whose memory the device does not take back has none from here on: its blocks must wait for the next try.
  std::size_t unmap_unused(std::size_t bytes) noexcept {
    std::size_t given = 0;
    for (std::size_t k = granules(); k-- != 0 && given < bytes;) {
      if (rows_[k].users == 0 && has_memory(rows_[k]) && unmap_one(k)) given += granule_;
    }
    return given;
  }

  /// Bytes that the device did not take back when it was asked.
  [[nodiscard]] std::size_t stuck() const noexcept {
    std::size_t n = 0;
    for (std::size_t k = 0; k < granules(); ++k) n += rows_[k].at == state::stuck;
    return n * granule_;
  }
  [[nodiscard]] bool is_valid() const noexcept {
    std::size_t n = 0;
    for (std::size_t k = 0; k < granules(); ++k) {
      n += has_memory(rows_[k]);
      if (rows_[k].at == state::fresh || (rows_[k].users != 0 && !is_ready(rows_[k]))) return false;
    }
    return n * granule_ == mapped_;
  }

 private:
  enum class state : std::uint8_t { unmapped, fresh, mapped, stuck };
  struct row {
    std::uint32_t users;
    state at;
    bool owns;  // the device did not release the handle: these pages come first when the granule needs some
    typename Device::pages pages;
  };

  explicit elastic_memory(const Device& device) noexcept : device_(device) {}

  [[nodiscard]] static bool is_ready(const row& of) noexcept { return of.at == state::mapped || of.at == state::fresh; }
  [[nodiscard]] static bool has_memory(const row& of) noexcept { return of.at != state::unmapped; }
  [[nodiscard]] void* address(std::size_t k) const noexcept { return offset(data_, k * granule_); }

  [[nodiscard]] device_status map_one(std::size_t k) noexcept {
    row& mine = rows_[k];
    if (mine.at == state::stuck) {
      if (const device_status answer = unmap_one(k); !answer) return answer;
    }
    if (!mine.owns) {
      typename Device::pages pages{};
      if (const device_status answer = device_.create_pages(granule_, pages); !answer) return answer;
      mine.pages = pages;
      mine.owns = true;
    }
    device_status answer = device_.map(address(k), granule_, mine.pages);
    if (!answer) return release(mine), answer;
    mapped_ += granule_;
    mine.at = state::fresh;
    answer = device_.set_access(address(k), granule_);
    // mapped pages live until they are unmapped: the handle is not needed any more
    release(mine);
    if (!answer) static_cast<void>(unmap_one(k));
    return answer;
  }

  device_status unmap_one(std::size_t k) noexcept {
    row& mine = rows_[k];
    const device_status answer = device_.unmap(address(k), granule_);
    mine.at = answer ? state::unmapped : state::stuck;
    if (!answer) return answer;
    mapped_ -= granule_;
    release(mine);
    return answer;
  }

  void release(row& of) noexcept {
    if (of.owns && device_.release_pages(of.pages)) of.owns = false;
  }

  Device device_;
  column<row> rows_;
  void* data_ = nullptr;
  std::size_t bytes_ = 0, blocks_ = 0, block_bytes_ = 0, granule_ = 0, mapped_ = 0;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
