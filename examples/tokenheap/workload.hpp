// What the server is asked to do: the requests of a trace, scaled to a small model, with tokens for every prompt.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "trace.hpp"

namespace program {

/// One request as the server gets it.
struct job {
  double arrival_ms = 0;
  std::uint32_t prompt_tokens = 0;
  std::uint32_t output_tokens = 0;
  std::uint32_t sample = 0;  ///< 0, or which fork it is of the job that many places before it
  bool again = false;  ///< a later request uses a prefix block that this one is the first to use
  bool greedy = true;  ///< else its tokens are drawn by chance, from its own seed
  std::vector<std::uint64_t> prefix_ids;

  [[nodiscard]] std::uint32_t longest() const { return prompt_tokens + output_tokens; }
};

/// The amounts of a workload.
struct workload_options {
  std::string trace;  ///< empty: the seeded generator
  trace_format format = trace_format::mooncake;
  std::uint32_t requests = 0;
  std::uint32_t forks = 1;  ///< answers to each request
  double scale = 1;
  std::uint64_t seed = 0;
};

/// All requests of one run, in order of arrival.
class workload {
 public:
  complaint open(const workload_options& options);

  [[nodiscard]] std::span<const job> jobs() const { return jobs_; }
  /// Requests of the trace that ask for nothing: no prompt, or no output.
  [[nodiscard]] std::uint64_t left_out() const { return left_out_; }
  /// The most tokens that any one request ever has.
  [[nodiscard]] std::uint32_t longest() const { return longest_; }

  /// Writes the prompt of job `n`: equal prefix ids give equal tokens, and what no id covers is the request's own.
  void write_prompt(std::size_t n, std::uint32_t* out) const;

  /// The token that follows `logits` as step `step` of job `n`; the same whenever it is asked.
  [[nodiscard]] std::uint32_t choose(std::size_t n, std::uint32_t step, std::span<const float> logits) const;

 private:
  complaint add(trace_request&& request);
  void look_for_reuse();
  [[nodiscard]] const char* longer_field(bool prompt) const;
  [[nodiscard]] double scaled(std::uint32_t tokens) const;

  workload_options options_;
  std::vector<job> jobs_;
  std::uint64_t left_out_ = 0;
  std::uint32_t longest_ = 0;
  std::uint32_t tokens_per_id_ = 1;
};

}  // namespace program
