// A block pool over the KV tensors that an engine already has.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>

#include <tokenheap/adapt/engine_tensor.hpp>
#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/kv/column.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

/// Moves and wipes bytes where the CPU cannot: on the engine's own stream, behind what it has been given so far.
///
/// `copy` goes in any direction: between blocks, and from and to the memory that `copy_in` and `copy_out` are given.
struct engine_bytes {
  void (*copy)(void* user, void* to, const void* from, std::size_t bytes) noexcept = nullptr;
  void (*wipe)(void* user, void* at, std::size_t bytes) noexcept = nullptr;
  void* user = nullptr;
};

/// How an engine's tensors are reached.
struct engine_cache_options {
  bool cpu_accessible = false;  ///< then the CPU copies and wipes
  engine_bytes bytes{};         ///< otherwise these do, or a pool copies no blocks and forks no half-filled ones
  const char* name = "kv";
};

/// Stands between an engine's own KV tensors and a block pool: finds each block's pieces, copies, wipes and packs them.
///
/// For an engine that allocates its cache itself and wants sequences, prefixes, forks and eviction over it. Where a block
/// is one piece, the pool knows its memory; otherwise the pool hands out ids and copies through this. It keeps the
/// addresses alone: the tensors stay the engine's.
///
/// Requires  tensors that outlive it; it outlives its pools, and stays where it is while they are open
/// Fails     open says what does not fit, in both numbers; open_pool as block_pool, and nothing is opened
/// Threads   safe once opened: reads alone; a copy touches the two blocks
/// Streams   as the functions of `bytes`
/// Cost      8 bytes per tensor; a block is one move, or one for each layer, or one for each plane and layer
/// Example   examples/kv_engine.cpp
class engine_cache {
 public:
  using options = engine_cache_options;

  [[nodiscard]] static result<engine_cache> open(const options& with, const kv::layout& model,
                                                 std::span<const engine_tensor> tensors) noexcept {
    const char* const name = with.name != nullptr ? with.name : "kv";
    result<fitted_layout> fit = fit_tensors(model, tensors, name);
    if (!fit) return fit.why();
    engine_cache made(with, *fit);
    made.with_.name = name;
    if (!made.data_.open(tensors.size()))
      return detail::no_fit(name, "addresses of tensors", tensors.size(), 0, "free some memory", errc::out_of_memory);
    for (std::size_t t = 0; t != tensors.size(); ++t) made.data_[t] = tensors[t].data;
    made.bytes_ = fit->shape.tensor_bytes(fit->blocks);
    return result<engine_cache>(static_cast<engine_cache&&>(made));
  }
  engine_cache(engine_cache&&) noexcept = default;
  engine_cache& operator=(engine_cache&&) = delete;

  /// Opens a pool over all blocks, or over as many as `with.blocks` says; with a null block one of them is that.
  ///
  /// Tokens of a block, copies and wipes come from here. `pool.data(id)` is null where a block is no single piece, or does
  /// not start at a multiple of 256 bytes: ask `at`.
  template <kv::pool_policy Policy = kv::default_policy>
  [[nodiscard]] result<kv::block_pool<Policy>> open_pool(kv::pool_options with = {}) noexcept {
    const std::size_t null = with.null_block ? 1 : 0;
    if (with.name == nullptr) with.name = name();
    if (with.blocks == 0) with.blocks = fit_.blocks - null;
    if (with.blocks > fit_.blocks - null)
      return detail::no_fit(with.name, "blocks of a pool, in the engine's tensors", with.blocks, fit_.blocks - null,
                            "use fewer blocks or give larger tensors", errc::too_large);
    with.block_tokens = shape().block_tokens;
    if (moves()) with.copy = {copy_block, this};
    if (wipes()) with.wipe = {wipe_blocks, this};
    if (!shape().is_one_piece() || address_of(data_[0]) % kv::block_alignment != 0)
      return kv::block_pool<Policy>::open(with);
    return kv::block_pool<Policy>::open(with, kv::tensor{data_[0], bytes_, shape(), with_.cpu_accessible});
  }

  [[nodiscard]] const kv::layout& shape() const noexcept { return fit_.shape; }
  [[nodiscard]] std::size_t blocks() const noexcept { return fit_.blocks; }
  [[nodiscard]] const char* name() const noexcept { return with_.name; }
  /// Where an element of a block is. Requires id < blocks(), and an element of the layout
  [[nodiscard]] void* at(kv::block_id id, const kv::element& e = {}) const noexcept {
    const kv::tensor_place place = shape().place_of(id, e);
    return offset(data_[place.tensor], place.offset);
  }

  /// Calls `visit(void* piece, std::size_t bytes)` for the pieces of a block: layer by layer, keys before values.
  template <class Visit>
  void each_piece(kv::block_id id, Visit&& visit) const noexcept {
    const kv::layout& l = shape();
    if (l.is_one_piece()) return visit(at(id), l.block_bytes());
    const bool joined = l.planes == 1 || (!l.planes_apart && l.plane_stride() == l.plane_bytes(0));
    for (std::size_t layer = 0; layer != l.layers; ++layer) {
      if (joined) {
        visit(at(id, {.layer = layer}), l.layer_bytes());
        continue;
      }
      for (std::size_t p = 0; p != l.planes; ++p) visit(at(id, {.layer = layer, .plane = p}), l.plane_bytes(p));
    }
  }

  /// Packs a block side by side: shape().block_bytes() bytes for a tier. False if nobody can move its bytes.
  ///
  /// Equal for all tensors with one order of tokens and heads, however their planes, layers and blocks lie.
  [[nodiscard]] bool copy_out(kv::block_id id, void* to) const noexcept {
    if (!moves()) return false;
    each_piece(id, [&](void* piece, std::size_t bytes) {
      move(to, piece, bytes);
      to = offset(to, bytes);
    });
    return true;
  }
  /// The reverse of `copy_out`.
  [[nodiscard]] bool copy_in(kv::block_id id, const void* from) const noexcept {
    if (!moves()) return false;
    each_piece(id, [&](void* piece, std::size_t bytes) {
      move(piece, from, bytes);
      from = static_cast<const unsigned char*>(from) + bytes;
    });
    return true;
  }

 private:
  engine_cache(const options& with, const fitted_layout& fit) noexcept : with_(with), fit_(fit) {}

  [[nodiscard]] bool moves() const noexcept { return with_.bytes.copy != nullptr || with_.cpu_accessible; }
  [[nodiscard]] bool wipes() const noexcept { return with_.bytes.wipe != nullptr || with_.cpu_accessible; }
  void move(void* to, const void* from, std::size_t bytes) const noexcept {
    if (with_.bytes.copy != nullptr) return with_.bytes.copy(with_.bytes.user, to, from, bytes);
    std::memcpy(to, from, bytes);
  }

  static void copy_block(void* self, kv::block_id from, kv::block_id to) noexcept {
    const auto& mine = *static_cast<const engine_cache*>(self);
    const auto far = static_cast<std::ptrdiff_t>(to) - static_cast<std::ptrdiff_t>(from);
    const kv::layout& l = mine.shape();
    // the same piece of another block is as many strides away in its tensor
    std::size_t piece_of = 0;
    const std::size_t each =
        l.is_one_piece() || l.planes == 1 || (!l.planes_apart && l.plane_stride() == l.plane_bytes(0)) ? 1 : 2;
    mine.each_piece(from, [&](void* piece, std::size_t bytes) {
      const std::size_t plane = each == 2 ? piece_of++ % 2 : 0;
      auto* const target =
          static_cast<unsigned char*>(piece) + far * static_cast<std::ptrdiff_t>(l.block_stride(plane));
      mine.move(target, piece, bytes);
    });
  }
  static void wipe_blocks(void* self, const kv::block_id* ids, std::size_t n) noexcept {
    const auto& mine = *static_cast<const engine_cache*>(self);
    for (std::size_t k = 0; k != n; ++k) {
      mine.each_piece(ids[k], [&](void* piece, std::size_t bytes) {
        if (mine.with_.bytes.wipe != nullptr) return mine.with_.bytes.wipe(mine.with_.bytes.user, piece, bytes);
        std::memset(piece, 0, bytes);
      });
    }
  }

  options with_;
  fitted_layout fit_;
  kv::column<void*> data_;
  std::size_t bytes_ = 0;
};

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
