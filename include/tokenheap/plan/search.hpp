// The cheapest layout and formats with which a load fits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <tokenheap/plan/advice.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// What is looked through.
struct search_space {
  std::vector<std::size_t> tensor = {1, 2, 4, 8, 16};
  std::vector<std::size_t> pipeline = {1, 2, 4, 8};
  std::size_t most_devices = 64;
};

/// A deployment that was found to fit.
struct candidate {
  deployment with;
  std::size_t devices = 0;   ///< of all copies
  std::uint32_t loss = 0;    ///< of both formats, as an order only
  std::size_t max_sequences = 0;
};

namespace detail {

/// The formats to try: the one that is named, or the checkpoint's own and all that are smaller.
[[nodiscard]] inline std::vector<std::string> weight_names(const model& m, const deployment& d) {
  if (!d.weight_dtype.empty()) return {d.weight_dtype};
  std::vector<std::string> names{m.weight_dtype};
  const weight_format* const own = find_format(weight_formats, m.weight_dtype);
  if (own == nullptr) return names;
  for (const weight_format* f : smaller_formats(*own)) names.emplace_back(f->name);
  return names;
}
[[nodiscard]] inline std::vector<std::string> kv_names(const deployment& d) {
  if (!d.kv_dtype.empty()) return {d.kv_dtype};
  std::vector<std::string> names{"bf16"};
  for (const kv_format* f : smaller_formats(*find_format(kv_formats, "bf16"))) names.emplace_back(f->name);
  return names;
}

[[nodiscard]] inline bool cheaper(const candidate& a, const candidate& b) noexcept {
  if (a.devices != b.devices) return a.devices < b.devices;
  if (a.loss != b.loss) return a.loss < b.loss;
  if (a.with.pipeline != b.with.pipeline) return a.with.pipeline < b.with.pipeline;
  return a.max_sequences > b.max_sequences;
}

}  // namespace detail

/// All that fits of tensor x pipeline x format of caches x format of weights: the fewest devices first, then the least
/// lossy, then the fewest stages, then the most sequences.
///
/// Formats that the deployment names stay; its tensor and pipeline do not. Where experts were divided among all ranks
/// they still are.
///
/// Fails     what is wrong with the question, if nothing in the whole space can be planned
/// Cost      a plan for each combination: some 700
[[nodiscard]] inline reading<std::vector<candidate>> search(const model& m, const deployment& d,
                                                            const search_space& in = {}) {
  reading<std::vector<candidate>> out;
  std::string first_error;
  bool any = false;
  const auto visit = [&](const deployment& with) {
    const reading<fitting> f = fitting::open(m, with);
    if (!f) return void(first_error = first_error.empty() ? f.error : first_error);
    any = true;
    if (!f.value.fits(with.sequences, f.value.with().tokens)) return;
    const std::uint32_t of_weights = find_format(weight_formats, with.weight_dtype)->loss;
    const std::uint32_t loss = of_weights + find_format(kv_formats, with.kv_dtype)->loss;
    out.value.push_back({with, with.tensor * with.pipeline * with.data, loss, f.value.max_sequences()});
  };
  const std::vector<std::string> weights = detail::weight_names(m, d), caches = detail::kv_names(d);
  deployment with = d;
  for (const std::size_t t : in.tensor) {
    for (const std::size_t p : in.pipeline) {
      std::size_t devices = 0;
      if (!checked_mul(t, p, devices) || !checked_mul(devices, d.data, devices) || devices > in.most_devices) continue;
      with.tensor = t;
      with.pipeline = p;
      with.expert = d.expert > 1 && d.expert == d.tensor * d.data ? t * d.data : d.expert;
      for (const std::string& weight : weights)
        for (const std::string& cache : caches) with.weight_dtype = weight, with.kv_dtype = cache, visit(with);
    }
  }
  if (!any) out.error = first_error.empty() ? "search: no layout has few enough devices" : first_error;
  std::stable_sort(out.value.begin(), out.value.end(), detail::cheaper);
  return out;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
