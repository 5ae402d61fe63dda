// How many blocks a device's KV memory holds: a dry run of the pool that it will be given to.
#pragma once

#include <cstddef>
#include <vector>

#include <tokenheap/kv/page_sizes.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// What a pool over so many bytes holds, without opening it.
///
/// One group is a `kv::block_pool`: as many blocks as fit. Several are a `kv::page_space`, which cuts the bytes into
/// chunks that go to one group each: this counts chunks as `page_space::first_short` does on an empty space.
///
/// Requires  pages of at least 1 byte, one for each group
class room {
 public:
  room() noexcept = default;
  /// `chunk`: of a pool that is cut already; 0: the best one, as a page space takes it.
  room(std::size_t bytes, const std::vector<std::size_t>& pages, std::size_t chunk = 0) : bytes_(bytes) {
    std::size_t least = ~std::size_t{0};
    for (const std::size_t page : pages) least = page < least ? page : least;
    if (pages.size() == 1) {
      chunk_ = least;
      chunks_ = bytes / chunk_;
    } else if (!pages.empty()) {
      // beyond that many pages a space cannot be opened: the rest stays unused
      const std::size_t most = kv::max_blocks / 2;
      const std::size_t usable = bytes / least > most ? most * least : bytes;
      const kv::page_space_options with{.bytes = usable, .page_bytes = pages.data(), .groups = pages.size()};
      if (chunk != 0) {
        chunk_ = chunk;
      } else if (kv::why_not(with).code == errc::ok) {
        chunk_ = kv::best_chunk(pages.data(), pages.size(), usable, with.placement);
      }
      chunks_ = chunk_ != 0 ? usable / chunk_ : 0;
      for (const std::size_t page : pages)
        slots_.push_back(chunk_ != 0 ? kv::pages_in_chunk(chunk_, page, with.placement) : 0);
      return;
    }
    if (chunks_ > kv::max_blocks) chunks_ = kv::max_blocks;
    slots_.assign(pages.size(), 1);
  }

  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  /// Bytes that no chunk has.
  [[nodiscard]] std::size_t slack() const noexcept { return bytes_ - chunks_ * chunk_; }
  /// Bytes of a chunk, and how many there are; of a single group the blocks.
  [[nodiscard]] std::size_t chunk_bytes() const noexcept { return chunk_; }
  [[nodiscard]] std::size_t chunks() const noexcept { return chunks_; }

  /// True if `need[g]` blocks of every group g fit at the same time. Requires one number for each group
  [[nodiscard]] bool fits(const std::vector<std::size_t>& need) const noexcept {
    std::size_t left = chunks_;
    for (std::size_t g = 0; g < need.size(); ++g) {
      if (need[g] == 0) continue;
      if (slots_[g] == 0) return false;
      const std::size_t chunks = divide_up(need[g], slots_[g]);
      if (chunks > left) return false;
      left -= chunks;
    }
    return true;
  }

 private:
  std::size_t bytes_ = 0, chunk_ = 0, chunks_ = 0;
  std::vector<std::size_t> slots_;
};

/// The largest n up to `most` that is taken; 0 if not even 1 is. Requires `takes` to be true up to some n and false beyond
template <class Takes>
[[nodiscard]] std::size_t largest(std::size_t most, Takes&& takes) {
  std::size_t low = 0, high = most;
  while (low < high) {
    const std::size_t middle = low + (high - low + 1) / 2;
    if (takes(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
