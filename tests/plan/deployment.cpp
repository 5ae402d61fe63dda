#include <tokenheap/plan/deployment.hpp>

#include <support/catch.hpp>

namespace plan = tokenheap::plan;

TEST_CASE("a deployment that says nothing is one device, as the checkpoint is, with what is assumed", "[plan]") {
  const plan::deployment d;
  CHECK(d.tensor * d.pipeline * d.expert * d.data == 1);
  CHECK(d.weight_dtype.empty());
  CHECK(d.kv_dtype.empty());
  CHECK(d.graph_bytes == plan::assumed_graph_bytes);
  CHECK(d.context_bytes == plan::assumed_context_bytes);
  CHECK(d.communication_bytes == plan::assumed_communication_bytes);
  CHECK_FALSE(plan::answer{}.fits);
}
