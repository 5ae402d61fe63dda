// How many machines a load takes: Little's law, and how far the number of requests at once swings around its mean.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include <tokenheap/plan/fitting.hpp>

namespace tokenheap {
inline namespace v0 {
namespace plan {

/// One request of a trace.
struct arrival {
  double at = 0;            ///< seconds from the start
  std::size_t prompt = 0;   ///< tokens
  std::size_t output = 0;
};

/// How fast a machine is; measured, or a guess.
struct pace {
  double token_seconds = 0.025;       ///< from one token of a sequence to the next
  double prompt_tokens_per_second = 8000;

  /// How long a request runs once it is admitted.
  [[nodiscard]] double seconds(double prompt, double output) const noexcept {
    return prompt / prompt_tokens_per_second + output * token_seconds;
  }
};

/// What arrives.
struct traffic {
  double rate = 0;             ///< requests in a second
  double mean_prompt = 0;      ///< tokens
  double mean_output = 0;
  std::size_t tokens = 0;      ///< prompt and output of a long request: what a sequence is planned for; 0: from the means
  double percentile = 0.99;    ///< how often there is to be room for all, and what a long request is
};

/// The answer to a load.
struct fleet {
  std::size_t tokens = 0;               ///< that a sequence was planned for
  double seconds = 0;                   ///< that a mean request runs
  double mean_at_once = 0;              ///< requests, in all machines: rate * seconds
  std::size_t at_once = 0;              ///< the percentile of them
  std::size_t sequences_a_machine = 0;  ///< that memory has room for, all its copies
  std::size_t machines = 0;
  std::size_t devices = 0;
};

/// The least k such that a Poisson number of this mean is at most k with probability `p`. Requires 0 <= p < 1
///
/// Requests that come independently and are never held up are Poisson at any moment, however long they run.
/// Beyond a mean of a million the normal distribution stands in.
/// Cost      O(sqrt(mean))
[[nodiscard]] inline std::size_t poisson_percentile(double mean, double p) {
  if (!(mean > 0)) return 0;
  const double spread = std::sqrt(mean);
  if (mean > 1e6) {
    double low = -10, high = 10;
    for (int k = 0; k < 60; ++k) {
      const double middle = (low + high) / 2;
      (std::erfc(-middle / std::sqrt(2.0)) / 2 < p ? low : high) = middle;
    }
    return static_cast<std::size_t>(std::min(std::ceil(mean + high * spread), 1e18));
  }
  // weights relative to the likeliest number, so that none is too small to count
  const auto likeliest = static_cast<std::size_t>(mean);
  const auto reach = static_cast<std::size_t>(12 * spread + 40);
  const std::size_t first = likeliest > reach ? likeliest - reach : 0;
  std::vector<double> weights(likeliest + reach - first + 1);
  weights[likeliest - first] = 1;
  for (std::size_t k = likeliest; k > first; --k) {
    weights[k - 1 - first] = weights[k - first] * static_cast<double>(k) / mean;
  }
  for (std::size_t k = likeliest; k < likeliest + reach; ++k) {
    weights[k + 1 - first] = weights[k - first] * mean / static_cast<double>(k + 1);
  }
  double sum = 0, part = 0;
  for (const double w : weights) sum += w;
  for (std::size_t k = 0; k < weights.size(); ++k) {
    part += weights[k];
    if (part >= p * sum) return first + k;
  }
  return likeliest + reach;
}

/// What is wrong with a load, or nothing.
[[nodiscard]] inline std::string why_not(const traffic& t, const pace& at) {
  const auto good = [](double n, double most) { return n >= 0 && n <= most; };
  if (!good(t.rate, 1e9)) return "rate: give 0 to 1e9 requests in a second";
  if (!good(t.mean_prompt, 1e12) || !good(t.mean_output, 1e12)) return "mean_prompt, mean_output: give 0 to 1e12 tokens";
  if (!(t.percentile > 0 && t.percentile < 1)) return "percentile: give more than 0 and less than 1";
  if (!good(at.token_seconds, 1e6)) return "token_seconds: give 0 to 1e6";
  if (!(at.prompt_tokens_per_second > 0)) return "prompt_tokens_per_second: give more than 0";
  return {};
}

/// The tokens of a long request where only means are known: lengths are taken as exponential, so that one in 100 has
/// 4.6 times the mean.
[[nodiscard]] inline std::size_t long_request(const traffic& t) noexcept {
  if (t.tokens != 0) return t.tokens;
  const double n = std::ceil((t.mean_prompt + t.mean_output) * -std::log1p(-t.percentile));
  return n < 1 ? 1 : static_cast<std::size_t>(std::min(n, static_cast<double>(most_tokens)));
}

/// How many machines hold a load in memory.
///
/// Little's law gives the mean number of requests at once. Each of n machines gets an nth part of it, and has room for
/// the percentile of that; few large machines swing less than many small ones. A sequence is planned for a long request,
/// which is on the safe side: of many at once most are shorter. `replay` of a trace says how much.
///
/// Fails     what is wrong with the load or the deployment, and a machine that holds no sequence at all
[[nodiscard]] inline reading<fleet> machines_for(const model& m, deployment d, const traffic& t, const pace& at = {}) {
  reading<fleet> out;
  if (out.error = why_not(t, at); !out) return out;
  d.tokens = long_request(t);
  const reading<fitting> f = fitting::open(m, d);
  if (!f) return out.error = f.error, out;
  fleet& a = out.value;
  a.tokens = d.tokens;
  a.seconds = at.seconds(t.mean_prompt, t.mean_output);
  a.mean_at_once = t.rate * a.seconds;
  a.at_once = poisson_percentile(a.mean_at_once, t.percentile);
  a.sequences_a_machine = f.value.max_sequences() * d.data;
  if (a.sequences_a_machine == 0) {
    out.error = "device_bytes: a machine does not hold one sequence of " + std::to_string(d.tokens) + " tokens";
    return out;
  }
  constexpr std::size_t most = std::size_t{1} << 40;
  const auto too_few = [&](std::size_t n) {
    return poisson_percentile(a.mean_at_once / static_cast<double>(n), t.percentile) > a.sequences_a_machine;
  };
  a.machines = 1 + largest(most, too_few);
  if (a.machines > most || !checked_mul(a.machines, d.tensor * d.pipeline * d.data, a.devices))
    return out.error = "rate: more machines than can be counted", out;
  return out;
}

/// Rate, means and percentiles of a trace; `why_not` refuses what comes of one that says nothing.
/// Requires arrivals in order of time
[[nodiscard]] inline traffic traffic_of(const std::vector<arrival>& trace, double percentile = 0.99) {
  traffic t{.percentile = percentile};
  if (trace.empty() || !(percentile > 0 && percentile < 1)) return t;
  std::vector<std::size_t> lengths;
  const auto n = static_cast<double>(trace.size());
  for (const arrival& a : trace) {
    t.mean_prompt += static_cast<double>(a.prompt) / n;
    t.mean_output += static_cast<double>(a.output) / n;
    std::size_t length = 0;
    lengths.push_back(checked_add(a.prompt, a.output, length) ? length : most_tokens);
  }
  // n arrivals have n - 1 gaps; a single one says nothing about a rate
  const double span = trace.back().at - trace.front().at;
  t.rate = span > 0 ? (n - 1) / span : 0;
  const double place = std::ceil(percentile * n) - 1;
  const auto at = static_cast<std::size_t>(std::clamp(place, 0.0, n - 1));
  std::nth_element(lengths.begin(), lengths.begin() + static_cast<std::ptrdiff_t>(at), lengths.end());
  t.tokens = std::min(lengths[at], most_tokens);
  return t;
}

}  // namespace plan
}  // namespace v0
}  // namespace tokenheap
