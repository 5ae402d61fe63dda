// The pool of a device, opened as a plan says: the real one, without its memory.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/kv/page_space.hpp>
#include <tokenheap/plan/fitting.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// What one sequence has out of a `planned_pool`; give it back to the same one.
struct planned_piece {
  std::vector<kv::block_id> blocks;
  std::vector<kv::page_key> pages;
};

/// A `kv::block_pool` for one group of layers, a `kv::page_space` for several, over as many bytes as the plan leaves.
///
/// Takes what sequences need at their worst moment, and so shows that a plan's numbers are the pool's. What a step adds
/// to windows before they let go is taken once, when it opens, for as many sequences as are planned.
///
/// Threads   not safe
/// Cost      O(1) for each block
class planned_pool {
 public:
  /// The pool of a device of one stage.
  [[nodiscard]] static reading<planned_pool> open(const fitting& f, std::size_t stage) {
    reading<planned_pool> out;
    planned_pool& made = out.value;
    made.groups_ = f.groups(stage);
    for (const device_group& g : made.groups_) made.page_bytes_.push_back(g.block_bytes);
    const std::size_t bytes = f.device(stage, f.with().sequences).kv;
    if (made.groups_.empty()) return out;
    failure why;
    if (made.groups_.size() == 1) {
      const std::size_t blocks = f.room_of(stage, f.with().sequences).chunks();
      if (blocks == 0) return out;
      auto pool = kv::block_pool<>::open({.blocks = blocks, .block_tokens = f.with().block_tokens, .cache = false});
      why = pool.why();
      if (pool) made.pool_.emplace(std::move(*pool));
    } else {
      auto space = kv::page_space::open({.bytes = bytes, .page_bytes = made.page_bytes_.data(),
                                         .groups = made.groups_.size()});
      why = space.why();
      if (space) made.space_.emplace(std::move(*space));
    }
    out.error = why.code != errc::ok ? detail::in_words("device_bytes", why) : made.set_aside(f);
    return out;
  }

  /// Takes what one sequence of so many tokens needs, or nothing.
  [[nodiscard]] bool take(std::size_t tokens, planned_piece& out) {
    std::vector<std::size_t> need;
    for (const device_group& g : groups_) need.push_back(peak_blocks(g, tokens));
    return take_blocks(need, out);
  }
  /// Gives a piece back, once.
  void give(const planned_piece& piece) {
    if (pool_) static_cast<void>(pool_->deallocate(piece.blocks));
    for (const kv::page_key& page : piece.pages) static_cast<void>(space_->give(page));
  }

  /// Blocks of the pool of a single group; 0 for several.
  [[nodiscard]] std::size_t blocks() const noexcept { return pool_ ? pool_->stats().total : 0; }
  /// True if all that was taken and given back adds up.
  [[nodiscard]] bool is_valid() const noexcept {
    return (!pool_ || pool_->is_valid()) && (!space_ || space_->is_valid());
  }

 private:
  [[nodiscard]] bool take_blocks(const std::vector<std::size_t>& need, planned_piece& out) {
    if (groups_.size() <= 1) {
      const std::size_t n = groups_.empty() ? 0 : need[0];
      if (n == 0) return true;
      if (!pool_ || n > pool_->stats().available()) return false;
      out.blocks.resize(n);
      return pool_->allocate(std::span<kv::block_id>(out.blocks)) == errc::ok;
    }
    if (!space_ || !space_->would_fit(need.data())) return false;
    for (std::size_t g = 0; g < need.size(); ++g)
      for (std::size_t k = 0; k < need[g]; ++k) out.pages.push_back(space_->take(g));
    return true;
  }

  /// Keeps back what the windows of one step need beyond their peaks.
  [[nodiscard]] std::string set_aside(const fitting& f) {
    const std::size_t sequences = f.max_sequences();
    if (sequences == 0) return {};
    std::vector<std::size_t> need;
    for (const device_group& g : groups_) {
      const std::size_t all = blocks_at_once(g, sequences, f.with().tokens, f.with().prefill_tokens);
      need.push_back(all - sequences * peak_blocks(g, f.with().tokens));
    }
    return take_blocks(need, step_) ? std::string{} : "prefill_tokens: no room for the windows of one step";
  }

  std::vector<device_group> groups_;
  std::vector<std::size_t> page_bytes_;
  std::optional<kv::block_pool<>> pool_;
  std::optional<kv::page_space> space_;
  planned_piece step_;
};

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
