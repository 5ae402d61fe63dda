#include <tokenheap/plan/replay.hpp>

#include <support/catch.hpp>

#include "model_kit.hpp"

namespace plan = tokenheap::plan;
using model_kit::bare;
using tokenheap::GiB;

namespace {

/// A fitting with room for exactly so many blocks of 16 tokens.
plan::fitting room_for(std::size_t blocks, std::size_t pipeline = 1, std::size_t data = 1) {
  plan::model m = model_kit::dense("small", {});
  m.weights.clear();
  m.vocabulary = 0;
  plan::deployment d = bare(GiB);
  d.utilization = 1, d.prefill_tokens = 1, d.pipeline = pipeline, d.data = data, d.tokens = 16;
  const std::size_t block = 16 * 2 * 2 * 2 * 16 * 2 / pipeline;
  d.device_bytes = blocks * block + static_cast<std::size_t>(plan::activation_bytes(m, d, 0, 1));
  static plan::model kept[3];  // a fitting looks at its model
  kept[pipeline] = m;
  const auto f = plan::fitting::open(kept[pipeline], d);
  INFO(f.error);
  REQUIRE(f);
  REQUIRE(f.value.blocks(0) == blocks);
  return f.value;
}

constexpr plan::pace second{.token_seconds = 1, .prompt_tokens_per_second = 1};

plan::replayed run(const plan::fitting& f, const std::vector<plan::arrival>& trace, std::size_t most = 0) {
  auto r = plan::replay::open(f, second, most);
  INFO(r.error);
  REQUIRE(r);
  for (const plan::arrival& a : trace) r.value.arrive(a);
  const plan::replayed all = r.value.finish();
  CHECK(r.value.is_valid());
  return all;
}

}  // namespace

TEST_CASE("requests run while there is room, and wait for the first that ends", "[plan]") {
  // four blocks; each request has two and runs for 20 seconds
  const std::vector<plan::arrival> trace = {{0, 10, 10}, {1, 10, 10}, {2, 10, 10}, {3, 10, 10}, {50, 10, 10}};
  const plan::replayed r = run(room_for(4), trace);
  CHECK(r.admitted == 5);
  CHECK(r.refused == 0);
  CHECK(r.waited == 2);
  CHECK(r.peak_sequences == 2);
  CHECK(r.peak_waiting == 2);
  CHECK(r.longest_wait == 18);  // the third came at 2, and the first ended at 20
  CHECK(r.mean_wait == Approx(36.0 / 5));
  CHECK(r.end == 70);
  CHECK(run(room_for(4, 2), trace).longest_wait == 18);  // both stages
  CHECK(run(room_for(8), trace).waited == 0);
  CHECK(run(room_for(8), trace, 1).peak_sequences == 1);
  CHECK(run(room_for(8), trace, 1).longest_wait == 57);  // the fourth: from 3 to 60
}

TEST_CASE("a request that no empty pool holds is refused, and those behind it run", "[plan][bad]") {
  const plan::replayed r = run(room_for(4), {{0, 64, 0}, {1, 65, 0}, {2, ~std::size_t{0}, 9}, {3, 16, 0}});
  CHECK(r.refused == 2);
  CHECK(r.admitted == 2);
  CHECK(r.longest_wait == 61);  // first come, first served: the last one waits for the first
  CHECK(run(room_for(4), {}).end == 0);
  CHECK(run(room_for(4), {{5, 0, 0}}).admitted == 1);
}

TEST_CASE("the fewest machines without waits are found", "[plan]") {
  std::vector<plan::arrival> trace;
  for (std::size_t k = 0; k < 40; ++k) trace.push_back({static_cast<double>(k), 5, 5});  // ten at once
  const auto count = [&](const plan::fitting& f, double wait) {
    const auto n = plan::machines_by_replay(f, trace, second, wait);
    REQUIRE(n);
    return n.value;
  };
  CHECK(count(room_for(10), 0) == 1);
  CHECK(count(room_for(5), 0) == 2);
  CHECK(count(room_for(1), 0) == 10);
  CHECK(count(room_for(1, 1, 2), 0) == 5);  // two copies each
  CHECK(count(room_for(1), 1e9) == 1);
  trace.push_back({99, 1000, 0});
  CHECK(count(room_for(5), 0) == 0);  // too large for any
  trace.clear();
  CHECK(count(room_for(1), 0) == 0);
}

TEST_CASE("several groups replay over their page space", "[plan]") {
  plan::model m = model_kit::hybrid();
  plan::deployment d = bare(GiB);
  d.tokens = 20'000;
  const auto f = plan::fitting::open(m, d);
  REQUIRE(f);
  const std::size_t most = f.value.max_sequences();
  std::vector<plan::arrival> trace(2 * most, {0, 15'000, 5000});
  const plan::replayed r = run(f.value, trace);
  CHECK(r.admitted == 2 * most);
  CHECK(r.peak_sequences == most);
  CHECK(r.waited == most);
  CHECK(r.longest_wait == 20'000);
}
