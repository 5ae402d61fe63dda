// The layout that an engine's own KV tensors come to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <tokenheap/adapt/tensor_axes.hpp>
#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/layout.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

namespace detail {

/// Whether the counts are those of the model, or which one is not.
[[nodiscard]] constexpr failure bad_counts(const char* pool, const axis_sizes& a, const kv::layout& l,
                                           std::size_t plane) noexcept {
  const std::size_t wants[] = {
      l.layers_apart ? 1 : l.layers, 0, l.planes_apart ? 1 : l.planes, l.block_tokens, l.kv_heads, l.head_bytes(plane)};
  for (const unsigned k : {axis_l, axis_k, axis_n, axis_h}) {
    if (a.count[k] != wants[k])
      return no_fit(pool, axis_counts[k], wants[k], a.count[k], "give the layout and the tensor the same count");
  }
  std::size_t bytes = 0;
  if (!checked_mul(a.count[axis_d], a.step[axis_d], bytes) || bytes != wants[axis_d])
    return no_fit(pool, axis_counts[axis_d], wants[axis_d], bytes,
                  "give the layout the tensor's format and head size, without gaps in a head");
  if (!l.planes_apart && l.planes == 2 && l.head_bytes(0) != l.head_bytes(1))
    return no_fit(pool, "bytes of a head of keys and of values, in one tensor", l.head_bytes(0), l.head_bytes(1),
                  "give a tensor of keys and one of values");
  return {};
}

/// Finds out which of tokens and heads comes first; a stride of something that counts 1 says nothing.
[[nodiscard]] constexpr failure read_order(const char* pool, const axis_sizes& a, std::size_t head,
                                           kv::axis_order& out) noexcept {
  const std::size_t heads = a.count[axis_h], tokens = a.count[axis_n];
  const auto is = [&](unsigned k, std::size_t bytes) { return a.count[k] == 1 || a.step[k] == bytes; };
  if (is(axis_h, head) && is(axis_n, heads * head)) return out = kv::axis_order::nhd, failure{};
  if (is(axis_n, head) && is(axis_h, tokens * head)) return out = kv::axis_order::hnd, failure{};
  const bool token_first = heads == 1 || (tokens != 1 && a.step[axis_n] > a.step[axis_h]);
  return no_fit(pool, token_first ? "bytes from a token to the next one" : "bytes from a head to the next one",
                token_first ? heads * head : tokens * head, token_first ? a.step[axis_n] : a.step[axis_h],
                "keep the tokens and heads of a plane side by side: only blocks, layers and planes may have gaps");
}

}  // namespace detail

/// How many tensors a cache of this model has if each has these axes, in the order layer by layer, keys before values.
[[nodiscard]] constexpr std::size_t tensors_of(const kv::layout& model, const char* axes) noexcept {
  bool layers = model.layers == 1, planes = model.planes == 1;
  for (; *axes != '\0'; ++axes) layers = layers || *axes == 'L', planes = planes || *axes == 'K';
  return (layers ? 1 : model.layers) * (planes ? 1 : model.planes);
}

/// The layout of an engine's tensors, and how many blocks they have.
struct fitted_layout {
  kv::layout shape{};
  std::size_t blocks = 0;
};

namespace detail {

[[nodiscard]] constexpr std::size_t unless_dense(std::size_t step, std::size_t dense) noexcept {
  return step == dense ? 0 : step;
}

/// The strides of the tensor that holds a plane; 0 for what is without gaps or counts 1.
[[nodiscard]] constexpr kv::strides steps_of(const axis_sizes& a, const kv::layout& l, std::size_t plane) noexcept {
  kv::layout plain = l;
  plain.steps = plain.value_steps = {};
  const auto step = [&](unsigned k, std::size_t dense) { return a.count[k] == 1 ? 0 : unless_dense(a.step[k], dense); };
  return {.block = step(axis_b, plain.block_stride(plane)),
          .layer = step(axis_l, plain.layer_stride(plane)),
          .plane = step(axis_k, plain.plane_stride())};
}

/// Reads order and strides of the tensors that hold a plane, or says what does not fit the model.
[[nodiscard]] constexpr failure fit_plane(const char* pool, const axis_sizes& a, std::size_t plane,
                                          fitted_layout& fit) noexcept {
  kv::layout& l = fit.shape;
  if (a.count[axis_b] != fit.blocks)
    return no_fit(pool, axis_counts[axis_b], fit.blocks, a.count[axis_b], "give both planes as many");
  if (const failure no = bad_counts(pool, a, l, plane); no.code != errc::ok) return no;
  kv::axis_order order{};
  if (const failure no = read_order(pool, a, l.head_bytes(plane), order); no.code != errc::ok) return no;
  if (plane == 1 && order != l.order)
    return no_fit(pool, "order of keys and of values", 0, 1, "give both planes one order of tokens and heads");
  l.order = order;
  (plane == 0 ? l.steps : l.value_steps) = steps_of(a, l, plane);
  return {};
}

/// Whether a plane of one tensor's blocks and a plane of another's share bytes, where the second starts `far` bytes behind
/// the first one; their blocks are `step` bytes apart.
[[nodiscard]] constexpr bool planes_meet(std::size_t far, std::size_t step, std::size_t blocks, std::size_t bytes,
                                         std::size_t behind) noexcept {
  const std::size_t whole = step == 0 ? 0 : far / step, rest = far - whole * step;
  // block `whole` of the first tensor, or the one after it, is where block 0 of the second one lies
  return (rest < bytes && whole < blocks) || (rest + behind > step && whole + 1 < blocks);
}

/// Whether two tensors share bytes of any block.
[[nodiscard]] inline bool tensors_meet(const fitted_layout& fit, const engine_tensor& a, std::size_t a_plane,
                                       const engine_tensor& b, std::size_t b_plane) noexcept {
  const kv::layout& l = fit.shape;
  const std::uintptr_t a_first = address_of(a.data), b_first = address_of(b.data);
  const bool apart = a_first < b_first ? b_first - a_first >= l.tensor_bytes(fit.blocks, a_plane)
                                       : a_first - b_first >= l.tensor_bytes(fit.blocks, b_plane);
  // views of one tensor have its strides; others have memory of their own
  if (apart || l.block_stride(a_plane) != l.block_stride(b_plane)) return !apart;
  const std::size_t step = l.block_stride(a_plane), layers = l.layers_apart ? 1 : l.layers;
  const std::size_t planes = l.planes_apart ? 1 : l.planes;
  for (std::size_t k = 0; k != layers * planes * layers * planes; ++k) {
    const std::size_t x = k / (layers * planes), y = k % (layers * planes);
    const std::size_t p = l.planes_apart ? a_plane : x % planes, q = l.planes_apart ? b_plane : y % planes;
    const std::uintptr_t mine = a_first + l.plane_at({.layer = x / planes, .plane = p});
    const std::uintptr_t its = b_first + l.plane_at({.layer = y / planes, .plane = q});
    if (mine <= its ? planes_meet(its - mine, step, fit.blocks, l.plane_bytes(p), l.plane_bytes(q))
                    : planes_meet(mine - its, step, fit.blocks, l.plane_bytes(q), l.plane_bytes(p)))
      return true;
  }
  return false;
}

/// Whether one tensor is as the first of its plane, holds all blocks, and shares nothing with those before it.
[[nodiscard]] inline failure bad_tensor(const char* pool, std::span<const engine_tensor> all, std::size_t at,
                                        const axis_sizes& as, const fitted_layout& fit) noexcept {
  const engine_tensor& t = all[at];
  const std::size_t plane = fit.shape.planes_apart ? at % fit.shape.planes : 0;
  axis_sizes mine;
  if (const failure no = read_axes(pool, t, mine); no.code != errc::ok) return no;
  for (unsigned k = 0; k != axes_there_are; ++k)
    if (mine.count[k] != as.count[k])
      return no_fit(pool, axis_counts[k], as.count[k], mine.count[k], "give all tensors of a plane one shape");
  for (unsigned k = 0; k != axes_there_are; ++k)
    if (mine.there[k] != as.there[k] || (mine.count[k] != 1 && mine.step[k] != as.step[k]))
      return no_fit(pool, "bytes along an axis of all tensors", as.step[k], mine.step[k],
                    "give all tensors of a plane the same strides");
  const std::size_t bytes = fit.shape.tensor_bytes(fit.blocks, plane);
  if (t.data == nullptr || t.bytes < bytes)
    return no_fit(pool, "bytes of a tensor", bytes, t.data == nullptr ? 0 : t.bytes,
                  "give the whole memory of the tensor", errc::too_large);
  for (std::size_t other = 0; other != at; ++other) {
    const std::uintptr_t a = address_of(t.data), b = address_of(all[other].data);
    const std::size_t apart = a < b ? b - a : a - b, least = fit.shape.plane_bytes(plane);
    if (tensors_meet(fit, all[other], fit.shape.planes_apart ? other % fit.shape.planes : 0, t, plane))
      return no_fit(pool, "bytes between two tensors", least, apart, "give each layer and plane memory that no other one has");
  }
  return {};
}

}  // namespace detail

/// Finds how the blocks of a model lie in an engine's tensors: order, gaps, and which tensor has what.
///
/// `model` says layers, heads, head size, format and block_tokens; what it says of order, strides and tensors is not
/// looked at. Views of one tensor for all layers, cut by layer, are tensors like others. Not for scales beside the page,
/// which are tensors of their own, nor for a plane whose rows have gaps.
///
/// Fails     names the number that the model wants and the one that the tensor has
/// Threads   safe: reads descriptions alone
/// Cost      O(tensors squared) comparisons of addresses; call it when the engine starts
/// Example   examples/kv_engine.cpp
[[nodiscard]] inline result<fitted_layout> fit_tensors(const kv::layout& model, std::span<const engine_tensor> tensors,
                                                       const char* pool = "kv") noexcept {
  fitted_layout fit{.shape = model};
  kv::layout& l = fit.shape;
  l.layers_apart = l.planes_apart = false, l.steps = l.value_steps = {}, l.order = kv::axis_order::nhd;
  if (const failure no = l.why_not(pool); no.code != errc::ok) return no;
  if (l.scales_in(kv::scale_place::beside))
    return detail::no_fit(pool, "scales beside the page, in bytes", 0, l.beside_bytes(),
                          "fit their tensors as a layout of their own");
  const std::size_t n = tensors.empty() ? 1 : tensors_of(l, tensors[0].axes);
  if (tensors.size() != n)
    return detail::no_fit(pool, "tensors of a cache", n, tensors.size(),
                          "give one for each layer without an axis L, and plane without K");
  detail::axis_sizes axes[2];
  if (const failure no = detail::read_axes(pool, tensors[0], axes[0]); no.code != errc::ok) return no;
  l.layers_apart = l.layers != 1 && !axes[0].there[detail::axis_l];
  l.planes_apart = l.planes == 2 && !axes[0].there[detail::axis_k];
  fit.blocks = axes[0].count[detail::axis_b];
  if (l.planes_apart)
    if (const failure no = detail::read_axes(pool, tensors[1], axes[1]); no.code != errc::ok) return no;
  for (std::size_t plane = 0; plane != (l.planes_apart ? 2 : 1); ++plane)
    if (const failure no = detail::fit_plane(pool, axes[plane], plane, fit); no.code != errc::ok) return no;
  if (const failure no = l.why_not(fit.blocks, pool); no.code != errc::ok) return no;
  for (std::size_t at = 0; at != tensors.size(); ++at) {
    const failure no = detail::bad_tensor(pool, tensors, at, axes[l.planes_apart ? at % 2 : 0], fit);
    if (no.code != errc::ok) return no;
  }
  return fit;
}

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
