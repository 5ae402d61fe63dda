#include "workload.hpp"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include <fmt/format.h>

#include "generator.hpp"
#include "model.hpp"
#include "random.hpp"

namespace program {
namespace {

// positions are 32-bit and tables are sized by them: longer requests need a larger scale
constexpr double longest_served = 1 << 22;

}  // namespace

double workload::scaled(std::uint32_t tokens) const { return std::max(1.0, std::round(tokens / options_.scale)); }

const char* workload::longer_field(bool prompt) const {
  if (options_.format == trace_format::azure) return prompt ? "ContextTokens" : "GeneratedTokens";
  return prompt ? "input_length" : "output_length";
}

complaint workload::add(trace_request&& request) {
  if (request.prompt_tokens == 0 || request.output_tokens == 0) return ++left_out_, complaint();
  const double prompt = scaled(request.prompt_tokens);
  const double output = scaled(request.output_tokens);
  if (prompt + output > longest_served)
    return fmt::format("field '{}': {:.0f} tokens of prompt and output after scaling, at most {:.0f} are served: give a "
                       "larger --scale", longer_field(prompt >= output), prompt + output, longest_served);
  job made;
  made.arrival_ms = request.arrival_ms;
  made.prompt_tokens = static_cast<std::uint32_t>(prompt);
  made.output_tokens = static_cast<std::uint32_t>(output);
  made.greedy = jobs_.size() / options_.forks % 2 == 0;
  made.prefix_ids = std::move(request.prefix_ids);
  longest_ = std::max(longest_, made.longest());
  for (; made.sample + 1 < options_.forks; ++made.sample, made.greedy = false) jobs_.push_back(made);
  jobs_.push_back(std::move(made));
  return {};
}

complaint workload::open(const workload_options& options) {
  options_ = options;
  const std::size_t most = std::size_t{options.requests} * options.forks;
  tokens_per_id_ = static_cast<std::uint32_t>(std::max(1.0, std::round(tokens_per_prefix_id / options.scale)));
  complaint bad;
  if (options.trace.empty()) {
    generator requests(options.seed);
    while (jobs_.size() < most && bad.empty()) bad = add(requests.next());
    look_for_reuse();
    return bad;
  }
  bad = read_trace(options.trace, options.format, [&](trace_request&& request) {
    return jobs_.size() < most ? add(std::move(request)) : complaint();
  });
  if (!bad.empty()) return bad;
  if (jobs_.empty()) return fmt::format("{}: no request has both a prompt and an output", options.trace);
  // a trace may be out of order; who came first is served first
  std::stable_sort(jobs_.begin(), jobs_.end(), [](const job& a, const job& b) { return a.arrival_ms < b.arrival_ms; });
  look_for_reuse();
  return {};
}

void workload::look_for_reuse() {
  std::unordered_map<std::uint64_t, job*> first;
  for (job& j : jobs_) {
    if (j.sample != 0) continue;
    for (const std::uint64_t id : j.prefix_ids)
      if (const auto [at, fresh] = first.try_emplace(id, &j); !fresh && at->second != &j) at->second->again = true;
  }
}

void workload::write_prompt(std::size_t n, std::uint32_t* out) const {
  const job& j = jobs_[n];
  for (std::uint32_t at = 0; at < j.prompt_tokens; ++at) {
    const std::size_t block = at / tokens_per_id_;
    const std::uint64_t from = block < j.prefix_ids.size() ? mixed(1, j.prefix_ids[block]) : mixed(mixed(2, n - j.sample), block);
    out[at] =
        static_cast<std::uint32_t>(mixed(mixed(options_.seed, from), at % tokens_per_id_) % model_shape::vocabulary);
  }
}

std::uint32_t workload::choose(std::size_t n, std::uint32_t step, std::span<const float> logits) const {
  const auto best = std::max_element(logits.begin(), logits.end());
  if (jobs_[n].greedy) return static_cast<std::uint32_t>(best - logits.begin());
  double total = 0;
  for (const float logit : logits) total += std::exp(static_cast<double>(logit - *best));
  random_stream random(mixed(mixed(options_.seed, n), step));
  double left = random.unit() * total;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    left -= std::exp(static_cast<double>(logits[i] - *best));
    if (left < 0) return static_cast<std::uint32_t>(i);
  }
  return static_cast<std::uint32_t>(best - logits.begin());
}

}  // namespace program
