#include "generator.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace program {
namespace {

// Measured on the public Mooncake conversation trace (FAST'25 release, 12,031 requests of one hour): the quantiles of
// each distribution at these shares. Between two of them the logarithm is interpolated.
using quantiles = std::array<double, 17>;
constexpr quantiles shares{0, .01, .02, .05, .1, .2, .3, .4, .5, .6, .7, .8, .9, .95, .98, .99, 1};
// prompt tokens of a request that continues no earlier one
constexpr quantiles first_prompt{891,  894,   895,   897,   905,   1092,  1756,  3914,  5264,
                                 7417, 10775, 15871, 25561, 38538, 67212, 89869, 126195};
constexpr quantiles answer{1, 3, 3, 10, 24, 100, 213, 291, 350, 399, 447, 504, 597, 698, 893, 1120, 2000};
// what a turn adds to prompt and answer of the turn before
constexpr quantiles next_turn{1, 1, 2, 4, 5, 6, 8, 12, 23, 60, 250, 1100, 4267, 7046, 13000, 17091, 91467};
constexpr std::array<double, 9> lag_shares{0, .05, .1, .25, .5, .75, .9, .95, 1};
// how many requests ago the turn before arrived
constexpr std::array<double, 9> lags{5, 99, 141, 229, 423, 901, 1662, 2131, 5110};
constexpr double continuing = 4658.0 / 12031.0;
// of those, how many keep the whole prompt of the turn before; the rest branches off somewhere inside it
constexpr double keeps_all = 3959.0 / 4658.0;
constexpr double tick_ms = 3000;
constexpr double arrivals_per_tick = 12031.0 / 1180.0;
constexpr double shortest_prompt = 891;
constexpr double longest_prompt = 126195;

template <std::size_t N>
double quantile(const std::array<double, N>& at, const std::array<double, N>& values, double share) {
  const auto above = static_cast<std::size_t>(std::upper_bound(at.begin(), at.end() - 1, share) - at.begin());
  const double part = (share - at[above - 1]) / (at[above] - at[above - 1]);
  return std::exp(std::log(values[above - 1]) * (1 - part) + std::log(values[above]) * part);
}

std::uint32_t length(double tokens) { return static_cast<std::uint32_t>(std::lround(tokens)); }

}  // namespace

void generator::arrive(trace_request& request) {
  // the trace arrives in bursts, one every three seconds, as many as a Poisson process brings
  while (left_in_tick_ == 0) {
    double chance = std::exp(-arrivals_per_tick);
    double left = random_.unit();
    for (; left >= chance && left_in_tick_ < 100; chance *= arrivals_per_tick / ++left_in_tick_) left -= chance;
    ++tick_;
  }
  --left_in_tick_;
  request.arrival_ms = static_cast<double>(tick_ - 1) * tick_ms;
}

bool generator::continue_conversation(trace_request& request) {
  if (past_.empty() || random_.unit() >= continuing) return false;
  auto lag = static_cast<std::uint64_t>(quantile(lag_shares, lags, random_.unit()));
  // a short run has no requests that far back, and still shares prefixes as a long one does
  if (lag > past_.size()) lag = 1 + random_.below(past_.size());
  const past& before = past_[past_.size() - lag];
  double share = 1;
  if (random_.unit() >= keeps_all) share = random_.unit();
  const double kept = share < 1 ? before.tokens * share : before.tokens + before.answer;
  const double prompt = std::max(shortest_prompt, kept + quantile(shares, next_turn, random_.unit()));
  if (prompt > longest_prompt) return false;
  request.prompt_tokens = length(prompt);
  // only whole blocks of the earlier prompt are the same; its last, partial one had another id
  const auto whole = static_cast<std::size_t>(before.tokens * share) / tokens_per_prefix_id;
  request.prefix_ids.assign(before.prefix_ids.begin(), before.prefix_ids.begin() + static_cast<std::ptrdiff_t>(whole));
  return true;
}

trace_request generator::next() {
  trace_request request;
  arrive(request);
  if (!continue_conversation(request)) request.prompt_tokens = length(quantile(shares, first_prompt, random_.unit()));
  request.output_tokens = length(quantile(shares, answer, random_.unit()));
  // every request of the trace starts with the same system prompt: one block
  if (request.prefix_ids.empty()) request.prefix_ids.push_back(0);
  while (request.prefix_ids.size() * tokens_per_prefix_id < request.prompt_tokens)
    request.prefix_ids.push_back(fresh_id_++);
  past_.push_back({request.prompt_tokens, request.output_tokens, request.prefix_ids});
  return request;
}

}  // namespace program
