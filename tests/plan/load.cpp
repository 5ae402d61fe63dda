#include <tokenheap/plan/load.hpp>

#include <support/catch.hpp>

#include <limits>

#include "model_kit.hpp"

namespace plan = tokenheap::plan;
using tokenheap::GiB;

namespace {

plan::deployment h100() {
  plan::deployment d;
  d.device_bytes = 80 * GiB;
  return d;
}

}  // namespace

TEST_CASE("percentiles of Poisson numbers are those of the tables", "[plan]") {
  CHECK(plan::poisson_percentile(0, 0.99) == 0);
  CHECK(plan::poisson_percentile(1, 0.99) == 4);
  CHECK(plan::poisson_percentile(10, 0.5) == 10);
  CHECK(plan::poisson_percentile(10, 0.99) == 18);
  CHECK(plan::poisson_percentile(100, 0.99) == 124);
  CHECK(plan::poisson_percentile(0.001, 0.99) == 0);
  CHECK(plan::poisson_percentile(0.1, 0.99) == 1);
  CHECK(plan::poisson_percentile(10, 0) == 0);
  // beyond a million the normal distribution: 2.3263 times the spread of 2,000
  CHECK(plan::poisson_percentile(4e6, 0.99) == 4'004'653);
  const std::size_t below = plan::poisson_percentile(999'999, 0.99), above = plan::poisson_percentile(1'000'001, 0.99);
  CHECK(above - below <= 5);
  CHECK(plan::poisson_percentile(1e300, 0.99) == 1'000'000'000'000'000'000);
  CHECK(plan::poisson_percentile(std::numeric_limits<double>::quiet_NaN(), 0.5) == 0);
}

TEST_CASE("Little's law gives the requests at once, and each machine has room for its share of their peak", "[plan]") {
  // 2,000 tokens of prompt at 8,000 in a second and 400 of output at 25 ms: 10.25 s
  const plan::traffic t{.rate = 20, .mean_prompt = 2000, .mean_output = 400, .tokens = 4096};
  const auto a = plan::machines_for(model_kit::qwen3_8b(), h100(), t);
  INFO(a.error);
  REQUIRE(a);
  CHECK(a.value.seconds == Approx(10.25));
  CHECK(a.value.mean_at_once == Approx(205));
  CHECK(a.value.at_once == plan::poisson_percentile(205, 0.99));
  CHECK(a.value.tokens == 4096);
  const std::size_t room = a.value.sequences_a_machine, n = a.value.machines;
  REQUIRE(n > 1);
  CHECK(plan::poisson_percentile(205.0 / static_cast<double>(n), 0.99) <= room);
  CHECK(plan::poisson_percentile(205.0 / static_cast<double>(n - 1), 0.99) > room);
  CHECK(a.value.devices == n);
  // two copies in a machine: room for twice as many
  plan::deployment two = h100();
  two.data = 2;
  const auto b = plan::machines_for(model_kit::qwen3_8b(), two, t);
  REQUIRE(b);
  CHECK(b.value.sequences_a_machine == 2 * room);
  CHECK(b.value.devices == 2 * b.value.machines);
  const auto idle = plan::machines_for(model_kit::qwen3_8b(), h100(), {.tokens = 100});
  REQUIRE(idle);
  CHECK(idle.value.machines == 1);
}

TEST_CASE("where only means are known, a long request has 4.6 times as many tokens", "[plan]") {
  CHECK(plan::long_request({.mean_prompt = 900, .mean_output = 100}) == 4606);
  CHECK(plan::long_request({.mean_prompt = 900, .mean_output = 100, .percentile = 0.5}) == 694);
  CHECK(plan::long_request({}) == 1);
  CHECK(plan::long_request({.tokens = 7}) == 7);
}

TEST_CASE("a load that makes no sense is named", "[plan][bad]") {
  const auto said = [](const plan::traffic& t, const plan::pace& at = {}) {
    return plan::machines_for(model_kit::qwen3_8b(), h100(), t, at).error;
  };
  const double none = std::numeric_limits<double>::quiet_NaN();
  CHECK(said({.rate = -1}).find("rate") == 0);
  CHECK(said({.rate = none}).find("rate") == 0);
  CHECK(said({.rate = 1, .mean_prompt = 1e30}).find("mean_prompt") == 0);
  CHECK(said({.rate = 1, .mean_prompt = 1, .percentile = 1}).find("percentile") == 0);
  CHECK(said({.rate = 1, .mean_prompt = 1}, {.token_seconds = none}).find("token_seconds") == 0);
  CHECK(said({.rate = 1, .mean_prompt = 1}, {.prompt_tokens_per_second = 0}).find("prompt_tokens") == 0);
  CHECK(said({.rate = 1, .mean_prompt = 1, .tokens = ~std::size_t{0}}).find("tokens") == 0);
  CHECK(said({.rate = 1, .mean_prompt = 1, .tokens = 10'000'000}).find("device_bytes") == 0);
  CHECK(said({.rate = 1e9, .mean_output = 1e12, .tokens = 100}, {.token_seconds = 1e6}).find("rate") == 0);
}

TEST_CASE("a trace tells its rate, means and percentile", "[plan]") {
  std::vector<plan::arrival> trace;
  for (std::size_t k = 0; k < 101; ++k) trace.push_back({static_cast<double>(k) / 10, k, 2 * k});
  const plan::traffic t = plan::traffic_of(trace, 0.9);
  CHECK(t.rate == Approx(10));
  CHECK(t.mean_prompt == Approx(50));
  CHECK(t.mean_output == Approx(100));
  CHECK(t.tokens == 270);  // the 91st of 101
  CHECK(plan::traffic_of({}).tokens == 0);
  CHECK(plan::traffic_of({{1, 5, 6}}).rate == 0);
  CHECK(plan::traffic_of({{1, 5, 6}}).tokens == 11);
  CHECK_FALSE(plan::why_not(plan::traffic_of(trace, 2), {}).empty());
  CHECK(plan::traffic_of({{0, ~std::size_t{0}, 6}}).tokens == plan::most_tokens);
}
