// Which KV heads a rank holds where several devices serve one model.
#pragma once

#include <cstddef>

#include <tokenheap/core/result.hpp>
#include <tokenheap/kv/layout.hpp>

namespace tokenheap {
inline namespace v0 {
namespace kv {

/// The KV heads of one rank: `count` of them from `first` on.
struct rank_heads {
  std::size_t first = 0;
  std::size_t count = 0;
  friend constexpr bool operator==(const rank_heads&, const rank_heads&) = default;
};

/// Splits the KV heads of a model among the ranks of tensor parallelism.
///
/// With at least as many heads as ranks, each head has one rank. With fewer, each head is kept by `copies()` ranks, and
/// all ranks together hold as many times the bytes. A latent vector is one head: every rank keeps all of it.
///
/// Requires  why_not().code == errc::ok
/// Threads   safe: a value
/// Example   examples/layout.cpp
struct head_split {
  std::size_t kv_heads = 1;
  std::size_t ranks = 1;

  /// `errc::ok` if one number divides the other one.
  [[nodiscard]] constexpr failure why_not(const char* pool = "kv") const noexcept {
    if (kv_heads != 0 && ranks != 0 && (kv_heads % ranks == 0 || ranks % kv_heads == 0)) return {};
    return {.code = errc::invalid_argument, .pool = pool, .what = "ranks that share KV heads", .need = ranks,
            .limit = kv_heads, .fix = "use a divisor of the KV heads, or a multiple"};
  }
  [[nodiscard]] constexpr std::size_t copies() const noexcept { return ranks > kv_heads ? ranks / kv_heads : 1; }
  [[nodiscard]] constexpr std::size_t heads_per_rank() const noexcept { return kv_heads * copies() / ranks; }
  [[nodiscard]] constexpr rank_heads heads_of(std::size_t rank) const noexcept {
    return {rank / copies() * heads_per_rank(), heads_per_rank()};
  }
};

/// What one rank of several keeps of a layout: its heads, and the strides of its own tensors without gaps.
///
/// Requires  head_split{whole.kv_heads, ranks}.why_not().code == errc::ok
[[nodiscard]] constexpr layout layout_of_rank(layout whole, std::size_t ranks) noexcept {
  whole.kv_heads = head_split{whole.kv_heads, ranks}.heads_per_rank();
  whole.steps = whole.value_steps = {};
  return whole;
}

}  // namespace kv
}  // namespace v0
}  // namespace tokenheap
