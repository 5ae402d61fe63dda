// An engine's own KV tensor, as its framework describes it: its axes by letters, their counts and strides in bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <tokenheap/core/allocation.hpp>
#include <tokenheap/core/result.hpp>

namespace tokenheap {
inline namespace v0 {
namespace adapt {

// Shapes as read in vllm/v1/attention/backends/flash_attn.py 0084b78 (KBNHD; HND by strides alone), in vLLM's backends for
// FlashInfer and MLA (BKNHD; BND), in include/flashinfer/page.cuh 0006e88 (BKNHD, BKHND) and in TensorRT-LLM's
// cpp/tensorrt_llm/kernels/kvCacheUtils.h 0ccf903 (BLKHND).

/// One tensor of an engine, as data_ptr, shape, stride and itemsize of its framework say it, and what each axis counts.
///
/// The axes are letters, in the order of the shape: L layers, B blocks, K keys and values (2), N tokens of a block, H heads,
/// D numbers of a head. FlashInfer's is "BKNHD" or "BKHND", vLLM's for flash attention "KBNHD", a latent vector's "BND", one
/// tensor for all layers "BLKNHD" or "LKBNHD". An axis that is missing counts 1; without L there is a tensor for each
/// layer, without K (of two planes) one for keys and one for values.
struct engine_tensor {
  void* data = nullptr;
  std::size_t bytes = 0;         ///< of its memory, from `data` on
  std::size_t number_bytes = 2;  ///< what one step along an axis of stride 1 is
  const char* axes = "BKNHD";
  std::span<const std::int64_t> shape{};
  std::span<const std::int64_t> strides{};  ///< in numbers; none: without gaps, the last axis innermost
};

namespace detail {

enum axis : unsigned { axis_l, axis_b, axis_k, axis_n, axis_h, axis_d, axes_there_are };
inline constexpr const char* axis_letters = "LBKNHD";
inline constexpr const char* axis_counts[] = {"layers of a tensor (L)",          "blocks of a tensor (B)",
                                              "keys and values of a tensor (K)", "tokens of a block (N)",
                                              "KV heads of a tensor (H)",        "bytes of a head (D)"};

[[nodiscard]] constexpr failure no_fit(const char* pool, const char* what, std::size_t need, std::size_t available,
                                       const char* fix, errc code = errc::invalid_argument) noexcept {
  return {.code = code, .pool = pool, .what = what, .need = need, .available = available, .fix = fix};
}

/// Counts and strides in bytes, by letter.
struct axis_sizes {
  std::size_t count[axes_there_are] = {1, 1, 1, 1, 1, 1};
  std::size_t step[axes_there_are] = {};
  bool there[axes_there_are] = {};
  friend constexpr bool operator==(const axis_sizes&, const axis_sizes&) = default;
};

[[nodiscard]] constexpr unsigned axis_of(char letter) noexcept {
  unsigned k = 0;
  while (k != axes_there_are && axis_letters[k] != letter) ++k;
  return k;
}

/// Reads the axes of a tensor; its shape and strides are positive and countable, or it says which one is not.
[[nodiscard]] constexpr failure read_axes(const char* pool, const engine_tensor& t, axis_sizes& out) noexcept {
  std::size_t axes = 0;
  while (t.axes[axes] != '\0') ++axes;
  if (axes != t.shape.size())
    return no_fit(pool, "axes of a tensor, by letters and by its shape", axes, t.shape.size(),
                  "give a letter of LBKNHD for each axis");
  if (!t.strides.empty() && t.strides.size() != axes)
    return no_fit(pool, "axes of a tensor, by its shape and by its strides", axes, t.strides.size(),
                  "give a stride for each axis, or none");
  std::size_t dense = 1;
  for (std::size_t at = axes; at-- != 0;) {
    const unsigned k = axis_of(t.axes[at]);
    if (k == axes_there_are || out.there[k])
      return no_fit(pool, "letters of a tensor's axes, one of a kind", at, axes, "use each of LBKNHD once at most");
    if (t.shape[at] <= 0) return no_fit(pool, axis_counts[k], 1, 0, "give a tensor that holds something");
    const auto count = static_cast<std::size_t>(t.shape[at]);
    if (!t.strides.empty() && t.strides[at] <= 0 && count != 1)
      return no_fit(pool, "stride of an axis, in numbers", 1, 0,
                    "give a tensor whose blocks lie apart: not one that was expanded");
    std::size_t step = dense;
    if (!t.strides.empty() && count != 1) step = static_cast<std::size_t>(t.strides[at]);
    out.there[k] = true, out.count[k] = count;
    if (!checked_mul(step, t.number_bytes, out.step[k]) || !checked_mul(dense, count, dense) || dense > max_allocation)
      return no_fit(pool, "numbers of a tensor", count, max_allocation, "use smaller counts", errc::size_overflow);
  }
  return {};
}

}  // namespace detail

}  // namespace adapt
}  // namespace v0
}  // namespace tokenheap
