// The planner: how much memory a model takes on these devices, what it holds, and what to change.
#pragma once

#include <utility>

#include <tokenheap/plan/advice.hpp>
#include <tokenheap/plan/figures.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// Plans a model for a deployment.
///
/// The figures of caches are those of the library's own pools: blocks are laid out by `kv::layout`, windows are held as
/// `kv::needed_blocks` says, several groups share a room as `kv::page_space` cuts it. Weights are summed from their parts
/// or taken from a header. Activations are an estimate, and reserves are assumptions; the warnings say so. What does not
/// fit gets advice, each piece of which was planned as well.
///
/// Fails     a number that makes no sense, by the name of its field
/// Threads   safe
/// Cost      well below a millisecond; some 50 times that with advice
[[nodiscard]] inline reading<answer> make_plan(const model& m, const deployment& d) {
  const reading<fitting> f = fitting::open(m, d);
  if (!f) {
    reading<answer> no;
    no.error = f.error;
    return no;
  }
  reading<answer> out = figures_of(f.value);
  if (!out || out.value.fits) return out;
  out.value.shortage = shortage_of(f.value);
  for (suggestion& each : suggest(f.value)) out.value.advice.push_back(std::move(each.text));
  return out;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
