// Which layers a stage of the pipeline has.
#pragma once

#include <cstddef>
#include <vector>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// The layers [first, end) of one stage.
struct layer_range {
  std::size_t first = 0;
  std::size_t end = 0;
  friend constexpr bool operator==(const layer_range&, const layer_range&) = default;
};

/// Divides layers evenly; the first stages have the ones left over. Requires stage < stages
[[nodiscard]] constexpr layer_range layers_of_stage(std::size_t layers, std::size_t stages, std::size_t stage) noexcept {
  const std::size_t each = layers / stages, over = layers % stages;
  const std::size_t first = stage * each + (stage < over ? stage : over);
  return {first, first + each + (stage < over ? 1 : 0)};
}

/// How many of these layers each stage has. Requires layers of `at` below `layers`, and at least as many as stages
[[nodiscard]] inline std::vector<std::size_t> count_by_stage(const std::vector<std::size_t>& at, std::size_t layers,
                                                             std::size_t stages) {
  std::vector<std::size_t> counts(stages);
  const std::size_t each = layers / stages, over = layers % stages;
  for (const std::size_t layer : at) {
    const std::size_t longer = over * (each + 1);
    ++counts[layer < longer ? layer / (each + 1) : over + (layer - longer) / each];
  }
  return counts;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
