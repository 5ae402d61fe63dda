#include <tokenheap/plan/stages.hpp>

#include <support/catch.hpp>

#include <numeric>

namespace plan = tokenheap::plan;
using plan::layer_range;

static_assert(plan::layers_of_stage(10, 4, 0) == layer_range{0, 3});
static_assert(plan::layers_of_stage(10, 4, 1) == layer_range{3, 6});
static_assert(plan::layers_of_stage(10, 4, 2) == layer_range{6, 8});
static_assert(plan::layers_of_stage(10, 4, 3) == layer_range{8, 10});
static_assert(plan::layers_of_stage(7, 1, 0) == layer_range{0, 7});

TEST_CASE("counting layers by stage agrees with where each stage begins and ends", "[plan]") {
  for (std::size_t layers = 1; layers <= 20; ++layers) {
    for (std::size_t stages = 1; stages <= layers; ++stages) {
      std::vector<std::size_t> odd;
      for (std::size_t k = 1; k < layers; k += 2) odd.push_back(k);
      const std::vector<std::size_t> counts = plan::count_by_stage(odd, layers, stages);
      REQUIRE(counts.size() == stages);
      CHECK(std::accumulate(counts.begin(), counts.end(), std::size_t{0}) == odd.size());
      std::size_t next = 0;
      for (std::size_t s = 0; s < stages; ++s) {
        const layer_range r = plan::layers_of_stage(layers, stages, s);
        CHECK(r.first == next);
        CHECK(r.end > r.first);
        next = r.end;
        CHECK(counts[s] == r.end / 2 - r.first / 2);
      }
      CHECK(next == layers);
    }
  }
}
