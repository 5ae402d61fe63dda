// Why numbers are no layout, whether blocks overlap in an engine's tensor, and the pieces that a block has.
#pragma once

#include <cstddef>
#include <initializer_list>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/layout.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {
namespace detail {

[[nodiscard]] constexpr failure bad_layout(const char* pool, const char* what, std::size_t need, std::size_t limit,
                                           const char* fix) noexcept {
  return {.code = errc::invalid_argument, .pool = pool, .what = what, .need = need, .limit = limit, .fix = fix};
}

/// Why the counts of a layout are none, whatever they multiply to.
[[nodiscard]] constexpr failure bad_counts(const layout& l, const char* pool) noexcept {
  constexpr std::size_t limit = max_allocation;
  constexpr const char* one = "give at least 1";
  if (l.layers == 0) return bad_layout(pool, "layers of a layout", 0, limit, one);
  if (l.kv_heads == 0) return bad_layout(pool, "KV heads of a layout", 0, limit, one);
  if (l.head_size == 0) return bad_layout(pool, "head size of a layout", 0, limit, one);
  if (l.planes == 0 || l.planes > 2)
    return bad_layout(pool, "planes of a layout", l.planes, 2, "2: keys and values; 1: a latent vector");
  if (l.block_tokens == 0) return bad_layout(pool, "tokens of a block", 0, limit, one);
  if (l.planes == 1 && l.value_head_size != 0)
    return bad_layout(pool, "head size of values, in a layout of one plane", l.value_head_size, 0, "leave it 0");
  if (l.planes == 2 && l.tail_size != 0)
    return bad_layout(pool, "tail of a layout of two planes, in numbers", l.tail_size, 0, "a tail is for latent vectors");
  if (l.order > axis_order::hnd) return bad_layout(pool, "order of a layout", 0, 0, "use nhd or hnd");
  return {};
}

/// Why the formats of a layout are none.
[[nodiscard]] constexpr failure bad_formats(const layout& l, const char* pool) noexcept {
  if (const char* what = kv::why_not(l.type, l.scales); what != nullptr)
    return bad_layout(pool, what, l.scales.group, 0, "give .scales = kv::default_scaling(type), or none");
  if (l.tail_size != 0 && bits_of(l.tail_type) < 16)
    return bad_layout(pool, "bits of a number in the tail", bits_of(l.tail_type), 0, "use float32, float16 or bfloat16");
  if (bits_of(l.type) == 4)
    for (std::size_t p = 0; p < l.planes; ++p)
      if (l.size_of(p) % 2 != 0)
        return bad_layout(pool, "head size, in numbers of half a byte", l.size_of(p), 0, "use an even head size");
  return {};
}

/// True if all bytes of a block, wherever they are, come to at most `max_allocation`.
[[nodiscard]] constexpr bool is_countable(const layout& l) noexcept {
  constexpr std::size_t most = max_allocation / 64;  // of one head, so that its own bytes cannot wrap
  if (l.head_size > most || l.value_head_size > most || l.tail_size > most) return false;
  std::size_t rows = 0, all = 0;
  if (!checked_mul(l.block_tokens, l.kv_heads, rows)) return false;
  for (std::size_t p = 0; p < l.planes; ++p) {
    std::size_t bytes = 0;
    const bool in_row = l.scales_in(scale_place::row);
    if (!checked_mul(rows, l.head_bytes(p) + (in_row ? 0 : l.scales_of(p) * l.scale_size()), bytes)) return false;
    if (bytes > max_allocation || !checked_add(all, bytes + 2 * scale_alignment, all)) return false;
  }
  return checked_mul(all, l.layers, all) && all <= max_allocation;
}

/// One of the ways in which planes repeat inside a tensor.
struct repeat {
  std::size_t count = 1;
  std::size_t stride = 0;
  const char* what = "";
  bool is_plane = false;
};

/// Why planes of one tensor overlap, or `errc::ok`: each stride must span all that the shorter strides reach.
[[nodiscard]] constexpr failure bad_nesting(const layout& l, std::size_t blocks, std::size_t plane,
                                            const char* pool) noexcept {
  const bool both = !l.planes_apart && l.planes == 2;
  repeat by[] = {{both ? std::size_t{2} : 1, l.plane_stride(), "stride of a plane, in bytes", true},
                 {l.layers_apart ? 1 : l.layers, l.layer_stride(plane), "stride of a layer, in bytes", false},
                 {blocks, l.block_stride(plane), "stride of a block, in bytes", false}};
  const auto sort = [](repeat& a, repeat& b) {
    if (b.stride < a.stride) a = [&](repeat was) { return b = a, was; }(b);
  };
  sort(by[0], by[1]), sort(by[1], by[2]), sort(by[0], by[1]);
  // how far the keys and the values reach, from where each begins; once they are joined, only the first counts
  std::size_t first = l.plane_bytes(plane), second = both ? l.plane_bytes(1) : 0;
  for (const repeat& r : by) {
    if (r.count == 1) continue;
    const std::size_t need = r.is_plane || first > second ? first : second;
    failure wrong = bad_layout(pool, r.what, need, 0, "make each stride span what lies inside it");
    wrong.available = r.stride;
    if (r.stride < need) return wrong;
    if (r.stride % l.alignment() != 0)
      return bad_layout(pool, r.what, r.stride, l.alignment(), "make it a multiple of the layout's alignment()");
    std::size_t reach = 0;
    if (!checked_mul(r.count - 1, r.stride, reach) || reach > max_allocation - l.block_bytes() - first - second) {
      wrong.code = errc::size_overflow;
      return wrong.limit = max_allocation, wrong.fix = "use smaller counts", wrong;
    }
    if (r.is_plane) {
      first = r.stride + second;
      second = 0;
    } else {
      first += reach;
      second += second != 0 ? reach : 0;
    }
  }
  return {};
}

}  // namespace detail

constexpr failure layout::why_not(std::size_t blocks, const char* pool) const noexcept {
  if (const failure wrong = detail::bad_counts(*this, pool); wrong.code != errc::ok) return wrong;
  if (const failure wrong = detail::bad_formats(*this, pool); wrong.code != errc::ok) return wrong;
  if (!detail::is_countable(*this)) {
    failure wrong = detail::bad_layout(pool, "bytes of a block", layers, max_allocation, "use smaller counts");
    return wrong.code = errc::size_overflow, wrong;
  }
  if (blocks == 0) return detail::bad_layout(pool, "blocks in a tensor", 0, max_allocation, "give at least 1");
  for (std::size_t p = 0; p < (planes_apart ? planes : 1); ++p)
    if (const failure wrong = detail::bad_nesting(*this, blocks, p, pool); wrong.code != errc::ok) return wrong;
  return {};
}

constexpr failure layout::why_not(const char* pool) const noexcept { return why_not(1, pool); }

/// Bytes of a block that lie side by side.
struct block_piece {
  std::size_t tensor = 0;
  std::size_t offset = 0;  ///< from where the block starts in that tensor
  std::size_t bytes = 0;
  bool beside = false;  ///< in the tensor of scales
};

/// Calls `visit(piece)` for all pieces of a block, as few as there are: for who copies, wipes or stores it.
///
/// The pool copies and wipes by itself where a block is one piece. Where it is not, this is what a `block_copy` of the
/// user's own goes over.
///
/// Requires  a valid layout
/// Cost      one call per plane and layer at most, twice that with scales beside the page
template <class Visit>
constexpr void for_each_piece(const layout& l, Visit visit) {
  for (const bool beside : {false, true}) {
    if (beside && l.beside_bytes() == 0) continue;
    block_piece run{.beside = beside};
    for (std::size_t t = 0; t < l.tensors(); ++t) {
      for (std::size_t n = 0; n < l.layers * l.planes; ++n) {
        const element e{n / l.planes, n % l.planes, 0, 0};
        if (l.tensor_of(e.layer, e.plane) != t) continue;
        const std::size_t at = beside ? l.scale_offset_of(e) : l.offset_of(e);
        const std::size_t bytes = beside ? l.plane_scale_bytes(e.plane) : l.plane_bytes(e.plane);
        if (run.bytes != 0 && run.tensor == t && at == run.offset + run.bytes) {
          run.bytes += bytes;
          continue;
        }
        if (run.bytes != 0) visit(static_cast<const block_piece&>(run));
        run = {t, at, bytes, beside};
      }
    }
    if (run.bytes != 0) visit(static_cast<const block_piece&>(run));
  }
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
