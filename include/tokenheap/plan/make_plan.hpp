// The planner: how much memory a model takes on these devices, what it holds, and what to change.
#pragma once

#include <tokenheap/plan/figures.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// Plans a model for a deployment.
///
/// The figures of caches are those of the library's own pools: blocks are laid out by `kv::layout`, windows are held as
/// `kv::needed_blocks` says, several groups share a room as `kv::page_space` cuts it. Weights are summed from their parts
/// or taken from a header. Activations are an estimate, and reserves are assumptions; the warnings say so.
///
/// Fails     a number that makes no sense, by the name of its field
/// Threads   safe
/// Cost      well below a millisecond
[[nodiscard]] inline reading<answer> make_plan(const model& m, const deployment& d) {
  reading<fitting> f = fitting::open(m, d);
  if (!f) {
    reading<answer> no;
    return no.error = f.error, no;
  }
  return figures_of(f.value);
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
