// How the keys and values of one block lie in memory, in bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/number_format.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// Which of tokens and heads comes first inside a plane, as FlashInfer names it.
enum class axis_order : std::uint8_t {
  nhd,  ///< tokens, then heads: what most kernels write
  hnd,  ///< heads, then tokens: what low-precision kernels like to read
};

/// One token and head inside a block.
struct element {
  std::size_t layer = 0;
  std::size_t plane = 0;  ///< 0 the keys, 1 the values
  std::size_t head = 0;
  std::size_t token = 0;
};

/// Bytes from one block, layer or plane to the next one in an engine's own tensor; 0 for what lies without gaps.
struct strides {
  std::size_t block = 0;
  std::size_t layer = 0;  ///< with all layers in one tensor
  std::size_t plane = 0;  ///< with keys and values in one tensor
  friend constexpr bool operator==(const strides&, const strides&) = default;
};

/// Where something lies: in which tensor, and how many bytes from that one's start.
struct tensor_place {
  std::size_t tensor = 0;
  std::size_t offset = 0;
  friend constexpr bool operator==(const tensor_place&, const tensor_place&) = default;
};

/// What scales in the page are aligned to, and planes behind them.
inline constexpr std::size_t scale_alignment = 16;

/// Says how many bytes a block has and where each layer, plane, head and token lies in it.
///
/// By default a block is one contiguous piece: layer by layer, the plane of keys before the plane of values. With
/// `layers_apart` or `planes_apart` it has a piece in each of several tensors. One plane serves models that keep a
/// single latent vector per token; its `tail_size` last numbers can have a format of their own. Check `why_not()` once;
/// all other calls rely on it.
///
/// Requires  why_not().code == errc::ok
/// Threads   safe: a value
/// Cost      a few multiplications
/// Example   examples/layout.cpp
struct layout {
  std::size_t layers = 0;
  std::size_t kv_heads = 0;
  std::size_t head_size = 0;  ///< of keys; without the tail
  dtype type = dtype::float16;
  std::size_t block_tokens = 16;
  std::size_t planes = 2;
  axis_order order = axis_order::nhd;
  std::size_t value_head_size = 0;  ///< 0: as the keys
  scaling scales{};
  std::size_t tail_size = 0;  ///< numbers of each head behind its scaled ones; with one plane
  dtype tail_type = dtype::bfloat16;
  bool layers_apart = false;  ///< each layer in a tensor of its own
  bool planes_apart = false;  ///< keys and values in different tensors
  strides steps{};            ///< of an engine's own tensor
  strides value_steps{};      ///< of the tensor of values, where planes are apart

  // what one head of one token has

  [[nodiscard]] constexpr std::size_t size_of(std::size_t plane) const noexcept {
    return plane == 1 && value_head_size != 0 ? value_head_size : head_size;
  }
  [[nodiscard]] constexpr std::size_t scales_of(std::size_t plane = 0) const noexcept {
    return scales.count(size_of(plane));
  }
  [[nodiscard]] constexpr std::size_t scale_size() const noexcept { return bytes_of(scales.type); }
  /// Bytes from a head's first number to its scales in the row, and to its tail.
  [[nodiscard]] constexpr std::size_t row_scales_at(std::size_t plane = 0) const noexcept {
    return align_up(bytes_of(type, size_of(plane)), scale_size());
  }
  [[nodiscard]] constexpr std::size_t tail_at(std::size_t plane = 0) const noexcept {
    const std::size_t numbers = bytes_of(type, size_of(plane));
    const std::size_t end = scales_in(scale_place::row) ? row_scales_at(plane) + scales_of(plane) * scale_size() : numbers;
    return tail_size == 0 ? end : align_up(end, bytes_of(tail_type));
  }
  /// Bytes in the page for one head of one token: its numbers, and what else stands in its row.
  [[nodiscard]] constexpr std::size_t head_bytes(std::size_t plane = 0) const noexcept {
    return align_up(tail_at(plane) + bytes_of(tail_type, tail_size), row_alignment());
  }

  // what a block has

  [[nodiscard]] constexpr std::size_t plane_bytes(std::size_t plane = 0) const noexcept {
    const std::size_t rows = block_tokens * kv_heads * head_bytes(plane);
    if (!scales_in(scale_place::page)) return rows;
    return align_up(align_up(rows, scale_alignment) + plane_scale_bytes(plane), scale_alignment);
  }
  [[nodiscard]] constexpr std::size_t layer_bytes() const noexcept {
    return plane_bytes(0) + (planes == 2 ? plane_bytes(1) : 0);
  }
  /// All bytes of a block in the page: numbers, scales unless they are beside it, and padding.
  [[nodiscard]] constexpr std::size_t block_bytes() const noexcept { return layers * layer_bytes(); }
  /// Bytes of a block in the second region, where scales are beside the page.
  [[nodiscard]] constexpr std::size_t beside_bytes() const noexcept {
    return scales_in(scale_place::beside) ? scale_bytes() : 0;
  }
  /// Bytes of all scales of a block, wherever they are.
  [[nodiscard]] constexpr std::size_t scale_bytes() const noexcept {
    return layers * (plane_scale_bytes(0) + (planes == 2 ? plane_scale_bytes(1) : 0));
  }
  /// Numbers and scales of one token, without padding.
  [[nodiscard]] constexpr std::size_t token_bytes() const noexcept {
    std::size_t bytes = 0;
    for (std::size_t p = 0; p < planes; ++p)
      bytes += bytes_of(type, size_of(p)) + scales_of(p) * scale_size() + bytes_of(tail_type, tail_size);
    return layers * kv_heads * bytes;
  }
  /// What alignment costs: block_bytes() + beside_bytes() == block_tokens * token_bytes() + padding_bytes().
  [[nodiscard]] constexpr std::size_t padding_bytes() const noexcept {
    return block_bytes() + beside_bytes() - block_tokens * token_bytes();
  }
  /// Bytes of the scales that no block has: one float32 for each plane of each layer, if the format has any.
  [[nodiscard]] constexpr std::size_t tensor_scale_bytes() const noexcept {
    return has_tensor_scale(type, scales) ? layers * planes * sizeof(float) : 0;
  }
  /// Numbers in a block.
  [[nodiscard]] constexpr std::size_t numbers() const noexcept {
    return layers * block_tokens * kv_heads * (size_of(0) + tail_size + (planes == 2 ? size_of(1) : 0));
  }

  // where it lies

  /// Bytes from a token to the next one of the same head, and from a head to the next one of the same token.
  [[nodiscard]] constexpr std::size_t token_stride(std::size_t plane = 0) const noexcept {
    return order == axis_order::nhd ? kv_heads * head_bytes(plane) : head_bytes(plane);
  }
  [[nodiscard]] constexpr std::size_t head_stride(std::size_t plane = 0) const noexcept {
    return order == axis_order::nhd ? head_bytes(plane) : block_tokens * head_bytes(plane);
  }

  /// How many tensors a block has a piece in, and which one holds a plane of a layer.
  [[nodiscard]] constexpr std::size_t tensors() const noexcept {
    return (layers_apart ? layers : 1) * (planes_apart ? planes : 1);
  }
  [[nodiscard]] constexpr std::size_t tensor_of(std::size_t layer, std::size_t plane) const noexcept {
    return (layers_apart ? layer : 0) * (planes_apart ? planes : 1) + (planes_apart ? plane : 0);
  }
  /// Bytes of a block in the tensor that holds this plane, without gaps.
  [[nodiscard]] constexpr std::size_t piece_bytes(std::size_t plane = 0) const noexcept {
    return (layers_apart ? 1 : layers) * (planes_apart ? plane_bytes(plane) : layer_bytes());
  }
  [[nodiscard]] constexpr std::size_t block_stride(std::size_t plane = 0) const noexcept {
    return or_dense(steps_of(plane).block, piece_bytes(plane));
  }
  [[nodiscard]] constexpr std::size_t layer_stride(std::size_t plane = 0) const noexcept {
    return or_dense(steps_of(plane).layer, planes_apart ? plane_bytes(plane) : layer_bytes());
  }
  [[nodiscard]] constexpr std::size_t plane_stride() const noexcept { return or_dense(steps.plane, plane_bytes(0)); }
  /// True if a block is one piece without gaps, so that copying its bytes copies all of it.
  [[nodiscard]] constexpr bool is_one_piece() const noexcept {
    return tensors() == 1 && !scales_in(scale_place::beside) && layer_stride() == layer_bytes() &&
           plane_stride() == plane_bytes(0);
  }

  /// Bytes to the first number of `e` from where its block starts in its tensor. Requires every part below its count.
  [[nodiscard]] constexpr std::size_t offset_of(const element& e) const noexcept {
    return plane_at(e) + e.head * head_stride(e.plane) + e.token * token_stride(e.plane);
  }
  /// Bytes to scale `n` of `e`: from the same start, or from the start of the block's scales if these are beside it.
  [[nodiscard]] constexpr std::size_t scale_offset_of(const element& e, std::size_t n = 0) const noexcept {
    if (scales.place == scale_place::row) return offset_of(e) + row_scales_at(e.plane) + n * scale_size();
    const std::size_t row = order == axis_order::nhd ? e.token * kv_heads + e.head : e.head * block_tokens + e.token;
    const std::size_t inside = (row * scales_of(e.plane) + n) * scale_size();
    if (scales.place == scale_place::beside) return beside_at(e) + inside;
    return plane_at(e) + align_up(block_tokens * kv_heads * head_bytes(e.plane), scale_alignment) + inside;
  }
  /// Where `e` of a block lies, and its scale `n`; scales beside the page are in as many tensors of their own.
  [[nodiscard]] constexpr tensor_place place_of(std::size_t block, const element& e) const noexcept {
    return {tensor_of(e.layer, e.plane), block * block_stride(e.plane) + offset_of(e)};
  }
  [[nodiscard]] constexpr tensor_place scale_place_of(std::size_t block, const element& e,
                                                          std::size_t n = 0) const noexcept {
    const bool away = scales.place == scale_place::beside;
    return {tensor_of(e.layer, e.plane),
            block * (away ? beside_stride(e.plane) : block_stride(e.plane)) + scale_offset_of(e, n)};
  }
  /// Bytes from a block's scales to the next one's, where they are beside the page.
  [[nodiscard]] constexpr std::size_t beside_stride(std::size_t plane = 0) const noexcept {
    return (layers_apart ? 1 : layers) * beside_step(plane);
  }
  /// What the addresses of numbers and scales are multiples of, if their tensor's start is.
  [[nodiscard]] constexpr std::size_t alignment() const noexcept {
    return scales_in(scale_place::page) ? scale_alignment : row_alignment();
  }

  /// Why these numbers are no layout, or `errc::ok`: every count at least 1, and a block below 2^63 bytes.
  [[nodiscard]] constexpr failure why_not(const char* pool = "kv") const noexcept;
  /// The same for a tensor of so many blocks, none of which may overlap another one.
  [[nodiscard]] constexpr failure why_not(std::size_t blocks, const char* pool = "kv") const noexcept;

  /// Bytes of the tensor of a plane that so many blocks need. Requires why_not(blocks).code == errc::ok
  [[nodiscard]] constexpr std::size_t tensor_bytes(std::size_t blocks, std::size_t plane = 0) const noexcept {
    const std::size_t last = planes_apart ? plane : planes - 1;
    return (blocks - 1) * block_stride(plane) + plane_at({layers - 1, last, 0, 0}) + plane_bytes(last);
  }

  friend constexpr bool operator==(const layout&, const layout&) = default;

  // parts of the above

  [[nodiscard]] constexpr bool scales_in(scale_place where) const noexcept {
    return scales.place == where && (scales.per == scale_per::token_head || scales.per == scale_per::group);
  }
  [[nodiscard]] constexpr std::size_t row_alignment() const noexcept {
    std::size_t most = bytes_of(type);
    if (tail_size != 0 && most < bytes_of(tail_type)) most = bytes_of(tail_type);
    if (scales_in(scale_place::row) && most < scale_size()) most = scale_size();
    return most;
  }
  [[nodiscard]] constexpr std::size_t plane_scale_bytes(std::size_t plane) const noexcept {
    return block_tokens * kv_heads * scales_of(plane) * scale_size();
  }
  [[nodiscard]] constexpr const strides& steps_of(std::size_t plane) const noexcept {
    return planes_apart && plane == 1 ? value_steps : steps;
  }
  [[nodiscard]] static constexpr std::size_t or_dense(std::size_t own, std::size_t dense) noexcept {
    return own != 0 ? own : dense;
  }
  [[nodiscard]] constexpr std::size_t plane_at(const element& e) const noexcept {
    return (layers_apart ? 0 : e.layer * layer_stride(e.plane)) + (planes_apart ? 0 : e.plane * plane_stride());
  }
  [[nodiscard]] constexpr std::size_t beside_step(std::size_t plane) const noexcept {
    return planes_apart ? plane_scale_bytes(plane) : plane_scale_bytes(0) + (planes == 2 ? plane_scale_bytes(1) : 0);
  }
  [[nodiscard]] constexpr std::size_t beside_at(const element& e) const noexcept {
    return (layers_apart ? 0 : e.layer * beside_step(e.plane)) + (planes_apart || e.plane == 0 ? 0 : plane_scale_bytes(0));
  }
};

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap

#include <tokenheap/kv/layout_checks.hpp>
