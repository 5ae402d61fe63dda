// One word of references and one of age for each block of a pool.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/concepts/kv.hpp>
#include <tokenheap/kv/column.hpp>
#include <tokenheap/kv/pool_options.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Tells who holds a block, whether it can be found, and which of its lives this is; part of a pool's books.
///
/// A life ends when a block becomes free or is evicted: a key of an earlier life is stale.
///
/// Requires  ids of the pool, but in a `block_key`, which may hold anything
/// Threads   as the books: the lock is held
class block_states {
 public:
  [[nodiscard]] std::uint32_t references(block_id id) const noexcept { return states_[id].references & count_mask; }
  [[nodiscard]] bool is_published(block_id id) const noexcept { return (states_[id].references & published_bit) != 0; }
  [[nodiscard]] block_key key_of(block_id id) const noexcept { return {id, states_[id].generation}; }
  [[nodiscard]] bool is_current(block_key key) const noexcept {
    return key.id < states_.size() && references(key.id) != 0 && states_[key.id].generation == key.generation;
  }
  /// True if the block was published and has not left the cache since.
  [[nodiscard]] bool is_remembered(block_key key) const noexcept {
    return key.id < states_.size() && is_published(key.id) && states_[key.id].generation == key.generation;
  }
  /// True if a holder may write into the block: nobody else holds it and nobody can find it.
  [[nodiscard]] bool is_writable(block_id id) const noexcept { return (states_[id].references & ~sequence_bit) == 1; }

  /// For a look at several requests at once: a block that is marked counts as held, but stays where it is.
  void mark(block_id id) noexcept { ++states_[id].references; }
  void unmark(block_id id) noexcept { --states_[id].references; }
  /// A block that stood alone was published: from now on it goes back as those of sequences do.
  void let_many_hold(block_id id) noexcept { states_[id].references |= sequence_bit; }

 protected:
  static constexpr std::uint32_t published_bit = std::uint32_t{1} << 31;
  static constexpr std::uint32_t sequence_bit = std::uint32_t{1} << 30;
  static constexpr std::uint32_t count_mask = sequence_bit - 1;

  struct row {
    std::uint32_t references;
    std::uint32_t generation;
  };

  column<row> states_;
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
