#include <tokenheap/plan/model.hpp>

#include <support/catch.hpp>

namespace plan = tokenheap::plan;

TEST_CASE("model: parts count once for each of their layers, or once", "[plan][model]") {
  plan::model m;
  CHECK(m.parameters() == 0);
  m.weights.push_back({.name = "embedding", .numbers = 100, .at = {}});
  CHECK(m.parameters() == 100);
  m.weights.push_back({.name = "mlp", .numbers = 7, .at = {0, 2, 5}});
  CHECK(m.parameters() == 121);
}

TEST_CASE("model: what nobody says is the usual", "[plan][model]") {
  const plan::model m;
  CHECK(m.weight_dtype == "bf16");
  CHECK(m.plain_dtype == "bf16");
  CHECK(m.exact_weight_bytes == 0);
  const plan::layer_group g;
  CHECK(g.kind == tokenheap::kv::group_kind::full);
  CHECK(g.conv_bytes_each == 2);
  CHECK(plan::weight_part{}.quantised);
}
